//! The version is the same everywhere.

use super::tools::{Project, VERSION, refused};
use crate::support::environment::{command, must};

#[test]
fn the_version_is_the_same_everywhere() {
    // The repository itself, and not a copy of it.
    let mut check = command(super::tools::here("scripts/release"), std::path::Path::new("/nonexistent"));
    let said = must(check.arg("check"));
    assert_eq!(said, format!("scripts/release: {VERSION} everywhere\n"));
}

#[test]
fn each_place_that_says_another_version_is_named() {
    let lock = format!("name = \"holdpoint\"\nversion = \"{VERSION}\"");
    let places = [
        ("Cargo.lock", lock.as_str(), "name = \"holdpoint\"\nversion = \"9.9.9\"", "Cargo.lock: says \"9.9.9\""),
        ("CHANGELOG.md", &format!("## [{VERSION}]"), "## [9.9.9]", "CHANGELOG.md, newest heading: says \"9.9.9\""),
        (
            "Dockerfile",
            &format!("ARG VERSION={VERSION}"),
            "ARG VERSION=9.9.9",
            "Dockerfile, ARG VERSION: says \"9.9.9\"",
        ),
        ("Dockerfile", "ARG RUST=", "ARG RUST=0.", "Dockerfile, ARG RUST: says \"0."),
        (
            "docs/ci/github.md",
            &format!("holdpoint@v{VERSION}\n"),
            "holdpoint@v9.9.9-rc.1\n",
            "docs/ci/github.md:10: says \"9.9.9-rc.1\"",
        ),
        ("docs/ci/gitlab.md", &format!("ref: v{VERSION}"), "ref: v9.9.9", ": says \"9.9.9\""),
        (
            "docs/ci/kubernetes/helm.yml",
            &format!("holdpoint:{VERSION}"),
            "holdpoint:9.9.9",
            "helm.yml:86: says \"9.9.9\"",
        ),
        (
            "docs/delivery.md",
            &format!("holdpoint-{VERSION}-x86_64-unknown-linux-musl.tar.gz"),
            "holdpoint-9.9.9-x86_64-unknown-linux-musl.tar.gz",
            ": says \"9.9.9\"",
        ),
        (
            "docs/delivery.md",
            &format!("holdpoint_{VERSION}_amd64.deb"),
            "holdpoint_9.9.9_amd64.deb",
            ": says \"9.9.9\"",
        ),
        ("gitlab-template.yml", "# --- begin\n", "# --- begin\n      abc  x\n", "do not pin the same release"),
        ("gitlab-template.yml", "# --- begin\n", "", "do not pin the same release"),
    ];
    let project = Project::new();
    must(&mut project.release(&["check"]));
    for (path, from, to, named) in places {
        let before = project.read(path);
        project.replace(path, from, to);
        let said = refused(&project.release(&["check"]).output().unwrap(), 1);
        assert!(said.contains(named), "{path}: {said}");
        project.write(path, &before);
    }
    must(&mut project.release(&["check"]));
}

#[test]
fn a_default_of_an_input_is_a_version_too() {
    for (path, indent) in [("action.yml", "  "), ("gitlab-template.yml", "    ")] {
        let project = Project::new();
        let input = format!("\n{indent}holdpoint-version:\n");
        project.replace(path, &input, &format!("{input}{indent}  default: \"9.9.9\"\n"));
        let said = refused(&project.release(&["check"]).output().unwrap(), 1);
        assert!(said.contains(&format!("{path}, default of holdpoint-version")), "{said}");
    }
}

#[test]
fn what_is_pinned_is_a_release() {
    let project = Project::new();
    let line = format!("{}  holdpoint-9.9.9-x86_64-unknown-linux-musl.tar.gz", "0".repeat(64));
    project.replace("scripts/action/sums", "# --- end", &format!("{line}\n# --- end"));
    project.replace("gitlab-template.yml", "      # --- end", &format!("      {line}\n      # --- end"));
    let said = refused(&project.release(&["check"]).output().unwrap(), 1);
    assert!(said.contains("is of no release that CHANGELOG.md has"), "{said}");
}
