//! Which version and which commit are to be deployed.

use super::ci::{CiRun, Variables};
use super::git::WorkTree;
use super::version::{self, excerpt, is_commit};
use crate::error::{Error, ErrorCode, Result};
use crate::model::finding::{Finding, FindingCode};
use crate::model::version::{Version, Versioning};

/// Where the answer to "what is to be deployed" can come from, the strongest first.
pub struct Sources<'a> {
    /// `--release`.
    pub release: Option<&'a str>,
    /// `--commit`.
    pub commit: Option<&'a str>,
    /// Looks up `HOLDPOINT_RELEASE` and `HOLDPOINT_COMMIT`.
    pub variables: Variables<'a>,
    /// The CI system, if one is known.
    pub ci: Option<&'a CiRun>,
    /// The git working tree, if there is one.
    pub tree: Option<&'a WorkTree>,
    /// How versions are read.
    pub versioning: Versioning,
}

/// What is to be deployed.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The version.
    pub version: Version,
    /// The commit: in full where git knows it, else as it was given.
    pub commit: String,
    /// The branch or tag, if known.
    pub reference: Option<String>,
    /// What speaks against it.
    pub findings: Vec<Finding>,
}

/// Finds out what is to be deployed: by flag, `HOLDPOINT_RELEASE` and `HOLDPOINT_COMMIT`, the CI system, git.
///
/// # Errors
/// `release-unknown` and `commit-unknown`: nothing tells it, or what was given is no version or no commit.
pub fn resolve(sources: &Sources<'_>) -> Result<Target> {
    let version = release(sources)?;
    let (commit, findings) = commit(sources)?;
    let of_tree = || sources.tree.and_then(|tree| tree.head().ok().flatten());
    let reference = match sources.ci.and_then(|ci| ci.reference.clone()) {
        Some(reference) => Some(reference),
        // The branch tells nothing of a commit that is not its newest.
        None => of_tree().filter(|head| head.commit == commit).and_then(|head| head.branch),
    };
    Ok(Target { version, commit, reference, findings })
}

/// Finds the version to deploy.
///
/// # Errors
/// `release-unknown`: nothing tells it, or what was given is no version.
pub fn release(sources: &Sources<'_>) -> Result<Version> {
    let read = |text: &str, origin: &str| given_version(text, origin, sources.versioning);
    if let Some(text) = sources.release {
        return read(text, "--release");
    }
    if let Some(text) = given(sources, "HOLDPOINT_RELEASE") {
        return read(&text, "HOLDPOINT_RELEASE");
    }
    // A tag that is no version is no mistake: people tag many things.
    if let Some(tag) = sources.ci.and_then(|ci| ci.tag.as_deref())
        && let Ok(version) = version::read(tag, sources.versioning)
    {
        return Ok(version);
    }
    let tags = match sources.tree {
        Some(tree) => tree.version_tags(sources.versioning)?,
        None => Vec::new(),
    };
    match (tags.as_slice(), sources.versioning) {
        // Several texts without an order: to take one of them would be a guess.
        ([_, _, ..], Versioning::Opaque) => {
            let names = tags.iter().map(Version::as_str).collect::<Vec<_>>().join(", ");
            Err(Error::new(
                ErrorCode::ReleaseUnknown,
                format!("HEAD has several tags, any of which can be the version: {names}"),
            )
            .hint("say which one by --release VERSION"))
        }
        ([highest, ..], _) => Ok(highest.clone()),
        ([], _) => {
            let place = match sources.tree {
                Some(tree) => format!("no tag at HEAD of {} is a version", tree.directory().display()),
                None => "this is not a git working tree".to_owned(),
            };
            Err(Error::new(ErrorCode::ReleaseUnknown, format!("the version to deploy is unknown: {place}"))
                .hint("give it by --release VERSION or HOLDPOINT_RELEASE, or tag the commit (git tag v1.4.0)"))
        }
    }
}

/// Reads a version that someone gave; `origin` says by what, such as `--from`.
///
/// # Errors
/// `release-unknown`: the text is no version.
pub fn given_version(text: &str, origin: &str, versioning: Versioning) -> Result<Version> {
    version::read(text, versioning).map_err(|why| {
        let error = Error::new(ErrorCode::ReleaseUnknown, format!("{origin}: {why}"));
        match versioning {
            Versioning::Semver if !text.trim().is_empty() => error.hint(
                "give a version such as 1.4.0; for other kinds of versions set `versioning = \"opaque\"` in holdpoint.toml",
            ),
            _ => error.hint("give the version as text, such as 1.4.0"),
        }
    })
}

