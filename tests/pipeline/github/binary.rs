//! Which holdpoint the action runs: named, on the `PATH`, a release with the right checksum, or built from source.

use super::action::Action;
use super::host::Host;
use crate::support::environment::{command, must};
use sha2::{Digest, Sha256};
use std::fs;

/// What a stand-in for holdpoint or cargo writes beside the working tree, to be seen to have run.
const TELL: &str = r#"echo "$0" >>../ran; if [[ $1 == --version ]]; then echo "holdpoint 9.9.9"; fi"#;

fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Makes a release as scripts/release packs it, of which the program is a script that becomes the real binary: its name, its content
/// and its SHA-256.
pub fn archive(action: &Action) -> (String, Vec<u8>, String) {
    let folder = action.shop.beside("release");
    let stem = format!("holdpoint-{}-{}-unknown-linux-musl", version(), std::env::consts::ARCH);
    let tree = folder.join(&stem);
    fs::create_dir_all(&tree).unwrap();
    let script = format!("exec '{}' \"$@\"", env!("CARGO_BIN_EXE_holdpoint"));
    fs::rename(action.program("release", &script), tree.join("holdpoint")).unwrap();
    fs::write(tree.join("LICENSE-MIT"), "").unwrap();
    let file = action.shop.beside("release.tar.gz");
    let mut tar = command("tar", &folder);
    must(tar.args(["--create", "--gzip", "--file"]).arg(&file).arg("--directory").arg(&folder).arg(&stem));
    let content = fs::read(file).unwrap();
    let sum = hex::encode(Sha256::digest(&content));
    (format!("{stem}.tar.gz"), content, sum)
}

fn path(name: &str) -> String {
    format!("/acme/holdpoint/releases/download/v{}/{name}", version())
}

fn ran(action: &Action) -> String {
    fs::read_to_string(action.shop.beside("ran")).unwrap_or_default()
}

/// Prepares a gate that passes, once there is a binary.
fn gate() -> Action {
    let mut action = Action::new();
    action.with("paths", "data").with("args", "--first");
    action
}

/// Puts a cargo on the `PATH` that installs the real binary and writes down how it was called.
fn cargo(action: &Action) {
    let script = format!(
        "pwd >>'{0}'; printf '%s\\n' \"$@\" >>'{0}'\nwhile [[ $1 != --root ]]; do shift; done\nmkdir -p \"$2/bin\"; ln -sf '{1}' \"$2/bin/holdpoint\"",
        action.shop.beside("cargo").display(),
        env!("CARGO_BIN_EXE_holdpoint")
    );
    action.program("cargo", &script);
}

fn cargo_called(action: &Action) -> String {
    fs::read_to_string(action.shop.beside("cargo")).unwrap_or_default()
}

#[test]
fn a_release_with_the_right_checksum_is_run() {
    let mut action = gate();
    let (name, content, sum) = archive(&action);
    let host = Host::of([(path(&name), content)]);
    let others = format!("{}  holdpoint-0.0.1-x86_64-unknown-linux-musl.tar.gz\n", "0".repeat(64));
    action.no_binary().released(host.url(), &format!("{others}{sum}  {name}\n"));
    action.run().expect("success", "pass", 0);
    assert_eq!(host.requests(), [path(&name)]);
    // A later step of the job has it already; and looks at it again, and not at what else lies there.
    let folder = action.shop.beside("runner/holdpoint").join(name.trim_end_matches(".tar.gz"));
    fs::rename(action.program("other", TELL), folder.join("holdpoint")).unwrap();
    action.run().expect("success", "pass", 0);
    assert_eq!(host.requests().len(), 1);
    assert_eq!(ran(&action), "");
    fs::write(folder.join(&name), "something else").unwrap();
    let job = action.run().expect("failure", "refuse", 1);
    job.says("is not what was released");
    assert_eq!(job.step("run")["conclusion"], "skipped");
}

#[test]
fn a_release_with_another_checksum_ends_the_job() {
    let mut action = gate();
    let (name, mut content, sum) = archive(&action);
    *content.last_mut().unwrap() ^= 1;
    let host = Host::of([(path(&name), content)]);
    action.no_binary().released(host.url(), &format!("{sum}  {name}\n"));
    // There would be another way to a binary, and it is not taken.
    cargo(&action);
    let job = action.run().expect("failure", "refuse", 1);
    job.says(&sum).says("is not what was released");
    assert_eq!(job.step("find")["exit_code"], 1);
    assert_eq!(job.step("run")["conclusion"], "skipped");
    assert_eq!(cargo_called(&action), "");
    assert!(!action.shop.beside("store").exists());
}

