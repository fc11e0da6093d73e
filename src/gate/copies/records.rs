//! The release records of a copy: manifests in the order of their chain, then what lies beside them, `head.json` last.

use super::super::place::Place;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::ledger::Ledger;
use crate::model::manifest::Previous;
use crate::model::release_id::ReleaseId;
use crate::repository::Workers;
use crate::repository::copy::{Tally, Trust};
use crate::storage::transfer::{conflict, put_verified};
use crate::storage::{Class, Entry, PutMode, ReadFrom, SharedStorage};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

const HEAD: &str = "head.json";
const RELEASES: &str = "releases";
const ATTEMPTS: &str = "attempts";
const AUDIT: &str = "audit";
const AUDIT_HEAD: &str = "audit/head.json";
const MANIFEST: &str = "manifest.json";

/// How many releases a copy may lack before listing all of them costs fewer requests than following the chain.
const MANY: usize = 50;

/// Which records are brought up to date.
#[derive(Debug, Clone)]
pub enum Scope {
    /// All of them.
    Everything,
    /// This release, those before it down to the newest that the copy had when it was last whole, and what lies beside them.
    Chain(Option<Previous>),
}

/// The records that have to be looked at.
#[derive(Debug)]
pub(super) struct Records {
    from: SharedStorage,
    to: SharedStorage,
    source: Vec<Entry>,
    there: BTreeMap<String, Entry>,
    head: Option<Vec<u8>>,
    /// The head of the audit.
    audit_head: Option<Vec<u8>>,
    /// Whether what is missing is written; otherwise what is there is read only.
    pub(super) writes: bool,
}

/// The part of a record that its place must agree with.
#[derive(Deserialize)]
struct Named {
    id: String,
    #[serde(default)]
    previous: Option<Previous>,
}

impl Records {
    /// Lists the records of both sides; what is younger is left for the next time.
    ///
    /// # Errors
    /// The storages' own; a cancellation.
    pub(super) fn list(store: &Place, copy: &Place, scope: &Scope, trust: &Trust, cancel: &Cancel) -> Result<Self> {
        let (from, to) = (store.ledger_storage(), copy.ledger_storage());
        // Before the releases, so that the one it names is among them.
        let head = from.get(HEAD, ReadFrom::Anywhere)?;
        let audit_head = from.get(AUDIT_HEAD, ReadFrom::Anywhere)?;
        let (source, there) = (Vec::new(), BTreeMap::new());
        let mut records = Self { from, to, source, there, head, audit_head, writes: true };
        match scope {
            Scope::Everything => {
                records.add(RELEASES, trust)?;
                records.add(ATTEMPTS, trust)?;
                records.add(AUDIT, trust)?;
            }
            Scope::Chain(newest) => {
                records.follow(newest.as_ref(), trust, cancel)?;
                records.add_lines(trust, cancel)?;
            }
        }
        Ok(records)
    }

    /// Lists a folder on both sides; says whether the copy held a manifest in it when it was last whole.
    fn add(&mut self, folder: &str, trust: &Trust) -> Result<bool> {
        self.source.extend(self.from.list(folder)?);
        let there = self.to.list(folder)?;
        let had_manifest = there.iter().any(|entry| is_manifest(&entry.key) && trust.holds(entry.modified));
        self.there.extend(there.into_iter().map(|entry| (entry.key.clone(), entry)));
        Ok(had_manifest)
    }

    /// Lists the newest lines of the audit, back to the newest folder of which the copy has one.
    fn add_lines(&mut self, trust: &Trust, cancel: &Cancel) -> Result<()> {
        let mut next = Ledger::new(SharedStorage::clone(&self.from)).audit_end()?.folder();
        while let Some(folder) = next {
            cancel.check()?;
            let before = self.there.len();
            self.add(&format!("{AUDIT}/{folder:06}"), trust)?;
            next = folder.checked_sub(1).filter(|_| self.there.len() == before);
        }
        Ok(())
    }

    /// Goes back along the chain to the newest release that the copy had when it was last whole: a younger one may have
    /// been written while something before it was lacking.
    fn follow(&mut self, newest: Option<&Previous>, trust: &Trust, cancel: &Cancel) -> Result<()> {
        let mut next = newest.map(|previous| previous.id.clone());
        let mut lacking = 0;
        while let Some(id) = next {
            cancel.check()?;
            lacking += 1;
            if lacking > MANY {
                (self.source, self.there) = (Vec::new(), BTreeMap::new());
                return self.add(RELEASES, trust).map(drop);
            }
            let folder = Ledger::folder(&id);
            let was_there = self.add(&folder, trust)?;
            let manifest = self.from.get(&format!("{folder}/{MANIFEST}"), ReadFrom::Anywhere)?;
            // What cannot be read names nothing before it; `copy` without a scope finds that.
            let named = manifest.and_then(|bytes| serde_json::from_slice::<Named>(&bytes).ok());
            next = named.and_then(|named| named.previous).map(|previous| previous.id).filter(|_| !was_there);
        }
        Ok(())
    }

