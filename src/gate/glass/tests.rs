//! Who may set what aside, and what stays.

use super::*;
use crate::model::version::Version;
use crate::signing::SigningKey;

const COMMIT: &str = "3f9c2ab13f9c2ab13f9c2ab13f9c2ab13f9c2ab1";

fn rule(codes: &[FindingCode], by: &[&str], signed: bool, minutes: u64) -> OverrideConfig {
    OverrideConfig {
        codes: codes.to_vec(),
        by: by.iter().map(|name| (*name).to_owned()).collect(),
        environments: Some(vec!["production".to_owned()]),
        valid_for: Duration::from_secs(60 * minutes),
        signed,
    }
}

fn glass(environment: &str, who: &str, rules: &[OverrideConfig]) -> Glass {
    let version = Version::from("1.4.0".to_owned());
    let release = Release { application: "shop", environment, version: &version, commit: COMMIT };
    let words = Words { reason: "shop is down".to_owned(), approved_by: who.to_owned(), ticket: None };
    Glass::new(release, words, None, Law { rules, approvers: None }).unwrap()
}

#[test]
fn a_rule_covers_its_codes_for_its_people_in_its_environments() {
    let rules = [
        rule(&[FindingCode::SizeShrank], &["ada", "grace"], false, 30),
        rule(&[FindingCode::SourceFailed], &["grace"], false, 10),
        rule(&[FindingCode::ProbeFailed], &["ada"], true, 10),
    ];
    let ada = glass("production", "ada", &rules);
    assert!(ada.refused().is_none());
    assert!(ada.covers(FindingCode::SizeShrank));
    assert!(!ada.covers(FindingCode::SourceFailed), "that is grace's");
    assert!(!ada.covers(FindingCode::ProbeFailed), "that has to be signed");
    for nobody in
        [glass("staging", "ada", &rules), glass("production", "linus", &rules), glass("production", "Ada", &rules)]
    {
        assert_eq!(nobody.refused().unwrap().code, FindingCode::OverrideRefused);
        assert!(!nobody.covers(FindingCode::SizeShrank));
    }
    let only_signed = glass("production", "ada", &rules[2..]);
    assert!(only_signed.refused().unwrap().message.contains("must sign"));
}

#[test]
fn no_rule_makes_what_nobody_may_override_covered() {
    for code in FindingCode::ALL {
        let glass = glass("production", "ada", &[rule(&[*code], &["ada"], false, 30)]);
        assert_eq!(glass.covers(*code), overridable(*code).is_ok(), "{code}");
        let finding = Finding::refusal(*code, "x");
        let record = glass.record(&[*code]);
        let weighed = by_pass(Some(&record), vec![finding]).remove(0);
        assert_eq!(weighed.level == Level::Warning, overridable(*code).is_ok(), "{code}");
    }
}

#[test]
fn the_shortest_time_of_what_was_needed_counts() {
    let rules = [
        rule(&[FindingCode::SizeShrank], &["ada"], false, 30),
        rule(&[FindingCode::SourceFailed, FindingCode::SizeShrank], &["ada"], false, 10),
    ];
    let glass = glass("production", "ada", &rules);
    let minutes = |codes: &[FindingCode]| {
        let record = glass.record(codes);
        record.expires_at.unwrap().duration_since(record.at).as_mins()
    };
    assert_eq!(minutes(&[FindingCode::SizeShrank]), 30, "either rule lets it");
    assert_eq!(minutes(&[FindingCode::SizeShrank, FindingCode::SourceFailed]), 10);
    let told = glass.tell(&[FindingCode::SizeShrank]);
    assert_eq!((told.code, told.level), (FindingCode::Overridden, Level::Warning));
    assert!(told.message.contains("OVERRIDDEN by ada, not signed") && told.message.contains("shop is down"));
    assert_eq!(glass.tell(&[]).level, Level::Info);
}

#[test]
fn a_pass_covers_what_its_gate_set_aside_and_nothing_else() {
    let glass = glass("production", "ada", &[rule(&[FindingCode::ProbeFailed], &["ada"], false, 30)]);
    let record = glass.record(&[FindingCode::ProbeFailed]);
    let levels = |overridden: Option<&Override>| {
        let codes = [FindingCode::ProbeFailed, FindingCode::RequireApproval, FindingCode::SignatureInvalid];
        let findings = codes.map(|code| Finding::refusal(code, "x")).to_vec();
        by_pass(overridden, findings).into_iter().map(|finding| finding.level).collect::<Vec<_>>()
    };
    assert_eq!(levels(Some(&record)), [Level::Warning, Level::Refusal, Level::Refusal]);
    assert_eq!(levels(None), [Level::Refusal; 3]);
}

#[test]
fn a_signature_is_over_every_word_and_by_who_answers() {
    let directory = tempfile::tempdir().unwrap();
    let key = |name: &str| {
        let path = directory.path().join(name);
        let made =
            std::process::Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).status();
        assert!(made.unwrap().success());
        let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        (SigningKey::read(&path.to_string_lossy(), "a test").unwrap(), public)
    };
    let ((ada, public_of_ada), (grace, public_of_grace)) = (key("ada"), key("grace"));
    let approvers = AllowedSigners::parse(&format!("ada {public_of_ada}grace {public_of_grace}"), "approvers").unwrap();
    let rules = [rule(&[FindingCode::SizeShrank], &["ada"], true, 30)];
    let version = Version::from("1.4.0".to_owned());
    let release = Release { application: "shop", environment: "production", version: &version, commit: COMMIT };
    let words = |reason: &str| Words { reason: reason.to_owned(), approved_by: "ada".to_owned(), ticket: None };
    let text = approval::of_override(release, &words("shop is down"), &codes(&rules, "production", "ada")).unwrap();
    let asked = |reason: &str, commit: &str, signature: &str| {
        let release = Release { commit, ..release };
        let law = Law { rules: &rules, approvers: Some(&approvers) };
        Glass::new(release, words(reason), Some(signature.as_bytes()), law).unwrap()
    };
    let signature = ada.sign_for(signing::OVERRIDE, text.as_bytes()).unwrap();
    let right = asked("shop is down", COMMIT, &signature);
    assert!(right.refused().is_none() && right.covers(FindingCode::SizeShrank));
    assert_eq!(right.record(&[FindingCode::SizeShrank]).key, Some(ada.fingerprint()));
    for (what, wrong) in [
        ("another reason", asked("shop is up", COMMIT, &signature)),
        ("another commit", asked("shop is down", &COMMIT.replace('3', "4"), &signature)),
        (
            "somebody else's key",
            asked("shop is down", COMMIT, &grace.sign_for(signing::OVERRIDE, text.as_bytes()).unwrap()),
        ),
        ("for approvals", asked("shop is down", COMMIT, &ada.sign_for(signing::APPROVAL, text.as_bytes()).unwrap())),
        ("no signature", asked("shop is down", COMMIT, "x")),
    ] {
        assert_eq!(wrong.refused().unwrap().code, FindingCode::OverrideRefused, "{what}");
        assert!(!wrong.covers(FindingCode::SizeShrank), "{what}");
    }
}