#[test]
fn a_host_that_fails_ends_the_job() {
    let mut action = gate();
    let (name, _, sum) = archive(&action);
    action.no_binary().released("http://127.0.0.1:1".to_owned(), &format!("{sum}  {name}\n"));
    cargo(&action);
    action.run().expect("failure", "refuse", 1).says("could not be downloaded");
    assert_eq!(cargo_called(&action), "");
}

#[test]
fn what_the_host_does_not_have_is_built_from_source() {
    let mut action = gate();
    let (name, _, sum) = archive(&action);
    let host = Host::of([]);
    action.no_binary().released(host.url(), &format!("{sum}  {name}\n"));
    cargo(&action);
    let job = action.run().expect("success", "pass", 0);
    assert_eq!(host.requests(), [path(&name)]);
    assert!(job.annotations("warning").iter().any(|message| message.contains("building from source")));
    let called = cargo_called(&action);
    let mut lines = called.lines();
    // In the directory of the action: the working tree must not configure the build.
    assert_eq!(lines.next(), action.shop.beside("action").to_str());
    assert_eq!(lines.by_ref().take(3).collect::<Vec<_>>(), ["install", "--locked", "--force"]);
}

#[test]
fn what_was_not_released_is_built_from_source() {
    let mut action = gate();
    let host = Host::of([]);
    action.no_binary().released(host.url(), "");
    action.run().expect("failure", "refuse", 1).says("no cargo to build it");
    cargo(&action);
    action.run().expect("success", "pass", 0);
    assert_eq!(host.requests(), [""; 0]);
}

#[test]
fn a_version_that_the_action_does_not_know_is_refused() {
    let mut action = gate();
    action.no_binary().released(Host::of([]).url(), "");
    cargo(&action);
    action
        .with("holdpoint-version", "9.9.9")
        .run()
        .expect("failure", "refuse", 2)
        .says("no checksum of holdpoint 9.9.9");
    assert_eq!(cargo_called(&action), "");
}

#[test]
fn a_known_version_that_the_host_does_not_have_is_refused() {
    let mut action = gate();
    let host = Host::of([]);
    let name = format!("holdpoint-9.9.9-{}-unknown-linux-musl.tar.gz", std::env::consts::ARCH);
    action.no_binary().released(host.url(), &format!("{}  {name}\n", "0".repeat(64)));
    cargo(&action);
    let job = action.with("holdpoint-version", "9.9.9").run().expect("failure", "refuse", 1);
    let url = format!("{}/acme/holdpoint/releases/download/v9.9.9/{name}", host.url());
    job.says(&format!("there is no {url}"));
    assert_eq!(cargo_called(&action), "");
}

#[test]
fn the_program_on_the_path_is_run_unless_another_version_is_wanted() {
    let mut action = gate();
    action.with("holdpoint-version", format!("v{}", version())).run().expect("success", "pass", 0);
    let other = action.program("holdpoint", TELL);
    action.run().expect("failure", "refuse", 1).says("no cargo to build it");
    assert_eq!(ran(&action), format!("{}\n", other.display()), "it was asked for its version, and no more");
    action.with("holdpoint-version", "9.9.9").run().expect("failure", "refuse", 1).says("without a verdict of pass");
}

#[test]
fn the_program_that_is_named_is_run() {
    let mut action = gate();
    let other = action.program("holdpoint", TELL);
    let real = env!("CARGO_BIN_EXE_holdpoint");
    action.with("binary", real).run().expect("success", "pass", 0);
    assert_eq!(ran(&action), "");
    // A path is one of the working tree.
    fs::rename(other, action.shop.path("holdpoint")).unwrap();
    let job = action.with("binary", "holdpoint").run();
    assert_eq!(job.step("find")["outputs"]["binary"], action.shop.path("holdpoint").to_str().unwrap());
    assert_ne!(ran(&action), "");
    for missing in ["no/such/program", "data", "data/orders.csv"] {
        let job = action.with("binary", missing).run().expect("failure", "refuse", 2);
        job.says("the input binary names no program");
    }
}
