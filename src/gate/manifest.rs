//! From what a run did to its manifest.

use super::capture::SourceRun;
use super::copies::step;
use super::estimate::Speed;
use super::playbook::playbook;
use super::request::Request;
use super::stand_in::Candidate;
use crate::config::SourceConfig;
use crate::error::ExitCode;
use crate::model::audit::AuditLink;
use crate::model::drill::DrilledSource;
use crate::model::finding::{Finding, FindingCode, Level};
use crate::model::leaning::{BASE_BACKUP, Base};
use crate::model::manifest::{
    Attempt, Change, Content, CopyRecord, Decision, Environment, From, Manifest, Measured, ObjectLock, Objectives,
    Override, Policy, Previous, ProbeKind, Reconciliation, Release, SCHEMA_VERSION, Severity, SnapshotRecord,
    SourceOutcome, SourceRecord, StandIn, State, StoreRecord, To, Tool, Verification,
};
use crate::model::reconciliation::Side;
use crate::model::release_id::ReleaseId;
use crate::model::rule::Rule;
use crate::model::verdict::Verdict;
use crate::policy::severity::severity;
use crate::source::Facts;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// A manifest that grows while the run goes on; at any moment it can be written as it is.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The identifier of the run.
    pub id: ReleaseId,
    /// What ran before.
    pub from: From,
    /// Paths that changed since the deployed commit.
    pub changed_paths: Vec<String>,
    /// What was found so far.
    pub findings: Vec<Finding>,
    /// The sources, in the order of a restore.
    pub sources: Vec<SourceRecord>,
    /// The record before this one.
    pub previous: Option<Previous>,
    /// The newest line of the audit.
    pub audit: Option<AuditLink>,
    /// The id of the repository.
    pub repository_id: Option<String>,
    /// How what the snapshots need is kept.
    pub object_lock: Option<ObjectLock>,
    /// The copies, in the order of their names.
    pub copies: Vec<CopyRecord>,
    /// What was measured.
    pub measured: Measured,
    /// Bytes read back, and how long that took.
    pub read_back: (u64, Duration),
    /// How large a step the release is; by its versions until the rules were asked.
    pub severity: Option<Severity>,
    /// Every rule that was asked.
    pub rules: Vec<Rule>,
    /// What the release must have, as `require` names it.
    pub require: Vec<String>,
    /// How many persons must approve, if any.
    pub approvals: Option<u32>,
    /// The codes of refusals that were set aside, in the order in which they were.
    pub set_aside: Vec<FindingCode>,
    /// The sources of the last drill that passed.
    pub drilled: Vec<DrilledSource>,
    /// How long the restore of what stands in takes, as the runs reckoned that captured it, in seconds by source.
    pub reckoned: BTreeMap<String, f64>,
}

impl Draft {
    /// Starts the manifest of a run: nothing is captured yet.
    pub fn new(request: &Request, id: ReleaseId) -> Self {
        let from =
            From { version: None, commit: None, observed_at: None, probe: ProbeKind::None, instances: Vec::new() };
        let mut sources: Vec<_> = request.sources.iter().map(not_captured).collect();
        sources.sort_by_key(|source| source.restore_order.unwrap_or(u32::MAX));
        Self {
            id,
            from,
            changed_paths: Vec::new(),
            findings: request.target.findings.clone(),
            sources,
            previous: None,
            audit: None,
            repository_id: None,
            object_lock: None,
            copies: request.copies.iter().map(step::not_copied).collect(),
            measured: Measured::default(),
            read_back: (0, Duration::ZERO),
            severity: None,
            rules: Vec::new(),
            require: Vec::new(),
            approvals: None,
            set_aside: Vec::new(),
            drilled: Vec::new(),
            reckoned: BTreeMap::new(),
        }
    }

    /// Returns the record of a source.
    pub fn source_mut(&mut self, name: &str) -> Option<&mut SourceRecord> {
        self.sources.iter_mut().find(|source| source.name == name)
    }

