//! What a bucket with versions keeps without showing it.

use super::super::{Hidden, HiddenBy};
use super::S3Storage;
use super::failure::Failure;
use crate::error::Result;
use aws_sdk_s3::primitives::DateTime;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// All that there is under one key, in the order of the server: the newest first.
#[derive(Debug, Default)]
pub(super) struct Group {
    versions: Vec<Version>,
    markers: Vec<Marker>,
}

#[derive(Debug)]
struct Version {
    id: String,
    size: u64,
    modified: Timestamp,
    is_latest: bool,
}

#[derive(Debug)]
struct Marker {
    id: String,
    modified: Timestamp,
    is_latest: bool,
}

impl Group {
    /// Returns the ids of all versions and delete markers.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.versions
            .iter()
            .map(|version| version.id.as_str())
            .chain(self.markers.iter().map(|marker| marker.id.as_str()))
    }

    /// Says whether nothing was there when a version was written. Their order in the listing is that in which the server
    /// took them; their times are not.
    fn is_first(&self, id: &str) -> bool {
        let mut versions = self.versions.iter().skip_while(|version| version.id != id);
        let Some(own) = versions.next() else { return false };
        let is_deleted = |older: &Version| {
            self.markers.iter().any(|marker| marker.modified >= older.modified && marker.modified <= own.modified)
        };
        versions.all(is_deleted)
    }

    /// Returns the ids of the versions that no marker is above, the first one first.
    fn standing(&self) -> Vec<String> {
        let is_deleted = |version: &&Version| self.markers.iter().any(|marker| marker.modified >= version.modified);
        self.versions.iter().rev().skip_while(is_deleted).map(|version| version.id.clone()).collect()
    }

    /// Returns what of it no read finds.
    fn hidden(self, key: &str) -> Vec<Hidden> {
        let hidden = |version: Version, by| {
            let Version { id, size, modified, .. } = version;
            Hidden { key: key.to_owned(), version: id, size, modified, by }
        };
        let mut versions = self.versions;
        // What the server says is the latest counts, whatever its order.
        versions.sort_by_key(|version| !version.is_latest);
        let mut versions = versions.into_iter();
        let Some(newest) = versions.next() else { return Vec::new() };
        let (over, mut found) = if self.markers.iter().any(|marker| marker.is_latest) {
            // Those that are older than the newest version hide nothing more.
            let above = self.markers.into_iter().filter(|marker| marker.is_latest || marker.modified > newest.modified);
            let by = HiddenBy::Markers(above.map(|marker| marker.id).collect());
            (newest.id.clone(), vec![hidden(newest, by)])
        } else {
            (newest.id, Vec::new())
        };
        found.extend(versions.map(|older| hidden(older, HiddenBy::Newer(over.clone()))));
        found
    }
}

impl S3Storage {
    /// Lists what is deleted or overwritten below `prefix`, and still there.
    pub(super) fn hidden_versions(&self, prefix: &str) -> Result<Vec<Hidden>> {
        let folder = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let groups = self.versions(&folder)?;
        Ok(groups.into_iter().flat_map(|(key, group)| group.hidden(&key)).collect())
    }

    /// Says whether nothing was under a key when one version of it was written.
    pub(super) fn is_first(&self, key: &str, version: &str) -> Result<bool> {
        Ok(self.versions(key)?.get(key).is_some_and(|group| group.is_first(version)))
    }

    /// Returns the versions under a key that nothing has deleted, the first one first.
    pub(super) fn standing(&self, key: &str) -> Result<Vec<String>> {
        Ok(self.versions(key)?.get(key).map(Group::standing).unwrap_or_default())
    }

    /// Reads one version of an object; `None` if it is gone.
    pub(super) fn read_version(&self, key: &str, version: &str) -> Result<Option<Vec<u8>>> {
        self.read(key, None, Some(version.to_owned()))
    }

