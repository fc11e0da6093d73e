//! What is in the tarball and in the Debian package, and that both are the same bytes each time.

use super::tools::{Project, VERSION, for_arm64, here, refused, static_program};
use crate::support::environment::{command, must};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_holdpoint");
const TARGET: &str = "x86_64-unknown-linux-musl";

/// Returns the command that packs one binary for a target, with what the real binary says of itself.
fn package(target: &str, binary: &Path, output: &Path) -> Command {
    fs::create_dir_all(output).unwrap();
    let mut package = command(here("scripts/delivery/package"), output);
    package.arg(VERSION).arg(target).arg(binary).arg(BINARY).arg(output).arg("--fast");
    package
}

/// Returns the names of what is in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Returns the columns of a listing by `tar` or `dpkg-deb` that are the same everywhere: mode, owner, name.
fn listed(listing: &str) -> Vec<String> {
    let columns = |line: &str| {
        let columns: Vec<_> = line.split_whitespace().collect();
        format!("{} {} {}", columns[0], columns[1], columns[5])
    };
    listing.lines().map(columns).collect()
}

#[test]
fn the_binary_of_this_machine_can_be_packed_to_try_it() {
    let project = Project::new();
    // Without what only a debugger reads, to be quick.
    let stripped = project.top().join("stripped");
    must(command("strip", project.top()).arg("-o").arg(&stripped).arg(BINARY));
    let host = "x86_64-unknown-linux-gnu";
    must(&mut project.release(&["--host", "--binary", "stripped", "--fast"]));
    let output = project.top().join("target").join(format!("release-{VERSION}"));
    let name = format!("holdpoint-{VERSION}-{host}");
    assert_eq!(names(&output), ["SHA256SUMS", &format!("{name}.tar.gz"), &format!("holdpoint_{VERSION}_amd64.deb")]);
    assert_eq!(names(&project.top().join("target")).len(), 1, "nothing is left behind");

    let mut check = command("sha256sum", project.top());
    must(check.current_dir(&output).args(["--check", "--strict", "SHA256SUMS"]));
    assert_eq!(fs::read_to_string(output.join("SHA256SUMS")).unwrap().lines().count(), 2);

    let mut unpack = command("tar", project.top());
    must(unpack.current_dir(project.top()).arg("-xzf").arg(output.join(format!("{name}.tar.gz"))));
    let binary = project.top().join(&name).join("holdpoint");
    assert!(fs::read(&binary).unwrap() == fs::read(&stripped).unwrap());
    assert_eq!(must(command(&binary, project.top()).arg("--version")), format!("holdpoint {VERSION}\n"));

    // What it is linked to is what it depends on.
    let field = |name: &str| {
        let mut field = command("dpkg-deb", project.top());
        must(field.arg("--field").arg(output.join(format!("holdpoint_{VERSION}_amd64.deb"))).arg(name))
    };
    assert!(field("Depends").starts_with("libc6 (>= 2."), "{}", field("Depends"));
    let size: u64 = field("Installed-Size").trim().parse().unwrap();
    assert!(size > fs::metadata(&stripped).unwrap().len() / 1024, "{size}");
}

#[test]
fn the_same_binary_becomes_the_same_bytes() {
    let directory = TempDir::new().unwrap();
    let binary = directory.path().join("holdpoint");
    static_program(&binary, VERSION);
    let outputs: Vec<PathBuf> = ["first", "second"].iter().map(|name| directory.path().join(name)).collect();
    must(&mut package(TARGET, &binary, &outputs[0]));
    // Another time, place, language, mask and number of processors.
    must(command("touch", directory.path()).args(["--date", "2001-01-01"]).arg(&binary));
    let mut again = command("taskset", directory.path());
    let shell = "umask 077; exec \"$@\"";
    again.args(["--cpu-list", "0", "bash", "-c", shell, "bash"]);
    again.arg(here("scripts/delivery/package")).arg(VERSION).arg(TARGET).arg(&binary).arg(BINARY);
    fs::create_dir(&outputs[1]).unwrap();
    again.arg(&outputs[1]).arg("--fast").current_dir("/").env("TZ", "Asia/Tokyo").env("LANG", "de_DE.UTF-8");
    must(&mut again);
    assert_eq!(names(&outputs[0]).len(), 2);
    for name in names(&outputs[0]) {
        assert!(
            fs::read(outputs[0].join(&name)).unwrap() == fs::read(outputs[1].join(&name)).unwrap(),
            "{name} differs"
        );
    }
}

