//! Which way back is the right one? The preferred one of those that can be gone, lose no more and take no longer than is
//! allowed.

use crate::model::way::WayKind;
use std::fmt::Display;
use std::time::Duration;

/// By what the ways are weighed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Criteria {
    /// The preferred way first; ways that are not named come after them in the usual order.
    pub prefer: Vec<WayKind>,
    /// How much may be lost, as the time in which it was written.
    pub max_loss: Option<Duration>,
    /// How long it may take.
    pub max_duration: Option<Duration>,
}

/// What is known of a way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Which one.
    pub way: WayKind,
    /// Whether it can be gone.
    pub possible: bool,
    /// How long its known parts take, in seconds.
    pub seconds: Option<f64>,
    /// What it loses.
    pub loses: Loses,
    /// What is not as it should be where it ends.
    pub flaw: Option<Flaw>,
}

/// What a way that can be gone leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// No source tells a schema, so nothing could be compared with what the older version runs on.
    SchemaUnknown,
    /// Some sources go back and others stay: the older version would find data of two moments.
    Mixed,
}

/// What a way loses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loses {
    /// Nothing that was written since.
    Nothing,
    /// What was written in so many seconds.
    Seconds(f64),
    /// What a migration drops; nobody knows how much.
    Dropped,
    /// Something, and nobody knows how much.
    Unknown,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recommendation {
    /// The recommended way; `None` if none can be gone.
    pub way: Option<WayKind>,
    /// What the criteria say of each way, in the order of the preference.
    pub reasons: Vec<(WayKind, String)>,
}

/// Recommends the first way of the preference that can be gone, goes back as a whole and keeps within the limits.
///
/// What a way loses is lost for good: so one of which nobody knows how much it loses does not keep within a limit. How long
/// most ways take in all nobody knows, since nobody measures a deployment: what is known of it must keep within the limit.
pub fn recommend(candidates: &[Candidate], criteria: &Criteria) -> Recommendation {
    let rest = WayKind::ALL.into_iter().filter(|way| !criteria.prefer.contains(way));
    let order = criteria.prefer.iter().copied().chain(rest);
    let find = |way: WayKind| candidates.iter().find(|candidate| candidate.way == way);
    let mut recommended = None;
    let mut reasons = Vec::new();
    for candidate in order.filter_map(find) {
        let says = |text: String| (candidate.way, text);
        let against = beyond(candidate, criteria);
        if !candidate.possible {
            reasons.push(says("it cannot be gone".to_owned()));
        } else if !against.is_empty() {
            reasons.push(says(against.join("; ")));
        } else if let Some(better) = recommended {
            reasons.push(says(format!("{better} is preferred")));
        } else {
            recommended = Some(candidate.way);
            reasons.push(says(why(candidate, criteria)));
        }
    }
    Recommendation { way: recommended, reasons }
}

/// Says what of a way is beyond the limits.
fn beyond(candidate: &Candidate, criteria: &Criteria) -> Vec<String> {
    let mut against = Vec::new();
    if candidate.flaw == Some(Flaw::Mixed) {
        against.push("not every source goes back: the older version would find data of two moments".to_owned());
    }
    match (candidate.loses, criteria.max_loss) {
        (Loses::Seconds(seconds), Some(most)) if seconds > most.as_secs_f64() => {
            against.push(format!("it would lose {} of data, more than max_loss {}", span(seconds), limit(most)));
        }
        (Loses::Unknown, Some(most)) => {
            against.push(format!("nobody knows how much it would lose, and max_loss is {}", limit(most)));
        }
        (Loses::Dropped, Some(most)) => {
            against.push(format!("nobody knows how much the migration drops, and max_loss is {}", limit(most)));
        }
        _ => {}
    }
    if let (Some(seconds), Some(most)) = (candidate.seconds, criteria.max_duration)
        && seconds > most.as_secs_f64()
    {
        against.push(format!("it would take {} or more, longer than max_duration {}", span(seconds), limit(most)));
    }
    against
}

