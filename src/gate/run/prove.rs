//! From sources to published snapshots: capture, read back, prove, keep, publish, copy.

use super::super::capture::{self, Known, SourceRun};
use super::super::copies;
use super::super::copies::step::Made;
use super::super::earlier;
use super::super::judge;
use super::super::manifest::{self};
use super::super::retention::{self, Kept};
use super::super::survey::{self, Ready};
use super::super::verify::{self, PackList, Proved, ReadBack};
use crate::cancel::Reason;
use crate::error::{ErrorCode, Result};
use crate::model::finding::{Finding, FindingCode, Level};
use crate::model::manifest::Manifest;
use crate::policy::content;
use crate::repository::archive::{PackWriter, StoredPacks};
use crate::repository::lock::LockGuard;
use crate::repository::verify::Verified;
use crate::repository::{Id, Indexed};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::Run;

impl Run<'_> {
    /// Captures sources, without the paths `never`; returns what became of each, and what was written for them.
    pub(super) fn capture(
        &self,
        ready: &[Ready<'_>],
        never: &[PathBuf],
        known: &BTreeMap<String, Known>,
        indexed: &Arc<Indexed>,
        lock: Option<&LockGuard>,
    ) -> Result<(Vec<SourceRun>, StoredPacks)> {
        if ready.is_empty() {
            return Ok((Vec::new(), StoredPacks::default()));
        }
        let clock = Instant::now();
        let writer = PackWriter::start(Arc::clone(indexed), lock.map(LockGuard::watch), self.cancel.clone())?;
        let runs = capture::capture_all(self.request, ready, never, known, &writer, self.observer, self.cancel);
        let stored = writer.finish();
        self.draft(|draft| draft.measured.capture_seconds = clock.elapsed().as_secs_f64());
        for (ready, run) in ready.iter().zip(&runs) {
            self.record_of(&ready.config.name, |record| manifest::add_run(record, run, None));
            if let Err(error) = &run.result {
                self.find([survey::source_finding(ready.config, error, FindingCode::SourceFailed)]);
            }
            self.find(run.left.iter().cloned());
        }
        Ok((runs, stored?))
    }

    pub(super) fn read_back(&self, indexed: &Indexed, packs: &[Id], listed: Option<PackList>) -> Result<ReadBack> {
        let clock = Instant::now();
        let mode = self.request.config.gate.verify;
        let result = verify::read_back(indexed, packs, mode, listed, self.observer, self.cancel);
        self.draft(|draft| draft.measured.verify_seconds += clock.elapsed().as_secs_f64());
        match result {
            Ok(read_back) => {
                self.draft(|draft| draft.read_back = (read_back.bytes(), clock.elapsed()));
                Ok(read_back)
            }
            Err(error) if error.code() == ErrorCode::Damaged => {
                self.find([Finding::refusal(FindingCode::ReadBackFailed, error.chain())]);
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Proves and judges each captured source.
    pub(super) fn prove(
        &self,
        ready: &[Ready<'_>],
        runs: &[SourceRun],
        comparable: Option<&Manifest>,
        indexed: &Arc<Indexed>,
        read_back: &ReadBack,
    ) -> BTreeMap<String, Verified> {
        let clock = Instant::now();
        let mut proofs = BTreeMap::new();
        for (ready, run) in ready.iter().zip(runs) {
            let Ok(captured) = &run.result else { continue };
            let name = &ready.config.name;
            let before = comparable.and_then(|last| earlier::record_of(last, ready));
            let change = comparable.zip(before).map(|(last, before)| earlier::change_since(last, before, captured));
            self.record_of(name, |record| manifest::add_run(record, run, change.clone()));
            let mut findings = judge::judge(ready.config, captured, change.as_ref());
            findings.extend(judge::judge_identity(ready, comparable));
            match verify::prove(ready, captured, indexed, read_back, self.cancel) {
                Ok((verified, inspection)) => {
                    // The draft has every source of the request; one it had not would be judged by an empty content.
                    let content = self.record_of(name, |record| {
                        record.content.extend(inspection.content);
                        record.content.clone()
                    });
                    let before = before.map(|before| &before.content);
                    let plausible = content::judge(&ready.config.expect, &content.unwrap_or_default(), before);
                    findings.extend(plausible.into_iter().map(|finding| finding.of_source(name)));
                    findings.extend(inspection.findings.into_iter().map(|finding| finding.of_source(name)));
                    // What is whole and only smaller than somebody expected is published where that is overridden.
                    findings =
                        self.draft(|draft| findings.into_iter().map(|it| draft.weigh(self.request, it)).collect());
                    // What is not what it should be is not published, even if the deploy may go on without it.
                    if findings.iter().all(|finding| finding.level != Level::Refusal) {
                        proofs.insert(name.clone(), verified);
                    }
                }
                Err(error) => {
                    self.find([survey::source_finding(ready.config, &error, FindingCode::ReadBackFailed)]);
                }
            }
            let required = ready.config.required;
            self.find(findings.into_iter().map(|finding| if required { finding } else { finding.softened() }));
        }
        self.draft(|draft| draft.measured.verify_seconds += clock.elapsed().as_secs_f64());
        proofs
    }

    /// Locks what the new snapshots need for as long as the store's terms say. A snapshot that could be deleted too early is
    /// not published.
    pub(super) fn keep(&self, kept: &Kept<'_>, indexed: &Indexed) -> Result<()> {
        match retention::keep(kept, indexed, &self.request.place.ledger_storage(), self.cancel) {
            Ok(lock) => self.draft(|draft| draft.object_lock = lock),
            Err(error) if error.is_cancelled() => return Err(error),
            Err(error) => {
                let finding = Finding::refusal(FindingCode::LockFailed, error.chain());
                self.find([Finding { hint: error.hints().first().cloned(), ..finding }]);
                return Err(error);
            }
        }
        Ok(())
    }

    pub(super) fn publish(
        &self,
        ready: &[Ready<'_>],
        runs: &[SourceRun],
        known: &BTreeMap<String, Known>,
        proofs: &BTreeMap<String, Verified>,
        indexed: &Indexed,
    ) -> Result<()> {
        let id = self.draft(|draft| draft.id.clone());
        for (ready, run) in ready.iter().zip(runs) {
            self.cancel.check()?;
            let source = ready.config.name.as_str();
            let (Ok(captured), Some(verified)) = (&run.result, proofs.get(source)) else { continue };
            let parent = known.get(source).and_then(|known| known.parent).map(|(snapshot, _)| snapshot);
            let proved = Proved { source, captured, parent, started_at: run.started_at, verified };
            let (verification, snapshot) = verify::publish(self.request, &id, proved, indexed)?;
            self.record_of(source, |record| manifest::add_proof(record, verification, snapshot));
        }
        // Sources that are not required may fail one by one; all of them together leave nothing to go back to.
        if !self.refuses() && self.draft(|draft| draft.sources.iter().all(|source| source.snapshot.is_none())) {
            self.find([Finding::refusal(FindingCode::NothingCaptured, "no source has a snapshot")]);
        }
        Ok(())
    }

    /// Brings the copies up to date, unless the run is refused anyway: the required ones first, so that no other can use up
    /// their time. One that is not required is given up in time to record the pass without it.
    pub(super) fn copy(&self, kept: &Kept<'_>, indexed: &Indexed) -> Result<()> {
        if self.refuses() {
            return Ok(());
        }
        let mut copies: Vec<_> = self.request.copies.iter().enumerate().collect();
        copies.sort_by_key(|(_, copy)| !copy.required);
        for (place, copy) in copies {
            let made = self.draft(|draft| Made {
                previous: draft.previous.clone(),
                snapshots: draft
                    .sources
                    .iter()
                    .filter_map(|source| Id::parse(&source.snapshot.as_ref()?.id).ok())
                    .collect(),
            });
            let patience = self.patience();
            let _timer = match copy.required {
                true => None,
                false => Some(copy.cancel.after(patience, Reason::Deadline)?),
            };
            let copied = copies::step::copy(self.request, indexed, made, copy, patience, self.observer, self.cancel);
            let (mut record, mut findings) = copied?;
            if findings.is_empty()
                && let Err(error) = copies::step::keep(copy, kept, indexed, &copy.cancel)
            {
                self.cancel.check()?;
                let failed = copy.finding(&error);
                copies::step::mark_failed(std::slice::from_mut(&mut record), &copy.name, &failed);
                findings.push(failed);
            }
            self.find(findings);
            self.draft(|draft| draft.copies.get_mut(place).map(|known| *known = record));
        }
        Ok(())
    }
}
