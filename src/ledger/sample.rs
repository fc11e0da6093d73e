//! Manifests for the tests of this room and of those above it.

use super::Stored;
use crate::model::drill::{Drill, DrillKey, DrillResult, DrilledSource};
use crate::model::manifest::{Content, Manifest, Previous, State};
use crate::model::release_id::ReleaseId;
use crate::model::verdict::Verdict;

/// A small manifest that passed, from 1.3.0 to 1.4.0, with nothing before it.
pub(crate) fn passed(id: &str) -> Manifest {
    let json = serde_json::json!({
        "schema_version": 1, "id": id, "state": "passed", "created_at": created_at(id),
        "tool": {"version": "0.1.0"}, "application": "shop", "environment": {"name": "staging"},
        "release": {
            "from": {"version": "1.3.0", "commit": "aaaa", "probe": "given"},
            "to": {"version": "1.4.0", "commit": "bbbb", "severity": "minor"},
        },
        "pipeline": {},
        "decision": {"result": "pass", "exit_code": 0, "findings": [], "policy": {"rules_fired": []}},
        "sources": [{
            "name": "uploads", "kind": "files", "required": true, "method": "walk", "consistency": "per_file",
            "attempts": [], "outcome": "verified", "bytes": 10, "bytes_added": 5, "items": 2,
            "snapshot": {"id": "00", "tree": "11", "tags": []},
        }],
        "store": {"location": "/s", "repository": "/s/shop/staging/repository", "copies": []},
        "objectives": {}, "measured": {"capture_seconds": 0.1, "verify_seconds": 0.1},
        "rollback": {"summary": "s", "steps": [], "not_reverted": []},
        "reconciliation": {"expected": "to", "accept": ["1.4.0"]},
    });
    serde_json::from_value(json).unwrap()
}

/// The same, refused.
pub(crate) fn refused(id: &str) -> Manifest {
    let mut manifest = passed(id);
    manifest.state = State::Refused;
    manifest.decision.result = Verdict::Refuse;
    manifest
}

/// A drill of a release.
pub(crate) fn drill(of: &Stored, result: DrillResult) -> Drill {
    let Stored { manifest, digest, .. } = of;
    Drill {
        application: manifest.application.clone(),
        environment: manifest.environment.name.clone(),
        release: manifest.id.clone(),
        manifest_digest: digest.clone(),
        result,
        key: DrillKey::Daily,
        by: "ops".to_owned(),
        started_at: manifest.created_at,
        seconds: 30.0,
        rto: None,
        data_age_seconds: None,
        rpo: None,
        sources: vec![DrilledSource {
            name: "uploads".to_owned(),
            kind: "files".to_owned(),
            snapshot: "00".to_owned(),
            place: "a private directory".to_owned(),
            result,
            bytes: 10,
            seconds: 20.0,
            content: Content::new(),
        }],
        checks: Vec::new(),
        findings: Vec::new(),
        tool_version: "0.1.0".to_owned(),
    }
}

/// The same, after another.
pub(super) fn after(mut manifest: Manifest, previous: Option<Previous>) -> Manifest {
    manifest.previous = previous;
    manifest
}

/// The time in an id, as RFC 3339.
fn created_at(id: &str) -> String {
    let id = ReleaseId::parse(id).unwrap();
    let text = id.as_str();
    let time = format!("{}:{}:{}", &text[9..11], &text[11..13], &text[13..15]);
    format!("{}T{time}Z", id.date_path().replace('/', "-"))
}