/// Says why a way is the right one.
fn why(candidate: &Candidate, criteria: &Criteria) -> String {
    let loses = match candidate.loses {
        Loses::Nothing if candidate.flaw == Some(Flaw::SchemaUnknown) => {
            "it loses nothing that was written since; no source tells a schema, so see for yourself that the older version \
             runs on what is there"
                .to_owned()
        }
        Loses::Nothing if candidate.way == WayKind::CodeOnly => {
            "the schema is one that the older version runs on, so it loses nothing".to_owned()
        }
        Loses::Nothing => "it loses nothing that was written since".to_owned(),
        Loses::Seconds(seconds) => match criteria.max_loss {
            Some(most) => format!("it loses {} of data, within max_loss {}", span(seconds), limit(most)),
            None => format!("it loses {} of data, which no max_loss forbids", span(seconds)),
        },
        Loses::Dropped => "it loses what the migration drops, which no max_loss forbids".to_owned(),
        Loses::Unknown => "nobody knows how much it loses, which no max_loss forbids".to_owned(),
    };
    let takes = match (candidate.seconds, criteria.max_duration) {
        (None, Some(most)) => format!("; nobody measured how long it takes, and max_duration is {}", limit(most)),
        (Some(seconds), Some(most)) if seconds > 0.0 => {
            format!("; what is known of its time, {}, is within max_duration {}", span(seconds), limit(most))
        }
        _ => String::new(),
    };
    format!("{loses}{takes}")
}

/// Formats a limit as the configuration writes it.
fn limit(duration: Duration) -> impl Display {
    humantime::format_duration(duration)
}