/// Finds the commit to deploy, and what speaks against it.
///
/// # Errors
/// `commit-unknown`: nothing tells it, or what was given is no commit that git knows.
pub fn commit(sources: &Sources<'_>) -> Result<(String, Vec<Finding>)> {
    if let Some(text) = sources.commit {
        return Ok((known(text, "--commit", sources.tree)?, Vec::new()));
    }
    if let Some(text) = given(sources, "HOLDPOINT_COMMIT") {
        return Ok((known(text.trim(), "HOLDPOINT_COMMIT", sources.tree)?, Vec::new()));
    }
    let head = match sources.tree {
        Some(tree) => tree.head()?.map(|head| head.commit),
        None => None,
    };
    match (sources.ci, head) {
        (Some(CiRun { commit: Some(commit), pipeline, .. }), Some(head)) if !head.starts_with(commit.as_str()) => {
            let system = pipeline.system.as_deref().unwrap_or("the CI system");
            let message = format!("{system} says that {commit} is deployed, but {head} is checked out");
            let finding = Finding::warning(FindingCode::CommitNotHead, message)
                .hint("check out the commit that is deployed, or name it by --commit");
            Ok((commit.clone(), vec![finding]))
        }
        (_, Some(head)) => Ok((head, Vec::new())),
        (Some(CiRun { commit: Some(commit), .. }), None) => Ok((commit.clone(), Vec::new())),
        (_, None) => {
            let place = match sources.tree {
                Some(tree) => format!("there is no commit in {} yet", tree.directory().display()),
                None => "this is not a git working tree".to_owned(),
            };
            Err(Error::new(ErrorCode::CommitUnknown, format!("the commit to deploy is unknown: {place}"))
                .hint("give it by --commit SHA or HOLDPOINT_COMMIT, or run holdpoint in the working tree"))
        }
    }
}

/// Returns a variable of ours; an empty one counts as unset, as pipelines pass on what they do not have.
fn given(sources: &Sources<'_>, name: &str) -> Option<String> {
    (sources.variables)(name).filter(|text| !text.trim().is_empty())
}