    /// Sets a refusal aside that the override of the request covers.
    pub fn weigh(&mut self, request: &Request, finding: Finding) -> Finding {
        let covers = request.glass.as_ref().is_some_and(|glass| glass.covers(finding.code));
        if finding.level != Level::Refusal || !covers {
            return finding;
        }
        if !self.set_aside.contains(&finding.code) {
            self.set_aside.push(finding.code);
        }
        finding.softened()
    }

    /// Says what came of the override, and which refusals it did not cover; returns it for the manifest if it was needed.
    fn overridden(&mut self, request: &Request) -> Option<Override> {
        let glass = request.glass.as_ref().filter(|glass| glass.refused().is_none())?;
        let mut stand: Vec<_> =
            self.findings.iter().filter(|finding| finding.level == Level::Refusal).map(|it| it.code).collect();
        stand.dedup();
        self.findings.extend(stand.into_iter().map(|code| glass.objection(code)));
        self.findings.push(glass.tell(&self.set_aside));
        (!self.set_aside.is_empty()).then(|| glass.record(&self.set_aside))
    }

    /// Computes the verdict and writes the manifest.
    pub fn finish(mut self, request: &Request) -> (Manifest, ExitCode) {
        let overridden = self.overridden(request);
        let (result, exit) = Verdict::of(&self.findings);
        // Refusals first; within a level in the order in which they were found.
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        let speed = Speed {
            read_back: self.speed(),
            drilled: std::mem::take(&mut self.drilled),
            reckoned: std::mem::take(&mut self.reckoned),
        };
        self.measured.restore_seconds_estimate = speed.total(&self.sources);
        let rollback = playbook(request, &self.id, &self.from, &self.sources, &speed);
        let target = &request.target;
        let manifest = Manifest {
            schema_version: SCHEMA_VERSION,
            purpose: request.purpose,
            state: state(exit),
            created_at: Timestamp::now(),
            tool: Tool { version: env!("CARGO_PKG_VERSION").to_owned() },
            previous: self.previous,
            audit: self.audit,
            application: request.application.clone(),
            environment: Environment { name: request.environment.clone(), tier: request.settings.tier.clone() },
            release: Release {
                to: To {
                    version: target.version.clone(),
                    commit: target.commit.clone(),
                    reference: target.reference.clone(),
                    severity: self.severity.unwrap_or_else(|| severity(&self.from, &target.version)),
                    changed_paths: self.changed_paths,
                },
                from: self.from,
            },
            pipeline: request.pipeline.clone(),
            decision: Decision {
                result,
                exit_code: exit.number(),
                findings: self.findings,
                policy: Policy { require: self.require, approvals: self.approvals, ..policy(request, self.rules) },
                overridden,
                ticket: request.ticket.clone(),
            },
            sources: self.sources,
            store: StoreRecord {
                location: request.place.location(),
                repository: request.place.repository_location(),
                repository_id: self.repository_id,
                object_lock: self.object_lock,
                copies: self.copies,
            },
            objectives: Objectives {
                rpo: request.settings.rpo.map(|rpo| rpo.as_secs()),
                rto: request.settings.rto.map(|rto| rto.as_secs()),
            },
            measured: self.measured,
            rollback,
            reconciliation: Reconciliation { expected: Side::To, accept: vec![target.version.clone()] },
            id: self.id,
        };
        (manifest, exit)
    }

    /// Returns the speed at which snapshots were read back; `None` if too little was read to tell.
    fn speed(&self) -> Option<f64> {
        let (bytes, time) = self.read_back;
        #[expect(clippy::cast_precision_loss, reason = "an estimate needs no more than 52 bits")]
        let speed = bytes as f64 / time.as_secs_f64();
        (bytes > 0 && speed.is_finite()).then_some(speed)
    }
}

