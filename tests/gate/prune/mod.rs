//! Retention: what a prune lets go, what nothing lets go, and who it keeps out of whose way.

mod kept;
mod race;
mod retired;
mod sequences;
mod story;

use super::shop::{STAGING, Shop, arguments};
use crate::support::holdpoint::Output;
use std::path::Path;

/// Rules that keep next to nothing: the newest release, and the way back of the newest deployment.
pub const BARE: &str = r#"
[gate]
pass_valid_for = "1ms"

[retention]
keep_last = 1
keep_targets = 1
floor = { releases = 1, age = "0s" }

[[source]]
name = "data"
kind = "files"
paths = ["data"]
"#;

/// A release that passed, and what its source held.
#[derive(Debug, Clone)]
pub struct Passed {
    pub id: String,
    pub snapshot: String,
    pub content: String,
}

/// Runs a gate for a version over content of its own, which has to pass.
#[track_caller]
pub fn gate(shop: &Shop, version: &str) -> Passed {
    // What does not compress and is like nothing before, so that every release has packs of its own.
    let random = (0..4000).map(|number: u64| seed(version, number)).collect::<Vec<_>>();
    let content = format!("{version}\n{}", random.join("\n"));
    shop.write("data/orders.csv", &content);
    shop.holdpoint.run(arguments("gate", STAGING, version, &[])).expect(0);
    let manifest = shop.manifest();
    let snapshot = manifest.source("data")["snapshot"]["id"].as_str().unwrap().to_owned();
    Passed { id: manifest.0["id"].as_str().unwrap().to_owned(), snapshot, content }
}

fn seed(version: &str, number: u64) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (version, number).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Runs a command for staging.
pub fn run(shop: &Shop, command: &[&str]) -> Output {
    let (name, more) = command.split_first().unwrap();
    shop.holdpoint.run([&[*name, "--environment", STAGING], more].concat())
}

/// Runs `prune --yes` with flags, which has to succeed, and returns what it says.
#[track_caller]
pub fn prune(shop: &Shop, more: &[&str]) -> serde_json::Value {
    run(shop, &[&["prune", "--yes", "--format", "json"], more].concat()).expect(0).json()
}

/// Returns the releases of a plan that go, or those that stay, the newest first.
pub fn releases(document: &serde_json::Value, goes: bool) -> Vec<&str> {
    let all = document["plan"]["releases"].as_array().unwrap().iter();
    all.filter(|release| release["goes"] == goes).map(|release| release["id"].as_str().unwrap()).collect()
}

/// Restores a release into a directory of its own, which has to give what it captured.
#[track_caller]
pub fn restores(shop: &Shop, passed: &Passed) {
    let target = tempfile::tempdir_in(shop.beside("")).unwrap();
    let text = target.path().join("into").display().to_string();
    run(shop, &["restore", "data", "--id", &passed.id, "--target", &text]).expect(0);
    let file = format!("{text}{}/data/orders.csv", shop.path("").canonicalize().unwrap().display());
    assert_eq!(std::fs::read_to_string(file).unwrap(), passed.content, "{}", passed.id);
}

/// Returns the size of all files below a directory.
pub fn size_of(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let size = |entry: std::fs::DirEntry| match entry.metadata().unwrap() {
        metadata if metadata.is_dir() => size_of(&entry.path()),
        metadata => metadata.len(),
    };
    entries.map(size).sum()
}