/// Returns the full form of a commit that someone gave.
fn known(text: &str, origin: &str, tree: Option<&WorkTree>) -> Result<String> {
    if !is_commit(text) {
        let message = format!("{origin}: {} is not a commit: 7 to 64 hexadecimal digits", excerpt(text));
        return Err(Error::new(ErrorCode::CommitUnknown, message).hint("`git rev-parse NAME` prints the commit"));
    }
    let Some(tree) = tree else {
        return Ok(text.to_ascii_lowercase());
    };
    tree.resolve_commit(text)?.ok_or_else(|| {
        let message = format!("{origin}: git does not know the commit {text} in {}", tree.directory().display());
        Error::new(ErrorCode::CommitUnknown, message).hint(if tree.is_shallow() {
            "this is a shallow clone: fetch the commit (git fetch --unshallow, or depth 0 in the checkout step)"
        } else {
            "fetch it, or run holdpoint in the working tree that has it"
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use git2::{Repository, Signature};

    const SHA: &str = "3f9c2ab13f9c2ab13f9c2ab13f9c2ab13f9c2ab1";

    struct Given {
        flags: (Option<&'static str>, Option<&'static str>),
        release: Option<&'static str>,
        commit: Option<String>,
        ci: Option<CiRun>,
        versioning: Versioning,
    }

    fn nothing() -> Given {
        Given { flags: (None, None), release: None, commit: None, ci: None, versioning: Versioning::Semver }
    }

    fn resolved(given: &Given, tree: Option<&WorkTree>) -> Result<Target> {
        resolve(&Sources {
            release: given.flags.0,
            commit: given.flags.1,
            variables: &|name| match name {
                "HOLDPOINT_RELEASE" => given.release.map(str::to_owned),
                "HOLDPOINT_COMMIT" => given.commit.clone(),
                _ => None,
            },
            ci: given.ci.as_ref(),
            tree,
            versioning: given.versioning,
        })
    }

    fn tree_with_tags(tags: &[&str]) -> (tempfile::TempDir, WorkTree, String) {
        let directory = tempfile::tempdir().unwrap();
        let mut options = git2::RepositoryInitOptions::new();
        let repository = Repository::init_opts(directory.path(), options.initial_head("main")).unwrap();
        let tree = repository.find_tree(repository.treebuilder(None).unwrap().write().unwrap()).unwrap();
        let who = Signature::now("a", "a@example").unwrap();
        let head = repository.commit(Some("HEAD"), &who, &who, "a", &tree, &[]).unwrap();
        for tag in tags {
            repository.tag_lightweight(tag, &repository.find_object(head, None).unwrap(), false).unwrap();
        }
        let tree = WorkTree::find(directory.path()).unwrap().unwrap();
        (directory, tree, head.to_string())
    }

    fn ci(commit: &str, tag: Option<&str>) -> Option<CiRun> {
        Some(CiRun { commit: Some(commit.to_owned()), tag: tag.map(str::to_owned), ..CiRun::default() })
    }

    #[test]
    fn the_strongest_source_of_a_version_speaks() {
        let (_directory, tree, head) = tree_with_tags(&["v1.0.0", "v1.0.0-rc.1", "stable"]);
        let mut given = nothing();
        let version = |given: &Given| resolved(given, Some(&tree)).unwrap().version.to_string();
        assert_eq!(version(&given), "v1.0.0");
        given.ci = ci(&head, Some("nightly"));
        assert_eq!(version(&given), "v1.0.0");
        given.ci = ci(&head, Some("v2.0.0"));
        assert_eq!(version(&given), "v2.0.0");
        given.release = Some(" ");
        assert_eq!(version(&given), "v2.0.0");
        given.release = Some("3.0.0");
        assert_eq!(version(&given), "3.0.0");
        given.flags.0 = Some("4.0.0");
        assert_eq!(version(&given), "4.0.0");
    }

    #[test]
    fn without_a_version_the_error_says_how_to_give_it() {
        let (_directory, tree, _) = tree_with_tags(&["stable"]);
        for tree in [None, Some(&tree)] {
            let error = resolved(&Given { flags: (None, Some(SHA)), ..nothing() }, tree).unwrap_err();
            assert_eq!(error.code(), ErrorCode::ReleaseUnknown);
            assert!(error.hints()[0].contains("--release VERSION or HOLDPOINT_RELEASE"));
        }
        for text in ["1.4", "latest"] {
            let error = resolved(&Given { flags: (Some(text), None), ..nothing() }, Some(&tree)).unwrap_err();
            assert_eq!(error.code(), ErrorCode::ReleaseUnknown);
            assert!(error.hints()[0].contains("versioning = \"opaque\""), "{error:?}");
        }
        let error = resolved(&Given { flags: (Some(""), None), ..nothing() }, Some(&tree)).unwrap_err();
        assert_eq!(error.message(), "--release: the version is empty");
    }

    #[test]
    fn opaque_versions_are_taken_unless_there_are_several() {
        let opaque = Given { versioning: Versioning::Opaque, ..nothing() };
        let (_one, tree, _) = tree_with_tags(&["2026-11-a"]);
        assert_eq!(resolved(&opaque, Some(&tree)).unwrap().version.as_str(), "2026-11-a");
        let (_two, tree, _) = tree_with_tags(&["a", "b"]);
        let error = resolved(&opaque, Some(&tree)).unwrap_err();
        assert_eq!(error.message(), "HEAD has several tags, any of which can be the version: a, b");
    }

    #[test]
    fn the_strongest_source_of_a_commit_speaks() {
        let (_directory, tree, head) = tree_with_tags(&["v1.0.0"]);
        let target = resolved(&nothing(), Some(&tree)).unwrap();
        assert_eq!((&target.commit, target.reference.as_deref()), (&head, Some("main")));
        let target = resolved(&Given { ci: ci(&head, None), ..nothing() }, Some(&tree)).unwrap();
        assert_eq!((target.commit, target.findings), (head.clone(), vec![]));
        let target = resolved(&Given { ci: ci(SHA, None), ..nothing() }, Some(&tree)).unwrap();
        assert_eq!((target.commit.as_str(), target.findings[0].code), (SHA, FindingCode::CommitNotHead));
        assert_eq!(target.reference, None);
        let short = Given { commit: Some(head[..10].to_owned()), ci: ci(SHA, None), ..nothing() };
        let target = resolved(&short, Some(&tree)).unwrap();
        assert_eq!((target.commit, target.findings), (head, vec![]));
    }

    #[test]
    fn commits_that_git_does_not_know_are_refused_where_there_is_git() {
        let (_directory, tree, _) = tree_with_tags(&["v1.0.0"]);
        let unknown = Given { flags: (Some("1.0.0"), Some("3F9C2AB")), ..nothing() };
        let error = resolved(&unknown, Some(&tree)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::CommitUnknown);
        assert!(error.message().starts_with("--commit: git does not know the commit 3F9C2AB in "), "{error}");
        assert_eq!(resolved(&unknown, None).unwrap().commit, "3f9c2ab");
        for text in ["main", "", "3f9c2"] {
            let wrong = Given { flags: (Some("1.0.0"), Some(text)), ..nothing() };
            for tree in [None, Some(&tree)] {
                assert_eq!(resolved(&wrong, tree).unwrap_err().code(), ErrorCode::CommitUnknown, "{text}");
            }
        }
        let error = resolved(&Given { release: Some("1.0.0"), ..nothing() }, None).unwrap_err();
        assert!(error.hints()[0].contains("--commit SHA or HOLDPOINT_COMMIT"));
        let from_ci = Given { release: Some("1.0.0"), ci: ci(SHA, None), ..nothing() };
        assert_eq!(resolved(&from_ci, None).unwrap().commit, SHA);
    }
}
