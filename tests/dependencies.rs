//! The bans of `deny.toml` hold, without cargo-deny and without a network.

use std::collections::BTreeSet;
use std::process::Command;

/// Returns the names of the crates that are built into the binary or run to build it.
fn crates() -> BTreeSet<String> {
    let mut tree = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    tree.current_dir(env!("CARGO_MANIFEST_DIR"));
    tree.args(["tree", "--locked", "--offline", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"]);
    let output = tree.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn no_banned_crate_is_built_in() {
    let deny: toml::Table =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml")).unwrap().parse().unwrap();
    let crates = crates();
    assert!(crates.contains("rustls") && crates.contains("git2"), "{crates:?}");
    for ban in deny["bans"]["deny"].as_array().unwrap() {
        let name = ban["crate"].as_str().unwrap();
        assert!(!crates.contains(name), "{name} is built in; see `cargo tree --invert {name}`");
    }
}
