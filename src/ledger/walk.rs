//! Newest-first walk over the date folders of records: a few listings, however long the ledger is.

use crate::cancel::Cancel;
use crate::error::Result;
use crate::model::release_id::ReleaseId;
use crate::storage::Storage;
use crate::storage::many::ask_all;

/// Where releases are kept, each in a folder of its own.
pub(super) const RELEASES: &str = "releases";
/// Where runs that never held the lease are kept, one object each.
pub(super) const ATTEMPTS: &str = "attempts";
/// How many names are asked for at once: a page of S3. A day that has more is walked hour by hour.
const PAGE: usize = 1000;
/// The hours of a day.
const HOURS: u32 = 24;

/// An iterator over the ids of records below [`RELEASES`] or [`ATTEMPTS`], greatest id first.
///
/// Listings are made as the walk gets to them. Names that are not ours are passed over.
pub(super) struct Walk<'a> {
    storage: &'a dyn Storage,
    root: &'static str,
    /// What is still to be walked, the newest last.
    parts: Vec<Part>,
    /// Ids that were listed, the newest last.
    ids: Vec<ReleaseId>,
    /// Only ids that start with this.
    prefix: String,
}

/// A part of a ledger.
enum Part {
    /// A folder of years, months or days, or a day; relative to the root.
    Folder(String),
    /// One hour of a day that is too long for one listing.
    Hour { day: String, hour: u32 },
    /// Ids that were listed already, the newest last.
    Ids(Vec<ReleaseId>),
}

impl<'a> Walk<'a> {
    /// Starts a walk below `root` over the ids that start with `prefix` (all, for `""`).
    pub(super) fn new(storage: &'a dyn Storage, root: &'static str, prefix: &str) -> Self {
        let parts = vec![Part::Folder(String::new())];
        Self { storage, root, parts, ids: Vec::new(), prefix: prefix.to_owned() }
    }

    /// Starts a walk below `root` over the ids of the second in which `id` is, and of all later ones: four listings at
    /// once, each of which shows what came after.
    ///
    /// # Errors
    /// The store's own.
    pub(super) fn since(storage: &'a dyn Storage, root: &'static str, id: &ReleaseId) -> Result<Self> {
        let mut walk = Self { storage, root, parts: Vec::new(), ids: Vec::new(), prefix: String::new() };
        let (second, day) = (second(id), id.date_path());
        let folder = |depth: usize| day.split('/').take(depth).collect::<Vec<_>>().join("/");
        let name = |depth: usize| day.split('/').nth(depth).map(|name| format!("{name}/")).unwrap_or_default();
        // Nothing is between a second and its first id, so the second itself is where that listing starts.
        let listings: Vec<(String, String)> =
            vec![(folder(3), second.to_owned()), (folder(2), name(2)), (folder(1), name(1)), (folder(0), name(0))];
        let listed = ask_all(listings.len(), &listings, &Cancel::new(), |(folder, after)| walk.names(folder, after))?;
        for ((folder, after), names) in listings.into_iter().zip(listed) {
            if folder == day {
                let part = match names.len() {
                    0..PAGE => Part::Ids(walk.ids_in(&day, &names)),
                    _ => Part::Ids(walk.rest_of(&day, &after, &names, None)?),
                };
                walk.parts.push(part);
            } else {
                walk.push_folders(&folder, &names);
            }
        }
        Ok(walk)
    }

    /// Lists the first names of a folder that come after `after`.
    fn names(&self, folder: &str, after: &str) -> Result<Vec<String>> {
        self.storage.list_names_after(&self.path(folder), after, PAGE)
    }

    fn path(&self, folder: &str) -> String {
        if folder.is_empty() { self.root.to_owned() } else { format!("{}/{folder}", self.root) }
    }

    /// Lists one part: of dates into `parts`, of a day into `ids`.
    fn enter(&mut self, part: Part) -> Result<()> {
        match part {
            Part::Ids(ids) => self.ids = ids,
            Part::Hour { day, hour } => {
                let date: String = day.chars().filter(char::is_ascii_digit).collect();
                let (after, until) = (format!("{date}T{hour:02}"), format!("{date}T{:02}", hour + 1));
                let names = self.names(&day, &after)?;
                self.ids = self.rest_of(&day, &after, &names, Some(&until))?;
            }
            Part::Folder(folder) => {
                let names = self.names(&folder, "")?;
                if folder.len() < "2026/11/20".len() {
                    self.push_folders(&folder, &names);
                } else if names.len() < PAGE {
                    self.ids = self.ids_in(&folder, &names);
                } else {
                    self.parts.extend((0..HOURS).map(|hour| Part::Hour { day: folder.clone(), hour }));
                }
            }
        }
        Ok(())
    }

    /// Goes on with a listing of a day after `names`, page by page, up to `until`; returns the ids.
    fn rest_of(&self, day: &str, after: &str, names: &[String], until: Option<&str>) -> Result<Vec<ReleaseId>> {
        let is_over = |name: &String| until.is_some_and(|until| name.as_str() > until);
        let mut all: Vec<String> = names.iter().filter(|name| !is_over(name)).cloned().collect();
        let (mut count, mut last) = (names.len(), names.last().cloned().unwrap_or(after.to_owned()));
        while count >= PAGE && !is_over(&last) {
            let more = self.names(day, &last)?;
            count = more.len();
            last = more.last().cloned().unwrap_or(last);
            all.extend(more.into_iter().filter(|name| !is_over(name)));
        }
        Ok(self.ids_in(day, &all))
    }

    /// Adds the folders of dates among `names`.
    fn push_folders(&mut self, folder: &str, names: &[String]) {
        let digits: String = folder.chars().filter(char::is_ascii_digit).collect();
        let width = if digits.is_empty() { 4 } else { 2 };
        for name in names {
            let Some(name) = name.strip_suffix('/') else { continue };
            let is_date = name.len() == width && name.bytes().all(|b| b.is_ascii_digit());
            if is_date && agree(&format!("{digits}{name}"), &self.prefix) {
                let folder = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
                self.parts.push(Part::Folder(folder));
            }
        }
    }

    /// Returns the ids among the names of a day, the newest last.
    fn ids_in(&self, day: &str, names: &[String]) -> Vec<ReleaseId> {
        let id = |name: &String| {
            let text = name.strip_suffix('/').or_else(|| name.strip_suffix(".json"))?;
            let id = ReleaseId::parse(text).ok()?;
            (id.date_path() == day && text.starts_with(&self.prefix)).then_some(id)
        };
        let mut ids: Vec<ReleaseId> = names.iter().filter_map(id).collect();
        // A folder's `/` and an object's `.json` sort otherwise than the ids alone.
        ids.sort_unstable();
        ids
    }
}

/// Returns the second in which a release started, as text that sorts.
pub(super) fn second(id: &ReleaseId) -> &str {
    id.as_str().split('-').next().unwrap_or_default()
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
            let part = self.parts.pop()?;
            if let Err(error) = self.enter(part) {
                self.parts.clear();
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
