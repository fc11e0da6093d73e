//! Listings: as many pages as there are.

use super::super::Entry;
use super::S3Storage;
use super::failure::Failure;
use crate::error::Result;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use jiff::Timestamp;
use std::sync::atomic::Ordering::Relaxed;

impl S3Storage {
    /// Lists every object below `prefix`.
    pub(super) fn entries(&self, prefix: &str) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        self.pages(prefix, None, |page, skip| {
            for object in page.contents.unwrap_or_default() {
                let Some(key) = object.key.as_deref().and_then(|key| key.get(skip..)) else { continue };
                let modified = object.last_modified.and_then(|time| Timestamp::from_second(time.secs()).ok());
                entries.push(Entry {
                    key: key.to_owned(),
                    size: object.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                    modified: modified.unwrap_or(Timestamp::UNIX_EPOCH),
                });
            }
        })?;
        entries.sort_unstable_by(|one, two| one.key.cmp(&two.key));
        Ok(entries)
    }

    /// Lists the names directly below `prefix`; folders end with `/`.
    pub(super) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let below = if prefix.is_empty() { 0 } else { prefix.len() + 1 };
        self.pages(prefix, Some("/"), |page, skip| {
            let objects = page.contents.unwrap_or_default().into_iter().filter_map(|object| object.key);
            let folders = page.common_prefixes.unwrap_or_default().into_iter().filter_map(|folder| folder.prefix);
            names.extend(
                objects
                    .chain(folders)
                    .filter_map(|key| key.get(skip + below..).filter(|name| !name.is_empty()).map(str::to_owned)),
            );
        })?;
        names.sort_unstable();
        Ok(names)
    }

    /// Hands every page of a listing to `take`, with the length of what all keys of this storage begin with.
    fn pages(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        mut take: impl FnMut(ListObjectsV2Output, usize),
    ) -> Result<()> {
        let whole = match self.key(prefix) {
            empty if empty.is_empty() => empty,
            folder => folder + "/",
        };
        let skip = match self.settings.location.prefix.len() {
            0 => 0,
            length => length + 1,
        };
        let subject = self.subject("list", prefix);
        let mut token: Option<String> = None;
        loop {
            let answered = self.calls.request(&subject, async |_| {
                let request = self.client().list_objects_v2().bucket(self.bucket()).prefix(&whole);
                let request = request.set_delimiter(delimiter.map(str::to_owned)).set_continuation_token(token.clone());
                request.send().await.map_err(|error| Failure::read(&subject, error))
            })?;
            // A bucket that is empty says so; this is a place where there is none.
            let mut page = answered.found().ok_or_else(|| self.no_bucket(&subject))?;
            self.is_known.store(true, Relaxed);
            token = page.next_continuation_token.take().filter(|_| page.is_truncated.unwrap_or(false));
            take(page, skip);
            if token.is_none() {
                return Ok(());
            }
        }
    }
}
