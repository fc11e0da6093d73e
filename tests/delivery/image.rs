//! The Dockerfile: no Docker is asked here; a linter and the structure are looked at.

use super::tools::here;
use crate::support::environment::{command, must};
use std::fs;
use std::path::Path;

/// Returns the instructions, with continued lines put together and comments left out.
fn instructions() -> Vec<String> {
    let text = fs::read_to_string(here("Dockerfile")).unwrap();
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut instructions = vec![String::new()];
    for line in lines {
        let last = instructions.last_mut().unwrap();
        match line.strip_suffix('\\') {
            Some(part) => last.push_str(part),
            None => {
                last.push_str(line);
                instructions.push(String::new());
            }
        }
    }
    instructions.retain(|instruction| !instruction.is_empty());
    instructions
}

#[test]
fn hadolint_is_content() {
    let hadolint = here("target/test-tools/hadolint/bin/hadolint");
    assert!(hadolint.exists(), "{} is missing; scripts/test installs it", hadolint.display());
    must(command(hadolint, Path::new("/nonexistent")).arg(here("Dockerfile")));
}

#[test]
fn the_image_is_what_the_documentation_says() {
    let instructions = instructions();
    let last = instructions.iter().rposition(|instruction| instruction.starts_with("FROM ")).unwrap();
    let image = &instructions[last..];
    assert_eq!(image[0], "FROM debian:${DEBIAN}-slim");
    let one = |name: &str| {
        let mut found = image.iter().filter_map(|instruction| instruction.strip_prefix(name));
        (found.next().unwrap_or_else(|| panic!("no {name}")), found.next()).0
    };
    let documentation = fs::read_to_string(here("docs/delivery.md")).unwrap();
    for package in
        ["ca-certificates", "git", "mariadb-client", "openssh-client", "postgresql-client", "redis-tools", "sqlite3"]
    {
        assert!(one("RUN ").split_whitespace().any(|word| word == package), "{package} is not in the image");
        assert!(documentation.contains(&format!("`{package}`")), "docs/delivery.md does not name {package}");
    }
    let copied: Vec<_> = image
        .iter()
        .filter(|instruction| instruction.starts_with("COPY ") || instruction.starts_with("ADD "))
        .collect();
    assert_eq!(
        copied,
        ["COPY --from=binary /out/holdpoint /usr/local/bin/holdpoint"],
        "only the binary comes from a build"
    );
    // The user of the Jobs in docs/ci/kubernetes, by number: Kubernetes cannot tell whether a name is root.
    let user = one("USER ");
    assert_eq!(user, "65532:65532");
    for page in ["argocd.yml", "helm.yml"] {
        let jobs = fs::read_to_string(here("docs/ci/kubernetes").join(page)).unwrap();
        assert!(jobs.contains("runAsUser: 65532") && jobs.contains("runAsGroup: 65532"), "{page}");
    }
    assert!(
        !image.iter().any(|instruction| instruction.starts_with("ENTRYPOINT")),
        "GitLab starts a shell in the image"
    );
    assert_eq!(one("CMD "), "[\"holdpoint\", \"--help\"]");
}

#[test]
fn both_stages_leave_the_binary_at_the_same_place() {
    let instructions = instructions();
    for stage in ["AS source", "AS release"] {
        let start = instructions.iter().position(|instruction| instruction.ends_with(stage)).unwrap();
        let run = instructions[start..].iter().find(|instruction| instruction.starts_with("RUN ")).unwrap();
        assert!(run.ends_with("/out/holdpoint"), "{stage}: {run}");
    }
    assert!(instructions.contains(&"ARG BINARY=source".to_owned()), "{instructions:?}");
}

/// Runs what the stage `release` runs, on assets as a release has them.
#[test]
fn a_release_comes_into_the_image_only_if_its_sum_is_right() {
    let run = instructions().into_iter().find(|instruction| instruction.contains("sha256sum")).unwrap();
    let directory = tempfile::TempDir::new().unwrap();
    let name = "holdpoint-1.2.3-x86_64-unknown-linux-musl";
    let folder = directory.path().join(name);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("holdpoint"), "the binary").unwrap();
    must(command("tar", directory.path()).current_dir(directory.path()).args([
        "-czf",
        &format!("{name}.tar.gz"),
        name,
    ]));
    let sum = must(command("sha256sum", directory.path()).current_dir(directory.path()).arg(format!("{name}.tar.gz")));
    fs::remove_dir_all(&folder).unwrap();
    let out = directory.path().join("out/holdpoint");
    let script = run.strip_prefix("RUN ").unwrap().replace("/out/holdpoint", &out.display().to_string());
    let stage = |architecture: &str| {
        let mut stage = command("sh", directory.path());
        stage.current_dir(directory.path()).env("VERSION", "1.2.3").env("TARGETARCH", architecture);
        stage.args(["-c", &script]).output().unwrap()
    };
    let sums = directory.path().join("SHA256SUMS");
    for (content, architecture) in [
        (sum.replace(&sum[..8], "00000000"), "amd64"),
        (String::new(), "amd64"),
        (sum.clone(), "arm64"),
        (sum.clone(), "s390x"),
    ] {
        fs::write(&sums, content).unwrap();
        let output = stage(architecture);
        assert!(!output.status.success() && !out.exists(), "{architecture}: {output:?}");
    }
    fs::write(&sums, &sum).unwrap();
    let output = stage("amd64");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read_to_string(out).unwrap(), "the binary");
}

#[test]
fn nothing_that_lies_about_becomes_a_layer() {
    let ignored = fs::read_to_string(here(".dockerignore")).unwrap();
    let mut rules = ignored.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(rules.next(), Some("*"), "all is left out but what is named");
    for rule in rules {
        let path = rule.strip_prefix('!').unwrap();
        assert!(path == "target/release-*" || here(path).exists(), "{path}");
    }
}
