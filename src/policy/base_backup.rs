//! Is the snapshot that another one leans on good enough?

use crate::model::finding::{Finding, FindingCode};
use crate::model::leaning::LeansOn;
use crate::model::manifest::SourceRecord;
use jiff::Timestamp;

/// How far two clocks may be apart.
const CLOCK_TOLERANCE: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

/// Judges the newest snapshot of the source that is leaned on, by what is needed and by the `identity` of the server that
/// leans. Its age counts from when its capture began.
pub fn judge(
    needs: &LeansOn,
    identity: Option<&str>,
    newest: Option<&SourceRecord>,
    now: Timestamp,
) -> Option<Finding> {
    let LeansOn { source, method, .. } = needs;
    let hint = "take one: holdpoint snapshot, with the same configuration, store and environment";
    let refusal = |code, message: String| Some(Finding::refusal(code, message).hint(hint));
    let Some(record) = newest else {
        let message = format!("no release that passed has a {method} of {source}");
        return refusal(FindingCode::BaseBackupMissing, message);
    };
    let age = record.captured_at().map(|at| now.duration_since(at));
    // One of the future was recorded by a wrong clock, or this one is wrong: its age is not known either way.
    let age = age.filter(|age| *age > -CLOCK_TOLERANCE);
    if age.is_none_or(|age| age > jiff::SignedDuration::try_from(needs.within).unwrap_or(jiff::SignedDuration::MAX)) {
        let within = humantime::format_duration(needs.within);
        let old = match age {
            Some(age) => {
                let minutes = std::time::Duration::from_secs(age.unsigned_abs().as_secs());
                format!("{} old", humantime::format_duration(minutes))
            }
            None => "of an unknown time".to_owned(),
        };
        let message = format!("the newest {method} of {source} is {old}, and base_backup_within is {within}");
        return refusal(FindingCode::BaseBackupOld, message);
    }
    if record.identity.as_deref() != identity || identity.is_none() {
        let of = |identity: Option<&str>| identity.unwrap_or("a server that does not say what it is").to_owned();
        let (base, ours) = (of(record.identity.as_deref()), of(identity));
        let message = format!("the newest {method} of {source} is of {base}, and the server is {ours}");
        return refusal(FindingCode::BaseBackupOld, message);
    }
    needs.same.iter().find(|(key, value)| record.content.get(*key) != Some(value)).and_then(|(key, value)| {
        let has = record.content.get(key).map_or_else(|| "unknown".to_owned(), ToString::to_string);
        let message = format!("the newest {method} of {source} has the {key} {has}, and the server has {value}");
        refusal(FindingCode::BaseBackupOld, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::{Consistency, Content, SourceOutcome};
    use serde_json::json;
    use std::time::Duration;

    fn record(started_at: &str, timeline: u32) -> SourceRecord {
        SourceRecord {
            name: "base".to_owned(),
            kind: "postgres".to_owned(),
            required: true,
            owner: None,
            restore_order: None,
            identity: Some("postgres 7".to_owned()),
            identity_bound: true,
            tool_version: None,
            server_version: None,
            method: "base-backup".to_owned(),
            consistency: Consistency::Transaction,
            started_at: Some(started_at.parse().unwrap()),
            finished_at: None,
            attempts: Vec::new(),
            outcome: SourceOutcome::Verified,
            snapshot: None,
            bytes: 0,
            bytes_added: 0,
            items: 0,
            content: Content::from([("timeline".to_owned(), json!(timeline))]),
            change: None,
            verification: None,
            definition: None,
            stand_in: None,
        }
    }

    #[test]
    fn only_a_young_one_of_the_same_server_and_timeline_is_good_enough() {
        let needs = LeansOn {
            source: "base".to_owned(),
            method: "base-backup",
            within: Duration::from_secs(25 * 3600),
            same: Content::from([("timeline".to_owned(), json!(1))]),
        };
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        let judge = |record: Option<SourceRecord>, identity| {
            judge(&needs, Some(identity), record.as_ref(), now).map(|finding| (finding.code, finding.message))
        };
        let young = "2026-11-20T11:30:00Z";
        assert_eq!(judge(Some(record(young, 1)), "postgres 7"), None);
        let (code, message) = judge(None, "postgres 7").unwrap();
        assert_eq!(
            (code, message.as_str()),
            (FindingCode::BaseBackupMissing, "no release that passed has a base-backup of base",)
        );
        for (record, identity, says) in [
            (record("2026-11-20T10:30:00Z", 1), "postgres 7", "is 1day 1h 30m old, and base_backup_within is 1day 1h"),
            (record("2026-12-01T00:00:00Z", 1), "postgres 7", "is of an unknown time"),
            (record(young, 1), "postgres 8", "is of postgres 7, and the server is postgres 8"),
            (record(young, 2), "postgres 7", "has the timeline 2, and the server has 1"),
        ] {
            let (code, message) = judge(Some(record), identity).unwrap();
            assert_eq!(code, FindingCode::BaseBackupOld);
            assert!(message.contains(says), "{message}");
        }
        // Two servers that do not say what they are, are not the same one.
        let silent = SourceRecord { identity: None, ..record(young, 1) };
        let finding = super::judge(&needs, None, Some(&silent), now).unwrap();
        assert!(finding.message.contains("does not say what it is"), "{}", finding.message);
    }
}
