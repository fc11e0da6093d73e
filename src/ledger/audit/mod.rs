//! The audit of an environment: create-only lines `audit/FOLDER/NUMBER.json`, each of which names the digest of the one
//! before it.
//!
//! Nobody needs a lease to write a line: of several that create the same number one succeeds, and the others take the
//! next one. `audit/head.json` names the newest line, or one that was it a moment ago: whoever writes goes on from there,
//! and whoever verifies sees that the line which it names was removed or altered. Where it is missing, the newest line is
//! found by two listings: a folder holds a thousand lines.

mod kept;
mod read;
#[cfg(test)]
mod tests;
mod verify;

pub use kept::{Kept, kept};
pub use read::ReadLine;
pub use verify::{Audit, Problem};

use super::manifest::digest;
use super::releases::{Ledger, unwritable};
use crate::error::{Error, ErrorCode, Result};
use crate::model::audit::{AuditLine, AuditLink, LINES_OF_A_FOLDER as FOLDER};
use crate::storage::{Class, PutMode, PutOutcome, ReadFrom};

/// Where the lines are.
const AUDIT: &str = "audit";
/// Where the newest line is named.
const HEAD: &str = "audit/head.json";
/// How often a number that is taken, and by whom cannot be seen, is looked at again.
const TRIES: usize = 5;
/// How many lines may be followed one by one before the newest is looked for.
const STEPS: usize = 5;

/// A line that the store holds.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenLine {
    /// The line, with its place in the chain.
    pub line: AuditLine,
    /// Its bytes, with the final line break.
    pub bytes: Vec<u8>,
    /// Where the next one goes on.
    pub link: AuditLink,
}

impl Ledger {
    /// Returns the number and digest of the newest line, as far as is known: others may have written since.
    ///
    /// # Errors
    /// The store's own.
    pub fn audit_end(&self) -> Result<AuditLink> {
        match self.audit_head()? {
            Some(head) => Ok(head),
            None => self.listed_end(),
        }
    }

    /// Returns what the head says; `None` if it is not there or says nothing.
    fn audit_head(&self) -> Result<Option<AuditLink>> {
        let bytes = self.storage.get(HEAD, ReadFrom::Anywhere)?;
        let head: Option<AuditLink> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(head.filter(|head| head.number > 0 && head.digest.is_some()))
    }

    /// Looks for the newest line. Its content may be damaged: the chain goes on over what is there.
    fn listed_end(&self) -> Result<AuditLink> {
        let mut folders = self.audit_folders()?;
        // A folder without a line is what a crash leaves behind.
        while let Some(folder) = folders.pop() {
            let Some(number) = self.audit_numbers(folder)?.pop() else { continue };
            if let Some(bytes) = self.audit_bytes(number)? {
                return Ok(AuditLink { number, digest: Some(digest(&bytes)) });
            }
            let message = format!("line {number} of the audit is listed and cannot be read");
            return Err(Error::new(ErrorCode::ManifestInvalid, message).hint("find out who can write to the store"));
        }
        Ok(AuditLink::default())
    }

    /// Writes a line after the newest one; `end` is where that was seen, if it was looked for already. Anybody may call
    /// this: of several at once each gets a number of its own.
    ///
    /// # Errors
    /// The store's own: then it is not known to be written. `store-unavailable` if a number is taken by what cannot be
    /// seen.
    pub fn append_audit(&self, end: Option<AuditLink>, line: &AuditLine) -> Result<WrittenLine> {
        let mut end = match end {
            Some(end) => end,
            None => self.audit_end()?,
        };
        let (mut unseen, mut steps) = (0, 0);
        loop {
            let number = end.number + 1;
            let line = AuditLine { number, previous: end.digest.clone(), ..line.clone() };
            let bytes = line.to_json().map_err(unwritable)?;
            let key = key(number);
            let there = match self.storage.put(&key, &bytes.clone().into(), PutMode::CreateOnly, Class::Record) {
                Ok(PutOutcome::Written) => Some(bytes.clone()),
                Ok(PutOutcome::Exists) => self.audit_bytes(number)?,
                // Only the answer may have been lost.
                Err(error) => match self.audit_bytes(number) {
                    Ok(Some(there)) if there == bytes => Some(there),
                    _ => return Err(error),
                },
            };
            match there {
                Some(there) if there == bytes => {
                    let link = AuditLink { number, digest: Some(digest(&bytes)) };
                    let head = serde_json::to_vec(&link).map_err(unwritable)?;
                    // The line is written; whoever finds an older head follows the lines from there.
                    let _ = self.storage.put(HEAD, &head.into(), PutMode::Overwrite, Class::Transient);
                    return Ok(WrittenLine { line, bytes, link });
                }
                // Far behind: the head could not be written for a while.
                Some(_) if steps == STEPS => {
                    steps += 1;
                    end = self.listed_end()?;
                }
                // Somebody else was faster: ours follows theirs.
                Some(there) => {
                    steps += 1;
                    end = AuditLink { number, digest: Some(digest(&there)) };
                }
                None if unseen < TRIES => {
                    unseen += 1;
                    end = self.listed_end()?;
                }
                None => {
                    let message = format!("the store says that there is {key}, and does not show it");
                    return Err(Error::new(ErrorCode::StoreUnavailable, message)
                        .hint("see whether the credentials may read what they write"));
                }
            }
        }
    }

    /// Returns the numbers of the folders, the greatest last.
    fn audit_folders(&self) -> Result<Vec<u64>> {
        let names = self.storage.list_names(AUDIT)?;
        let mut folders: Vec<u64> = names.iter().filter_map(|name| digits(name.strip_suffix('/')?, 6)).collect();
        folders.sort_unstable();
        Ok(folders)
    }

    /// Returns the numbers of the lines of a folder, the greatest last.
    fn audit_numbers(&self, folder: u64) -> Result<Vec<u64>> {
        let names = self.storage.list_names(&format!("{AUDIT}/{folder:06}"))?;
        let number = |name: &String| digits(name.strip_suffix(".json")?, 9);
        let mut numbers: Vec<u64> =
            names.iter().filter_map(number).filter(|number| number / FOLDER == folder).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn audit_bytes(&self, number: u64) -> Result<Option<Vec<u8>>> {
        self.storage.get(&key(number), ReadFrom::Anywhere)
    }
}

/// Reads a number that is written with at least `least` digits.
fn digits(text: &str, least: usize) -> Option<u64> {
    (text.len() >= least && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn key(number: u64) -> String {
    format!("{AUDIT}/{:06}/{number:09}.json", number / FOLDER)
}
