//! Whether the audit is whole, and says of the ledger what the ledger says itself.
//!
//! The chain alone tells what was altered, removed or put elsewhere between two lines. That the newest lines were cut off
//! it cannot tell: for that the lines are compared with the head that names the newest, with every manifest and event of the ledger, each of which has a line,
//! and with the line that each manifest saw as the newest.

use super::super::releases::Ledger;
use super::super::walk::{ATTEMPTS, RELEASES, Walk};
use super::super::{Break, events::Event, manifest::digest};
use super::ReadLine;
use crate::cancel::Cancel;
use crate::error::Result;
use crate::model::audit::{Action, AuditLink, Outcome};
use crate::model::manifest::Manifest;
use crate::model::release_id::ReleaseId;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What was found.
#[derive(Debug, Default)]
pub struct Audit {
    /// How many lines there are.
    pub lines: u64,
    /// The newest of them: who keeps it elsewhere can later tell that nothing before it was changed.
    pub end: AuditLink,
    /// How many manifests they were compared with.
    pub manifests: u64,
    /// How many events.
    pub events: u64,
    /// Everything that is not as it should be, in the order in which it was found.
    pub problems: Vec<Problem>,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Lines are not there that later ones follow.
    LinesMissing {
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
    },
    /// A line is not the one that the next one follows.
    Altered {
        /// The line.
        number: u64,
    },
    /// A line calls itself another one.
    Misplaced {
        /// Where it is.
        number: u64,
        /// What it calls itself.
        says: u64,
    },
    /// A line cannot be read.
    Unreadable {
        /// The line.
        number: u64,
        /// Why.
        why: String,
    },
    /// The line that the head names is not there, or is another one now.
    NotAsHead {
        /// The line.
        number: u64,
    },
    /// A line is not there, or is another one than what was kept of it.
    NotAsKept {
        /// The line.
        number: u64,
    },
    /// A manifest saw a line that is not there, or is another one now.
    NotAsSeen {
        /// The manifest.
        release: ReleaseId,
        /// The line.
        number: u64,
    },
    /// A manifest has no line.
    ManifestWithoutLine {
        /// The manifest.
        release: ReleaseId,
    },
    /// An event is not the one that its line is about.
    EventAltered {
        /// The release.
        release: ReleaseId,
        /// The name of the event.
        event: String,
    },
    /// An event has no line.
    EventWithoutLine {
        /// The release.
        release: ReleaseId,
        /// The name of the event.
        event: String,
    },
    /// A manifest is not the one that its line is about.
    ManifestAltered {
        /// The line.
        number: u64,
        /// The manifest.
        release: ReleaseId,
    },
    /// A line is about a manifest that is not there.
    ManifestGone {
        /// The line.
        number: u64,
        /// The manifest.
        release: ReleaseId,
        /// Whether that one passed.
        passed: bool,
    },
    /// The events of a release cannot be read.
    EventsUnreadable {
        /// The release.
        release: ReleaseId,
        /// Why.
        why: String,
    },
    /// The chain of manifests does not hold.
    Ledger(Break),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LinesMissing { from, to } if from == to => write!(f, "line {from} was removed"),
            Self::LinesMissing { from, to } => write!(f, "lines {from} to {to} were removed"),
            Self::Altered { number } => {
                write!(f, "line {number} was altered, or the link of the line after it: the chain breaks here")
            }
            Self::Misplaced { number, says } => write!(f, "line {number} was put there: it is line {says}"),
            Self::Unreadable { number, why } => write!(f, "line {number} cannot be read: {why}"),
            Self::NotAsHead { number } => {
                write!(f, "line {number}, which audit/head.json names, was removed or altered")
            }
            Self::NotAsKept { number } => write!(f, "line {number} is not the one that was kept elsewhere"),
            Self::NotAsSeen { release, number } => {
                write!(f, "line {number}, which the manifest of {release} names, was removed or altered")
            }
            Self::ManifestWithoutLine { release } => {
                write!(f, "the manifest of {release} has no line: one was removed, or the manifest was put there")
            }
            Self::EventAltered { release, event } => {
                write!(f, "the event {event} of {release} was altered: it is not the one that its line is about")
            }
            Self::EventWithoutLine { release, event } => {
                write!(f, "the event {event} of {release} has no line: one was removed, or the event was put there")
            }
            Self::ManifestGone { number, release, .. } => write!(
                f,
                "the manifest of {release}, which line {number} is about, was removed, or its run died before it was \
                 written"
            ),
            Self::ManifestAltered { number, release } => {
                write!(f, "the manifest of {release} was altered: it is not the one that line {number} is about")
            }
            Self::EventsUnreadable { release, why } => write!(f, "events of {release} cannot be read: {why}"),
            Self::Ledger(broken) => broken.fmt(f),
        }
    }
}

