//! On a real history: what a scope finds changed is what git finds, through the same patterns.

use crate::support::environment::{command, must};
use crate::support::full;
use holdpoint::config::{SourceConfig, parse};
use holdpoint::policy::effective::effective;
use holdpoint::policy::paths::Patterns;
use holdpoint::policy::scope::{Choice, Grounds, choose};
use holdpoint::release::git::WorkTree;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tempfile::TempDir;

/// What sources wait for: lines counted from a directory, and the same lines as git's own reading takes them at the top.
const WATCHED: &[(&str, &[&str], &[&str])] = &[
    ("", &["docs/**"], &["docs/**"]),
    ("", &["*.md", "!CHANGELOG.md"], &["*.md", "!CHANGELOG.md"]),
    ("", &["*.rs"], &["*.rs"]),
    ("", &["/src/**/mod.rs", "Cargo.*"], &["/src/**/mod.rs", "Cargo.*"]),
    ("", &["tests/*/"], &["tests/*/"]),
    ("", &["gate/"], &["gate/"]),
    ("", &["docs/decisions", "scripts"], &["docs/decisions", "scripts"]),
    // An exception below a directory that a line names is one for us, and none for git.
    ("", &["*.rs", "!mod.rs"], &["*.rs", "!mod.rs"]),
    ("src", &["gate/**", "../docs/**"], &["/src/gate/**", "/docs/**"]),
    ("src/gate", &["../../*.toml", "*.rs"], &["/*.toml", "/src/gate/**/*.rs"]),
    ("", &["no/such/path"], &["no/such/path"]),
];

/// A clone of this project, and an empty repository whose `info/exclude` holds lines.
struct Histories {
    directory: TempDir,
}

impl Histories {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let histories = Self { directory };
        let mut clone = command("git", histories.directory.path());
        // The working tree belongs to whoever checked it out.
        clone.args(["-c", "safe.directory=*", "clone", "--quiet", "--no-checkout", "--local"]);
        must(clone.arg(root).arg(histories.clone()));
        must(command("git", histories.directory.path()).args(["init", "--quiet"]).arg(histories.reader()));
        histories
    }

    fn clone(&self) -> PathBuf {
        self.directory.path().join("clone")
    }

    fn reader(&self) -> PathBuf {
        self.directory.path().join("reader")
    }

    fn git(&self, arguments: &[&str]) -> String {
        must(command("git", self.directory.path()).arg("-C").arg(self.clone()).args(arguments))
    }

    /// Returns the newest commits with each of their parents, `count` pairs at most.
    fn pairs(&self, count: usize) -> Vec<(String, String)> {
        let listed = self.git(&["log", "--format=%H %P", "-n", &count.to_string()]);
        let pairs = listed.lines().flat_map(|line| {
            let (commit, parents) = line.split_once(' ').unwrap();
            parents.split_whitespace().map(|parent| (parent.to_owned(), commit.to_owned())).collect::<Vec<_>>()
        });
        pairs.take(count).collect()
    }

    /// Returns what git takes for ignored by the lines, of paths that end with a zero byte each.
    fn ignored(&self, lines: &[&str], paths: &str) -> BTreeSet<String> {
        std::fs::write(self.reader().join(".git/info/exclude"), lines.join("\n") + "\n").unwrap();
        let mut git = command("git", self.directory.path());
        git.arg("-C").arg(self.reader()).args(["check-ignore", "--no-index", "-z", "--stdin"]);
        let mut child = git.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let paths = paths.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(paths.as_bytes()).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        // 1 says that none is ignored.
        assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_terminator('\0').map(str::to_owned).collect()
    }
}

fn watching(lines: &[&str]) -> (SourceConfig, holdpoint::config::PolicyConfig) {
    let lines: Vec<_> = lines.iter().map(|line| format!("{line:?}")).collect();
    let text = format!(
        "[[source]]\nname = \"s\"\nkind = \"files\"\npaths = [\"s\"]\nwhen_changed = [{}]\n\
         [policy]\nbuiltin_raise = false\n[policy.patch]\nscope = \"changed\"\n",
        lines.join(", ")
    );
    let mut config = parse(&text, Path::new("holdpoint.toml")).unwrap();
    (config.sources.remove(0), config.policy)
}

#[test]
fn what_changed_is_what_git_diff_says_through_the_same_patterns() {
    let histories = Histories::new();
    let pairs = histories.pairs(if full() { 30 } else { 8 });
    assert!(pairs.len() >= if full() { 30 } else { 1 }, "this checkout is too shallow: {} pairs", pairs.len());
    let tree = WorkTree::find(&histories.clone()).unwrap().unwrap();
    let (mut captured, mut left) = (0, 0);
    for (old, new) in &pairs {
        let changes = tree.changes(old, new);
        assert_eq!(changes.gaps, [], "{old} {new}");
        let listed = histories.git(&["diff", "-z", "--name-only", "--no-renames", old, new]);
        let mut expected: Vec<_> = listed.split_terminator('\0').collect();
        expected.sort_unstable();
        assert_eq!(changes.paths.as_deref().unwrap(), expected, "{old} {new}");
        let merges = histories.git(&["rev-list", "--count", "--merges", &format!("{old}..{new}")]);
        assert_eq!(changes.merges.unwrap().to_string(), merges.trim(), "{old} {new}");
        for (directory, lines, at_the_top) in WATCHED {
            let (source, policy) = watching(lines);
            let expected = histories.ignored(at_the_top, &listed);
            let patterns = Patterns::new(source.when_changed.as_deref().unwrap(), Path::new(directory)).unwrap();
            let found = patterns.matching(changes.known().unwrap());
            let found: BTreeSet<_> = found.into_iter().map(str::to_owned).collect();
            assert_eq!(found, expected, "{lines:?} in {directory:?}, {old} {new}");
            let effective = effective(&policy, &[holdpoint::model::manifest::Severity::Patch], None);
            let directory = Path::new(directory);
            let grounds = Grounds { changes: &changes, effective: &effective, rpo: None, directory };
            let (choices, _) = choose(grounds, &[source], |_| false).unwrap();
            assert_eq!(choices["s"] == Choice::Capture, !expected.is_empty(), "{lines:?}, {old} {new}");
            *(if expected.is_empty() { &mut left } else { &mut captured }) += 1;
        }
    }
    assert!(captured > 0 && left > 0, "{captured} captured, {left} left out");
}
