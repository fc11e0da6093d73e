//! `scripts/release pin`: the sums of a release go into what downloads it.

use super::tools::{Project, VERSION, refused};
use crate::support::environment::must;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const TARGETS: [&str; 2] = ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"];

/// Returns the line of an asset; the sum is 64 times the digit.
fn line(digit: &str, version: &str, target: &str) -> String {
    format!("{}  holdpoint-{version}-{target}.tar.gz", digit.repeat(64))
}

/// Returns a `SHA256SUMS` as a release has it.
fn sums(digit: &str) -> String {
    let package = format!("{}  holdpoint_{VERSION}_amd64.deb", "f".repeat(64));
    format!("{}\n{}\n{package}\n", line(digit, VERSION, TARGETS[1]), line(digit, VERSION, TARGETS[0]))
}

#[test]
fn the_sums_go_between_the_marks_and_nothing_else_changes() {
    let project = Project::new();
    let mode = |path: &str| fs::metadata(project.top().join(path)).unwrap().permissions().mode();
    let before: Vec<_> =
        ["scripts/action/sums", "gitlab-template.yml"].map(|path| (path, project.read(path), mode(path))).into();
    // A second release takes the place of the first.
    for digit in ["a", "b"] {
        project.write(&format!("target/release-{VERSION}/SHA256SUMS"), &sums(digit));
        must(&mut project.release(&["pin"]));
        for (path, content, mode_before) in &before {
            let pinned = project.read(path);
            let indent = if path.ends_with(".yml") { "      " } else { "" };
            let lines = TARGETS.map(|target| format!("{indent}{}\n", line(digit, VERSION, target))).concat();
            let end = content.find(&format!("{indent}# --- end\n")).unwrap();
            let start = content.find("# --- begin\n").unwrap() + "# --- begin\n".len();
            assert_eq!(pinned, format!("{}{lines}{}", &content[..start], &content[end..]), "{path}");
            assert_eq!(mode(path), *mode_before, "{path}");
        }
    }
    must(&mut project.release(&["check"]));
}

#[test]
fn a_release_that_is_not_whole_is_not_pinned() {
    let broken = [
        (line("a", VERSION, TARGETS[0]), "does not have one line for holdpoint-"),
        (sums("a").replace(VERSION, "9.9.9"), "does not have one line for holdpoint-"),
        (format!("{}{}", sums("a"), sums("b")), "does not have one line for holdpoint-"),
        (sums("a").replace("aa", ""), "does not have one line for holdpoint-"),
        // A dot of the version is a dot.
        (sums("a").replace(VERSION, &VERSION.replace('.', "x")), "does not have one line for holdpoint-"),
    ];
    let project = Project::new();
    let template = project.read("gitlab-template.yml");
    let file = project.top().join("elsewhere");
    for (content, why) in broken {
        fs::write(&file, content).unwrap();
        let said = refused(&project.release(&["pin", "elsewhere"]).output().unwrap(), 1);
        assert!(said.contains(why), "{said}");
    }
    let said = refused(&project.release(&["pin", "missing"]).output().unwrap(), 1);
    assert!(said.contains("there is no ") && said.contains("run scripts/release first"), "{said}");
    assert_eq!(project.read("gitlab-template.yml"), template);
}

#[test]
fn an_asset_that_is_not_what_the_sums_say_is_not_pinned() {
    let project = Project::new();
    let sums = project.write("assets/SHA256SUMS", &sums("a"));
    project.write(&format!("assets/holdpoint-{VERSION}-{}.tar.gz", TARGETS[0]), "something else");
    let said = refused(&project.release(&["pin", sums.to_str().unwrap()]).output().unwrap(), 1);
    assert!(said.contains("is not what it says"), "{said}");
}

#[test]
fn a_file_without_its_block_leaves_both_as_they_are() {
    for (from, to) in [("# --- begin\n", ""), ("# --- end\n", ""), ("# --- end\n", "# --- end\n      # --- end\n")] {
        let project = Project::new();
        project.replace("gitlab-template.yml", from, to);
        let before = project.read("scripts/action/sums");
        project.write(&format!("target/release-{VERSION}/SHA256SUMS"), &sums("a"));
        let said = refused(&project.release(&["pin"]).output().unwrap(), 1);
        assert!(said.contains("gitlab-template.yml does not have one block"), "{said}");
        assert_eq!(project.read("scripts/action/sums"), before);
    }
}
