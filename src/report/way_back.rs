//! Can we roll back now, to which version, and why: the first question of every reader.

use super::drilled;
use super::elsewhere::sentences;
use super::html::Standing;
use super::undoing::Undoing;
use super::units::time;
use crate::ledger::events::{Event, EventRecord};
use crate::model::drill::DrillResult;
use crate::model::manifest::{Manifest, ProbeKind, Purpose, SourceRecord, State, VerifyMode};
use crate::model::reconciliation::{Outcome, Side};

/// What a release offers to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Data and version.
    Yes,
    /// Not all of it: a source, the proof, or the version before is missing.
    Partly,
    /// Nothing complete, or nothing to roll back.
    No,
}

/// The answer and its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WayBack {
    /// The answer.
    pub(super) answer: Answer,
    /// The answer in a few words.
    pub(super) headline: String,
    /// Why, in whole sentences.
    pub(super) why: Vec<String>,
}

/// Answers for one release, by its manifest and what happened since.
pub(super) fn way_back(manifest: &Manifest, events: &[EventRecord]) -> WayBack {
    if let Some(why) = let_go(events) {
        return WayBack { answer: Answer::No, headline: "No, it was let go".to_owned(), why: vec![why] };
    }
    if manifest.state == State::Passed { of_pass(manifest, events) } else { of_refusal(manifest) }
}

/// Says so if retention let the release go from the store.
fn let_go(events: &[EventRecord]) -> Option<String> {
    events.iter().rev().find_map(|record| match &record.event {
        Event::Pruned { at, copy: None, archive: Some(archive), .. } => {
            let at = time(*at);
            Some(format!("Its snapshots were moved to the copy {archive} at {at}: restore from there, by --store."))
        }
        Event::Pruned { at, copy: None, archive: None, .. } => {
            Some(format!("Retention let it go at {}: its snapshots are removed.", time(*at)))
        }
        _ => None,
    })
}

fn of_pass(manifest: &Manifest, events: &[EventRecord]) -> WayBack {
    let mut why = Vec::new();
    let (kept, missing): (Vec<_>, Vec<_>) = manifest.sources.iter().partition(|source| source.is_proved());
    if kept.is_empty() {
        let why = vec!["No source of this release has a verified snapshot.".to_owned()];
        return WayBack { answer: Answer::No, headline: "No".to_owned(), why };
    }
    let proved = |source: &&SourceRecord| source.verification.as_ref().is_some_and(|p| p.mode != VerifyMode::None);
    let unproved = !kept.iter().all(proved);
    let (older, captured): (Vec<&&SourceRecord>, Vec<_>) = kept.iter().partition(|source| source.stand_in.is_some());
    let were = if captured.len() == 1 { "source was" } else { "sources were" };
    if !captured.is_empty() {
        let count = captured.len();
        why.push(if unproved {
            format!("{count} {were} captured before the deploy, but not all were read back: nothing proves those.")
        } else {
            format!("{count} {were} captured before the deploy, read back from the store and found whole.")
        });
    }
    why.extend(older.into_iter().filter_map(|source| older_snapshot(source)));
    let list = |sources: Vec<&&SourceRecord>| sources.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
    let (required, optional): (Vec<_>, Vec<_>) = missing.iter().partition(|source| source.required);
    let incomplete = unproved || !required.is_empty();
    if !required.is_empty() {
        why.push(format!("Missing although required: {}.", list(required)));
    }
    if !optional.is_empty() {
        why.push(format!("Missing, and not required: {}.", list(optional)));
    }
    why.extend(sentences(manifest));
    if let Some(overridden) = &manifest.decision.overridden {
        why.push(format!("A refusal was overridden by {}.", overridden.approved_by));
    }
    why.extend(drilled::sentence(events));
    let failed_drill = drilled::last(events).is_some_and(|(_, drill)| drill.result != DrillResult::Passed);
    why.extend(under_way(events));
    if let Some(text) = already_back(manifest, events) {
        why.push(text);
    }
    let by_hand = by_hand(manifest, &kept);
    if let Some(names) = &by_hand {
        why.push(format!("Only a person can do all of it, by the steps of this page: {names}."));
    }
    let from = &manifest.release.from;
    match (&from.version, from.probe) {
        (Some(version), _) if incomplete || failed_drill => {
            WayBack { answer: Answer::Partly, headline: format!("Not surely, to {version}"), why }
        }
        (Some(version), _) if by_hand.is_some() => {
            let names = by_hand.unwrap_or_default();
            WayBack { answer: Answer::Partly, headline: format!("To {version}, by hand: {names}"), why }
        }
        (Some(version), _) => WayBack { answer: Answer::Yes, headline: format!("Yes, to {version}"), why },
        (None, ProbeKind::First) => {
            why.push(
                "This is the first release: there is no version to go back to, only the data of before.".to_owned(),
            );
            WayBack { answer: Answer::Partly, headline: "The data, yes; there is no version before".to_owned(), why }
        }
        (None, _) => {
            why.push("Nothing could observe which version ran before: find out before you need it.".to_owned());
            WayBack { answer: Answer::Partly, headline: "The data, yes; the version is not known".to_owned(), why }
        }
    }
}

