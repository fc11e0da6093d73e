//! Lines that are written, raced for, removed and altered.

use super::super::tests::{House, house};
use super::super::{Ledger, events::Event, manifest::digest, sample};
use super::{AUDIT, FOLDER, Problem, kept, key};
use crate::cancel::Cancel;
use crate::error::ErrorCode;
use crate::model::audit::{Action, AuditLine, AuditLink, Outcome};
use crate::model::manifest::Manifest;
use crate::storage::{Class, PutMode, PutOutcome, ReadFrom, Storage};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Relaxed;

const FIRST: &str = "20261120T213000Z-1.3.0-bbbbbbbb";
const SECOND: &str = "20261121T080000Z-1.4.0-cccccccc";

fn line(action: Action) -> AuditLine {
    AuditLine::new(action, Outcome::Done, ("shop", "staging"), "ada").why(Some("because"))
}

fn problems(ledger: &Ledger) -> Vec<String> {
    let audit = ledger.verify_audit(&BTreeMap::new(), &Cancel::new()).unwrap();
    audit.problems.iter().map(ToString::to_string).collect()
}

/// Writes a manifest as a gate does: its line first.
fn gate(house: &House, manifest: Manifest) {
    let end = house.ledger.audit_end().unwrap();
    let previous = house.ledger.previous().unwrap();
    let manifest = Manifest { audit: Some(end), ..sample::after(manifest, previous) };
    let record = Some(digest(&manifest.to_json().unwrap()));
    let line = AuditLine { record, ..line(Action::Gate).of(&manifest.id) };
    house.ledger.append_audit(None, &AuditLine { outcome: Outcome::Passed, ..line }).unwrap();
    house.ledger.record(&manifest).unwrap();
}

/// Two gates, a freeze with its event, and a drill nobody recorded yet: four lines.
fn four() -> House {
    let house = house();
    gate(&house, sample::passed(FIRST));
    let at = "2026-11-20T22:00:00.123456789Z".parse().unwrap();
    house.ledger.append_audit(None, &line(Action::Freeze).at(at)).unwrap();
    let frozen = Event::Frozen { at, by: "ada".to_owned(), reason: "because".to_owned(), until: None };
    house.ledger.record_event(&crate::model::release_id::ReleaseId::parse(FIRST).unwrap(), &frozen).unwrap();
    house.ledger.append_audit(None, &line(Action::Drill)).unwrap();
    gate(&house, sample::passed(SECOND));
    assert_eq!(problems(&house.ledger), [""; 0]);
    house
}

fn bytes(house: &House, number: u64) -> Vec<u8> {
    house.storage.get(&key(number), ReadFrom::Anywhere).unwrap().unwrap()
}

#[test]
fn each_line_names_the_one_before_it() {
    let house = four();
    let lines = house.ledger.newest_audit(100).unwrap();
    assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let mut before = None;
    for read in &lines {
        let line = read.line.as_ref().unwrap();
        assert_eq!((line.number, &line.previous), (read.number, &before));
        before = Some(read.digest.clone());
    }
    assert_eq!(house.ledger.audit_end().unwrap(), AuditLink { number: 4, digest: before });
    assert_eq!(house.ledger.newest_audit(1).unwrap()[0].number, 4);
}

#[test]
fn of_many_at_once_each_gets_a_number() {
    let house = house();
    // All of them saw the same end.
    let end = house.ledger.audit_end().unwrap();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let (ledger, end) = (&house.ledger, end.clone());
            scope.spawn(move || {
                let mut end = Some(end);
                for _ in 0..20 {
                    let line = line(Action::Reconcile).detail("writer", writer.to_string());
                    ledger.append_audit(end.take(), &line).unwrap();
                }
            });
        }
    });
    let audit = house.ledger.verify_audit(&BTreeMap::new(), &Cancel::new()).unwrap();
    assert_eq!((audit.lines, audit.problems.as_slice()), (160, &[][..]));
    let lines = house.ledger.newest_audit(1000).unwrap();
    let writers: BTreeSet<_> = lines.iter().map(|read| read.line.as_ref().unwrap().details["writer"].clone()).collect();
    assert_eq!(writers.len(), 8);
}