#[test]
fn everything_is_in_its_place() {
    let directory = TempDir::new().unwrap();
    let binary = directory.path().join("holdpoint");
    let output = directory.path().join("output");
    static_program(&binary, VERSION);
    must(package(TARGET, &binary, &output).env("SOURCE_DATE_EPOCH", "1234567890"));

    let name = format!("holdpoint-{VERSION}-{TARGET}");
    let tarball = output.join(format!("{name}.tar.gz"));
    let listing =
        must(command("tar", &output).args(["--list", "--verbose", "--numeric-owner", "--file"]).arg(&tarball));
    let expected = [
        "drwxr-xr-x 0/0 NAME/",
        "-rw-r--r-- 0/0 NAME/LICENSE-APACHE",
        "-rw-r--r-- 0/0 NAME/LICENSE-MIT",
        "-rw-r--r-- 0/0 NAME/README.md",
        "drwxr-xr-x 0/0 NAME/completions/",
        "-rw-r--r-- 0/0 NAME/completions/_holdpoint",
        "-rw-r--r-- 0/0 NAME/completions/holdpoint.bash",
        "-rw-r--r-- 0/0 NAME/completions/holdpoint.fish",
        "-rwxr-xr-x 0/0 NAME/holdpoint",
        "drwxr-xr-x 0/0 NAME/man/",
        "-rw-r--r-- 0/0 NAME/man/holdpoint.1",
    ];
    assert_eq!(listed(&listing), expected.map(|line| line.replace("NAME", &name)));
    assert_eq!(listing.matches(" 2009-02-13 23:31 ").count(), expected.len(), "{listing}");
    let read = |path: &str| must(command("tar", &output).arg("-xzOf").arg(&tarball).arg(format!("{name}/{path}")));
    for (path, arguments) in [
        ("completions/holdpoint.bash", &["completions", "bash"][..]),
        ("completions/_holdpoint", &["completions", "zsh"]),
        ("completions/holdpoint.fish", &["completions", "fish"]),
        ("man/holdpoint.1", &["man"]),
    ] {
        assert_eq!(read(path), must(command(BINARY, &output).args(arguments)), "{path}");
    }

    let package = output.join(format!("holdpoint_{VERSION}_amd64.deb"));
    let listing = must(command("dpkg-deb", &output).arg("--contents").arg(&package));
    let files: Vec<_> = listed(&listing).into_iter().filter(|line| !line.ends_with('/')).collect();
    assert_eq!(
        files,
        [
            "-rwxr-xr-x root/root ./usr/bin/holdpoint",
            "-rw-r--r-- root/root ./usr/share/bash-completion/completions/holdpoint",
            "-rw-r--r-- root/root ./usr/share/doc/holdpoint/README.md",
            "-rw-r--r-- root/root ./usr/share/doc/holdpoint/changelog.gz",
            "-rw-r--r-- root/root ./usr/share/doc/holdpoint/copyright",
            "-rw-r--r-- root/root ./usr/share/fish/vendor_completions.d/holdpoint.fish",
            "-rw-r--r-- root/root ./usr/share/lintian/overrides/holdpoint",
            "-rw-r--r-- root/root ./usr/share/man/man1/holdpoint.1.gz",
            "-rw-r--r-- root/root ./usr/share/zsh/vendor-completions/_holdpoint",
        ]
    );
    assert!(listing.lines().all(|line| line.contains("root/root") && line.contains(" 2009-02-13 23:31 ")), "{listing}");
    let fields = must(command("dpkg-deb", &output).arg("--info").arg(&package));
    for field in
        ["Package: holdpoint", &format!("Version: {VERSION}"), "Architecture: amd64", "Recommends: ca-certificates, "]
    {
        assert!(fields.contains(field), "{field}: {fields}");
    }
    assert!(!fields.contains("Depends:"), "a static binary needs nothing: {fields}");

    let root = output.join("root");
    must(command("dpkg-deb", &output).arg("--extract").arg(&package).arg(&root));
    must(command("dpkg-deb", &output).arg("--control").arg(&package).arg(output.join("control")));
    must(
        command("md5sum", &output)
            .current_dir(&root)
            .args(["--check", "--strict", "--quiet"])
            .arg("../control/md5sums"),
    );
    let manual =
        must(command("man", &output).env("MANPATH", root.join("usr/share/man")).args(["--pager=cat", "holdpoint"]));
    assert!(manual.contains("no restorable snapshot, no deploy"), "{manual}");
}

#[test]
fn a_binary_that_is_not_what_it_is_called_is_not_packed() {
    let directory = TempDir::new().unwrap();
    let output = directory.path().join("output");
    let good = directory.path().join("good/holdpoint");
    static_program(&good, VERSION);
    let arm64 = directory.path().join("arm64/holdpoint");
    for_arm64(&good, &arm64);
    let old = directory.path().join("old/holdpoint");
    static_program(&old, "0.0.1");
    let garbage = directory.path().join("garbage");
    fs::write(&garbage, "#!/bin/sh\necho holdpoint\n").unwrap();
    for (target, binary, why) in [
        (TARGET, Path::new(BINARY), "is not static; it needs: "),
        (TARGET, &arm64, "is not for x86_64-unknown-linux-musl"),
        ("aarch64-unknown-linux-musl", &good, "is not for aarch64-unknown-linux-musl"),
        ("riscv64gc-unknown-linux-musl", &good, "there are no packages for riscv64gc-unknown-linux-musl"),
        (TARGET, &garbage, ""),
    ] {
        let said = refused(&package(target, binary, &output).output().unwrap(), 1);
        assert!(said.contains(why), "{said}");
    }
    let mut package = command(here("scripts/delivery/package"), &output);
    package.arg(VERSION).arg(TARGET).arg(&good).arg(&old).arg(&output);
    let said = refused(&package.output().unwrap(), 1);
    assert!(said.contains("is holdpoint 0.0.1, and Cargo.toml says"), "{said}");
    assert!(names(&output).is_empty());
}
