//! Listings: as many pages as there are, several at once where there are many.

use super::super::Entry;
use super::super::many::ask_all;
use super::S3Storage;
use super::failure::Failure;
use crate::error::Result;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::Object;
use jiff::Timestamp;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering::Relaxed;

/// The folders that packs are spread over, by the first digit of their names.
const DIGITS: &str = "0123456789abcdef";

/// What a listing asks for.
#[derive(Default)]
struct Question<'a> {
    /// What the keys begin with, the storage's own prefix included.
    whole: &'a str,
    /// Whether folders are listed and not what is in them.
    folders: bool,
    /// Only keys that sort after this one.
    after: Option<String>,
}

impl S3Storage {
    /// Lists every object below `prefix`.
    pub(super) fn entries(&self, prefix: &str) -> Result<Vec<Entry>> {
        let whole = self.folder(prefix);
        let mut entries = Vec::new();
        let mut is_cut = false;
        let first = Question { whole: &whole, ..Question::default() };
        self.pages(prefix, &first, |page| {
            is_cut = page.is_truncated.unwrap_or(false);
            entries.extend(page.contents.unwrap_or_default().into_iter().filter_map(|object| self.entry(object)));
            ControlFlow::Break(())
        })?;
        if is_cut {
            // One page after the other takes too long. Most objects are packs, whose names are spread evenly: what comes
            // after the first page is listed by the first digit, and all that begins otherwise between them.
            entries = self.entries_by_digit(prefix, &whole)?;
        }
        entries.sort_unstable_by(|one, two| one.key.cmp(&two.key));
        Ok(entries)
    }

    /// Lists every object below `whole`, in as many rows of pages at once as there are digits.
    fn entries_by_digit(&self, prefix: &str, whole: &str) -> Result<Vec<Entry>> {
        // A row goes from the objects that begin with its digit to those that begin with the next one.
        let mut starts: Vec<String> = DIGITS.chars().map(|digit| format!("{whole}{digit}")).collect();
        starts.insert(0, String::new());
        let rows: Vec<(String, Option<String>)> =
            starts.iter().cloned().zip(starts.iter().skip(1).cloned().map(Some).chain([None])).collect();
        let width = self.settings.connections;
        let listed = ask_all(width, &rows, self.calls.cancel(), |(start, end)| {
            let after = (!start.is_empty()).then(|| start.clone());
            let mut entries = Vec::new();
            let mut take = |object: Object| {
                let key = object.key.clone().unwrap_or_default();
                let is_over = end.as_ref().is_some_and(|end| key > *end);
                if !is_over {
                    entries.extend(self.entry(object));
                }
                is_over
            };
            self.pages(prefix, &Question { whole, after, folders: false }, |page| {
                let is_over = page.contents.unwrap_or_default().into_iter().any(&mut take);
                if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            Ok(entries)
        })?;
        Ok(listed.into_iter().flatten().collect())
    }

    fn entry(&self, object: Object) -> Option<Entry> {
        let key = object.key.as_deref()?.get(self.skip()..)?.to_owned();
        let modified = object.last_modified.and_then(|time| Timestamp::from_second(time.secs()).ok());
        Some(Entry {
            key,
            size: object.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
            modified: modified.unwrap_or(Timestamp::UNIX_EPOCH),
        })
    }

    /// Lists the names directly below `prefix`; folders end with `/`.
    pub(super) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        self.names_after(prefix, "", usize::MAX)
    }

    /// Lists the first names directly below `prefix` that sort after `after`.
    pub(super) fn names_after(&self, prefix: &str, after: &str, most: usize) -> Result<Vec<String>> {
        let whole = self.folder(prefix);
        let mut names = Vec::new();
        let start = (!after.is_empty()).then(|| format!("{whole}{after}"));
        self.pages(prefix, &Question { whole: &whole, folders: true, after: start }, |page| {
            let objects = page.contents.unwrap_or_default().into_iter().filter_map(|object| object.key);
            let folders = page.common_prefixes.unwrap_or_default().into_iter().filter_map(|folder| folder.prefix);
            let below = objects.chain(folders).filter_map(|key| key.get(whole.len()..).map(str::to_owned));
            // The folder that `after` is in, or is, comes once more.
            names.extend(below.filter(|name| !name.is_empty() && name.as_str() > after));
            if names.len() >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        names.sort_unstable();
        names.truncate(most);
        Ok(names)
    }

    /// Returns what the keys below `prefix` begin with in the bucket.
    fn folder(&self, prefix: &str) -> String {
        match self.key(prefix) {
            empty if empty.is_empty() => empty,
            folder => folder + "/",
        }
    }

    /// Returns the length of what all keys of this storage begin with.
    fn skip(&self) -> usize {
        match self.settings.location.prefix.len() {
            0 => 0,
            length => length + 1,
        }
    }

    /// Hands the pages of a listing to `take`, until it has enough.
    fn pages(
        &self,
        prefix: &str,
        question: &Question<'_>,
        mut take: impl FnMut(ListObjectsV2Output) -> ControlFlow<()>,
    ) -> Result<()> {
        let subject = self.subject("list", prefix);
        let mut token: Option<String> = None;
        loop {
            let answered = self.calls.request(&subject, async |_| {
                let request = self.client().list_objects_v2().bucket(self.bucket()).prefix(question.whole);
                let request = request
                    .set_delimiter(question.folders.then(|| "/".to_owned()))
                    .set_start_after(question.after.clone())
                    .set_continuation_token(token.clone());
                request.send().await.map_err(|error| Failure::read(&subject, error))
            })?;
            // A bucket that is empty says so; this is a place where there is none.
            let page = answered.found().ok_or_else(|| self.no_bucket(&subject))?;
            self.is_known.store(true, Relaxed);
            token = page.next_continuation_token.clone().filter(|_| page.is_truncated.unwrap_or(false));
            if take(page).is_break() || token.is_none() {
                return Ok(());
            }
        }
    }
}
