//! What changed between two commits, and how sure that is.

use super::WorkTree;
use crate::model::changes::{Changes, Gap};
use crate::release::version::{excerpt, is_commit};
use git2::{Commit, Delta, Diff, FileMode, Oid};

/// How many digits of a commit are shown.
const SHOWN: usize = 12;

impl WorkTree {
    /// Compares the deployed commit with the one to deploy. The trees of both are compared, so that what came in by any
    /// parent of a merge counts, and what was undone on the way does not; a path that was renamed counts with its old
    /// name and its new one.
    ///
    /// There are no errors: what git does not have, or cannot read, is a gap in what is known.
    pub fn changes(&self, deployed: &str, to: &str) -> Changes {
        let (from, to) = match (self.commit(deployed, true), self.commit(to, false)) {
            (Err(gap), _) | (_, Err(gap)) => return Changes::unknown(gap),
            (Ok(from), Ok(to)) => (from, to),
        };
        let mut changes = match self.compare(&from, &to) {
            Ok(changes) => changes,
            Err(error) => return Changes::unknown(self.unreadable("compare the commits", &error)),
        };
        match self.walk(from.id(), to.id()) {
            Ok(walk) => {
                changes.merges = Some(walk.merges);
                changes.gaps.extend(walk.gap);
            }
            // Where history is cut off, its end may be missing as an object.
            Err(_) if self.is_shallow() => changes.gaps.push(Gap::Shallow),
            Err(error) => changes.gaps.push(self.unreadable("walk from one commit to the other", &error)),
        }
        changes
    }

    fn commit(&self, text: &str, deployed: bool) -> Result<Commit<'_>, Gap> {
        if !is_commit(text) {
            return Err(Gap::NotACommit(excerpt(text)));
        }
        let found = self.resolve_commit(text).map_err(|error| Gap::Unreadable(error.chain()))?;
        let missing = || Gap::Missing { deployed, commit: shortened(text), shallow: self.is_shallow() };
        let found = found.and_then(|commit| Oid::from_str(&commit).ok()).ok_or_else(missing)?;
        self.repository.find_commit(found).map_err(|error| self.unreadable("read a commit", &error))
    }

    /// Compares the trees; without the detection of renames, which would hide the old name.
    fn compare(&self, from: &Commit<'_>, to: &Commit<'_>) -> Result<Changes, git2::Error> {
        let difference = self.repository.diff_tree_to_tree(Some(&from.tree()?), Some(&to.tree()?), None)?;
        let gaps = submodules(&difference).into_iter().map(Gap::Submodule).collect();
        Ok(Changes { paths: Some(paths(&difference)), merges: None, gaps })
    }

    /// Looks at the commits between: how many are merges, and whether the deployed one is an ancestor at all.
    fn walk(&self, from: Oid, to: Oid) -> Result<Walk, git2::Error> {
        let (_, only_deployed) = self.repository.graph_ahead_behind(to, from)?;
        let gap = match (only_deployed, self.is_shallow()) {
            (0, _) => None,
            // The common ancestor may lie beyond the cut.
            (_, true) => Some(Gap::Shallow),
            (only_deployed, false) => Some(Gap::NotAncestor { deployed: shortened(&from.to_string()), only_deployed }),
        };
        let mut between = self.repository.revwalk()?;
        between.push(to)?;
        between.hide(from)?;
        let mut merges = 0;
        for commit in between {
            merges += usize::from(self.repository.find_commit(commit?)?.parent_count() > 1);
        }
        Ok(Walk { merges, gap })
    }

    fn unreadable(&self, what: &str, error: &git2::Error) -> Gap {
        Gap::Unreadable(format!("git cannot {what}: {}", error.message()))
    }
}

/// What lies between two commits.
struct Walk {
    merges: usize,
    gap: Option<Gap>,
}

fn paths(difference: &Diff<'_>) -> Vec<String> {
    let both = difference.deltas().flat_map(|delta| {
        let of = |file: git2::DiffFile<'_>| file.path().map(|path| path.to_string_lossy().into_owned());
        [of(delta.old_file()), of(delta.new_file())]
    });
    let mut paths: Vec<_> = both.flatten().collect();
    paths.sort();
    paths.dedup();
    paths
}

/// Returns the submodules that are there before or after and are not the same; one that came or went is a change of
/// everything below its path, too.
fn submodules(difference: &Diff<'_>) -> Vec<String> {
    let is_submodule = |file: git2::DiffFile<'_>| file.mode() == FileMode::Commit;
    let changed = difference.deltas().filter(|delta| delta.status() != Delta::Unmodified);
    let changed = changed.filter(|delta| is_submodule(delta.old_file()) || is_submodule(delta.new_file()));
    let path = |delta: git2::DiffDelta<'_>| Some(delta.new_file().path()?.to_string_lossy().into_owned());
    let mut paths: Vec<_> = changed.filter_map(path).collect();
    paths.dedup();
    paths
}

fn shortened(commit: &str) -> String {
    commit.get(..SHOWN).unwrap_or(commit).to_owned()
}
