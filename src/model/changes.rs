//! What changed between the commit that is deployed and the one that is to be, as far as git can tell.

use std::fmt;

/// What git knows of the way from the deployed commit to the one to deploy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The paths that differ, counted from the top of the working tree and sorted; `None` where git cannot tell.
    /// A path that is not UTF-8 has its odd bytes replaced.
    pub paths: Option<Vec<String>>,
    /// How many merge commits lie on the way; `None` where git cannot tell.
    pub merges: Option<usize>,
    /// What could not be known. Empty: the paths are all there is to know.
    pub gaps: Vec<Gap>,
}

impl Changes {
    /// Creates the answer that git cannot give.
    pub fn unknown(gap: Gap) -> Self {
        Self { gaps: vec![gap], ..Self::default() }
    }

    /// Returns the paths, if they are all there is to know.
    pub fn known(&self) -> Option<&[String]> {
        self.paths.as_deref().filter(|_| self.gaps.is_empty())
    }

    /// Says whether nothing is deployed that could be compared with.
    pub fn is_first(&self) -> bool {
        self.gaps == [Gap::NothingDeployed]
    }

    /// Says in words what could not be known; empty if nothing.
    pub fn gaps_in_words(&self) -> String {
        self.gaps.iter().map(Gap::to_string).collect::<Vec<_>>().join("; ")
    }
}

/// Something about the way between two commits that could not be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gap {
    /// Nothing is deployed yet.
    NothingDeployed,
    /// There is no git working tree to ask.
    NoWorkTree,
    /// Nobody says which commit is deployed.
    NoDeployedCommit,
    /// What is said to be the deployed commit is none.
    NotACommit(String),
    /// Git does not have a commit.
    Missing {
        /// Whether it is the deployed one; else it is the one to deploy.
        deployed: bool,
        /// The commit.
        commit: String,
        /// Whether the clone is shallow, which may be why.
        shallow: bool,
    },
    /// The deployed commit is no ancestor of the one to deploy: history was rewritten, or another branch is deployed.
    NotAncestor {
        /// The deployed commit.
        deployed: String,
        /// How many commits are deployed that the release does not have.
        only_deployed: usize,
    },
    /// The clone is shallow, so it cannot be told whether the deployed commit is an ancestor.
    Shallow,
    /// A submodule points elsewhere; what changed in it is not in this repository.
    Submodule(String),
    /// Git could not be read.
    Unreadable(String),
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingDeployed => f.write_str("nothing is deployed yet"),
            Self::NoWorkTree => f.write_str("there is no git working tree to compare commits in"),
            Self::NoDeployedCommit => f.write_str("the commit that is deployed is not known"),
            Self::NotACommit(text) => write!(f, "{text} is said to be the deployed commit, and is no commit"),
            Self::Missing { deployed, commit, shallow } => {
                let which = if *deployed { "the deployed commit" } else { "the commit to deploy" };
                let why = if *shallow { ": this is a shallow clone" } else { "" };
                write!(f, "git does not have {which}, {commit}{why}")
            }
            Self::NotAncestor { deployed, only_deployed } => write!(
                f,
                "the deployed commit, {deployed}, is no ancestor of the one to deploy: {only_deployed} deployed commits are not in it"
            ),
            Self::Shallow => f.write_str(
                "this is a shallow clone: it cannot be told whether the deployed commit is an ancestor of the one to deploy",
            ),
            Self::Submodule(path) => {
                write!(f, "the submodule {path} points elsewhere, and what changed in it is not known")
            }
            Self::Unreadable(why) => f.write_str(why),
        }
    }
}
