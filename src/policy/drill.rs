//! What a drill came to: is the content right, the answer right, the time within what is promised?

use super::restored::compare;
use crate::config::Expectation;
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::Content;

/// Compares what the restored data of a source of this kind say of themselves with what the manifest says of the snapshot.
/// That nothing could be compared refuses, too, unless others compare it: files byte by byte, and what a program restored
/// only that knows.
pub fn content(kind: &str, manifest: &Content, restored: &Content) -> Option<Finding> {
    if matches!(kind, "files" | "command") {
        return None;
    }
    let compared = compare(manifest, restored);
    if compared.is_empty() {
        return Some(differs("it and what was restored tell nothing that could be compared"));
    }
    (!compared.differences.is_empty()).then(|| differs(&compared.differences.join("; ")))
}

/// Says what of a source was not compared although it was restored, if the configuration does not ask about it either.
pub fn not_compared(kind: &str, manifest: &Content, restored: &Content, is_asked: bool) -> Option<Finding> {
    let what = match kind {
        _ if is_asked => return None,
        "files" => return None,
        "command" => "only its own program knows what it restored".to_owned(),
        _ => Some(compare(manifest, restored).left_out.join(", ")).filter(|left_out| !left_out.is_empty())?,
    };
    let message = format!("not compared with the snapshot: {what}");
    Some(
        Finding::warning(FindingCode::DrillContentDiffers, message)
            .hint("ask about it in a [[drill.check]] of this source"),
    )
}

/// Makes the finding of a restore that is not what it should be.
pub fn differs(how: &str) -> Finding {
    let message = format!("what was restored is not what the manifest says: {how}");
    Finding::refusal(FindingCode::DrillContentDiffers, message).hint(
        "see that the drill's server has all that the origin's has, such as extensions; else run `holdpoint check --read-data`",
    )
}

/// Says whether an answer, without white space around it, is the right one.
pub fn is_right(expectation: &Expectation, answer: &str) -> bool {
    match expectation {
        Expectation::Success => true,
        Expectation::Exactly(text) => answer == text.trim(),
        Expectation::Matches(regex) => regex.is_match(answer),
        Expectation::Between { min, max } => answer.parse::<f64>().is_ok_and(|number| {
            number.is_finite()
                && min.is_none_or(|min| number >= f64::from(min))
                && max.is_none_or(|max| number <= f64::from(max))
        }),
    }
}

/// Says in words what the right answer is.
pub fn expected(expectation: &Expectation) -> String {
    match expectation {
        Expectation::Success => "exit status 0".to_owned(),
        Expectation::Exactly(text) => format!("{:?}", text.trim()),
        Expectation::Matches(regex) => format!("a match of /{regex}/"),
        Expectation::Between { min: Some(min), max: Some(max) } => format!("{min} to {max}"),
        Expectation::Between { min: Some(min), max: None } => format!("at least {min}"),
        Expectation::Between { min: None, max: Some(max) } => format!("at most {max}"),
        Expectation::Between { min: None, max: None } => "a number".to_owned(),
    }
}

/// Compares the recovery time with what is promised, both in seconds. Nothing promised: nothing to say.
pub fn rto(seconds: f64, rto: Option<u64>) -> Option<Finding> {
    let rto = rto.filter(|rto| seconds > as_seconds(*rto))?;
    let message = format!("the recovery took {seconds:.1} s, and the environment's rto is {rto} s");
    Some(Finding::refusal(FindingCode::DrillRtoMissed, message).hint(
        "make the restore faster, such as by a nearer store or fewer data, or promise less: [environment.NAME] rto",
    ))
}

/// Compares the age of the restored data with what is promised, both in seconds. A release that was named may be an old
/// one on purpose. An age that is not known keeps no promise.
pub fn rpo(age: Option<f64>, rpo: Option<u64>, was_named: bool) -> Option<Finding> {
    let rpo = rpo?;
    let (message, hint) = match age {
        Some(age) if age <= as_seconds(rpo) => return None,
        Some(age) => (
            format!("the data was {age:.0} s old when the drill began, and the environment's rpo is {rpo} s"),
            "schedule `holdpoint snapshot` more often than the rpo, or promise less: [environment.NAME] rpo",
        ),
        None => (
            format!("how old the data was is not known, and the environment's rpo is {rpo} s"),
            "drill a release whose manifest says when each of its sources was captured",
        ),
    };
    let finding = Finding::refusal(FindingCode::DrillRpoMissed, message).hint(hint);
    Some(if was_named { finding.softened() } else { finding })
}

