//! The README tells the truth: its commands run, its recorded session is what happens, its links lead somewhere.

use crate::support::environment;
use crate::support::git::Repository;
use crate::support::holdpoint::Holdpoint;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

/// Returns the blocks of a language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// Makes a clone, as far as the commands can tell: a working tree with the fixtures in a directory of the project's name.
fn clone() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let tree = directory.path().join("holdpoint");
    std::fs::create_dir(&tree).unwrap();
    let mut copy = environment::command("cp", directory.path());
    environment::must(copy.arg("--archive").arg(root().join("fixtures")).arg(&tree));
    std::fs::copy(root().join(".gitignore"), tree.join(".gitignore")).unwrap();
    Repository::new(&tree).commit("A clone");
    (directory, tree)
}

/// Replaces what differs from run to run: identifiers, numbers, units, and the width they take.
fn comparable(text: &str) -> String {
    let hexadecimal = regex::Regex::new(r"\b[0-9a-f]{7,64}\b").unwrap();
    let number = regex::Regex::new(r"[0-9][0-9TZ:.]*").unwrap();
    let text = hexadecimal.replace_all(text, "ID");
    let unit = regex::Regex::new(r"\b([KMG]i)?B\b").unwrap();
    let text = number.replace_all(&text, "N");
    let text = unit.replace_all(&text, "B");
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_first_command_passes() {
    let text = readme();
    let line = text.lines().find_map(|line| line.strip_prefix("$ cargo run --release -- ")).unwrap();
    let (_directory, tree) = clone();
    let output = Holdpoint::new(&tree).run(line.split_whitespace()).expect(0);
    assert!(output.stdout.contains("pass: 1.4.0 may go to staging"), "{}", output.stdout);
    assert_eq!(Repository::at(&tree).git(&["status", "--porcelain"]), "", "the gate leaves a clean working tree");
}

#[test]
fn the_second_command_can_be_run() {
    assert!(readme().lines().any(|line| line == "$ scripts/test"));
    let mut bash = environment::command("bash", root());
    environment::must(bash.current_dir(root()).args(["scripts/test", "--help"]));
}

#[test]
fn the_recorded_session_is_what_happens() {
    let text = readme();
    let recorded = blocks(&text, "console")[0];
    let (directory, tree) = clone();
    let binary = Path::new(env!("CARGO_BIN_EXE_holdpoint")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let mut script = String::from("exec 2>&1\n");
    for command in recorded.lines().filter_map(|line| line.strip_prefix("$ ")) {
        // The command before decides what `$?` says, so the marker must not.
        writeln!(script, "s=$?; cat <<'END'\n$ {command}\nEND\n(exit $s)\n{command}").unwrap();
    }
    let mut bash = environment::command("bash", directory.path());
    let happened = environment::must(bash.current_dir(&tree).env("PATH", path).args(["-c", &script]));
    assert_eq!(comparable(&happened), comparable(recorded), "what happened is\n{happened}");
}

#[test]
fn every_link_leads_somewhere() {
    let mut pages = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    let mut folders = vec![root().join("docs"), root().join("fixtures")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|extension| extension == "md") => pages.push(path),
                false => {}
            }
        }
    }
    let link = regex::Regex::new(r"\]\(([^)#\s]+)(#[^)]*)?\)").unwrap();
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for found in link.captures_iter(&text).map(|captures| captures[1].to_owned()) {
            let leads = found.starts_with("https://") || page.parent().unwrap().join(&found).exists();
            assert!(leads, "{}: {found}", page.display());
        }
    }
}
