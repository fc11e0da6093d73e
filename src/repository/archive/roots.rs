//! Several absolute paths as one tree: each is stored under its full path, as restic does.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// A directory on the way to what is archived, or what is archived itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// Its full path.
    pub path: PathBuf,
    /// Whether all of it is archived; its children on the way do not count then.
    pub is_target: bool,
    /// What lies below it on the way to targets, sorted as in a tree.
    pub children: BTreeMap<OsString, Way>,
}

/// Lays out the ways from the root of the tree to every path.
pub(super) fn lay_out(roots: &[PathBuf]) -> Way {
    let mut way = Way { path: PathBuf::from("/"), ..Way::default() };
    for root in roots {
        insert(&mut way, root);
    }
    way
}

fn insert(way: &mut Way, root: &Path) {
    let mut at = way;
    for component in root.components() {
        if let Component::Normal(name) = component {
            let path = at.path.join(name);
            at = at.children.entry(name.to_owned()).or_insert_with(|| Way { path, ..Way::default() });
        }
    }
    at.is_target = true;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_share_their_way() {
        let way = lay_out(&["/srv/shop/uploads".into(), "/srv/shop/config".into(), "/etc".into()]);
        assert_eq!(way.children.keys().collect::<Vec<_>>(), ["etc", "srv"]);
        let shop = &way.children[std::ffi::OsStr::new("srv")].children[std::ffi::OsStr::new("shop")];
        assert_eq!(shop.path, Path::new("/srv/shop"));
        assert!(!shop.is_target);
        assert!(shop.children.values().all(|child| child.is_target));
        assert!(lay_out(&["/".into()]).is_target);
    }
}