/// Says that a source was not captured, and what it goes back to instead.
fn older_snapshot(source: &SourceRecord) -> Option<String> {
    let older = source.stand_in.as_ref()?;
    let (name, at, release) = (&source.name, time(older.captured_at), &older.release);
    Some(format!(
        "For {name} the snapshot of {at} stands in (release {release}, by the rule {}): this run saw it whole in the store.",
        older.rule
    ))
}

/// Names what `holdpoint rollback` refuses to restore, since only a person can; `None` if it does all of it.
fn by_hand(manifest: &Manifest, kept: &[&SourceRecord]) -> Option<String> {
    if manifest.rollback.commands.is_some() {
        return None;
    }
    let is_cluster = |source: &SourceRecord| matches!(source.method.as_str(), "base-backup" | "restore-point");
    let names = |is: &dyn Fn(&SourceRecord) -> bool| {
        let names = kept.iter().filter(|source| is(source)).map(|source| source.name.as_str());
        Some(names.collect::<Vec<_>>().join(", ")).filter(|names| !names.is_empty())
    };
    // The manifest does not tell whether a program can restore what it captured; only such ones are left as the reason.
    let is_program = |source: &SourceRecord| source.kind == "command" && manifest.purpose == Purpose::Gate;
    names(&is_cluster).or_else(|| names(&is_program))
}

/// Says so if a rollback was begun and is not done: nobody should take another way meanwhile.
fn under_way(events: &[EventRecord]) -> Option<String> {
    let undoing = Undoing::of(events, Standing::Unknown).filter(|undoing| undoing.done.is_none())?;
    let (done, all) = (undoing.done_steps(), undoing.steps.len());
    Some(format!("A rollback was begun on {}, and {done} of its {all} steps are done.", time(undoing.at)))
}

/// Says so if the version before is what was last seen running.
fn already_back(manifest: &Manifest, events: &[EventRecord]) -> Option<String> {
    let seen = events.iter().rev().find_map(|record| match &record.event {
        Event::Reconciled { at, expected, outcome, .. } => Some((at, expected, outcome)),
        _ => None,
    });
    let (at, expected, outcome) = seen?;
    let from = manifest.release.from.version.as_ref()?;
    let runs = match (expected, outcome) {
        (Side::To, Outcome::Unchanged) | (Side::From, Outcome::Matched) => true,
        (Side::To | Side::From, _) => false,
    };
    runs.then(|| format!("{from} was seen running at {}, so there may be nothing to roll back.", time(*at)))
}

fn of_refusal(manifest: &Manifest) -> WayBack {
    let to = &manifest.release.to.version;
    let kept = names(manifest);
    let how = match manifest.state {
        State::TimedOut => "ran out of time",
        State::Cancelled => "was cancelled",
        State::Error => "failed",
        State::Refused | State::Passed => "was refused",
    };
    let mut why = vec![if kept.is_empty() {
        "Nothing to go back to was captured in this run.".to_owned()
    } else if kept.len() < manifest.sources.len() {
        format!("Nothing complete to go back to was captured in this run: only {} can be restored.", kept.join(", "))
    } else {
        "Every source can be restored, but this run did not pass, so it vouches for nothing.".to_owned()
    }];
    why.push(format!("The run {how}, so {to} must not have been deployed by it."));
    why.push("If you need to go back, use the newest release that passed: holdpoint releases".to_owned());
    WayBack { answer: Answer::No, headline: "No".to_owned(), why }
}

