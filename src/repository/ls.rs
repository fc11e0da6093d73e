//! Listing a snapshot, and finding a path in it.

use super::blobs::Indexed;
use super::id::Id;
use super::tree::{Node, NodeType};
use super::trees::{Scratch, TreeReader};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::storage::ReadFrom;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

/// What a path in a snapshot leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The root: a tree without a node of its own.
    Root(Id),
    /// A node.
    Node(Box<Node>),
}

/// Returns the names on the way to a path below a root: `/`, `./` and `.` say nothing.
///
/// # Errors
/// `usage`, in place of a name: `..` leads anywhere.
pub(super) fn names(path: &Path) -> impl Iterator<Item = Result<&OsStr>> {
    path.components().filter_map(move |component| match component {
        Component::RootDir | Component::CurDir => None,
        Component::Normal(name) => Some(Ok(name)),
        Component::ParentDir | Component::Prefix(_) => {
            let message = format!("the path {} must not hold `..`", path.display());
            Some(Err(Error::new(ErrorCode::Usage, message)))
        }
    })
}

/// Finds `path` below the tree `root`. A leading `/` makes no difference, and `/` or nothing is the root itself.
/// Symbolic links are not followed.
///
/// # Errors
/// `not-found`, naming the first part that does not exist; `damaged`; `store-unavailable`.
pub fn find(indexed: &Indexed, root: Id, path: &Path) -> Result<Found> {
    let mut found = Found::Root(root);
    let mut walked = PathBuf::from("/");
    for name in names(path) {
        let name = name?;
        let tree = match &found {
            Found::Root(tree) => Some(*tree),
            Found::Node(node) => node.subtree.filter(|_| node.kind == NodeType::Dir),
        };
        let Some(tree) = tree else {
            return Err(Error::new(ErrorCode::NotFound, format!("{} is not a directory", walked.display())));
        };
        let nodes = indexed.read_tree(&tree)?.nodes;
        walked.push(name);
        let Some(node) = nodes.into_iter().find(|node| node.name == name) else {
            let message = format!("the snapshot holds no {}", walked.display());
            return Err(Error::new(ErrorCode::NotFound, message).hint("list what it holds with `holdpoint ls`"));
        };
        found = Found::Node(Box::new(node));
    }
    Ok(found)
}

/// Calls `visit` with every node below the tree `root` and its path, which starts with `prefix`; depth first, each
/// directory before what it holds, in the order of the names.
///
/// # Errors
/// `damaged`, naming the tree; `store-unavailable`; a cancellation; what `visit` fails with.
pub fn list(
    indexed: &Indexed,
    root: Id,
    prefix: &Path,
    cancel: &Cancel,
    visit: &mut dyn FnMut(&Path, &Node) -> Result<()>,
) -> Result<()> {
    let reader = TreeReader::new(indexed, ReadFrom::Anywhere);
    let mut scratch = Scratch::new(indexed.repository())?;
    // A stack of our own: how deep a tree goes is not for the thread's stack to decide.
    let mut open = vec![reader.read(&mut scratch, &root)?.nodes.into_iter()];
    let mut path = prefix.to_owned();
    while let Some(nodes) = open.last_mut() {
        cancel.check()?;
        let Some(node) = nodes.next() else {
            open.pop();
            path.pop();
            continue;
        };
        path.push(&node.name);
        visit(&path, &node)?;
        match node.subtree.filter(|_| node.kind == NodeType::Dir) {
            Some(subtree) => open.push(reader.read(&mut scratch, &subtree)?.nodes.into_iter()),
            None => {
                path.pop();
            }
        }
    }
    Ok(())
}
