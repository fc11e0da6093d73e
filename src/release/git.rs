//! What git knows of the working tree, read by libgit2.

mod changes;
mod clean;
mod tags;

pub use tags::{Tag, TagContent};

use super::address::without_user_information;
use super::{shell, version};
use crate::error::{Error, ErrorCode, Result};
use crate::model::version::{Version, Versioning};
use git2::{ErrorClass, ObjectType, Repository};
use std::path::{Path, PathBuf};

/// A git working tree.
pub struct WorkTree {
    repository: Repository,
    directory: PathBuf,
}

/// What the working tree has checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The commit, in full.
    pub commit: String,
    /// The branch; absent where a commit is checked out by itself.
    pub branch: Option<String>,
}

impl WorkTree {
    /// Finds the working tree that `directory` is in; `None` if it is in none.
    ///
    /// # Errors
    /// `commit-unknown`: there is one, but git's files are damaged, unreadable or owned by another user.
    pub fn find(directory: &Path) -> Result<Option<Self>> {
        let repository = match Repository::discover(directory) {
            Ok(repository) => repository,
            Err(error) if error.code() == git2::ErrorCode::NotFound && error.class() != ErrorClass::Os => {
                return Ok(None);
            }
            Err(error) if error.code() == git2::ErrorCode::NotFound && !directory.exists() => return Ok(None),
            Err(error) if error.code() == git2::ErrorCode::Owner => return Err(foreign(directory)),
            Err(error) => {
                let message = format!("cannot open the git repository of {}", directory.display());
                return Err(Error::new(ErrorCode::CommitUnknown, message).caused_by(error));
            }
        };
        // Taken apart and put together again, the path loses the slash at its end.
        let directory = repository.workdir().map(|directory| directory.components().collect());
        Ok(directory.map(|directory| Self { repository, directory }))
    }

    /// Returns the top directory of the working tree.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the name of the top directory, the application's unless it is named.
    pub fn name(&self) -> Option<String> {
        Some(self.directory.file_name()?.to_string_lossy().into_owned())
    }

    /// Returns what is checked out; `None` while there is no commit.
    ///
    /// # Errors
    /// `commit-unknown`: HEAD cannot be read.
    pub fn head(&self) -> Result<Option<Head>> {
        let head = match self.repository.head() {
            Ok(head) => head,
            Err(error) if matches!(error.code(), git2::ErrorCode::UnbornBranch | git2::ErrorCode::NotFound) => {
                return Ok(None);
            }
            Err(error) => return Err(self.failed("read HEAD", error)),
        };
        let commit = head.peel_to_commit().map_err(|error| self.failed("read HEAD", error))?;
        let branch = if head.is_branch() { head.shorthand().ok().map(str::to_owned) } else { None };
        Ok(Some(Head { commit: commit.id().to_string(), branch }))
    }

    /// Returns the tags at HEAD that are versions: the highest first, then by name.
    ///
    /// # Errors
    /// `commit-unknown`: HEAD or the tags cannot be read.
    pub fn version_tags(&self, versioning: Versioning) -> Result<Vec<Version>> {
        let Some(head) = self.head()? else {
            return Ok(Vec::new());
        };
        let failed = |error| self.failed("read the tags", error);
        let mut versions = Vec::new();
        for reference in self.repository.references_glob("refs/tags/*").map_err(failed)? {
            let reference = reference.map_err(failed)?;
            // A name that is not UTF-8 is no version; a tag of a tree or a blob is at no commit.
            let (Ok(name), Ok(commit)) = (reference.shorthand(), reference.peel_to_commit()) else {
                continue;
            };
            if commit.id().to_string() == head.commit
                && let Ok(version) = version::read(name, versioning)
            {
                versions.push(version);
            }
        }
        versions.sort_by(|one, two| {
            let by_precedence = match (one.semver(), two.semver()) {
                (Some(one), Some(two)) => two.cmp_precedence(one),
                _ => std::cmp::Ordering::Equal,
            };
            by_precedence.then_with(|| one.as_str().cmp(two.as_str()))
        });
        Ok(versions)
    }

