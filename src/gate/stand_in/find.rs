//! The newest snapshot that may stand in, by the records of the ledger.

use super::super::request::Request;
use super::{Candidate, Reason, Sought};
use crate::error::{ErrorCode, Result};
use crate::ledger::{Ledger, Stored};
use crate::model::manifest::{SourceRecord, StandIn};
use crate::model::release_id::ReleaseId;
use crate::policy::reuse;
use crate::signing::verify;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// What was found, by the names of the sources.
#[derive(Debug, Default)]
pub struct Found {
    /// What may stand in.
    pub candidates: BTreeMap<String, Candidate>,
    /// Why nothing may, of the others.
    pub reasons: BTreeMap<String, Reason>,
}

/// Finds the newest snapshot of each source that is sought. `newest` is the newest release that passed, if the caller has read it
/// already: where it has them all, the store is not asked.
///
/// # Errors
/// The store's own. A record that cannot be read or believed lends nothing.
pub(super) fn find(
    request: &Request,
    sought: Vec<Sought<'_>>,
    newest: Option<&Stored>,
    ledger: &Ledger,
    now: Timestamp,
) -> Result<Found> {
    let mut search = Search {
        request,
        ledger,
        now,
        open: sought,
        found: Found::default(),
        origins: BTreeMap::new(),
        doubts: BTreeMap::new(),
    };
    let over = match newest {
        Some(newest) => search.visit(newest)?,
        None => search.is_over(),
    };
    if over.is_continue() {
        ledger.look_back(|stored| search.visit(&stored))?;
    }
    let Search { open, mut found, .. } = search;
    for sought in open {
        found.reasons.entry(sought.name().to_owned()).or_insert_with(|| none(&sought));
    }
    Ok(found)
}

fn none(sought: &Sought<'_>) -> Reason {
    let young = sought.within.and_then(|within| SignedDuration::try_from(within).ok());
    let young = young.map(|within| format!(" of the last {}", reuse::words(within))).unwrap_or_default();
    Reason { rule: sought.rule.to_owned(), why: format!("no release that passed has a verified snapshot of it{young}") }
}

struct Search<'a> {
    request: &'a Request,
    ledger: &'a Ledger,
    now: Timestamp,
    /// The sources for which nothing was found yet.
    open: Vec<Sought<'a>>,
    found: Found,
    /// Releases that others refer to; `None` for one that cannot be read.
    origins: BTreeMap<ReleaseId, Option<Stored>>,
    /// What speaks against believing a release.
    doubts: BTreeMap<ReleaseId, Option<String>>,
}

impl<'a> Search<'a> {
    /// Looks at one release, the next older one; says whether there is more to look for.
    fn visit(&mut self, stored: &Stored) -> Result<ControlFlow<()>> {
        if reuse::lends(&stored.manifest) {
            for sought in std::mem::take(&mut self.open) {
                match self.ask(stored, &sought)? {
                    Some(Ok(candidate)) => {
                        self.found.reasons.remove(sought.name());
                        self.found.candidates.insert(sought.name().to_owned(), candidate);
                        continue;
                    }
                    // The newest one tells best why there is none.
                    Some(Err(why)) => {
                        let (rule, why) = (sought.rule.to_owned(), format!("the newest snapshot of it {why}"));
                        self.found.reasons.entry(sought.name().to_owned()).or_insert(Reason { rule, why });
                    }
                    None => {}
                }
                self.open.push(sought);
            }
        }
        // What an older release captured is older than its record, and that is older than this one.
        let age = self.now.duration_since(stored.manifest.created_at);
        let (open, over): (Vec<_>, Vec<_>) = std::mem::take(&mut self.open).into_iter().partition(|sought| {
            sought.within.and_then(|within| SignedDuration::try_from(within).ok()).is_none_or(|within| age <= within)
        });
        self.open = open;
        for sought in over {
            self.found.reasons.entry(sought.name().to_owned()).or_insert_with(|| none(&sought));
        }
        Ok(self.is_over())
    }

    fn is_over(&self) -> ControlFlow<()> {
        if self.open.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Asks one release for one source: `None` if it has no snapshot of it, `Err` if that one may not stand in.
    fn ask(&mut self, stored: &Stored, sought: &Sought<'a>) -> Result<Option<Result<Candidate, String>>> {
        let named = |record: &&SourceRecord| record.name == sought.name() && record.is_proved();
        let Some(record) = stored.manifest.sources.iter().find(named) else { return Ok(None) };
        let origin = match &record.stand_in {
            None => stored,
            // Its age and what it is of are what the run says that captured it.
            Some(StandIn { release, .. }) => match self.origin(release)? {
                Some(origin) => &origin.clone(),
                None => return Ok(Some(Err(format!("is of the release {release}, whose record cannot be read")))),
            },
        };
        if let Some(doubt) = self.doubt(origin)? {
            return Ok(Some(Err(format!("is of the release {}, which is not believed: {doubt}", origin.manifest.id))));
        }
        let same = |other: &&SourceRecord| other.name == record.name && other.snapshot == record.snapshot;
        let Some(captured) = origin.manifest.sources.iter().find(same) else {
            return Ok(Some(Err(format!("is not the one that the release {} captured", origin.manifest.id))));
        };
        Ok(Some(
            reuse::judge(&sought.wanted(), captured, self.now).and_then(|()| candidate(origin, captured, sought.rule)),
        ))
    }

    fn origin(&mut self, release: &ReleaseId) -> Result<Option<&Stored>> {
        if !self.origins.contains_key(release) {
            let origin = match self.ledger.get(release.as_str()) {
                Ok(stored) => Some(stored).filter(|stored| reuse::lends(&stored.manifest)),
                Err(error) if matches!(error.code(), ErrorCode::NotFound | ErrorCode::ManifestInvalid) => None,
                Err(error) => return Err(error),
            };
            self.origins.insert(release.clone(), origin);
        }
        Ok(self.origins.get(release).and_then(Option::as_ref))
    }

    /// Says why a release is not believed: it is about something else, or nobody who may have signed it did.
    fn doubt(&mut self, stored: &Stored) -> Result<Option<String>> {
        let manifest = &stored.manifest;
        if let Some(known) = self.doubts.get(&manifest.id) {
            return Ok(known.clone());
        }
        let Self { request, ledger, .. } = self;
        let doubt = if manifest.application != request.application || manifest.environment.name != request.environment {
            Some(format!("it is about {} in {}", manifest.application, manifest.environment.name))
        } else {
            match &request.signers {
                None => None,
                Some(signers) => match ledger.signature(&manifest.id)? {
                    None => Some("it has no signature".to_owned()),
                    Some(signature) => verify(&stored.bytes, &signature, signers, &[manifest.created_at])
                        .err()
                        .map(|doubt| doubt.to_string()),
                },
            }
        };
        self.doubts.insert(manifest.id.clone(), doubt.clone());
        Ok(doubt)
    }
}

fn candidate(origin: &Stored, record: &SourceRecord, rule: &str) -> Result<Candidate, String> {
    let manifest = &origin.manifest;
    let step = manifest.rollback.steps.iter().find(|step| step.source.as_deref() == Some(&*record.name));
    Ok(Candidate {
        captured_at: record.started_at.ok_or("is of an unknown time")?,
        record: record.clone(),
        release: manifest.id.clone(),
        from: manifest.release.from.clone(),
        estimate: step.and_then(|step| step.estimate_seconds),
        rule: rule.to_owned(),
    })
}
