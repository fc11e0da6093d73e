//! Is this pass for exactly this deployment, and young enough?

use crate::model::finding::{Finding, FindingCode, Level};
use crate::model::manifest::{Manifest, State};
use crate::model::version::Version;
use jiff::Timestamp;
use std::time::Duration;

/// How far the clocks of the machines of gate and deploy may differ.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// What is about to be deployed.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The application.
    pub application: &'a str,
    /// The environment.
    pub environment: &'a str,
    /// The version.
    pub version: &'a Version,
    /// The commit, in full.
    pub commit: &'a str,
    /// The digest of the configuration, if there is one.
    pub config_digest: Option<&'a str>,
}

/// Says what speaks against using a pass for a deployment, from what the pass itself says.
pub fn judge(pass: &Manifest, wanted: &Wanted<'_>) -> Vec<Finding> {
    let refusal = |code, message: String| Some(Finding::refusal(code, message));
    let id = &pass.id;
    let to = &pass.release.to;
    let place = (pass.application.as_str(), pass.environment.name.as_str());
    let findings = [
        (pass.state != State::Passed).then(|| refused(pass)),
        if place == (wanted.application, wanted.environment) {
            None
        } else {
            let message = format!(
                "the pass {id} is for {} in {}, not for {} in {}",
                place.0, place.1, wanted.application, wanted.environment
            );
            refusal(FindingCode::PassEnvironment, message)
        },
        if to.version.is_same_release(wanted.version) {
            None
        } else {
            refusal(
                FindingCode::PassVersion,
                format!("the pass {id} is for {}, not for {}", to.version, wanted.version),
            )
        },
        if to.commit == wanted.commit {
            None
        } else {
            let message = format!("the pass {id} is for the commit {}, not for {}", to.commit, wanted.commit);
            refusal(FindingCode::PassCommit, message)
        },
        configuration(pass, wanted),
    ];
    findings.into_iter().flatten().collect()
}

/// Says that the gate refused a release.
pub fn refused(record: &Manifest) -> Finding {
    let why = record.decision.findings.iter().find(|finding| finding.level == Level::Refusal);
    let why = why.map(|finding| format!(": {}", finding.message)).unwrap_or_default();
    let message = format!(
        "the gate refused {} ({}), and the pipeline went on all the same{why}",
        record.release.to.version, record.id
    );
    Finding::refusal(FindingCode::PassRefused, message)
        .hint("let the gate's exit code end the pipeline: no continue-on-error, allow_failure or catchError around it")
}

fn configuration(pass: &Manifest, wanted: &Wanted<'_>) -> Option<Finding> {
    let theirs = pass.decision.policy.config_digest.as_deref();
    match (theirs, wanted.config_digest) {
        (one, two) if one == two => None,
        (Some(_), Some(_)) => Some(
            Finding::refusal(
                FindingCode::ConfigChanged,
                "the configuration is not the one that the gate ran with: it was edited since, or is another file",
            )
            .hint("give the deploy step the gate's configuration, or run the gate again"),
        ),
        (Some(_), None) => Some(
            Finding::warning(
                FindingCode::ConfigChanged,
                "there is no configuration here to compare with the one that the gate ran with",
            )
            .hint("name it by --config; better one from outside of the checkout"),
        ),
        (None, _) => Some(Finding::refusal(
            FindingCode::ConfigChanged,
            "the gate ran without a configuration, and here is one: it did not save what this one names",
        )),
    }
}

/// Says what speaks against the age of a pass; `age` is what the store's own clock says, where it has one.
pub fn judge_age(pass: &Manifest, now: Timestamp, age: Option<Duration>, valid_for: Duration) -> Option<Finding> {
    let made = pass.created_at;
    if made > now && made.duration_since(now).unsigned_abs() > CLOCK_TOLERANCE {
        let ahead = made.duration_since(now).unsigned_abs().as_secs();
        let message = format!(
            "the pass {} was made {ahead} s in the future of this machine's clock: one of the clocks was moved",
            pass.id
        );
        return Some(Finding::refusal(FindingCode::PassFromFuture, message).hint("set both clocks by NTP"));
    }
    let by_clock = now.duration_since(made).unsigned_abs();
    let by_clock = if made > now { Duration::ZERO } else { by_clock };
    let oldest = age.map_or(by_clock, |age| age.max(by_clock));
    (oldest > valid_for).then(|| {
        let shown =
            |duration: Duration| humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string();
        let by = if oldest > by_clock { " by the store's clock" } else { "" };
        let message = format!("the pass {} is {} old{by}, and counts for {}", pass.id, shown(oldest), shown(valid_for));
        Finding::refusal(FindingCode::PassExpired, message)
            .hint("run the gate again: data was written since; [gate] pass_valid_for says how long a pass counts")
    })
}