impl Problem {
    /// Says whether a run that died in the wrong moment is as likely as somebody who removed something.
    pub fn may_be_a_crash(&self) -> bool {
        matches!(self, Self::ManifestGone { passed: false, .. })
    }
}

/// What the lines say, for comparing.
#[derive(Default)]
struct Said {
    /// The digest of each line.
    digests: BTreeMap<u64, String>,
    /// The lines about the manifest of each release; a verdict that could not be recorded has a second one.
    manifests: BTreeMap<ReleaseId, Vec<AboutManifest>>,
    /// When what was done, with the digests of its event; a prune has one line for the events of many releases, and none of
    /// their digests.
    done: BTreeMap<(Action, Timestamp), BTreeSet<String>>,
    /// When the first line was written.
    began: Option<Timestamp>,
}

/// A line about a manifest.
struct AboutManifest {
    number: u64,
    outcome: Outcome,
    /// The digest of the manifest.
    record: String,
}

impl Ledger {
    /// Reads every line, manifest and event of the environment, and says what does not fit; also not to `kept`, the digests
    /// of lines that somebody kept elsewhere.
    ///
    /// # Errors
    /// The store's own; a cancellation.
    pub fn verify_audit(&self, kept: &BTreeMap<u64, String>, cancel: &Cancel) -> Result<Audit> {
        let mut audit = Audit::default();
        let mut said = Said::default();
        let mut before: Option<String> = None;
        self.each_audit(cancel, |line| {
            audit.follow(&line, &mut before);
            said.take(&line);
            Ok(())
        })?;
        let head = self.audit_head()?.filter(|head| said.digests.get(&head.number) != head.digest.as_ref());
        audit.problems.extend(head.map(|head| Problem::NotAsHead { number: head.number }));
        let differs = |(number, digest): &(&u64, &String)| said.digests.get(number) != Some(*digest);
        audit.problems.extend(kept.iter().filter(differs).map(|(number, _)| Problem::NotAsKept { number: *number }));
        self.compare(&mut audit, said, cancel)?;
        audit.problems.extend(self.verify_chain()?.broken.map(Problem::Ledger));
        Ok(audit)
    }

    fn compare(&self, audit: &mut Audit, mut said: Said, cancel: &Cancel) -> Result<()> {
        // A run that lost its lease after it had signed left its signature among the releases, and is an attempt.
        let mut seen_before = BTreeSet::new();
        for root in [RELEASES, ATTEMPTS] {
            for id in Walk::new(&*self.storage, root, "") {
                let id = id?;
                cancel.check()?;
                if !seen_before.insert(id.clone()) {
                    continue;
                }
                // Removed since it was listed, or never finished; what the lines say of it is looked at below.
                let Some(raw) = self.read(&id)? else { continue };
                let found = digest(&raw.bytes);
                audit.manifests += 1;
                let lines = said.manifests.remove(&id);
                let has_line = lines.iter().flatten().any(|line| line.record == found);
                if let Some(newest) = lines.iter().flatten().next_back().filter(|_| !has_line) {
                    audit.problems.push(Problem::ManifestAltered { number: newest.number, release: id.clone() });
                }
                // One that cannot be read is a break of its own chain.
                let manifest = raw.parse().ok().map(|stored| stored.manifest);
                // Older versions wrote no lines.
                let since = |manifest: &Manifest| said.began.is_some_and(|began| manifest.created_at > began);
                let is_audited = manifest.as_ref().is_some_and(|manifest| manifest.audit.is_some() || since(manifest));
                let seen = manifest.and_then(|manifest| manifest.audit);
                if is_audited && lines.is_none() {
                    audit.problems.push(Problem::ManifestWithoutLine { release: id.clone() });
                }
                if let Some(link) = seen.filter(|link| link.number > 0)
                    && said.digests.get(&link.number) != link.digest.as_ref()
                {
                    audit.problems.push(Problem::NotAsSeen { release: id.clone(), number: link.number });
                }
                if root == RELEASES {
                    self.compare_events(audit, &said, &id, is_audited)?;
                }
            }
        }
        for (release, lines) in said.manifests {
            // The last word counts: a pass that could not be recorded was taken back by the line after it.
            let Some(AboutManifest { number, outcome, .. }) = lines.last() else { continue };
            let passed = *outcome == Outcome::Passed;
            audit.problems.push(Problem::ManifestGone { number: *number, release, passed });
        }
        Ok(())
    }

