//! A whole release, with a compiler that only hands out programs that were built before.

use super::tools::{Project, VERSION, for_arm64, refused, static_program};
use crate::support::environment::must;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

const BOTH: [&str; 2] = ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"];

/// A project whose compiler is a stand-in.
struct Bench {
    project: Project,
}

impl Bench {
    /// Has Rust's standard library for the targets.
    fn new(targets: &[&str]) -> Self {
        let bench = Self { project: Project::new() };
        for target in targets {
            bench.project.write(&format!("target/rust/{target}/libstd-1.rlib"), "");
        }
        let rust = bench.project.top().join("target/rust");
        bench.tool("rustc", &format!("echo {}/\"$4\"", rust.display()));
        let [intel, arm] = BOTH.map(|target| bench.project.top().join(format!("target/built/{target}")));
        static_program(&intel, VERSION);
        for_arm64(&intel, &arm);
        // Takes what a build needs, and no less.
        bench.tool(
            "cargo",
            "set -eu\n\
             [ \"$1 $2 $3 $4\" = 'build --release --locked --target' ]\n\
             [ \"$(env | sed -n \"s/^CC_$(echo \"$5\" | tr - _)=//p\")\" = fake-musl-gcc ]\n\
             env | grep -q '^CARGO_TARGET_.*_UNKNOWN_LINUX_MUSL_LINKER=fake-musl-gcc$'\n\
             [ \"$LIBZ_SYS_STATIC\" = 1 ]\n\
             case $RUSTFLAGS in *--remap-path-prefix=\"$PWD\"=holdpoint*) ;; *) exit 1 ;; esac\n\
             mkdir -p \"target/$5/release\"\n\
             cp \"target/built/$5\" \"target/$5/release/holdpoint\"",
        );
        // As a release has it: all changes are below its heading.
        let log = bench.project.read("CHANGELOG.md");
        let unreleased = log.find("## [Unreleased]\n").unwrap() + "## [Unreleased]\n".len();
        let newest = log.find(&format!("## [{VERSION}]")).unwrap();
        bench.project.write("CHANGELOG.md", &format!("{}\n{}", &log[..unreleased], &log[newest..]));
        bench.project.commit("2026-11-21T12:00:00Z");
        bench
    }