#[test]
fn a_repeated_request_is_one_line() {
    let house = house();
    let written = house.ledger.append_audit(None, &line(Action::Thaw)).unwrap();
    let again = house.ledger.append_audit(Some(AuditLink::default()), &written.line).unwrap();
    assert_eq!(again, written);
}

#[test]
fn a_line_costs_three_requests_however_many_there_are() {
    let house = house();
    let put = |number: u64| {
        let made = house.storage.put(&key(number), &"{}\n".into(), PutMode::CreateOnly, Class::Record).unwrap();
        assert_eq!(made, PutOutcome::Written);
    };
    [FOLDER - 1, FOLDER, 3 * FOLDER - 1].into_iter().for_each(put);
    let append = || {
        house.storage.1.store(0, Relaxed);
        let number = house.ledger.append_audit(None, &line(Action::Gate)).unwrap().link.number;
        (number, house.storage.1.load(Relaxed))
    };
    // Without a head: that, two listings, the newest line, ours, the head.
    assert_eq!(append(), (3 * FOLDER, 6));
    assert_eq!(append(), (3 * FOLDER + 1, 3));
    // Behind by more than it follows step by step.
    house.overwrite(super::HEAD, br#"{"number": 2992, "digest": "sha256:00"}"#);
    assert_eq!(append(), (2993, 3), "what is free is taken, and found by whoever verifies");
    (2994..2999).for_each(put);
    house.overwrite(super::HEAD, br#"{"number": 2992, "digest": "sha256:00"}"#);
    let (number, requests) = append();
    assert!(number == 3 * FOLDER + 2 && requests < 20, "{number}: {requests}");
    let newest = house.ledger.newest_audit(3).unwrap();
    assert_eq!(newest.iter().map(|line| line.number).collect::<Vec<_>>(), [3000, 3001, 3002]);
}

#[test]
fn what_is_removed_is_found() {
    for (number, expected) in [
        (1, vec!["line 1 was removed", "the manifest of 20261120T213000Z-1.3.0-bbbbbbbb has no line"]),
        // Its number, the event that it was about, and the manifest that saw it.
        (2, vec!["line 2 was removed", "the event frozen-"]),
        (3, vec!["line 3 was removed", "line 3, which the manifest of 20261121T080000Z-1.4.0-cccccccc names,"]),
        // The chain alone would not see it.
        (
            4,
            vec![
                "line 4, which audit/head.json names, was removed",
                "the manifest of 20261121T080000Z-1.4.0-cccccccc has no line",
            ],
        ),
    ] {
        let house = four();
        house.storage.delete(&key(number)).unwrap();
        let found = problems(&house.ledger);
        for expected in expected {
            assert!(found.iter().any(|problem| problem.starts_with(expected)), "{number}: {found:#?}");
        }
        // Whoever goes on does not hide it.
        house.ledger.append_audit(None, &line(Action::Thaw)).unwrap();
        assert!(!problems(&house.ledger).is_empty(), "{number}");
    }
    let house = four();
    (1..=4).for_each(|number| house.storage.delete(&key(number)).unwrap());
    assert_eq!(problems(&house.ledger).iter().filter(|problem| problem.contains("has no line")).count(), 3);
}

#[test]
fn what_is_altered_or_moved_is_found() {
    for number in 1..=4 {
        let house = four();
        let text = String::from_utf8(bytes(&house, number)).unwrap();
        house.overwrite(&key(number), text.replace("\"ada\"", "\"eve\"").as_bytes());
        let found = problems(&house.ledger);
        match number {
            // Nothing follows the newest one but the head.
            4 => {
                assert_eq!(found, ["line 4, which audit/head.json names, was removed or altered"]);
                // Whoever alters that, too, cannot alter what was kept elsewhere.
                house.storage.delete(super::HEAD).unwrap();
                let kept = kept(text.as_bytes(), "shop", "staging");
                let audit = house.ledger.verify_audit(&kept.digests, &Cancel::new()).unwrap();
                assert_eq!(audit.problems, [Problem::NotAsKept { number: 4 }]);
            }
            _ => assert!(
                found.iter().any(|problem| problem.starts_with(&format!("line {number} was altered"))),
                "{found:#?}"
            ),
        }
    }
    let house = four();
    let (two, three) = (bytes(&house, 2), bytes(&house, 3));
    house.overwrite(&key(2), &three);
    house.overwrite(&key(3), &two);
    let found = problems(&house.ledger);
    assert!(found.contains(&"line 2 was put there: it is line 3".to_owned()), "{found:#?}");
    house.overwrite(&key(3), b"{\"no\": \"line\"}");
    assert!(problems(&house.ledger).iter().any(|problem| problem.starts_with("line 3 cannot be read")));
    let read = house.ledger.newest_audit(2).unwrap();
    assert_eq!(read[0].line.as_ref().unwrap_err().code(), ErrorCode::ManifestInvalid);
}

#[test]
fn records_that_no_line_tells_of_or_that_are_gone_are_found() {
    let house = four();
    let manifest =
        format!("{}/manifest.json", Ledger::folder(&crate::model::release_id::ReleaseId::parse(SECOND).unwrap()));
    let whole = house.storage.get(&manifest, ReadFrom::Anywhere).unwrap().unwrap();
    house.storage.delete(&manifest).unwrap();
    let found = problems(&house.ledger);
    assert!(found.iter().any(|problem| problem.contains("which line 4 is about, was removed")), "{found:#?}");
    house.overwrite(&manifest, String::from_utf8(whole).unwrap().replace("\"uploads\"", "\"Uploads\"").as_bytes());
    let found = problems(&house.ledger);
    assert!(found.iter().any(|problem| problem.contains("it is not the one that line 4 is about")), "{found:#?}");

    let house = four();
    let thawed = Event::Thawed { at: "2099-01-01T00:00:00Z".parse().unwrap(), by: "eve".into(), reason: "x".into() };
    house.ledger.record_event(&crate::model::release_id::ReleaseId::parse(FIRST).unwrap(), &thawed).unwrap();
    let found = problems(&house.ledger);
    assert!(found.len() == 1 && found[0].starts_with("the event thawed-20990101T000000"), "{found:#?}");
}

#[test]
fn what_older_versions_wrote_needs_no_line() {
    let house = house();
    house.append(sample::passed(FIRST));
    assert_eq!(problems(&house.ledger), [""; 0]);
    gate(&house, sample::passed(SECOND));
    assert_eq!(problems(&house.ledger), [""; 0]);
}

#[test]
fn a_pass_that_could_not_be_recorded_is_taken_back_by_the_next_line() {
    let house = four();
    let about = |id: &str, outcome| {
        let id = crate::model::release_id::ReleaseId::parse(id).unwrap();
        AuditLine { record: Some("sha256:00".to_owned()), outcome, ..line(Action::Gate).of(&id) }
    };
    let id = "20261122T080000Z-1.5.0-dddddddd";
    house.ledger.append_audit(None, &about(id, Outcome::Passed)).unwrap();
    let found = house.ledger.verify_audit(&BTreeMap::new(), &Cancel::new()).unwrap().problems;
    assert!(found.len() == 1 && !found[0].may_be_a_crash(), "{found:#?}");
    house.ledger.append_audit(None, &about(id, Outcome::Refused)).unwrap();
    let found = house.ledger.verify_audit(&BTreeMap::new(), &Cancel::new()).unwrap().problems;
    assert!(found.len() == 1 && found[0].may_be_a_crash(), "{found:#?}");
}

#[test]
fn lines_of_others_in_a_file_are_passed_over() {
    let other = AuditLine { environment: "production".to_owned(), number: 1, ..line(Action::Gate) };
    let ours = AuditLine { number: 7, ..line(Action::Gate) };
    let file = [other.to_json().unwrap(), ours.to_json().unwrap(), b"{\"cut\":".to_vec()].concat();
    let kept = kept(&file, "shop", "staging");
    assert_eq!((kept.digests.keys().copied().collect::<Vec<_>>(), kept.unreadable), (vec![7], vec![3]));
    assert!(key(7).starts_with(AUDIT));
}
