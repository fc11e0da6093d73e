//! What git can tell of the way between two commits, and what it cannot.

use crate::support::environment::{command, must};
use crate::support::git::Repository;
use holdpoint::model::changes::{Changes, Gap};
use holdpoint::release::git::WorkTree;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use tempfile::TempDir;

fn shop() -> (TempDir, Repository) {
    let directory = TempDir::new().unwrap();
    std::fs::create_dir(directory.path().join("shop")).unwrap();
    let repository = Repository::new(directory.path().join("shop"));
    (directory, repository)
}

fn ask(at: &Path, from: &str, to: &str) -> Changes {
    WorkTree::find(at).unwrap().unwrap().changes(from, to)
}

/// Asserts that the paths are those that git's own program prints.
#[track_caller]
fn assert_as_git(repository: &Repository, from: &str, to: &str) -> Changes {
    let changes = ask(repository.path(), from, to);
    let listed = repository.git(&["diff", "-z", "--name-only", "--no-renames", from, to]);
    assert_eq!(changes.paths.as_deref().unwrap(), listed.split_terminator('\0').collect::<Vec<_>>());
    changes
}

/// Clones with everything that `options` say.
fn clone(directory: &TempDir, origin: &Repository, options: &[&str]) -> Repository {
    let to = directory.path().join("clone");
    let url = format!("file://{}", origin.path().display());
    must(command("git", directory.path()).args(["clone", "--quiet"]).args(options).arg(url).arg(&to));
    Repository::at(to)
}

#[test]
fn added_changed_removed_and_renamed_paths_count() {
    let (_directory, git) = shop();
    let first = git.write("keep", "1").write("migrations/1.sql", "one\ntwo\nthree\n").write("gone", "1").commit("a");
    git.git(&["mv", "migrations/1.sql", "moved.sql"]);
    std::fs::remove_file(git.path().join("gone")).unwrap();
    std::os::unix::fs::symlink("keep", git.path().join("link")).unwrap();
    let second = git.write("keep", "2").commit("b");
    let changes = assert_as_git(&git, &first, &second);
    assert_eq!(changes.known().unwrap(), ["gone", "keep", "link", "migrations/1.sql", "moved.sql"]);
    // A file that becomes a link, and one that may be executed.
    std::fs::remove_file(git.path().join("keep")).unwrap();
    std::os::unix::fs::symlink("link", git.path().join("keep")).unwrap();
    git.git(&["update-index", "--chmod=+x", "moved.sql"]);
    git.git(&["add", "keep"]);
    git.git(&["commit", "--quiet", "-m", "c"]);
    assert_eq!(assert_as_git(&git, &second, &git.head()).known().unwrap(), ["keep", "moved.sql"]);
    assert_eq!(ask(git.path(), &second, &second).known().unwrap(), [] as [&str; 0]);
    assert_eq!(ask(git.path(), &first[..8], &second.to_uppercase()).known().unwrap().len(), 5);
}

#[test]
fn names_of_any_bytes_are_shown_as_far_as_they_can_be() {
    let (_directory, git) = shop();
    let first = git.commit("a");
    let odd = git.path().join("migrations").join(std::ffi::OsStr::from_bytes(b"caf\xe9 \n.sql"));
    std::fs::create_dir(git.path().join("migrations")).unwrap();
    std::fs::write(odd, "x").unwrap();
    let second = git.write("über", "1").commit("b");
    assert_eq!(ask(git.path(), &first, &second).known().unwrap(), ["migrations/caf\u{fffd} \n.sql", "über"]);
}

#[test]
fn merges_are_counted_and_hide_nothing() {
    let (_directory, git) = shop();
    let first = git.write("a", "1").commit("a");
    git.git(&["checkout", "--quiet", "-b", "side"]);
    let side = git.write("migrations/1.sql", "1").commit("side");
    git.git(&["checkout", "--quiet", "main"]);
    git.write("b", "1").commit("b");
    git.git(&["merge", "--quiet", "--no-ff", "-m", "merge", "side"]);
    let merged = git.head();
    let changes = assert_as_git(&git, &first, &merged);
    assert_eq!((changes.merges, changes.known().unwrap().len()), (Some(1), 2));
    // From what the second parent deployed, all that the first one brings is new.
    let changes = assert_as_git(&git, &side, &merged);
    assert_eq!((changes.merges, changes.known().unwrap()), (Some(1), ["b".to_owned()].as_slice()));
}