    /// Copies what is missing, compares what is there.
    ///
    /// # Errors
    /// The storages' own; a cancellation. What is damaged or in the way is a problem in `tally`.
    pub(super) fn perform(&self, trust: &Trust, tally: &Tally, workers: &Workers<'_>) -> Result<()> {
        let known = |entry: &&Entry| is_manifest(&entry.key) || is_other(&entry.key);
        let (manifests, others): (Vec<_>, Vec<_>) =
            self.source.iter().filter(known).partition(|entry| is_manifest(&entry.key));
        let writes = self.manifests(&manifests, trust, tally, workers)?;
        workers.each(
            &others,
            || Ok(()),
            |(), entry| {
                let page = entry.key.ends_with(".html");
                tally.collect(self.one(entry, page, writes, trust, tally)).map(drop)
            },
        )?;
        if !tally.is_sound() {
            return Ok(());
        }
        // The lines that it names are there by now.
        if let Some(head) = &self.audit_head {
            self.hint(AUDIT_HEAD, head, tally)?;
        }
        match &self.head {
            // The hint is only a hint, but it must not name what is not there.
            Some(head) if self.names_what_is_there(head)? => self.hint(HEAD, head, tally),
            _ => Ok(()),
        }
    }

    /// Replaces a hint, if it says something else.
    fn hint(&self, key: &str, bytes: &[u8], tally: &Tally) -> Result<()> {
        if self.to.get(key, ReadFrom::Medium)?.as_deref() == Some(bytes) {
            tally.count(|report| report.present += 1);
            return Ok(());
        }
        self.write(key, bytes.to_vec(), PutMode::Overwrite, Class::Transient, tally)
    }

    /// Copies manifests one after the other, each after the one that it names as its previous. After the first problem
    /// none is written any more: what is newer could rest on what is lacking. Says whether there was no problem.
    fn manifests(&self, entries: &[&Entry], trust: &Trust, tally: &Tally, workers: &Workers<'_>) -> Result<bool> {
        let mut writes = self.writes;
        let mut left: BTreeMap<&str, &Entry> = entries.iter().map(|entry| (entry.key.as_str(), *entry)).collect();
        for first in entries {
            let mut chain: Vec<(&Entry, Option<Vec<u8>>)> = Vec::new();
            let mut next = left.remove(first.key.as_str());
            // Those of one second sort by version: the previous one may still be to come.
            while let Some(entry) = next {
                workers.cancel.check()?;
                let is_there = self.there.contains_key(&entry.key);
                let bytes = if is_there { None } else { self.from.get(&entry.key, ReadFrom::Anywhere)? };
                let named = bytes.as_deref().and_then(|bytes| serde_json::from_slice::<Named>(bytes).ok());
                let previous = named.and_then(|named| named.previous);
                next = previous.and_then(|id| left.remove(format!("{}/{MANIFEST}", Ledger::folder(&id.id)).as_str()));
                chain.push((entry, bytes));
            }
            for (entry, bytes) in chain.into_iter().rev() {
                let done = match bytes {
                    Some(_) if !writes => Ok(()),
                    Some(bytes) => check(&entry.key, &bytes)
                        .and_then(|()| self.write(&entry.key, bytes, PutMode::CreateOnly, Class::Record, tally)),
                    None => self.one(entry, false, writes, trust, tally),
                };
                writes &= tally.collect(done)?.is_some();
                workers.progress.add_items(1);
            }
        }
        Ok(writes)
    }

    /// Copies one record, or compares it with what is there. A page is replaced, everything else stays.
    fn one(&self, entry: &Entry, page: bool, writes: bool, trust: &Trust, tally: &Tally) -> Result<()> {
        let there = self.there.get(&entry.key);
        if let (Some(there), false) = (there, page)
            && there.size == entry.size
            && trust.holds(there.modified)
        {
            tally.count(|report| report.present += 1);
            return Ok(());
        }
        if there.is_none() && !writes {
            return Ok(());
        }
        // One that was removed since it was listed is not there.
        let Some(bytes) = self.from.get(&entry.key, ReadFrom::Anywhere)? else { return Ok(()) };
        check(&entry.key, &bytes)?;
        if there.is_some() {
            let size = bytes.len() as u64;
            let theirs = self.to.get(&entry.key, ReadFrom::Medium)?;
            match theirs {
                Some(theirs) if theirs == bytes => {
                    tally.read_back(size);
                    return Ok(());
                }
                Some(_) if !page => {
                    return Err(conflict(&*self.to, &entry.key, "is not what the source has under this name"));
                }
                _ => {}
            }
        }
        let (mode, class) =
            if page { (PutMode::Overwrite, Class::Transient) } else { (PutMode::CreateOnly, Class::Record) };
        self.write(&entry.key, bytes, mode, class, tally)
    }

