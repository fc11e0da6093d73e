//! Newest-first walk over the date folders of records: a few listings, however long the ledger is.

use crate::error::Result;
use crate::model::release_id::ReleaseId;
use crate::storage::Storage;

/// Where releases are kept, each in a folder of its own.
pub(super) const RELEASES: &str = "releases";
/// Where runs that never held the lease are kept, one object each.
pub(super) const ATTEMPTS: &str = "attempts";

/// An iterator over the ids of records below [`RELEASES`] or [`ATTEMPTS`], greatest id first.
///
/// Listings are made as the walk gets to them. Names that are not ours are passed over.
pub(super) struct Walk<'a> {
    storage: &'a dyn Storage,
    root: &'static str,
    /// Folders still to be listed, the newest last; relative to `root`.
    folders: Vec<String>,
    /// Ids of the current day, the newest last.
    ids: Vec<ReleaseId>,
    /// Only ids that start with this.
    prefix: String,
}

impl<'a> Walk<'a> {
    /// Starts a walk below `root` over the ids that start with `prefix` (all, for `""`).
    pub(super) fn new(storage: &'a dyn Storage, root: &'static str, prefix: &str) -> Self {
        Self { storage, root, folders: vec![String::new()], ids: Vec::new(), prefix: prefix.to_owned() }
    }

    /// Lists one folder: of dates into `folders`, of a day into `ids`.
    fn enter(&mut self, folder: &str) -> Result<()> {
        let digits: String = folder.chars().filter(char::is_ascii_digit).collect();
        let width = match digits.len() {
            0 => 4,
            8 => return self.enter_day(folder),
            _ => 2,
        };
        let path = if folder.is_empty() { self.root.to_owned() } else { format!("{}/{folder}", self.root) };
        for name in self.storage.list_names(&path)? {
            let Some(name) = name.strip_suffix('/') else { continue };
            let is_date = name.len() == width && name.bytes().all(|b| b.is_ascii_digit());
            if is_date && agree(&format!("{digits}{name}"), &self.prefix) {
                self.folders.push(if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") });
            }
        }
        Ok(())
    }

    fn enter_day(&mut self, folder: &str) -> Result<()> {
        for name in self.storage.list_names(&format!("{}/{folder}", self.root))? {
            let Some(text) = name.strip_suffix('/').or_else(|| name.strip_suffix(".json")) else { continue };
            let Ok(id) = ReleaseId::parse(text) else { continue };
            if id.date_path() == folder && text.starts_with(&self.prefix) {
                self.ids.push(id);
            }
        }
        // A folder's `/` and an object's `.json` sort otherwise than the ids alone.
        self.ids.sort_unstable();
        Ok(())
    }
}

/// Says whether two texts are equal as far as both go.
fn agree(one: &str, two: &str) -> bool {
    one.starts_with(two) || two.starts_with(one)
}

impl Iterator for Walk<'_> {
    type Item = Result<ReleaseId>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(id) = self.ids.pop() {
                return Some(Ok(id));
            }
            let folder = self.folders.pop()?;
            if let Err(error) = self.enter(&folder) {
                self.folders.clear();
                return Some(Err(error));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Class, LocalStorage, PutMode};
    use bytes::Bytes;

    #[test]
    fn ids_come_newest_first_and_foreign_names_are_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let storage = LocalStorage::new(directory.path()).unwrap();
        let put = |key: &str| {
            storage.put(key, &Bytes::from_static(b"x"), PutMode::CreateOnly, Class::Record).map(drop).unwrap()
        };
        let ids =
            ["20251231T235959Z-1.0.0-aaaaaaaa", "20261120T100000Z-1.1.0-bbbbbbbb", "20261120T110000Z-1.2.0-cccccccc"];
        for id in ids {
            put(&format!("releases/{}/{id}/manifest.json", ReleaseId::parse(id).unwrap().date_path()));
        }
        put("releases/2026/11/20/notes.txt");
        put("releases/2026/11/20/stray/manifest.json");
        put("releases/2026/11/21/20261120T120000Z-1.2.0-dddddddd/manifest.json");
        put("releases/lost+found/x");
        let walk = |prefix: &str| -> Vec<String> {
            Walk::new(&storage, RELEASES, prefix).map(|id| id.unwrap().to_string()).collect()
        };
        assert_eq!(walk(""), [ids[2], ids[1], ids[0]]);
        assert_eq!(walk("2025"), [ids[0]]);
        assert_eq!(walk("20261120T11"), [ids[2]]);
        assert!(walk("nothing").is_empty());
        assert_eq!(Walk::new(&storage, ATTEMPTS, "").count(), 0);
    }
}
