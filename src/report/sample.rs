//! Manifests for the tests of this room.

use crate::ledger::events::{Event, EventRecord};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::{Manifest, SourceOutcome, StandIn, State};
use crate::model::reconciliation::{Outcome, Side};
use crate::model::release_id::ReleaseId;
use crate::model::rollback::{RollbackPlan, RollbackStep, StepState, Task};
use crate::model::verdict::Verdict;
use crate::model::way::WayKind;
use jiff::Timestamp;

/// A release that passed, with two sources and a warning.
pub(super) fn passed() -> Manifest {
    let snapshot =
        |digit: &str| serde_json::json!({"id": digit.repeat(64), "tree": "b".repeat(64), "tags": ["version=1.4.0"]});
    let verification = |bytes: u64| {
        serde_json::json!({"mode": "new", "bytes_read": bytes, "blobs": 412, "digest": format!("sha256:{}", "b".repeat(64)),
            "finished_at": "2026-11-20T21:30:41Z"})
    };
    let attempt = serde_json::json!({"started_at": "2026-11-20T21:30:02Z", "seconds": 31.5});
    let json = serde_json::json!({
        "schema_version": 1, "id": "20261120T213000Z-1.4.0-3f9c2ab1", "state": "passed",
        "created_at": "2026-11-20T21:30:42Z", "tool": {"version": "0.1.0"},
        "previous": {"id": "20261113T090000Z-1.3.0-77aa00ff", "digest": format!("sha256:{}", "c".repeat(64))},
        "application": "shop", "environment": {"name": "production", "tier": "critical"},
        "release": {
            "from": {"version": "1.3.0", "commit": "9f8e7d6c5b4a39281706f5e4d3c2b1a098765432", "probe": "http",
                "observed_at": "2026-11-20T21:30:00Z",
                "instances": [{"name": "https://shop.example/version", "version": "1.3.0"}]},
            "to": {"version": "1.4.0", "commit": "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567", "ref": "refs/tags/v1.4.0",
                "severity": "minor", "changed_paths": ["migrations/7.sql"]},
        },
        "pipeline": {"system": "github", "run_url": "https://github.com/acme/shop/actions/runs/99", "actor": "ada", "attempt": "1",
            "repository": "acme/shop"},
        "decision": {"result": "pass", "exit_code": 0, "policy": {"rules_fired": ["default"]}, "findings": [
            {"code": "unsigned", "level": "warning", "message": "no signing key is configured, so the manifest is not signed",
             "hint": "configure [signing]"}]},
        "sources": [
            {"name": "orders", "kind": "postgres", "required": true, "owner": "dba@acme.example", "restore_order": 1,
             "identity": "postgres 7430000000000000001/shop", "tool_version": "pg_dump 17.2", "server_version": "17.2",
             "method": "dump", "consistency": "transaction",
             "started_at": "2026-11-20T21:30:02Z", "finished_at": "2026-11-20T21:30:33Z", "attempts": [attempt], "outcome": "verified",
             "snapshot": snapshot("3"), "bytes": 948_000_000_u64, "bytes_added": 15_200_000, "items": 1,
             "content": {"tables": 14, "rows": {"public.orders": 1_204_113, "public.items": 3_000_870}, "schema_version": "20261101",
                "schema_version_from": "rails", "wal_lsn": "4/6A000028"},
             "change": {"release": "20261113T090000Z-1.3.0-77aa00ff", "bytes_before": 930_000_000_u64, "ratio": 1.019_354},
             "verification": verification(15_300_000)},
            {"name": "uploads", "kind": "files", "required": true, "restore_order": 2, "method": "walk", "consistency": "per_file",
             "started_at": "2026-11-20T21:30:02Z", "finished_at": "2026-11-20T21:30:20Z", "attempts": [attempt], "outcome": "verified",
             "snapshot": snapshot("a"), "bytes": 1_181_116_006_u64, "bytes_added": 0, "items": 65_164, "content": {},
             "change": {"release": "20261113T090000Z-1.3.0-77aa00ff", "bytes_before": 1_181_116_006_u64, "ratio": 1.0},
             "verification": verification(2_100_000)},
        ],
        "store": {"location": "/backup/holdpoint", "repository": "/backup/holdpoint/shop/production/repository",
            "repository_id": "d".repeat(64), "copies": [
                {"name": "offsite", "location": "s3://acme-copies/holdpoint", "required": true, "state": "verified",
                 "repository": "s3:https://s3.eu-west-1.amazonaws.com/acme-copies/holdpoint/shop/production/repository",
                 "objects": 14, "bytes": 17_400_000, "verified_at": "2026-11-20T21:30:42Z"},
                {"name": "nas", "location": "/mnt/nas/holdpoint", "required": false, "state": "failed", "objects": 0, "bytes": 0,
                 "repository": "/mnt/nas/holdpoint/shop/production/repository",
                 "error": "cannot write /mnt/nas/holdpoint: Read-only file system"}]},
        "objectives": {"rpo": 3600, "rto": 1800},
        "measured": {"capture_seconds": 31.5, "verify_seconds": 8.2, "restore_seconds_estimate": 94.0},
        "rollback": {
            "summary": "stop shop, restore orders and uploads, deploy 1.3.0 again, start shop",
            "data_loss_from": "2026-11-20T21:30:02Z",
            "commands": {
                "plan": "holdpoint rollback --environment production --store /backup/holdpoint --id 20261120T213000Z-1.4.0-3f9c2ab1 --plan",
                "rollback":
                    "holdpoint rollback --environment production --store /backup/holdpoint --id 20261120T213000Z-1.4.0-3f9c2ab1 --yes production",
                "thaw": "holdpoint thaw --environment production --store /backup/holdpoint --reason TEXT"},
            "steps": [
                {"order": 1, "action": "stop the application", "command": "systemctl stop shop", "destructive": false},
                {"order": 2, "source": "orders", "owner": "dba@acme.example", "action": "restore orders over what is there",
                 "command": "holdpoint restore orders --id 20261120T213000Z-1.4.0-3f9c2ab1 --target /srv/shop --force",
                 "destructive": true, "estimate_seconds": 41.0},
                {"order": 3, "source": "uploads", "action": "restore uploads over what is there",
                 "command": "holdpoint restore uploads --id 20261120T213000Z-1.4.0-3f9c2ab1 --target / --force",
                 "destructive": true, "estimate_seconds": 53.0},
                {"order": 4, "action": "deploy 1.3.0 again", "command": "./deploy.sh", "destructive": false},
                {"order": 5, "action": "start the application", "command": "systemctl start shop", "destructive": false},
                {"order": 6, "action": "check that 1.3.0 runs",
                 "command": "holdpoint reconcile --id 20261120T213000Z-1.4.0-3f9c2ab1 --expect from", "destructive": false},
            ],
            "not_reverted": ["mail, payments and calls to other systems since the snapshot", "files that the release creates outside its sources"],
            "requires": {},
        },
        "reconciliation": {"expected": "to", "accept": ["1.4.0"]},
    });
    serde_json::from_value(json).unwrap()
}