    /// Returns the full form of a commit given by 7 to 64 hexadecimal digits, or of the commit that a tag object with
    /// this id names; `None` if git does not have it.
    ///
    /// # Errors
    /// `commit-unknown`: the text is not of this form, several commits begin with it, or git cannot be read.
    pub fn resolve_commit(&self, text: &str) -> Result<Option<String>> {
        if !version::is_commit(text) {
            let message = format!("{} is not a commit: 7 to 64 hexadecimal digits", version::excerpt(text));
            return Err(Error::new(ErrorCode::CommitUnknown, message).hint("`git rev-parse NAME` prints the commit"));
        }
        let text = text.to_ascii_lowercase();
        let found = match self.repository.find_object_by_prefix(&text, Some(ObjectType::Commit)) {
            Err(error) if error.code() == git2::ErrorCode::NotFound => {
                self.repository.find_object_by_prefix(&text, Some(ObjectType::Tag))
            }
            found => found,
        };
        let peeled = found.and_then(|object| object.peel(ObjectType::Commit));
        match peeled {
            Ok(commit) => Ok(Some(commit.id().to_string())),
            Err(error) => match error.code() {
                git2::ErrorCode::NotFound | git2::ErrorCode::Peel | git2::ErrorCode::InvalidSpec => Ok(None),
                git2::ErrorCode::Ambiguous => {
                    let message = format!("several commits begin with {text}");
                    Err(Error::new(ErrorCode::CommitUnknown, message).hint("give more digits of the commit"))
                }
                // Longer than the identifiers of this repository.
                _ if error.class() == ErrorClass::Invalid => Ok(None),
                _ => Err(self.failed(&format!("look up the commit {text}"), error)),
            },
        }
    }

    /// Says whether history is cut off, as in the shallow clones of many CI systems.
    pub fn is_shallow(&self) -> bool {
        self.repository.is_shallow()
    }

    /// Returns the address of `origin`, or else of the only remote, without user information.
    pub fn remote(&self) -> Option<String> {
        let names = self.repository.remotes().ok()?;
        let names: Vec<_> = names.iter().flatten().flatten().collect();
        let name = match names.as_slice() {
            [only] => *only,
            several => several.iter().copied().find(|name| *name == "origin")?,
        };
        let remote = self.repository.find_remote(name).ok()?;
        remote.url().ok().map(without_user_information)
    }

    fn failed(&self, what: &str, error: git2::Error) -> Error {
        let message = format!("git cannot {what} in {}", self.directory.display());
        Error::new(ErrorCode::CommitUnknown, message).caused_by(error)
    }
}

