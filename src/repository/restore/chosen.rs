//! Planning the restore of chosen paths: only the trees on the way to them are read.

use super::plan::{Plan, Planner, check_names};
use crate::error::{Error, ErrorCode, Result};
use crate::repository::blobs::Indexed;
use crate::repository::id::Id;
use crate::repository::ls::names;
use crate::repository::parallel::Workers;
use crate::repository::tree::{Node, NodeType, Tree};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// How many names a hint offers.
const OFFERED: usize = 3;

/// What is chosen below a directory: all of it if empty.
#[derive(Debug, Default)]
pub(in crate::repository) struct Chosen(BTreeMap<OsString, Chosen>);

impl Chosen {
    /// Says whether everything is chosen.
    pub(in crate::repository) fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Says whether a path is chosen, lies below what is, or on the way to it.
    pub(in crate::repository) fn meets(&self, path: &Path) -> bool {
        let mut at = self;
        // `..` was refused when they were chosen, and no path of a snapshot has it.
        for name in names(path).flatten() {
            match at.0.get(name) {
                _ if at.is_all() => return true,
                Some(inner) => at = inner,
                None => return false,
            }
        }
        true
    }
}

/// A directory on the way to what is chosen.
struct Step {
    dir: Option<u32>,
    tree: Id,
    chosen: Chosen,
    path: PathBuf,
}

/// Plans the restore of what `paths` lead to below the tree `root`, each under its full path in the target, together with the
/// directories on the way; a leading `/` makes no difference. The whole tree, if there are none.
///
/// # Errors
/// `not-found`, naming the first part that does not exist and the names that are most like it; `usage`: a path holds
/// `..`; else as [`super::plan`].
pub fn plan_paths(indexed: &Indexed, root: Id, paths: &[PathBuf], workers: &Workers<'_>) -> Result<Plan> {
    let mut planner = Planner::default();
    let chosen = choose(paths)?;
    if chosen.is_all() {
        planner.start(root);
        return planner.walk(indexed, workers);
    }
    let mut steps = vec![Step { dir: None, tree: root, chosen, path: PathBuf::from("/") }];
    while let Some(Step { dir, tree: id, chosen, path }) = steps.pop() {
        workers.cancel.check()?;
        let tree = indexed.read_tree(&id)?;
        check_names(&id, &tree)?;
        for (name, inner) in chosen.0 {
            let Some(node) = tree.nodes.iter().find(|node| node.name == name) else {
                return Err(missing(&path.join(&name), &name, &tree));
            };
            let path = path.join(&name);
            if inner.0.is_empty() {
                planner.add(indexed, dir, node.clone())?;
                continue;
            }
            let Some(tree) = node.subtree.filter(|_| node.kind == NodeType::Dir) else {
                let message = format!("{} is not a directory in the snapshot", path.display());
                return Err(Error::new(ErrorCode::NotFound, message).hint("list what it holds with `holdpoint ls`"));
            };
            let dir = Some(planner.pass(dir, node.clone())?);
            steps.push(Step { dir, tree, chosen: inner, path });
        }
    }
    planner.walk(indexed, workers)
}

/// Returns the paths with a leading `/`, without those that lie below another one; none, if everything is chosen.
///
/// # Errors
/// `usage`: a path holds `..`.
pub fn chosen_paths(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut left = vec![(PathBuf::from("/"), choose(paths)?)];
    while let Some((path, Chosen(inner))) = left.pop() {
        if inner.is_empty() && path.parent().is_some() {
            found.push(path);
            continue;
        }
        left.extend(inner.into_iter().rev().map(|(name, inner)| (path.join(name), inner)));
    }
    Ok(found)
}

/// Joins the paths; one that lies below another is in it already. `/`, `.` and no path at all choose everything.
///
/// # Errors
/// `usage`: a path holds `..`.
pub(in crate::repository) fn choose(paths: &[PathBuf]) -> Result<Chosen> {
    let mut all = Chosen::default();
    'paths: for path in paths {
        let mut at = &mut all;
        let (mut new, mut depth) = (true, 0);
        for name in names(path) {
            let name = name?;
            // What was there before and has nothing below it is chosen as a whole.
            if !new && at.0.is_empty() {
                continue 'paths;
            }
            new = !at.0.contains_key(name);
            at = at.0.entry(name.to_owned()).or_default();
            depth += 1;
        }
        if depth == 0 {
            return Ok(Chosen::default());
        }
        at.0.clear();
    }
    Ok(all)
}

fn missing(path: &Path, name: &OsStr, tree: &Tree) -> Error {
    let error = Error::new(ErrorCode::NotFound, format!("the snapshot holds no {}", path.display()));
    let wanted = name.to_string_lossy();
    let distance = |node: &Node| strsim::osa_distance(&wanted, &node.name.to_string_lossy());
    let mut near: Vec<_> = tree.nodes.iter().map(|node| (distance(node), &node.name)).collect();
    near.sort();
    let near: Vec<_> = near.iter().take(OFFERED).map(|(_, name)| name.display().to_string()).collect();
    let parent = path.parent().unwrap_or(Path::new("/")).display();
    let error = match near.is_empty() {
        true => error.hint(format!("{parent} is empty there")),
        false => error.hint(format!("the nearest names in {parent}: {}", near.join(", "))),
    };
    error.hint("list what it holds with `holdpoint ls`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_below_a_chosen_path_is_in_it_already() {
        let shape = |paths: &[&str]| {
            let paths: Vec<_> = paths.iter().map(PathBuf::from).collect();
            format!("{:?}", choose(&paths).unwrap())
        };
        let chosen = choose(&["./a/b".into(), "/c".into()]).unwrap();
        let met = ["/", "a", "/a", "/a/b", "/a/b/x", "/c/x"].map(|path| chosen.meets(Path::new(path)));
        let missed = ["/b", "/a/bb", "/a/c"].map(|path| chosen.meets(Path::new(path)));
        assert_eq!((met, missed), ([true; 6], [false; 3]));
        assert_eq!(shape(&["/a/b", "a/c"]), shape(&["a/c/", "./a/b"]));
        assert_eq!(shape(&["/a", "/a/b"]), shape(&["/a"]));
        assert_eq!(shape(&["/a/b", "/a/c", "/a"]), shape(&["/a"]));
        assert_eq!(shape(&["/a", "/"]), shape(&[]));
        assert_eq!(shape(&["./a/b", "."]), shape(&[]));
        let paths = ["c", "./a/b/", "/a/b/c"].map(PathBuf::from);
        assert_eq!(chosen_paths(&paths).unwrap(), ["/a/b", "/c"].map(PathBuf::from));
        assert_eq!(chosen_paths(&[".".into()]).unwrap().len(), 0);
        assert_eq!(choose(&["/a/../b".into()]).unwrap_err().code(), ErrorCode::Usage);
    }
}