/// Formats a span of time by its two largest units.
pub fn span(seconds: f64) -> String {
    let Ok(duration) = Duration::try_from_secs_f64(seconds.round()) else { return "an unknown time".to_owned() };
    let text = humantime::format_duration(duration).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use WayKind::{CodeOnly, DownMigration, FullRestore, PointInTime, RollForward};

    const HOUR: f64 = 3600.0;

    /// A way that is possible.
    fn can(way: WayKind, seconds: Option<f64>, loses: Loses) -> Candidate {
        Candidate { way, possible: true, seconds, loses, flaw: None }
    }

    fn cannot(way: WayKind) -> Candidate {
        Candidate { way, possible: false, seconds: None, loses: Loses::Unknown, flaw: None }
    }

    fn criteria(prefer: &[WayKind], max_loss: Option<u64>, max_duration: Option<u64>) -> Criteria {
        Criteria {
            prefer: prefer.to_vec(),
            max_loss: max_loss.map(Duration::from_secs),
            max_duration: max_duration.map(Duration::from_secs),
        }
    }

    #[test]
    fn the_preferred_way_within_the_limits_is_recommended() {
        let code = can(CodeOnly, None, Loses::Nothing);
        let down = can(DownMigration, None, Loses::Dropped);
        let full = can(FullRestore, Some(240.0), Loses::Seconds(3.0 * HOUR));
        let quick = can(FullRestore, Some(240.0), Loses::Seconds(120.0));
        let unmeasured = can(FullRestore, None, Loses::Seconds(120.0));
        let undated = can(FullRestore, Some(240.0), Loses::Unknown);
        let point = can(PointInTime, None, Loses::Seconds(600.0));
        let mixed = Candidate { flaw: Some(Flaw::Mixed), ..point };
        let untold = Candidate { flaw: Some(Flaw::SchemaUnknown), ..code };
        let forward = can(RollForward, None, Loses::Nothing);
        let (no_code, no_down, no_point) = (cannot(CodeOnly), cannot(DownMigration), cannot(PointInTime));
        let none = criteria(&[], None, None);
        for (number, (candidates, criteria, expected)) in [
            // By the usual order alone.
            (vec![code, down, full, point, forward], none.clone(), Some(CodeOnly)),
            (vec![no_code, down, full, point, forward], none.clone(), Some(DownMigration)),
            (vec![no_code, no_down, full, point, forward], none.clone(), Some(PointInTime)),
            (vec![no_code, no_down, full, no_point, forward], none.clone(), Some(FullRestore)),
            (vec![no_code, no_down, cannot(FullRestore), no_point, forward], none.clone(), Some(RollForward)),
            (vec![no_code, cannot(RollForward)], none.clone(), None),
            (vec![], none.clone(), None),
            (vec![undated, forward], none.clone(), Some(FullRestore)),
            (vec![untold, full, forward], none.clone(), Some(CodeOnly)),
            // What would be a mix is never right.
            (vec![no_code, no_down, mixed, full, forward], none.clone(), Some(FullRestore)),
            (vec![mixed, full], criteria(&[PointInTime], None, None), Some(FullRestore)),
            (vec![mixed], none.clone(), None),
            // Without limits only the preference counts.
            (vec![code, full, forward], criteria(&[FullRestore], None, None), Some(FullRestore)),
            (vec![code, full, forward], criteria(&[RollForward, CodeOnly], None, None), Some(RollForward)),
            (vec![no_code, down, full], criteria(&[CodeOnly, FullRestore], None, None), Some(FullRestore)),
            (
                vec![no_code, down, cannot(FullRestore)],
                criteria(&[CodeOnly, FullRestore], None, None),
                Some(DownMigration),
            ),
            // What may be lost.
            (vec![code, full, forward], criteria(&[FullRestore], Some(600), None), Some(CodeOnly)),
            (vec![no_code, full, forward], criteria(&[], Some(600), None), Some(RollForward)),
            (vec![no_code, quick, forward], criteria(&[], Some(600), None), Some(FullRestore)),
            (vec![no_code, quick, forward], criteria(&[], Some(120), None), Some(FullRestore)),
            (vec![no_code, quick, forward], criteria(&[], Some(0), None), Some(RollForward)),
            (vec![no_code, undated, forward], criteria(&[], Some(864_000), None), Some(RollForward)),
            // What a migration drops nobody knows, so it is within no limit.
            (vec![no_code, down, quick], criteria(&[], Some(600), None), Some(FullRestore)),
            (vec![no_code, down, forward], criteria(&[DownMigration], Some(0), None), Some(RollForward)),
            (vec![no_code, full, point, forward], criteria(&[FullRestore], Some(600), None), Some(PointInTime)),
            (vec![no_code, full], criteria(&[], Some(600), None), None),
            // How long it may take; what nobody measured does not count against a way.
            (vec![no_code, full, forward], criteria(&[], None, Some(240)), Some(FullRestore)),
            (vec![no_code, full, forward], criteria(&[], None, Some(239)), Some(RollForward)),
            (vec![no_code, unmeasured, forward], criteria(&[], None, Some(1)), Some(FullRestore)),
            (vec![code, full, forward], criteria(&[FullRestore, CodeOnly], None, Some(60)), Some(CodeOnly)),
            // Both.
            (vec![no_code, quick, forward], criteria(&[FullRestore], Some(600), Some(300)), Some(FullRestore)),
            (vec![no_code, quick, forward], criteria(&[FullRestore], Some(60), Some(300)), Some(RollForward)),
            (vec![no_code, quick, forward], criteria(&[FullRestore], Some(600), Some(200)), Some(RollForward)),
        ]
        .into_iter()
        .enumerate()
        {
            let recommended = recommend(&candidates, &criteria);
            assert_eq!(recommended.way, expected, "case {number}: {recommended:?}");
            assert_eq!(recommended.reasons.len(), candidates.len(), "case {number}: each way has its reason");
        }
    }

    #[test]
    fn the_reasons_are_in_words() {
        let candidates = [
            can(CodeOnly, None, Loses::Nothing),
            can(FullRestore, Some(2400.0), Loses::Seconds(3.0 * HOUR + 2.0)),
            can(PointInTime, None, Loses::Unknown),
            can(RollForward, None, Loses::Nothing),
            cannot(DownMigration),
        ];
        let told = recommend(&candidates, &criteria(&[FullRestore], Some(600), Some(1800)));
        let expected = [
            (
                FullRestore,
                "it would lose 3h 2s of data, more than max_loss 10m; it would take 40m or more, longer than max_duration 30m",
            ),
            (
                CodeOnly,
                "the schema is one that the older version runs on, so it loses nothing; nobody measured how long it takes, and max_duration is 30m",
            ),
            (DownMigration, "it cannot be gone"),
            (PointInTime, "nobody knows how much it would lose, and max_loss is 10m"),
            (RollForward, "code-only is preferred"),
        ];
        let expected: Vec<_> = expected.map(|(way, text)| (way, text.to_owned())).into();
        assert_eq!(told, Recommendation { way: Some(CodeOnly), reasons: expected });
        let down = can(DownMigration, None, Loses::Dropped);
        let untold = Candidate { flaw: Some(Flaw::SchemaUnknown), ..candidates[0] };
        let mixed = Candidate { flaw: Some(Flaw::Mixed), ..can(PointInTime, None, Loses::Unknown) };
        let first = |candidate, most| recommend(&[candidate], &criteria(&[], most, None)).reasons.remove(0).1;
        assert_eq!(first(down, None), "it loses what the migration drops, which no max_loss forbids");
        assert_eq!(first(down, Some(0)), "nobody knows how much the migration drops, and max_loss is 0s");
        assert_eq!(
            first(untold, None),
            "it loses nothing that was written since; no source tells a schema, so see for yourself that the older \
             version runs on what is there"
        );
        assert_eq!(first(mixed, None), "not every source goes back: the older version would find data of two moments");
        let free = recommend(&candidates[1..2], &criteria(&[], None, None));
        assert_eq!(free.reasons[0].1, "it loses 3h 2s of data, which no max_loss forbids");
        let bound = recommend(&candidates[1..2], &criteria(&[], Some(86_400), Some(3600)));
        assert_eq!(
            bound.reasons[0].1,
            "it loses 3h 2s of data, within max_loss 1day; what is known of its time, 40m, is within max_duration 1h"
        );
    }
}