/// Names what can be restored.
fn names(manifest: &Manifest) -> Vec<String> {
    manifest.sources.iter().filter(|source| source.is_proved()).map(|source| source.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::model::manifest::SourceOutcome;

    #[test]
    fn a_pass_leads_back_to_the_version_that_ran() {
        let back = way_back(&sample::passed(), &[]);
        assert_eq!((back.answer, back.headline.as_str()), (Answer::Yes, "Yes, to 1.3.0"));
        let event = sample::reconciled("2026-11-20T21:45:00Z", Side::From, Outcome::Matched);
        let back = way_back(&sample::passed(), &[event]);
        assert!(back.why.iter().any(|why| why.contains("nothing to roll back")), "{back:?}");
    }

    #[test]
    fn an_older_snapshot_that_stands_in_leads_back_too_and_says_from_when_it_is() {
        let back = way_back(&sample::stood_in(1), &[]);
        assert_eq!((back.answer, back.headline.as_str()), (Answer::Yes, "Yes, to 1.3.0"));
        assert_eq!(back.why[0], "1 source was captured before the deploy, read back from the store and found whole.");
        let older = "For uploads the snapshot of 2026-11-20 20:45:00 UTC stands in (release 20261120T204500Z-1.3.1-77aa00ff, by the \
                     rule policy.minor.reuse_within): this run saw it whole in the store.";
        assert_eq!(back.why[1], older);
        let back = way_back(&sample::stood_in(0), &[]);
        assert!(back.why[0].starts_with("For orders") && back.why[1].starts_with("For uploads"), "{:?}", back.why);
    }

    #[test]
    fn what_only_a_person_can_restore_is_no_plain_yes() {
        let mut manifest = sample::passed();
        manifest.rollback.commands = None;
        for (kind, method) in [("postgres", "base-backup"), ("postgres", "restore-point"), ("command", "command")] {
            manifest.sources[0].kind = kind.to_owned();
            manifest.sources[0].method = method.to_owned();
            let back = way_back(&manifest, &[]);
            assert_eq!((back.answer, back.headline.as_str()), (Answer::Partly, "To 1.3.0, by hand: orders"));
            assert!(back.why.iter().any(|why| why.starts_with("Only a person can")), "{back:?}");
        }
    }

    #[test]
    fn what_is_missing_or_unproved_is_no_plain_yes() {
        let mut manifest = sample::passed();
        manifest.sources[1].outcome = SourceOutcome::Failed;
        let back = way_back(&manifest, &[]);
        assert_eq!((back.answer, back.why[1].as_str()), (Answer::Partly, "Missing although required: uploads."));
        manifest.sources[1].required = false;
        assert_eq!(way_back(&manifest, &[]).answer, Answer::Yes);
        manifest.sources[0].verification = None;
        let back = way_back(&manifest, &[]);
        assert_eq!(back.answer, Answer::Partly);
        assert!(back.why[0].contains("nothing proves"), "{back:?}");
    }

    #[test]
    fn without_an_older_version_only_the_data_comes_back() {
        for (probe, words) in [(ProbeKind::First, "first release"), (ProbeKind::None, "Nothing could observe")] {
            let mut manifest = sample::passed();
            manifest.release.from.version = None;
            manifest.release.from.probe = probe;
            let back = way_back(&manifest, &[]);
            assert_eq!(back.answer, Answer::Partly);
            assert!(back.why.iter().any(|why| why.contains(words)), "{back:?}");
        }
    }

    #[test]
    fn a_run_that_did_not_pass_says_what_it_left() {
        for state in [State::Refused, State::TimedOut, State::Cancelled, State::Error] {
            let mut manifest = sample::refused();
            manifest.state = state;
            let back = way_back(&manifest, &[]);
            assert_eq!(back.answer, Answer::No);
            assert_eq!(back.why[0], "Nothing to go back to was captured in this run.");
            manifest.sources[1].outcome = SourceOutcome::Verified;
            assert!(way_back(&manifest, &[]).why[0].contains("only uploads can be restored"));
            manifest.sources[0].outcome = SourceOutcome::Verified;
            assert!(way_back(&manifest, &[]).why[0].starts_with("Every source can be restored"));
        }
    }
}