/// The same run, if it had captured the first sources only, and an older snapshot had stood in for each other one.
pub(super) fn stood_in(captured: usize) -> Manifest {
    let mut manifest = passed();
    for source in manifest.sources.iter_mut().skip(captured) {
        source.outcome = SourceOutcome::StoodIn;
        (source.started_at, source.finished_at, source.change) = (None, None, None);
        source.attempts.clear();
        source.bytes_added = 0;
        source.stand_in = Some(StandIn {
            release: ReleaseId::parse("20261120T204500Z-1.3.1-77aa00ff").unwrap(),
            captured_at: "2026-11-20T20:45:00Z".parse().unwrap(),
            rule: "policy.minor.reuse_within".to_owned(),
        });
    }
    manifest
}

/// The same run, if the database had failed and nothing had been published.
pub(super) fn refused() -> Manifest {
    let mut manifest = passed();
    manifest.state = State::Refused;
    manifest.decision.result = Verdict::Refuse;
    manifest.decision.exit_code = 10;
    let failed = Finding::refusal(FindingCode::SourceFailed, "database disk image is malformed")
        .of_source("orders")
        .hint("run `sqlite3 orders.db 'PRAGMA integrity_check'`");
    manifest.decision.findings.insert(0, failed);
    for (source, outcome) in manifest.sources.iter_mut().zip([SourceOutcome::Failed, SourceOutcome::Unverified]) {
        source.outcome = outcome;
        source.snapshot = None;
        source.verification = None;
    }
    manifest
}