/// The refusal of git to trust a working tree of another user, as in containers that mount one.
fn foreign(directory: &Path) -> Error {
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let absolute = absolute.canonicalize().unwrap_or(absolute);
    let top = absolute.ancestors().find(|ancestor| ancestor.join(".git").exists()).unwrap_or(&absolute);
    let name = top.display();
    let message = format!("git does not trust {name}: it belongs to another user than the one who runs holdpoint");
    Error::new(ErrorCode::CommitUnknown, message)
        .hint(format!("if you trust it: git config --global --add safe.directory {}", shell::quoted(&name.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use git2::{Oid, Signature};
    use std::process::Command;

    fn commit(repository: &Repository, file: &str) -> Oid {
        let top = repository.workdir().unwrap();
        std::fs::write(top.join(file), file).unwrap();
        let mut index = repository.index().unwrap();
        index.add_path(Path::new(file)).unwrap();
        let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
        index.write().unwrap();
        let who = Signature::now("a", "a@example").unwrap();
        let parent = repository.head().ok().map(|head| head.peel_to_commit().unwrap());
        repository.commit(Some("HEAD"), &who, &who, file, &tree, &parent.iter().collect::<Vec<_>>()).unwrap()
    }

    fn new_tree() -> (tempfile::TempDir, Repository) {
        let directory = tempfile::tempdir().unwrap();
        let mut options = git2::RepositoryInitOptions::new();
        let repository = Repository::init_opts(directory.path().join("shop"), options.initial_head("main")).unwrap();
        (directory, repository)
    }

    fn tag(repository: &Repository, name: &str, at: Oid) {
        repository.tag_lightweight(name, &repository.find_object(at, None).unwrap(), false).unwrap();
    }

    #[test]
    fn a_directory_outside_of_git_has_no_working_tree() {
        let directory = tempfile::tempdir().unwrap();
        assert!(WorkTree::find(directory.path()).unwrap().is_none());
        assert!(WorkTree::find(&directory.path().join("missing")).unwrap().is_none());
        Repository::init_bare(directory.path()).unwrap();
        assert!(WorkTree::find(directory.path()).unwrap().is_none());
    }

    #[test]
    fn head_branch_name_and_remote_are_read() {
        let (_directory, repository) = new_tree();
        let top = repository.workdir().unwrap().to_owned();
        std::fs::create_dir(top.join("below")).unwrap();
        let tree = WorkTree::find(&top.join("below")).unwrap().unwrap();
        assert_eq!((tree.head().unwrap(), tree.remote()), (None, None));
        let first = commit(&repository, "a");
        repository.remote("origin", "https://user:token@git.example/acme/shop.git").unwrap();
        assert_eq!(tree.head().unwrap(), Some(Head { commit: first.to_string(), branch: Some("main".to_owned()) }));
        assert_eq!(tree.name().as_deref(), Some("shop"));
        assert_eq!(tree.remote().as_deref(), Some("https://git.example/acme/shop.git"));
        repository.set_head_detached(first).unwrap();
        assert_eq!(tree.head().unwrap().unwrap().branch, None);
    }

    #[test]
    fn commits_are_completed_and_unknown_ones_are_not_found() {
        let (_directory, repository) = new_tree();
        let (first, second) = (commit(&repository, "a"), commit(&repository, "b"));
        let tree = WorkTree::find(repository.workdir().unwrap()).unwrap().unwrap();
        let full = first.to_string();
        assert_eq!(tree.resolve_commit(&full[..8]).unwrap().as_deref(), Some(full.as_str()));
        assert_eq!(tree.resolve_commit(&full.to_uppercase()).unwrap().as_deref(), Some(full.as_str()));
        for unknown in ["0123456789abcdef", &"0".repeat(40), &format!("{full}00"), &"a".repeat(64)] {
            assert_eq!(tree.resolve_commit(unknown).unwrap(), None, "{unknown}");
        }
        let blob = repository.blob(b"x").unwrap().to_string();
        assert_eq!(tree.resolve_commit(&blob).unwrap(), None);
        for wrong in ["main", "HEAD", "", "abc", "0123456\n"] {
            assert_eq!(tree.resolve_commit(wrong).unwrap_err().code(), ErrorCode::CommitUnknown, "{wrong}");
        }
        assert_eq!(tree.changes(&full, &second.to_string()).known().unwrap(), ["b"]);
        assert_eq!(tree.changes("0123456789", &full).known(), None);
    }

    #[test]
    fn tags_at_head_that_are_versions_are_found_highest_first() {
        let (_directory, repository) = new_tree();
        let first = commit(&repository, "a");
        tag(&repository, "v9.0.0", first);
        let second = commit(&repository, "b");
        for name in ["v1.4.0-rc.2", "nightly", "1.4.0", "1.10.0-rc.1", "1.4"] {
            tag(&repository, name, second);
        }
        let who = Signature::now("a", "a@example").unwrap();
        repository.tag("v1.4.1", &repository.find_object(second, None).unwrap(), &who, "annotated", false).unwrap();
        let tree = WorkTree::find(repository.workdir().unwrap()).unwrap().unwrap();
        let texts = |versioning| {
            let versions = tree.version_tags(versioning).unwrap();
            versions.iter().map(|version| version.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(texts(Versioning::Semver), ["1.10.0-rc.1", "v1.4.1", "1.4.0", "v1.4.0-rc.2"]);
        assert_eq!(texts(Versioning::Opaque).len(), 6);
    }

    /// Runs only where it is started by the test below, with a HOME of its own: libgit2 reads HOME once.
    #[test]
    fn look_at_the_tree_named_by_the_environment() {
        let Some(directory) = std::env::var_os("HOLDPOINT_TEST_TREE") else { return };
        match WorkTree::find(Path::new(&directory)) {
            Ok(tree) => println!("FOUND {}", tree.unwrap().head().unwrap().unwrap().commit),
            Err(error) => println!("ERROR {}\nHINT {}", error.message(), error.hints().join("")),
        }
    }

    #[test]
    fn a_tree_of_another_user_is_refused_until_it_is_declared_safe() {
        let (directory, repository) = new_tree();
        let head = commit(&repository, "a");
        let top = repository.workdir().unwrap().canonicalize().unwrap();
        let nobody = |path: &Path| std::os::unix::fs::chown(path, Some(65534), Some(65534));
        if nobody(&top).and_then(|()| nobody(&top.join(".git"))).is_err() {
            return; // Only root can give files away.
        }
        let home = directory.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let look = || {
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "release::git::tests::look_at_the_tree_named_by_the_environment", "--nocapture"])
                .env_clear()
                .env("HOME", &home)
                .env("HOLDPOINT_TEST_TREE", &top)
                .output()
                .unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let refused = look();
        let top = top.display();
        assert!(refused.contains(&format!("ERROR git does not trust {top}: it belongs to another user")), "{refused}");
        let command = format!("git config --global --add safe.directory {top}");
        assert!(refused.contains(&format!("HINT if you trust it: {command}\n")), "{refused}");
        std::fs::write(home.join(".gitconfig"), format!("[safe]\n\tdirectory = {top}\n")).unwrap();
        assert!(look().contains(&format!("FOUND {head}")));
    }
}
