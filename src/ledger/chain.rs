//! The hash chain: each manifest names the digest of the one before it.

use super::manifest::digest;
use super::releases::Ledger;
use super::walk::{RELEASES, Walk};
use crate::error::Result;
use crate::model::manifest::Previous;
use crate::model::release_id::ReleaseId;
use std::collections::BTreeSet;

/// What a walk along the chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// How many releases hang together, counted from the newest.
    pub length: usize,
    /// The first break met on the way back from the newest release; `None` if every record is in the chain.
    pub broken: Option<Break>,
}

/// A place where the chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Break {
    /// A record that is named is not there.
    Missing {
        /// The record.
        id: ReleaseId,
        /// The newer record that names it; `None` if the hint `head.json` does.
        named_by: Option<ReleaseId>,
    },
    /// A record is not what the one after it names.
    Altered {
        /// The record.
        id: ReleaseId,
        /// The newer record that names it; `None` if the hint `head.json` does.
        named_by: Option<ReleaseId>,
    },
    /// A record cannot be read, so what came before it is unknown.
    Unreadable {
        /// The record.
        id: ReleaseId,
    },
    /// A record is there that the chain does not lead to.
    Outside {
        /// The record.
        id: ReleaseId,
    },
}

impl std::fmt::Display for Break {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let by = |named_by: &Option<ReleaseId>| named_by.as_ref().map_or("head.json".to_owned(), ToString::to_string);
        match self {
            Self::Missing { id, named_by } => write!(f, "release {id} is missing; {} names it", by(named_by)),
            Self::Altered { id, named_by } => {
                write!(f, "release {id} was altered: its digest is not the one that {} names", by(named_by))
            }
            Self::Unreadable { id } => write!(f, "release {id} cannot be read"),
            Self::Outside { id } => write!(f, "release {id} is not in the chain"),
        }
    }
}

impl Ledger {
    /// Follows the chain from the newest release to the first and says where it first breaks.
    ///
    /// # Errors
    /// The store's own.
    pub fn verify_chain(&self) -> Result<Chain> {
        let mut left: BTreeSet<ReleaseId> = Walk::new(&*self.storage, RELEASES, "").collect::<Result<_>>()?;
        let mut length = 0;
        let mut named_by = None;
        // The hint is older than the newest release at most, so it is checked beside the chain.
        if let Some(head) = self.head()?
            && let Some(broken) = self.look_at(&head, &None)?
        {
            return Ok(Chain { length, broken: Some(broken) });
        }
        let mut next = self.previous()?;
        while let Some(link) = next {
            if let Some(broken) = self.look_at(&link, &named_by)? {
                return Ok(Chain { length, broken: Some(broken) });
            }
            // `look_at` read it a moment ago; a record that names one of its followers would never end.
            let raw = self.read_release(&link.id)?.filter(|_| left.remove(&link.id));
            let Some(Ok(stored)) = raw.map(super::releases::Raw::parse) else {
                return Ok(Chain { length, broken: Some(Break::Unreadable { id: link.id }) });
            };
            length += 1;
            next = stored.manifest.previous;
            named_by = Some(link.id);
        }
        for id in left.into_iter().rev() {
            // A folder without a manifest is what a crash leaves behind, not a record.
            if self.read_release(&id)?.is_some() {
                return Ok(Chain { length, broken: Some(Break::Outside { id }) });
            }
        }
        Ok(Chain { length, broken: None })
    }

    fn look_at(&self, link: &Previous, named_by: &Option<ReleaseId>) -> Result<Option<Break>> {
        let (id, named_by) = (link.id.clone(), named_by.clone());
        Ok(match self.read_release(&link.id)? {
            None => Some(Break::Missing { id, named_by }),
            Some(raw) if digest(&raw.bytes) != link.digest => Some(Break::Altered { id, named_by }),
            Some(_) => None,
        })
    }
}