    fn tool(&self, name: &str, script: &str) {
        let path = self.project.write(&format!("target/bin/{name}"), &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn release(&self, arguments: &[&str]) -> Command {
        let mut release = self.project.release(arguments);
        let path = std::env::var("PATH").unwrap();
        release.env("PATH", format!("{}:{path}", self.project.top().join("target/bin").display()));
        for target in BOTH {
            release.env(format!("CC_{}", target.replace('-', "_")), "fake-musl-gcc");
        }
        release
    }

    fn output(&self) -> PathBuf {
        self.project.top().join(format!("target/release-{VERSION}"))
    }

    fn assets(&self) -> BTreeMap<String, Vec<u8>> {
        let files = fs::read_dir(self.output()).unwrap().map(|entry| entry.unwrap());
        files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect()
    }
}

#[test]
fn a_release_is_the_same_again_from_the_commit_that_pins_it() {
    let bench = Bench::new(&BOTH);
    must(&mut bench.release(&[]));
    let first = bench.assets();
    let names: Vec<_> = first.keys().cloned().collect();
    let [intel, arm] = BOTH.map(|target| format!("holdpoint-{VERSION}-{target}.tar.gz"));
    let [amd64, arm64] = ["amd64", "arm64"].map(|architecture| format!("holdpoint_{VERSION}_{architecture}.deb"));
    assert_eq!(names, ["SHA256SUMS".to_owned(), arm, intel.clone(), amd64, arm64]);

    must(&mut bench.release(&["pin"]));
    let sums = String::from_utf8(first["SHA256SUMS"].clone()).unwrap();
    let line = sums.lines().find(|line| line.ends_with(&intel)).unwrap();
    assert!(bench.project.read("scripts/action/sums").contains(&format!("\n{line}\n")));
    assert!(bench.project.read("gitlab-template.yml").contains(&format!("\n      {line}\n")));

    bench.project.commit("2026-11-22T12:00:00Z");
    must(&mut bench.release(&[]));
    assert!(bench.assets() == first, "the commit that pins a release changes what is built from it");

    // Any other commit is another release.
    bench.project.replace("README.md", "# holdpoint\n", "# Holdpoint\n");
    bench.project.commit("2026-11-23T12:00:00Z");
    must(&mut bench.release(&[]));
    assert!(bench.assets() != first);
}

#[test]
fn what_the_machine_lacks_is_said_at_once() {
    let bench = Bench::new(&BOTH[..1]);
    let said = refused(
        &bench
            .release(&[])
            .env_remove("CC_x86_64_unknown_linux_musl")
            .env("PATH", only_the_stand_ins(&bench))
            .output()
            .unwrap(),
        1,
    );
    assert!(!said.contains("rustup target add x86_64"), "{said}");
    assert!(said.contains("rustup target add aarch64-unknown-linux-musl"), "{said}");
    assert!(said.contains("a C compiler for x86_64-unknown-linux-musl is missing"), "{said}");
    assert!(!said.contains("a C compiler for aarch64"), "{said}");
    assert!(said.contains("nothing was built") && !bench.output().exists(), "{said}");
    // One target is enough if only that is asked for.
    must(&mut bench.release(&["--target", BOTH[0], "--fast"]));
    assert_eq!(bench.assets().len(), 3);
}

/// Returns a `PATH` on which no other compiler is.
fn only_the_stand_ins(bench: &Bench) -> String {
    let folder = bench.project.top().join("target/programs");
    fs::create_dir_all(&folder).unwrap();
    for name in ["bash", "dirname", "sed", "head", "awk", "grep", "uname", "git"] {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|path| path.join(name))
            .find(|path| path.exists());
        std::os::unix::fs::symlink(found.unwrap(), folder.join(name)).unwrap();
    }
    format!("{}:{}", bench.project.top().join("target/bin").display(), folder.display())
}

#[test]
fn what_is_not_committed_or_not_told_is_not_released() {
    let bench = Bench::new(&BOTH);
    let log = bench.project.read("CHANGELOG.md");
    bench.project.replace("CHANGELOG.md", "## [Unreleased]\n", "## [Unreleased]\n\n### Added\n\n- Something.\n");
    let said = refused(&bench.release(&[]).output().unwrap(), 1);
    assert!(said.contains("changes that are not committed"), "{said}");
    bench.project.commit("2026-11-21T13:00:00Z");
    let said = refused(&bench.release(&[]).output().unwrap(), 1);
    assert!(said.contains("still has changes under Unreleased"), "{said}");
    bench.project.write("CHANGELOG.md", &log);
    bench.project.commit("2026-11-21T14:00:00Z");
    must(&mut bench.release(&["--fast"]));
}

#[test]
fn a_build_that_fails_leaves_the_release_before() {
    let bench = Bench::new(&BOTH);
    let kept = bench.output().join("SHA256SUMS");
    bench.project.write(&format!("target/release-{VERSION}/SHA256SUMS"), "as it was");
    bench.tool("cargo", "exit 101");
    refused(&bench.release(&[]).output().unwrap(), 101);
    // One of the two is built, and is for the wrong machine.
    bench.tool(
        "cargo",
        "mkdir -p target/$5/release; cp target/built/x86_64-unknown-linux-musl target/$5/release/holdpoint",
    );
    let said = refused(&bench.release(&["--fast"]).output().unwrap(), 1);
    assert!(said.contains("is not for aarch64-unknown-linux-musl"), "{said}");
    assert_eq!(fs::read_to_string(kept).unwrap(), "as it was");
    let left = fs::read_dir(bench.project.top().join("target")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.filter(|name| name.to_string_lossy().starts_with("release-")).count(), 1);
}

#[test]
fn what_it_does_not_know_it_does_not_do() {
    let project = Project::new();
    for arguments in [
        &["--frob"][..],
        &["--target", "x86_64-pc-windows-msvc"],
        &["--target"],
        &["--binary", "README.md"],
        &["--host", "--target", BOTH[0]],
        &["check", "--host"],
        &["pin", "one", "two"],
    ] {
        refused(&project.release(arguments).output().unwrap(), 2);
    }
    let help = must(&mut project.release(&["--help"]));
    assert!(help.starts_with("Cuts a release") && help.contains("scripts/release pin"), "{help}");
}
