//! A freeze: nothing is deployed into the environment until it is thawed.

use super::claim::unreadable;
use super::releases::Ledger;
use crate::error::{Error, ErrorCode, Result};
use crate::model::release_id::ReleaseId;
use crate::storage::{Class, PutMode, ReadFrom};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

const FREEZE: &str = "freeze.json";
/// How often a freeze is written before it is given up.
const TRIES: usize = 5;

/// Why, by whom and until when an environment is frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// Why.
    pub reason: String,
    /// Who froze it.
    pub by: String,
    /// Since when.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// When it ends by itself; without it somebody has to thaw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
    /// The release that a rollback undoes under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseId>,
}

impl Freeze {
    /// Says whether it still counts at a time.
    pub fn is_in_effect(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl fmt::Display for Freeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        write!(f, "frozen since {} by {}", second(self.at), self.by)?;
        if let Some(until) = self.until {
            write!(f, " until {}", second(until))?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl Ledger {
    /// Returns the freeze that is in effect at a time.
    ///
    /// # Errors
    /// The store's own, or `manifest-invalid` if it cannot be read: it may well be in effect.
    pub fn freeze_at(&self, now: Timestamp) -> Result<Option<Freeze>> {
        Ok(self.stored_freeze()?.filter(|freeze| freeze.is_in_effect(now)))
    }

    /// Freezes the environment. One that has run out is replaced; returns the one that is in effect already, if there is
    /// one, which stays.
    ///
    /// # Errors
    /// The store's own, or `manifest-invalid` if there is one that cannot be read.
    pub fn freeze(&self, freeze: &Freeze) -> Result<Option<Freeze>> {
        let json = to_json(freeze)?;
        // What counts is what is there in the end: others may freeze and thaw at this very moment.
        for _ in 0..TRIES {
            match self.stored_freeze()? {
                Some(there) if there == *freeze => return Ok(None),
                Some(other) if other.is_in_effect(freeze.at) => return Ok(Some(other)),
                Some(_) => self.storage.delete(FREEZE)?,
                None => {}
            }
            let _ = self.storage.put(FREEZE, &json, PutMode::CreateOnly, Class::Transient)?;
        }
        Err(Error::new(ErrorCode::Busy, "others freeze and thaw this environment at this moment").hint("start again"))
    }

    /// Freezes the environment in place of whatever freeze there is, without a moment in which it is not frozen. Only the
    /// holder of the lease may call this.
    ///
    /// # Errors
    /// The store's own.
    pub fn replace_freeze(&self, freeze: &Freeze) -> Result<()> {
        self.storage.put(FREEZE, &to_json(freeze)?, PutMode::Overwrite, Class::Transient).map(drop)
    }

    /// Thaws the environment; returns the freeze that was there, also one that had run out.
    ///
    /// # Errors
    /// The store's own, or `manifest-invalid` if it cannot be read.
    pub fn thaw(&self) -> Result<Option<Freeze>> {
        let freeze = self.stored_freeze()?;
        if freeze.is_some() {
            self.storage.delete(FREEZE)?;
        }
        Ok(freeze)
    }

    fn stored_freeze(&self) -> Result<Option<Freeze>> {
        let bytes = self.storage.get(FREEZE, ReadFrom::Anywhere)?;
        bytes.map(|bytes| serde_json::from_slice(&bytes).map_err(|error| unreadable(FREEZE, error))).transpose()
    }
}

fn to_json(freeze: &Freeze) -> Result<Bytes> {
    let json = serde_json::to_vec_pretty(freeze)
        .map_err(|error| Error::new(ErrorCode::Internal, "cannot write a freeze as JSON").caused_by(error))?;
    Ok(json.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::LocalStorage;
    use std::sync::Arc;

    fn freeze(by: &str, at: &str, until: Option<&str>) -> Freeze {
        let until = until.map(|until| until.parse().unwrap());
        Freeze { reason: "year's end".to_owned(), by: by.to_owned(), at: at.parse().unwrap(), until, release: None }
    }

    #[test]
    fn a_freeze_lasts_until_it_is_thawed_or_over() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Arc::new(LocalStorage::new(directory.path()).unwrap()));
        let now = |text: &str| text.parse::<Timestamp>().unwrap();
        let ada = freeze("ada", "2026-12-20T00:00:00Z", Some("2027-01-02T00:00:00Z"));
        assert_eq!(ledger.freeze(&ada).unwrap(), None);
        assert_eq!(ledger.freeze_at(now("2027-01-01T23:59:59Z")).unwrap(), Some(ada.clone()));
        assert_eq!(ledger.freeze_at(now("2027-01-02T00:00:00Z")).unwrap(), None);
        let bob = freeze("bob", "2026-12-24T00:00:00Z", None);
        assert_eq!(ledger.freeze(&bob).unwrap(), Some(ada.clone()), "the first one stays");
        assert_eq!(ada.to_string(), "frozen since 2026-12-20T00:00:00Z by ada until 2027-01-02T00:00:00Z: year's end");
        let later = freeze("bob", "2027-02-01T00:00:00Z", None);
        assert_eq!(ledger.freeze(&later).unwrap(), None, "one that ran out is replaced");
        assert_eq!(ledger.freeze_at(now("2099-01-01T00:00:00Z")).unwrap(), Some(later));
        ledger.replace_freeze(&bob).unwrap();
        assert_eq!(ledger.freeze_at(now("2099-01-01T00:00:00Z")).unwrap(), Some(bob.clone()), "whatever was there");
        assert_eq!(ledger.thaw().unwrap(), Some(bob));
        assert_eq!(ledger.thaw().unwrap(), None);
        std::fs::write(directory.path().join(FREEZE), "{}").unwrap();
        assert_eq!(ledger.freeze_at(now("2026-12-24T00:00:00Z")).unwrap_err().code(), ErrorCode::ManifestInvalid);
    }
}
