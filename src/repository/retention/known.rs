//! A hint that saves requests: which objects are known to be locked until when.

use super::super::Repository;
use super::super::id::Id;
use crate::error::{Error, ErrorCode, Result};
use crate::storage::LockMode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

const SCHEMA_VERSION: u32 = 1;
/// How many bytes of an id stand for it: of a hundred thousand objects two agree in them once in four thousand million.
const SHORT: usize = 8;

type Short = [u8; SHORT];

/// Which objects are known to be locked until when, at least. Nothing of it is needed: what is not known is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    mode: LockMode,
    until: HashMap<Short, i64>,
    is_changed: bool,
}

/// The object in the store. What it says is sealed with the repository's key: who can write to the store and nothing else
/// must not make us believe that something is locked.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    schema_version: u32,
    sealed: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    /// The store that it is about: a copy has the same key, and other locks.
    store: String,
    compliance: bool,
    /// The starts of ids, joined, by the second until which they are locked.
    groups: BTreeMap<i64, String>,
}

impl Known {
    /// Knows nothing, of locks in `mode`.
    pub fn nothing(mode: LockMode) -> Self {
        Self { mode, until: HashMap::new(), is_changed: false }
    }

    /// Reads what was stored; knows nothing if it was written for weaker locks, or is not what it should be.
    pub fn read(repository: &Repository, stored: &[u8], mode: LockMode) -> Self {
        let nothing = Self::nothing(mode);
        let read = || {
            let stored: Stored = serde_json::from_slice(stored).ok()?;
            let sealed = STANDARD.decode(stored.sealed).ok().filter(|_| stored.schema_version == SCHEMA_VERSION)?;
            let content: Content = repository.open_json(sealed).ok()?;
            let is_weaker = mode == LockMode::Compliance && !content.compliance;
            if is_weaker || content.store != repository.storage().restic_location() {
                return None;
            }
            let now = Timestamp::now().as_second();
            let mut until = HashMap::new();
            // What has run out is forgotten.
            for (second, ids) in content.groups.into_iter().filter(|(second, _)| *second > now) {
                let ids = STANDARD.decode(ids).ok()?;
                until.extend(ids.chunks_exact(SHORT).filter_map(|id| Some((Short::try_from(id).ok()?, second))));
            }
            Some(Self { until, ..nothing.clone() })
        };
        read().unwrap_or_else(|| nothing.clone())
    }

    /// Returns what is to be stored; `None` if nothing was learnt since it was read.
    ///
    /// # Errors
    /// `internal`: it cannot be sealed.
    pub fn to_store(&self, repository: &Repository) -> Result<Option<Vec<u8>>> {
        if !self.is_changed {
            return Ok(None);
        }
        let mut groups = BTreeMap::<i64, Vec<Short>>::new();
        for (id, until) in &self.until {
            groups.entry(*until).or_default().push(*id);
        }
        let groups = groups.into_iter().map(|(until, mut ids)| {
            ids.sort_unstable();
            (until, STANDARD.encode(ids.concat()))
        });
        let store = repository.storage().restic_location();
        let content = Content { store, compliance: self.mode == LockMode::Compliance, groups: groups.collect() };
        let sealed = STANDARD.encode(repository.seal_json(&content)?);
        let stored = serde_json::to_vec(&Stored { schema_version: SCHEMA_VERSION, sealed });
        stored
            .map(Some)
            .map_err(|error| Error::new(ErrorCode::Internal, "cannot write what is known of locks").caused_by(error))
    }

    /// Returns until when an object is locked at least; `None` if nobody knows.
    pub fn until(&self, id: &Id) -> Option<Timestamp> {
        self.until.get(&short(id)).and_then(|second| Timestamp::from_second(*second).ok())
    }

    /// Notes until when an object is locked at least.
    pub fn learn(&mut self, id: &Id, until: Timestamp) {
        let second = until.as_second();
        if self.until.get(&short(id)).is_none_or(|known| *known < second) {
            self.until.insert(short(id), second);
            self.is_changed = true;
        }
    }
}

fn short(id: &Id) -> Short {
    let mut short = Short::default();
    short.iter_mut().zip(id.as_bytes()).for_each(|(short, byte)| *short = *byte);
    short
}
