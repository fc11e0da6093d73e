//! What the program says of itself, anywhere and with nothing set up.

use crate::support::environment::{command, must};
use crate::support::holdpoint::Holdpoint;
use std::io::Write;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const COMMANDS: [&str; 25] = [
    "init",
    "doctor",
    "plan",
    "gate",
    "guard",
    "snapshot",
    "admit",
    "approve",
    "reconcile",
    "restore",
    "rollback",
    "drill",
    "freeze",
    "thaw",
    "releases",
    "show",
    "audit",
    "check",
    "copy",
    "prune",
    "hold",
    "ls",
    "schema",
    "completions",
    "man",
];

/// A place without git, and with a configuration that is broken: help needs neither.
fn nowhere() -> (TempDir, Holdpoint) {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("holdpoint.toml"), "no = [toml").unwrap();
    let holdpoint = Holdpoint::new(directory.path()).env("COLUMNS", "100").env("HOLDPOINT_ENVIRONMENT", "staging");
    (directory, holdpoint)
}

#[test]
fn the_help_of_every_command() {
    let (_directory, holdpoint) = nowhere();
    let help = |arguments: &[&str]| {
        let output = holdpoint.run(arguments).expect(0);
        assert_eq!(output.stderr, "");
        output.stdout
    };
    insta::assert_snapshot!("holdpoint", help(&["--help"]));
    for command in COMMANDS {
        insta::assert_snapshot!(command, help(&[command, "--help"]));
        assert_eq!(help(&["help", command]), help(&[command, "--help"]));
        assert!(help(&["--help"]).contains(&format!("\n  {command} ")), "{command}");
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let (_directory, holdpoint) = nowhere();
    for flag in ["--version", "-V"] {
        assert_eq!(holdpoint.run([flag]).expect(0).stdout, format!("holdpoint {}\n", env!("CARGO_PKG_VERSION")));
    }
}

/// Feeds a text to a program that must take it; says whether the program is here at all.
fn takes(program: &mut Command, text: &str) -> bool {
    let child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return false };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{program:?}: {stderr}");
    true
}

#[test]
fn shells_take_their_completions() {
    let (directory, holdpoint) = nowhere();
    for shell in ["bash", "zsh", "fish"] {
        let text = holdpoint.run(["completions", shell]).expect(0).stdout;
        for word in COMMANDS.iter().chain(&["environment", "manifest-out", "read-data"]) {
            assert!(text.contains(word), "{shell} cannot complete {word}");
        }
        let here = takes(command(shell, directory.path()).arg("-n"), &text);
        assert!(here || shell != "bash", "bash is everywhere");
    }
    // Loaded for real: the words that bash offers for the beginning of a command.
    std::fs::write(directory.path().join("load"), holdpoint.run(["completions", "bash"]).stdout).unwrap();
    let script = "source ./load; COMP_WORDS=(holdpoint re); COMP_CWORD=1; _holdpoint holdpoint re holdpoint; echo ${COMPREPLY[*]}";
    let mut bash = command("bash", directory.path());
    let offered = must(bash.current_dir(directory.path()).args(["-c", script]));
    assert_eq!(offered.split_whitespace().collect::<Vec<_>>(), ["reconcile", "restore", "releases"]);
}

#[test]
fn the_manual_page_renders() {
    let (directory, holdpoint) = nowhere();
    let page = holdpoint.run(["man"]).expect(0).stdout;
    assert!(page.lines().any(|line| line.starts_with(".TH holdpoint")), "{page}");
    for name in COMMANDS {
        assert!(page.contains(&format!(".SH HOLDPOINT {}\n", name.to_uppercase())), "{name}");
    }
    let mut groff = command("groff", directory.path());
    if !takes(groff.args(["-man", "-Tascii", "-ww", "-z"]), &page) {
        eprintln!("no groff: the page was not rendered");
    }
}