/// The same run, with every text that may come from outside written by an enemy.
pub(super) fn hostile() -> Manifest {
    let mut manifest = passed();
    let evil = "\u{1b}[31m<script>alert('x')</script>\"&{{application}}".to_owned();
    manifest.application = evil.clone();
    manifest.environment.name = evil.clone();
    manifest.pipeline.run_url = Some("javascript:alert(1)".to_owned());
    manifest.pipeline.actor = Some(evil.clone());
    manifest.release.to.version = evil.clone().into();
    manifest.release.from.version = Some(evil.clone().into());
    manifest.store.location = evil.clone();
    for copy in &mut manifest.store.copies {
        copy.name = evil.clone();
        copy.location = evil.clone();
        copy.repository = evil.clone();
        copy.error = copy.error.as_ref().map(|_| evil.clone());
    }
    manifest.rollback.summary = evil.clone();
    manifest.rollback.not_reverted = vec![evil.clone()];
    manifest.decision.findings.push(Finding::warning(FindingCode::FileChanged, evil.clone()).of_source(evil.clone()));
    for source in &mut manifest.sources {
        source.name = evil.clone();
        source.owner = Some(evil.clone());
    }
    for step in &mut manifest.rollback.steps {
        step.action = evil.clone();
        step.command = Some(evil.clone());
    }
    manifest
}

/// A drill of the release: one that passed, or one whose check did not.
pub(super) fn drilled(passed: bool) -> Vec<EventRecord> {
    let result = if passed { "passed" } else { "failed" };
    let finding = serde_json::json!({"code": "source-failed", "level": "refusal", "source": "orders",
        "message": "the check `paid orders` answered 0, expected at least 1", "hint": "look at the snapshot with `holdpoint restore`"});
    let findings = if passed { vec![] } else { vec![finding] };
    let snapshot = |digit: &str| digit.repeat(64);
    let json = serde_json::json!({"event": "drilled", "at": "2026-11-20T22:05:00Z", "drill": {
        "application": "shop", "environment": "production", "release": "20261120T213000Z-1.4.0-3f9c2ab1",
        "manifest_digest": format!("sha256:{}", "e".repeat(64)), "result": result, "key": "escrow", "by": "ada",
        "started_at": "2026-11-20T22:02:00Z", "seconds": 151.0, "rto": 1800, "data_age_seconds": 1918.0,
        "rpo": if passed { 3600 } else { 600 },
        "sources": [
            {"name": "orders", "kind": "postgres", "snapshot": snapshot("3"), "place": "a throw-away server of PostgreSQL 17.2",
             "result": "passed", "bytes": 948_000_000, "seconds": 103.0},
            {"name": "uploads", "kind": "files", "snapshot": snapshot("a"), "place": "a scratch directory", "result": "passed",
             "bytes": 1_181_116_006, "seconds": 44.0}],
        "checks": [
            {"name": "paid orders", "source": "orders", "result": result, "expected": "at least 1",
             "answer": if passed { "88" } else { "0" }, "seconds": 0.2},
            {"name": "the shop opens", "result": if passed { "passed" } else { "not_tried" }, "expected": "exit status 0",
             "seconds": 3.1}],
        "findings": findings, "tool_version": "0.1.0"}});
    vec![EventRecord { name: "drilled-x".to_owned(), event: serde_json::from_value(json).unwrap() }]
}