    fn compare_events(&self, audit: &mut Audit, said: &Said, id: &ReleaseId, is_audited: bool) -> Result<()> {
        let events = match self.event_names(id).and_then(|names| self.events_as_stored(id, &names)) {
            Ok(events) => events,
            Err(error) if error.code() == crate::error::ErrorCode::ManifestInvalid => {
                audit.problems.push(Problem::EventsUnreadable { release: id.clone(), why: error.chain() });
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for (record, found) in events {
            audit.events += 1;
            let Some(action) = action_of(&record.event) else { continue };
            let at = record.event.at();
            let must_have_one = is_audited || said.began.is_some_and(|began| at >= began);
            let (release, event) = (id.clone(), record.name);
            match said.done.get(&(action, at)) {
                Some(digests) if digests.is_empty() || digests.contains(&found) => {}
                Some(_) => audit.problems.push(Problem::EventAltered { release, event }),
                None if must_have_one => audit.problems.push(Problem::EventWithoutLine { release, event }),
                None => {}
            }
        }
        Ok(())
    }
}

impl Audit {
    /// Looks whether a line follows the one `before` it, whose digest that is.
    fn follow(&mut self, line: &ReadLine, before: &mut Option<String>) {
        let expected = self.end.number + 1;
        if line.number > expected {
            self.problems.push(Problem::LinesMissing { from: expected, to: line.number - 1 });
        }
        match &line.line {
            Ok(content) if content.number != line.number => {
                self.problems.push(Problem::Misplaced { number: line.number, says: content.number });
            }
            Ok(content) if line.number == expected && content.previous != *before => {
                // The first has none before it: then it was altered itself, or is not the first.
                self.problems.push(Problem::Altered { number: self.end.number.max(1) });
            }
            Ok(_) => {}
            Err(error) => {
                self.problems.push(Problem::Unreadable { number: line.number, why: error.chain() });
            }
        }
        self.lines += 1;
        self.end = AuditLink { number: line.number, digest: Some(line.digest.clone()) };
        *before = Some(line.digest.clone());
    }
}

impl Said {
    fn take(&mut self, line: &ReadLine) {
        self.digests.insert(line.number, line.digest.clone());
        let Ok(content) = &line.line else { return };
        self.began = self.began.or(Some(content.at));
        let digests = self.done.entry((content.action, content.at)).or_default();
        digests.extend(content.record.clone());
        if let (Some(release), Some(record)) = (&content.release, &content.record)
            && content.action.has_manifest()
        {
            let about = AboutManifest { number: line.number, outcome: content.outcome, record: record.clone() };
            self.manifests.entry(release.clone()).or_default().push(about);
        }
    }
}

/// Returns of which action an event tells, if there is a line of each such event.
pub(super) fn action_of(event: &Event) -> Option<Action> {
    match event {
        Event::Admitted { .. } | Event::RollbackAdmitted { .. } => Some(Action::Admit),
        Event::Reconciled { .. } => Some(Action::Reconcile),
        Event::Frozen { .. } => Some(Action::Freeze),
        Event::Thawed { .. } => Some(Action::Thaw),
        Event::RollbackBegan { .. } | Event::RolledBack { .. } => Some(Action::Rollback),
        Event::Drilled { .. } => Some(Action::Drill),
        Event::Approved { .. } => Some(Action::Approve),
        Event::Held { .. } | Event::HoldLifted { .. } => Some(Action::Hold),
        Event::Pruned { .. } => Some(Action::Prune),
        Event::Guarded { .. } | Event::RollbackStep { .. } | Event::NotTold { .. } => None,
    }
}