    fn write(&self, key: &str, bytes: Vec<u8>, mode: PutMode, class: Class, tally: &Tally) -> Result<()> {
        let (size, digest) = (bytes.len() as u64, <[u8; 32]>::from(Sha256::digest(&bytes)));
        put_verified(&*self.to, key, bytes.into(), &digest, mode, class)?;
        tally.sent(size);
        Ok(())
    }

    fn names_what_is_there(&self, head: &[u8]) -> Result<bool> {
        let Ok(head) = serde_json::from_slice::<Previous>(head) else { return Ok(false) };
        let key = format!("{}/{MANIFEST}", Ledger::folder(&head.id));
        Ok(self.to.size(&key)?.is_some())
    }
}

/// Returns the id that the place of a record gives it, and the rest of its key.
fn id_and_rest(key: &str) -> Option<(&str, &str)> {
    let (_, rest) = key.split_once('/').filter(|(root, _)| [RELEASES, ATTEMPTS].contains(root))?;
    let (_date, name) = (rest.get(..10)?, rest.get(11..)?);
    match name.split_once('/') {
        Some(parts) => Some(parts),
        None => Some((name.strip_suffix(".json")?, "")),
    }
}

fn is_manifest(key: &str) -> bool {
    key.starts_with(RELEASES) && id_and_rest(key).is_some_and(|(id, rest)| rest == MANIFEST && is_id(id))
}

/// Says whether a key is that of a record beside a manifest, of an attempt, or of a line of the audit; other names are not ours.
fn is_other(key: &str) -> bool {
    is_line(key) || (id_and_rest(key).is_some_and(|(id, _)| is_id(id)) && !is_manifest(key))
}

/// Says whether a key is that of a line of the audit: `audit/FOLDER/NUMBER.json`.
fn is_line(key: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let name = key.strip_prefix(AUDIT).and_then(|rest| rest.strip_prefix('/')?.strip_suffix(".json"));
    name.and_then(|name| name.split_once('/')).is_some_and(|(folder, number)| digits(folder) && digits(number))
}

fn is_id(text: &str) -> bool {
    ReleaseId::parse(text).is_ok()
}

/// Makes sure that a record is what its place says: JSON, and a manifest that calls itself so.
fn check(key: &str, bytes: &[u8]) -> Result<()> {
    let damaged = |what: &str| {
        Error::new(ErrorCode::Damaged, format!("the record {key} {what}, and was not copied"))
            .hint("run `holdpoint releases` to see which records can be read")
    };
    let Some((id, rest)) = id_and_rest(key) else {
        let read = serde_json::from_slice::<serde::de::IgnoredAny>(bytes);
        return read.map(drop).map_err(|error| damaged("cannot be read").caused_by(error));
    };
    if rest == MANIFEST || rest.is_empty() {
        let named: Named = serde_json::from_slice(bytes).map_err(|error| damaged("cannot be read").caused_by(error))?;
        return if named.id == id { Ok(()) } else { Err(damaged(&format!("calls itself {}", named.id))) };
    }
    if rest.ends_with(".json") {
        let read = serde_json::from_slice::<serde::de::IgnoredAny>(bytes);
        return read.map(drop).map_err(|error| damaged("cannot be read").caused_by(error));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        let folder = "releases/2026/11/20/20261120T213000Z-1.4.0-3f9c2ab1";
        let attempt = "attempts/2026/11/20/20261120T213000Z-1.4.0-3f9c2ab1.json";
        assert!(is_manifest(&format!("{folder}/manifest.json")) && !is_other(&format!("{folder}/manifest.json")));
        for rest in ["manifest.json.sig", "manifest.html", "events/reconciled-1.json"] {
            assert!(is_other(&format!("{folder}/{rest}")) && !is_manifest(&format!("{folder}/{rest}")), "{rest}");
        }
        assert!(is_other(attempt) && !is_manifest(attempt));
        assert!(is_other("audit/000001/000001234.json"));
        for foreign in [
            "audit/head.json",
            "audit/000001/x.json",
            "releases/notes.txt",
            "releases/2026/11/20/stray/manifest.json",
            "lease/1.json",
            "head.json",
        ] {
            assert!(!is_other(foreign) && !is_manifest(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_record_that_is_not_what_its_place_says_is_damaged() {
        let key = "releases/2026/11/20/20261120T213000Z-1.4.0-3f9c2ab1/manifest.json";
        check(key, br#"{"id": "20261120T213000Z-1.4.0-3f9c2ab1", "more": 1}"#).unwrap();
        for wrong in [&br#"{"id": "20261120T213000Z-1.4.0-3f9c2ab2"}"#[..], b"{\"id\": \"2026", b""] {
            assert_eq!(check(key, wrong).unwrap_err().code(), ErrorCode::Damaged);
        }
    }
}
