//! A status line as an event of PagerDuty (Events API v2): what is wrong triggers an incident, and what makes it good
//! again resolves the same one, which both know by their `dedup_key`.

use crate::model::status::{Status, StatusLine};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The longest key that PagerDuty takes, in characters.
const LONGEST_KEY: usize = 255;
/// The longest summary, in characters.
const LONGEST_SUMMARY: usize = 1024;

/// What is done to the incident.
enum Act {
    /// It begins, or goes on; how grave it is.
    Trigger(&'static str),
    /// It is over.
    Resolve,
}

/// Returns the event; `None` for what neither triggers nor resolves anything.
pub(super) fn pagerduty(routing_key: &str, line: &StatusLine) -> Option<Value> {
    let (topic, act) = act(line)?;
    let key = key(line, &topic);
    let Act::Trigger(severity) = act else {
        return Some(json!({ "routing_key": routing_key, "event_action": "resolve", "dedup_key": key }));
    };
    let links: Vec<Value> =
        line.run_url.iter().map(|url| json!({ "href": url, "text": "the run of the pipeline" })).collect();
    Some(json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": key,
        "client": "holdpoint",
        "links": links,
        "payload": {
            "summary": line.text.chars().take(LONGEST_SUMMARY).collect::<String>(),
            "source": format!("{}/{}", line.application, line.environment),
            "severity": severity,
            "timestamp": line.at,
            "component": line.application,
            "group": line.environment,
            "class": line.event,
            "custom_details": line,
        },
    }))
}

/// Says which incident a line is about, and what it does to it.
fn act(line: &StatusLine) -> Option<(String, Act)> {
    let topic = |topic: &str, act| Some((topic.to_owned(), act));
    match (line.event, line.status) {
        ("refused", _) => topic("gate", Act::Trigger("error")),
        ("passed", _) => topic("gate", Act::Resolve),
        // Nothing makes it undone: a person closes it who has looked at it.
        ("overridden", _) => {
            let release = line.release.as_ref().map(ToString::to_string).unwrap_or_default();
            topic(&format!("override/{release}"), Act::Trigger("warning"))
        }
        ("drifted", Status::Matched) => topic("drift", Act::Resolve),
        ("drifted", _) => topic("drift", Act::Trigger("error")),
        ("drilled", Status::Failed) => topic("drill", Act::Trigger("error")),
        ("drilled", _) => topic("drill", Act::Resolve),
        ("freeze", Status::Thawed) => topic("freeze", Act::Resolve),
        ("freeze", _) => topic("freeze", Act::Trigger("info")),
        ("rollback", Status::Started) => topic("rollback", Act::Trigger("warning")),
        ("rollback", Status::Failed) => topic("rollback", Act::Trigger("critical")),
        ("rollback", Status::Done) => topic("rollback", Act::Resolve),
        _ => None,
    }
}

fn key(line: &StatusLine, topic: &str) -> String {
    let key = format!("holdpoint/{}/{}/{topic}", line.application, line.environment);
    if key.chars().count() <= LONGEST_KEY { key } else { format!("holdpoint/{}", hex::encode(Sha256::digest(&key))) }
}

#[cfg(test)]
mod tests {
    use super::super::payload::tests::line;
    use super::*;

    fn event(event: &'static str, status: Status) -> Option<Value> {
        pagerduty("R0UT1NG", &StatusLine { event, status, ..line("what happened") })
    }

    #[test]
    fn what_makes_it_good_resolves_what_was_wrong() {
        let pairs = [
            (("refused", Status::Refused), ("passed", Status::Passed)),
            (("drifted", Status::Drifted), ("drifted", Status::Matched)),
            (("drilled", Status::Failed), ("drilled", Status::Done)),
            (("freeze", Status::Frozen), ("freeze", Status::Thawed)),
            (("rollback", Status::Started), ("rollback", Status::Done)),
        ];
        for ((wrong, status), (good, better)) in pairs {
            let (trigger, resolve) = (event(wrong, status).unwrap(), event(good, better).unwrap());
            assert_eq!((&trigger["event_action"], &resolve["event_action"]), (&"trigger".into(), &"resolve".into()));
            assert_eq!(trigger["dedup_key"], resolve["dedup_key"], "{wrong}");
            assert_eq!((&trigger["routing_key"], &resolve["routing_key"]), (&"R0UT1NG".into(), &"R0UT1NG".into()));
            let payload = &trigger["payload"];
            assert_eq!((&payload["summary"], &payload["source"]), (&"what happened".into(), &"shop/production".into()));
            assert!(["critical", "error", "warning", "info"].contains(&payload["severity"].as_str().unwrap()));
            assert!(!payload["custom_details"].to_string().contains("R0UT1NG"));
        }
        assert_ne!(
            event("refused", Status::Refused).unwrap()["dedup_key"],
            event("drilled", Status::Failed).unwrap()["dedup_key"]
        );
        assert_eq!(event("rollback", Status::Step), None, "nobody is woken by every step");
    }

    #[test]
    fn no_key_is_too_long() {
        let long = StatusLine { environment: "e".repeat(300), event: "refused", ..line("x") };
        let key = pagerduty("k", &long).unwrap()["dedup_key"].as_str().unwrap().to_owned();
        assert!(key.len() < LONGEST_KEY, "{key}");
        let other = StatusLine { environment: "e".repeat(301), ..long };
        assert_ne!(pagerduty("k", &other).unwrap()["dedup_key"], key.as_str());
    }
}