    /// Lists every version and delete marker of the keys that begin with `prefix`.
    pub(super) fn versions(&self, prefix: &str) -> Result<BTreeMap<String, Group>> {
        let mut groups = BTreeMap::<String, Group>::new();
        let subject = self.subject("list the versions of", prefix);
        let skip = self.key("x").len() - 1;
        let whole = format!("{}{prefix}", self.key("x").get(..skip).unwrap_or_default());
        let mut after: (Option<String>, Option<String>) = (None, None);
        loop {
            let answered = self.calls.request(&subject, async |_| {
                let request = self.client().list_object_versions().bucket(self.bucket()).prefix(&whole);
                let request = request.set_key_marker(after.0.clone()).set_version_id_marker(after.1.clone());
                request.send().await.map_err(|error| Failure::read(&subject, error))
            })?;
            let Some(page) = answered.found() else { break };
            let own = |key: Option<String>| key.and_then(|key| key.get(skip..).map(str::to_owned));
            for version in page.versions.unwrap_or_default() {
                let (Some(key), Some(id)) = (own(version.key), version.version_id) else { continue };
                let size = version.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
                let modified = time(version.last_modified.as_ref());
                let is_latest = version.is_latest.unwrap_or(false);
                groups.entry(key).or_default().versions.push(Version { id, size, modified, is_latest });
            }
            for marker in page.delete_markers.unwrap_or_default() {
                let (Some(key), Some(id)) = (own(marker.key), marker.version_id) else { continue };
                let modified = time(marker.last_modified.as_ref());
                let is_latest = marker.is_latest.unwrap_or(false);
                groups.entry(key).or_default().markers.push(Marker { id, modified, is_latest });
            }
            after = (page.next_key_marker, page.next_version_id_marker);
            if !page.is_truncated.unwrap_or(false) || after.0.is_none() {
                break;
            }
        }
        Ok(groups)
    }
}

/// Returns a server's time; one that it leaves out is long ago.
fn time(time: Option<&DateTime>) -> Timestamp {
    time.and_then(|time| Timestamp::from_nanosecond(time.as_nanos()).ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(id: &str, second: i64, is_latest: bool) -> Version {
        Version { id: id.to_owned(), size: 1, modified: Timestamp::from_second(second).unwrap(), is_latest }
    }

    fn marker(id: &str, second: i64, is_latest: bool) -> Marker {
        Marker { id: id.to_owned(), modified: Timestamp::from_second(second).unwrap(), is_latest }
    }

    fn hidden(versions: Vec<Version>, markers: Vec<Marker>) -> Vec<(String, HiddenBy)> {
        let hidden = Group { versions, markers }.hidden("k");
        hidden.into_iter().map(|hidden| (hidden.version, hidden.by)).collect()
    }

    #[test]
    fn what_hides_an_object() {
        let newer = |id: &str| HiddenBy::Newer(id.to_owned());
        let markers = |ids: &[&str]| HiddenBy::Markers(ids.iter().map(|&id| id.to_owned()).collect());
        assert_eq!(hidden(vec![version("a", 1, true)], vec![]), []);
        assert_eq!(hidden(vec![version("b", 2, true), version("a", 1, false)], vec![]), [("a".into(), newer("b"))]);
        let twice = vec![marker("n", 4, true), marker("m", 3, false), marker("l", 1, false)];
        assert_eq!(
            hidden(vec![version("b", 2, false), version("a", 0, false)], twice),
            [("b".into(), markers(&["n", "m"])), ("a".into(), newer("b"))]
        );
        assert_eq!(hidden(vec![], vec![marker("m", 1, true)]), []);
        // One that was written again over its marker is there.
        assert_eq!(hidden(vec![version("b", 3, true)], vec![marker("m", 2, false)]), []);
    }
    #[test]
    fn who_was_first() {
        let first = |versions: Vec<Version>, markers: Vec<Marker>, id: &str| Group { versions, markers }.is_first(id);
        let two = || vec![version("b", 1, true), version("a", 2, false)];
        assert!(first(two(), vec![], "a") && !first(two(), vec![], "b"));
        assert!(!first(two(), vec![], "c"));
        let standing = |versions, markers| Group { versions, markers }.standing();
        assert_eq!(standing(two(), vec![]), ["a", "b"]);
        assert_eq!(standing(vec![version("c", 5, true), version("a", 1, false)], vec![marker("m", 3, false)]), ["c"]);
        let again = || vec![version("c", 5, true), version("b", 4, false), version("a", 1, false)];
        let marker = || vec![marker("m", 3, false)];
        assert!(first(again(), marker(), "b") && !first(again(), marker(), "c"));
    }
}