/// The events of a rollback that is at its second step: it restores, or failed to.
pub(super) fn rolling_back(failed: bool) -> Vec<EventRecord> {
    let at =
        |second: i64| "2026-11-20T22:10:00Z".parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs(second);
    let plan = plan();
    let id = plan.id.clone();
    let step = |second, place: usize, state, message: Option<&str>, saved| Event::RollbackStep {
        at: at(second),
        step: plan.steps[place].step.clone(),
        state,
        message: message.map(str::to_owned),
        saved,
    };
    let mut events = vec![
        Event::Frozen {
            at: at(0),
            by: "ada".to_owned(),
            reason: format!("rollback of 1.4.0 (release {id})"),
            until: None,
        },
        Event::RollbackBegan {
            at: at(1),
            by: "ada".to_owned(),
            frozen_at: at(0),
            observed: plan.observed.clone(),
            forced: None,
            way: None,
            unsaved: None,
            steps: plan.steps.iter().map(RollbackStep::planned).collect(),
            go_on: Some(format!("holdpoint rollback --environment production --id {id} --yes production")),
        },
        step(2, 0, StepState::Started, None, None),
        step(14, 0, StepState::Done, Some("saved as 20261120T221002Z-1.4.0-5afe5afe"), {
            Some(ReleaseId::parse("20261120T221002Z-1.4.0-5afe5afe").unwrap())
        }),
        step(15, 1, StepState::Started, None, None),
    ];
    if failed {
        events.push(step(40, 1, StepState::Failed, Some("orders: the server does not answer"), None));
    }
    events.into_iter().map(|event| EventRecord { name: "rollback-x".to_owned(), event }).collect()
}

/// The plan of a rollback in three steps, of which the last one names a secret.
pub(super) fn plan() -> RollbackPlan {
    let manifest = passed();
    let step = RollbackStep::new;
    let program = ["curl", "-H", "s3cret"].map(str::to_owned).to_vec();
    let restore = step("restore orders", "restore orders (postgres)", Task::Restore("orders".to_owned()));
    RollbackPlan {
        id: manifest.id,
        application: manifest.application,
        environment: manifest.environment.name,
        undone: manifest.release.to.version,
        back_to: manifest.release.from.version,
        back_to_commit: manifest.release.from.commit,
        observed: "all 3 instances run 1.4.0".to_owned(),
        instances: Vec::new(),
        resumes: None,
        data_loss_from: manifest.rollback.data_loss_from,
        estimate_seconds: Some(41.0),
        way: WayKind::FullRestore,
        lost: Vec::new(),
        ways: Vec::new(),
        steps: vec![
            step("safety snapshot", "save the present state", Task::Safety),
            RollbackStep {
                owner: Some("dba@acme.example".to_owned()),
                destructive: true,
                estimate_seconds: Some(41.0),
                ..restore
            },
            step("after 1: curl -H s3cret", "start the application: curl -H s3cret", Task::Hook(program)),
        ],
        not_reverted: manifest.rollback.not_reverted,
        findings: Vec::new(),
    }
}

/// An event that says that one side of the release came out as `outcome`.
pub(super) fn reconciled(at: &str, expected: Side, outcome: Outcome) -> EventRecord {
    let mut instances = passed().release.from.instances;
    for instance in &mut instances {
        instance.version = Some("1.4.0".to_owned().into());
    }
    let event = Event::Reconciled {
        at: at.parse().unwrap(),
        expected,
        outcome,
        instances,
        explanation: "https://shop.example/version answers 1.4.0".to_owned(),
    };
    EventRecord { name: "reconciled-x".to_owned(), event }
}
