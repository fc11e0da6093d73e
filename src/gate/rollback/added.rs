//! Files that came after the gate: what was not there before the deploy is removed again, if it was saved.

use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::repository::ls::list;
use crate::repository::tree::{Node, NodeType};
use crate::repository::{Id, Indexed};
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Returns the absolute paths of what is below the tree `now` and was not below `then`, a directory before what it holds.
/// Where a directory has taken the place of something else, it counts as added.
///
/// # Errors
/// `damaged`, naming the tree; the store's own; a cancellation.
pub(super) fn added(indexed: &Indexed, then: Id, now: Id, cancel: &Cancel) -> Result<Vec<PathBuf>> {
    let mut added = Vec::new();
    let mut open = vec![(PathBuf::from("/"), then, now)];
    while let Some((path, then, now)) = open.pop() {
        cancel.check()?;
        if then == now {
            continue;
        }
        let before: HashMap<OsString, Node> =
            indexed.read_tree(&then)?.nodes.into_iter().map(|node| (node.name.clone(), node)).collect();
        for node in indexed.read_tree(&now)?.nodes {
            let path = path.join(&node.name);
            let dir = directory(&node);
            match (dir, before.get(&node.name).map(directory)) {
                (Some(now), Some(Some(then))) => open.push((path, then, now)),
                (Some(now), _) => {
                    added.push(path.clone());
                    list(indexed, now, &path, cancel, &mut |path, _| {
                        added.push(path.to_owned());
                        Ok(())
                    })?;
                }
                (None, None) => added.push(path),
                (None, Some(_)) => {}
            }
        }
    }
    Ok(added)
}

/// Returns the tree of a directory.
fn directory(node: &Node) -> Option<Id> {
    node.subtree.filter(|_| node.kind == NodeType::Dir)
}

/// Removes what [`added`] found, what is inside of a directory first. A directory that still holds something, such as
/// files that the source leaves out, stays. Returns how many names are gone.
///
/// # Errors
/// `restore-failed`, naming what cannot be removed; a cancellation.
pub(super) fn remove(added: &[PathBuf], cancel: &Cancel) -> Result<usize> {
    let mut removed = 0;
    for path in added.iter().rev() {
        cancel.check()?;
        match remove_one(path) {
            Ok(()) => removed += 1,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {}
            Err(error) => {
                let message = format!("cannot remove {}, which came after the gate", path.display());
                return Err(Error::new(ErrorCode::RestoreFailed, message).caused_by(error));
            }
        }
    }
    Ok(removed)
}

fn remove_one(path: &Path) -> std::io::Result<()> {
    match path.symlink_metadata()?.is_dir() {
        true => std::fs::remove_dir(path),
        false => std::fs::remove_file(path),
    }
}