#[expect(clippy::cast_precision_loss, reason = "no promise is longer than 52 bits of seconds")]
fn as_seconds(promised: u64) -> f64 {
    promised as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::Level;
    use serde_json::json;

    #[test]
    fn what_differs_is_told() {
        let of = |value| serde_json::from_value::<Content>(value).unwrap();
        let then = of(json!({"tables": 2, "rows": {"a": 3, "b": 0}}));
        let sqlite = |now: serde_json::Value| content("sqlite", &then, &of(now)).map(|finding| finding.message);
        let ends = |found: Option<String>, words: &str| assert!(found.as_ref().unwrap().ends_with(words), "{found:?}");
        assert_eq!(content("sqlite", &then, &then), None);
        ends(sqlite(json!({"tables": 2, "rows": {"a": 2, "b": 0}})), "says: a has 2 rows, and had 3");
        ends(sqlite(json!({})), "it tells no rows, and had those of 2 tables");
        let nothing = content("postgres", &of(json!({"wal_lsn": "0/1"})), &then).unwrap();
        assert_eq!(nothing.level, Level::Refusal);
        ends(Some(nothing.message), "nothing that could be compared");
        assert_eq!(content("files", &of(json!({"files": 1})), &of(json!({"files": 1}))), None);
    }

    #[test]
    fn what_nothing_compared_is_told_unless_a_check_asks() {
        let of = |value| serde_json::from_value::<Content>(value).unwrap();
        let then = of(json!({"tables": 1, "extensions": ["x"]}));
        let now = of(json!({"tables": 1}));
        let found = |kind: &str, is_asked| not_compared(kind, &then, &now, is_asked).map(|finding| finding.message);
        assert_eq!(found("postgres", false).unwrap(), "not compared with the snapshot: extensions");
        assert!(found("command", false).unwrap().ends_with("its own program knows what it restored"));
        assert_eq!((found("files", false), found("command", true), found("postgres", true)), (None, None, None));
        assert_eq!(not_compared("postgres", &now, &now, false), None);
    }

    #[test]
    fn an_answer_is_right_or_wrong() {
        let between = |min, max| Expectation::Between { min, max };
        let matches = |text: &str| Expectation::Matches(regex::Regex::new(text).unwrap());
        let exactly = |text: &str| Expectation::Exactly(text.to_owned());
        for (expectation, right, wrong) in [
            (exactly("12"), vec!["12"], vec!["", "13", "12 "]),
            (exactly(""), vec![""], vec!["x"]),
            (matches("^2026"), vec!["2026-11"], vec!["x2026", ""]),
            (between(Some(1), None), vec!["1", "1.5", "99"], vec!["0", "", "many", "-1", "NaN", "inf"]),
            (between(None, Some(3)), vec!["0", "3"], vec!["3.1", ""]),
            (Expectation::Success, vec!["", "anything"], vec![]),
        ] {
            for answer in right {
                assert!(is_right(&expectation, answer), "{expectation:?} {answer:?}");
            }
            for answer in wrong {
                assert!(!is_right(&expectation, answer), "{expectation:?} {answer:?}");
            }
        }
        assert_eq!(expected(&between(Some(1), Some(3))), "1 to 3");
    }

    #[test]
    fn promises_are_held_or_missed() {
        assert_eq!((rto(9.0, None), rto(10.0, Some(10))), (None, None));
        assert_eq!(rto(10.1, Some(10)).unwrap().level, Level::Refusal);
        assert_eq!(
            (rpo(Some(9.0), None, false), rpo(None, None, false), rpo(Some(1.0), Some(1), false)),
            (None, None, None)
        );
        assert_eq!(rpo(Some(2.0), Some(1), false).unwrap().level, Level::Refusal);
        assert_eq!(rpo(None, Some(1), false).unwrap().level, Level::Refusal);
        assert_eq!(rpo(Some(2.0), Some(1), true).unwrap().level, Level::Warning);
    }
}