#[test]
fn rewritten_history_is_told_and_its_paths_are_known() {
    let (_directory, git) = shop();
    let first = git.write("a", "1").commit("a");
    let deployed = git.write("migrations/1.sql", "1").commit("b");
    git.git(&["reset", "--quiet", "--hard", &first]);
    let pushed = git.write("c", "1").commit("c");
    let changes = assert_as_git(&git, &deployed, &pushed);
    assert_eq!(changes.paths.as_deref().unwrap(), ["c", "migrations/1.sql"]);
    let gap = Gap::NotAncestor { deployed: deployed[..12].to_owned(), only_deployed: 1 };
    assert_eq!((changes.gaps.as_slice(), changes.known()), ([gap].as_slice(), None));
    // Backwards is no way forward either.
    assert!(matches!(ask(git.path(), &pushed, &first).gaps.as_slice(), [Gap::NotAncestor { .. }]));
    // Histories without a common commit.
    git.git(&["checkout", "--quiet", "--orphan", "new"]);
    let alone = git.write("d", "1").commit("d");
    assert!(matches!(ask(git.path(), &first, &alone).gaps.as_slice(), [Gap::NotAncestor { .. }]));
}

#[test]
fn shallow_clones_tell_what_they_can() {
    let (directory, origin) = shop();
    let old = origin.write("a", "1").commit("a");
    origin.git(&["checkout", "--quiet", "-b", "side"]);
    let side = origin.write("s", "1").commit("side");
    origin.git(&["checkout", "--quiet", "main"]);
    let deployed = origin.write("b", "1").commit("b");
    origin.write("c", "1").commit("c");
    let head = origin.write("d", "1").commit("d");
    let shallow = clone(&directory, &origin, &["--depth", "3"]);
    let changes = ask(shallow.path(), &old, &head);
    let missing = Gap::Missing { deployed: true, commit: old[..12].to_owned(), shallow: true };
    assert_eq!((changes.paths, changes.gaps), (None, vec![missing]));
    let changes = ask(shallow.path(), &deployed, &head);
    assert_eq!((changes.known().unwrap(), changes.merges), (["c", "d"].map(str::to_owned).as_slice(), Some(0)));
    // Fetched by itself, with nothing between it and the rest.
    shallow.git(&["fetch", "--quiet", "--depth", "1", "origin", &side]);
    let changes = ask(shallow.path(), &side, &head);
    assert_eq!(
        (changes.paths.unwrap(), changes.gaps),
        (["b", "c", "d", "s"].map(str::to_owned).to_vec(), vec![Gap::Shallow])
    );
}

#[test]
fn a_clone_without_trees_cannot_compare() {
    let (directory, origin) = shop();
    let old = origin.write("a", "1").commit("a");
    let head = origin.write("b", "1").commit("b");
    origin.git(&["config", "uploadpack.allowFilter", "true"]);
    let bare = clone(&directory, &origin, &["--filter=tree:0", "--no-checkout"]);
    let changes = ask(bare.path(), &old, &head);
    assert!(
        matches!(changes.gaps.as_slice(), [Gap::Unreadable(why)] if why.starts_with("git cannot compare")),
        "{changes:?}"
    );
}

#[test]
fn what_is_no_commit_or_is_not_there_is_a_gap() {
    let (_directory, git) = shop();
    let head = git.write("a", "1").commit("a");
    for text in ["dev", "main", "", "v1.4.0\u{1b}[31m"] {
        assert!(matches!(ask(git.path(), text, &head).gaps.as_slice(), [Gap::NotACommit(_)]), "{text}");
    }
    let nowhere = "0123456789abcdef0123456789abcdef01234567";
    let missing = |deployed| Gap::Missing { deployed, commit: "0123456789ab".to_owned(), shallow: false };
    assert_eq!(ask(git.path(), nowhere, &head).gaps, [missing(true)]);
    assert_eq!(ask(git.path(), &head, nowhere).gaps, [missing(false)]);
    git.tag("v1.0.0");
    let tag = git.git(&["rev-parse", "v1.0.0"]);
    assert_eq!(ask(git.path(), tag.trim(), &head).known().unwrap(), [] as [&str; 0], "a tag names its commit");
}

#[test]
fn a_submodule_that_moved_hides_what_changed_in_it() {
    let (_directory, git) = shop();
    let first = git.write("a", "1").commit("a");
    let point = |commit: &str| {
        git.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},vendor/lib")]);
        git.git(&["commit", "--quiet", "-m", "lib"]);
        git.head()
    };
    let second = point(&first);
    let third = point(&second);
    for (from, to) in [(&first, &second), (&second, &third)] {
        let changes = assert_as_git(&git, from, to);
        assert_eq!(changes.gaps, [Gap::Submodule("vendor/lib".to_owned())]);
        assert_eq!(changes.paths.unwrap(), ["vendor/lib"]);
    }
}
