//! Every demand, met and not met, with the words of its refusal.

use super::*;
use crate::model::finding::Level;
use Requirement::{Approval as NeedsApproval, CleanTree, Copy, Coverage, Immutable, Owner, Signed, SignedTag, Ticket};

fn nothing() -> Known<'static> {
    Known {
        signed: false,
        copies: 0,
        locks: false,
        without_owner: vec!["orders".to_owned()],
        undeclared: vec!["DATABASE_URL names a PostgreSQL database".to_owned()],
        tree: Err("2 paths differ: a, b".to_owned()),
        tag: Err("no tag 1.4.0 is at the commit".to_owned()),
        ticket: None,
        ticket_pattern: None,
        approval: Approval { wanted: 1, ..Approval::default() },
    }
}

fn everything() -> Known<'static> {
    Known {
        signed: true,
        copies: 1,
        locks: true,
        without_owner: Vec::new(),
        undeclared: Vec::new(),
        tree: Ok(()),
        tag: Ok("v1.4.0 is signed by ada".to_owned()),
        ticket: Some("OPS-1"),
        approval: Approval { wanted: 1, approvers: Some(2), ..Approval::default() },
        ..nothing()
    }
}

fn asked(requirements: &[Requirement]) -> Demands {
    requirements.iter().map(|requirement| (*requirement, "policy.major.require".to_owned())).collect()
}

const ALL: [Requirement; 9] = [Signed, Copy, Immutable, Owner, Coverage, CleanTree, SignedTag, Ticket, NeedsApproval];

#[test]
fn each_demand_refuses_under_its_own_code_and_in_its_own_words() {
    for requirement in ALL {
        let (findings, rules) = judge(&asked(&[requirement]), &nothing());
        let [finding] = findings.as_slice() else { panic!("{requirement:?}: {findings:?}") };
        assert_eq!(finding.level, Level::Refusal, "{requirement:?}");
        assert_eq!(finding.code.as_str(), format!("require-{}", requirement.as_str()));
        assert!(finding.message.ends_with("(policy.major.require)") && finding.hint.is_some(), "{finding:?}");
        assert_eq!(rules[0].inputs["requirement"], requirement.as_str());
        assert!(rules[0].fired && rules[0].outcome.starts_with("not met: "), "{rules:?}");

        let (findings, rules) = judge(&asked(&[requirement]), &everything());
        assert!(findings.iter().all(|finding| finding.level == Level::Info), "{requirement:?}: {findings:?}");
        assert!(rules[0].outcome.starts_with("met: ") || requirement == NeedsApproval, "{rules:?}");
    }
    assert_eq!(judge(&asked(&ALL), &nothing()).0.len(), ALL.len());
    assert_eq!(judge(&Demands::new(), &nothing()), (Vec::new(), Vec::new()));
}

#[test]
fn a_ticket_has_the_whole_form_that_is_demanded() {
    let pattern = regex::Regex::new("^(?:OPS-[0-9]+)$").unwrap();
    for (ticket, right) in [("OPS-1", true), ("OPS-", false), ("XOPS-1", false), ("OPS-1; rm", false), ("", false)] {
        let known = Known { ticket: Some(ticket), ticket_pattern: Some(&pattern), ..everything() };
        assert_eq!(judge(&asked(&[Ticket]), &known).0.is_empty(), right, "{ticket}");
    }
}

#[test]
fn an_approval_is_announced_unless_it_can_never_come() {
    let of = |approval| judge(&asked(&[NeedsApproval]), &Known { approval, ..everything() }).0;
    let usual = Approval { wanted: 2, approvers: Some(2), at_once: false, waived: false };
    let [announced] = <[Finding; 1]>::try_from(of(usual)).unwrap();
    assert_eq!((announced.level, announced.code), (Level::Info, FindingCode::RequireApproval));
    for never in [
        Approval { approvers: None, ..usual },
        Approval { approvers: Some(1), ..usual },
        Approval { at_once: true, ..usual },
        Approval { waived: true, ..usual },
    ] {
        assert_eq!(of(never)[0].level, Level::Refusal, "{never:?}");
    }
}

#[test]
fn a_drill_is_young_enough_and_fast_enough_for_today() {
    let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    let day = Duration::from_secs(86400);
    let judge = |last: Option<(&str, f64)>, rto| {
        let last = last.map(|(at, seconds)| (at.parse().unwrap(), seconds));
        judge_drill((30 * day, "policy.major.drill_within"), rto, last, now).0
    };
    let hour = Some(Duration::from_secs(3600));
    assert!(judge(Some(("2026-10-22T12:00:00Z", 60.0)), hour).is_none());
    assert!(judge(Some(("2026-10-22T12:00:00Z", 60.0)), None).is_none());
    assert!(judge(Some(("2026-11-21T12:00:05Z", 60.0)), hour).is_none(), "clocks differ a little");
    for (last, words) in [
        (None, "none has"),
        (Some(("2026-10-22T11:59:59Z", 60.0)), "30days 1s old"),
        (Some(("2026-11-20T00:00:00Z", 3601.0)), "took 3601 s"),
    ] {
        let finding = judge(last, hour).unwrap();
        assert_eq!((finding.code, finding.level), (FindingCode::RequireDrill, Level::Refusal));
        assert!(finding.message.contains(words), "{}", finding.message);
    }
}

#[test]
fn the_end_of_the_run_tells_whether_there_is_a_copy_and_a_lock() {
    let copy = |state: &str| -> CopyRecord {
        serde_json::from_value(serde_json::json!({"name": "far", "location": "/far", "repository": "/far/r",
            "required": false, "state": state, "objects": 0, "bytes": 0, "error": "no room left"}))
        .unwrap()
    };
    let codes = |demanded: &[&str], copies: &[CopyRecord]| {
        let findings = at_the_end(demanded.iter().copied(), copies, &[], None);
        findings.into_iter().map(|finding| (finding.code, finding.message)).collect::<Vec<_>>()
    };
    assert!(codes(&["copy", "immutable"], &[copy("failed"), copy("verified")]).is_empty());
    assert!(codes(&["signed"], &[]).is_empty());
    let [(code, message)] = <[_; 1]>::try_from(codes(&["copy"], &[copy("failed")])).unwrap();
    assert_eq!(code, FindingCode::RequireCopy);
    assert!(message.contains("far: no room left"), "{message}");
    assert_eq!(codes(&["copy"], &[]).len(), 1);
}