/// Returns the rules that decided something.
fn policy(request: &Request, rules: Vec<Rule>) -> Policy {
    let rules: Vec<_> = rules.into_iter().filter(|rule| rule.fired).collect();
    let mut rules_fired: Vec<String> = Vec::new();
    for rule in &rules {
        if !rules_fired.contains(&rule.name) {
            rules_fired.push(rule.name.clone());
        }
    }
    Policy { config_digest: request.config.digest.clone(), rules_fired, rules, ..Policy::default() }
}

fn state(exit: ExitCode) -> State {
    match exit {
        ExitCode::Pass => State::Passed,
        ExitCode::DeadlinePassed => State::TimedOut,
        ExitCode::Interrupted | ExitCode::Terminated => State::Cancelled,
        ExitCode::Internal => State::Error,
        _ => State::Refused,
    }
}

fn not_captured(config: &SourceConfig) -> SourceRecord {
    SourceRecord {
        name: config.name.clone(),
        kind: config.kind.name().to_owned(),
        required: config.required,
        owner: config.owner.clone(),
        restore_order: config.restore_order,
        identity: None,
        identity_bound: false,
        tool_version: None,
        server_version: None,
        method: String::new(),
        consistency: crate::model::manifest::Consistency::PerFile,
        started_at: None,
        finished_at: None,
        attempts: Vec::<Attempt>::new(),
        outcome: SourceOutcome::NotCaptured,
        snapshot: None,
        bytes: 0,
        bytes_added: 0,
        items: 0,
        content: Content::new(),
        change: None,
        verification: None,
        definition: config.definition(),
        stand_in: None,
    }
}

/// Adds what a source says of itself.
pub fn add_facts(record: &mut SourceRecord, facts: Facts) {
    record.identity = facts.identity;
    record.identity_bound = facts.is_bound;
    record.tool_version = facts.tool_version;
    record.server_version = facts.server_version;
    record.method = facts.method.to_owned();
    record.consistency = facts.consistency;
}

/// Adds what its snapshot leans on.
pub fn add_base(record: &mut SourceRecord, base: &Base) {
    if let Ok(value) = serde_json::to_value(base) {
        record.content.insert(BASE_BACKUP.to_owned(), value);
    }
}

/// Adds what became of its capture.
pub fn add_run(record: &mut SourceRecord, run: &SourceRun, change: Option<Change>) {
    record.started_at = Some(run.started_at);
    record.finished_at = Some(run.finished_at);
    record.attempts.clone_from(&run.attempts);
    match &run.result {
        Err(_) => record.outcome = SourceOutcome::Failed,
        Ok(captured) => {
            record.outcome = SourceOutcome::Unverified;
            record.bytes = captured.archived.bytes;
            record.bytes_added = captured.archived.bytes_stored;
            record.items = captured.archived.items;
            record.content.extend(captured.content.clone());
            record.change = change;
        }
    }
}

/// Writes what stands in for it: the record of the run that captured that, and the proof of this run. Nothing was captured or
/// added, and there is nothing to compare.
pub fn add_stand_in(record: &mut SourceRecord, candidate: &Candidate, verification: Verification) {
    let older = &candidate.record;
    record.tool_version.clone_from(&older.tool_version);
    record.server_version.clone_from(&older.server_version);
    record.consistency = older.consistency;
    record.bytes = older.bytes;
    record.items = older.items;
    record.content.clone_from(&older.content);
    record.snapshot.clone_from(&older.snapshot);
    record.verification = Some(verification);
    record.outcome = SourceOutcome::StoodIn;
    record.stand_in = Some(StandIn {
        release: candidate.release.clone(),
        captured_at: candidate.captured_at,
        rule: candidate.rule.clone(),
    });
}

/// Adds the proof that it can be read back, and the snapshot that was published for it.
pub fn add_proof(record: &mut SourceRecord, verification: Verification, snapshot: SnapshotRecord) {
    record.outcome = SourceOutcome::Verified;
    record.verification = Some(verification);
    record.snapshot = Some(snapshot);
}