/// Says so if the pass was given by an override whose time is over; `age` is that of the pass by the store's own clock.
pub fn judge_override(pass: &Manifest, now: Timestamp, age: Option<Duration>) -> Option<Finding> {
    let overridden = pass.decision.overridden.as_ref()?;
    let ended = match overridden.expires_at {
        Some(end) => {
            let valid_for = end.duration_since(overridden.at);
            now > end || age.is_some_and(|age| jiff::SignedDuration::try_from(age).map_or(true, |age| age > valid_for))
        }
        // One that never ends is none of ours.
        None => true,
    };
    ended.then(|| {
        let until = overridden.expires_at.map(|end| format!(" at {}", end.strftime("%Y-%m-%dT%H:%M:%SZ")));
        let by = &overridden.approved_by;
        let message =
            format!("the override by {by} that the pass {} rests on ended{}", pass.id, until.unwrap_or_default());
        Finding::refusal(FindingCode::PassExpired, message)
            .hint("mend what was overridden, or override it again: holdpoint gate --override REASON --approved-by WHO")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::verdict::Verdict;

    const COMMIT: &str = "3f9c2ab13f9c2ab13f9c2ab13f9c2ab13f9c2ab1";

    fn pass() -> Manifest {
        let json = serde_json::json!({
            "schema_version": 1, "id": "20261120T213000Z-1.4.0-3f9c2ab1", "state": "passed",
            "created_at": "2026-11-20T21:30:00Z",
            "tool": {"version": "0.1.0"}, "application": "shop", "environment": {"name": "production"},
            "release": {"from": {"version": "1.3.0", "probe": "given"},
                        "to": {"version": "1.4.0", "commit": COMMIT, "severity": "minor"}},
            "pipeline": {},
            "decision": {"result": "pass", "exit_code": 0, "findings": [],
                         "policy": {"config_digest": "sha256:aa", "rules_fired": []}},
            "sources": [], "store": {"location": "/s", "repository": "/s/r", "copies": []},
            "objectives": {}, "measured": {"capture_seconds": 0.1, "verify_seconds": 0.1},
            "rollback": {"summary": "s", "steps": [], "not_reverted": []},
            "reconciliation": {"expected": "to", "accept": []},
        });
        serde_json::from_value(json).unwrap()
    }

    fn codes(pass: &Manifest, change: impl FnOnce(&mut Wanted<'_>)) -> Vec<(FindingCode, Level)> {
        let version = Version::from("1.4.0".to_owned());
        let mut wanted = Wanted {
            application: "shop",
            environment: "production",
            version: &version,
            commit: COMMIT,
            config_digest: Some("sha256:aa"),
        };
        change(&mut wanted);
        judge(pass, &wanted).iter().map(|finding| (finding.code, finding.level)).collect()
    }

    #[test]
    fn a_pass_is_for_exactly_one_deployment() {
        let refuses = |change: fn(&mut Wanted<'_>)| {
            let found = codes(&pass(), change);
            assert!(found.iter().all(|(_, level)| *level == Level::Refusal), "{found:?}");
            found.into_iter().map(|(code, _)| code).collect::<Vec<_>>()
        };
        assert_eq!(refuses(|_| {}), []);
        assert_eq!(refuses(|wanted| wanted.environment = "staging"), [FindingCode::PassEnvironment]);
        assert_eq!(refuses(|wanted| wanted.application = "blog"), [FindingCode::PassEnvironment]);
        assert_eq!(refuses(|wanted| wanted.commit = "3f9c2ab1"), [FindingCode::PassCommit]);
        assert_eq!(refuses(|wanted| wanted.config_digest = Some("sha256:bb")), [FindingCode::ConfigChanged]);
        let other = Version::from("1.4.1".to_owned());
        let found = judge(
            &pass(),
            &Wanted {
                application: "shop",
                environment: "production",
                version: &other,
                commit: COMMIT,
                config_digest: None,
            },
        );
        let found: Vec<_> = found.iter().map(|finding| (finding.code, finding.level)).collect();
        assert_eq!(found, [(FindingCode::PassVersion, Level::Refusal), (FindingCode::ConfigChanged, Level::Warning)]);
        let mut refused = pass();
        refused.state = State::TimedOut;
        refused.decision.result = Verdict::Refuse;
        refused.decision.policy.config_digest = None;
        let found: Vec<_> = codes(&refused, |_| {}).into_iter().map(|(code, _)| code).collect();
        assert_eq!(found, [FindingCode::PassRefused, FindingCode::ConfigChanged]);
    }

    #[test]
    fn an_override_ends_by_every_clock() {
        let mut pass = pass();
        let at = |now: &str, age: Option<u64>, pass: &Manifest| {
            judge_override(pass, now.parse().unwrap(), age.map(Duration::from_secs)).map(|finding| finding.code)
        };
        assert_eq!(at("2036-11-20T21:30:00Z", None, &pass), None);
        let json = serde_json::json!({"reason": "r", "approved_by": "ada", "at": "2026-11-20T21:29:00Z",
            "codes": ["size-shrank"], "expires_at": "2026-11-20T21:59:00Z"});
        pass.decision.overridden = Some(serde_json::from_value(json).unwrap());
        assert_eq!(at("2026-11-20T21:59:00Z", Some(1800), &pass), None);
        assert_eq!(at("2026-11-20T21:59:01Z", None, &pass), Some(FindingCode::PassExpired));
        assert_eq!(at("2026-11-20T21:31:00Z", Some(1801), &pass), Some(FindingCode::PassExpired));
        let json = serde_json::json!({"reason": "r", "approved_by": "ada", "at": "2026-11-20T21:29:00Z"});
        pass.decision.overridden = Some(serde_json::from_value(json).unwrap());
        assert_eq!(at("2026-11-20T21:29:30Z", None, &pass), Some(FindingCode::PassExpired));
    }

    #[test]
    fn a_pass_is_young_by_every_clock() {
        let hour = Duration::from_secs(3600);
        let at = |now: &str, age: Option<u64>| {
            judge_age(&pass(), now.parse().unwrap(), age.map(Duration::from_secs), hour).map(|finding| finding.code)
        };
        assert_eq!(at("2026-11-20T21:30:00Z", None), None);
        assert_eq!(at("2026-11-20T22:30:00Z", Some(3600)), None);
        assert_eq!(at("2026-11-20T22:30:01Z", None), Some(FindingCode::PassExpired));
        assert_eq!(at("2026-11-20T21:31:00Z", Some(3601)), Some(FindingCode::PassExpired));
        assert_eq!(at("2026-11-20T21:29:01Z", None), None, "clocks differ a little");
        assert_eq!(at("2026-11-20T21:28:59Z", None), Some(FindingCode::PassFromFuture));
    }
}
