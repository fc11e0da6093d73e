//! What a drill came to: is the content right, the answer right, the time within what is promised?

use crate::config::Expectation;
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::Content;
use serde_json::Value;

/// How many differences a message names.
const NAMED: usize = 5;
/// Tables of facts that must name the same things on both sides.
const WHOLE: [&str; 2] = ["rows", "extensions"];

/// Compares what the restored data say of themselves with what the manifest says of the snapshot, as far as both say it.
pub fn content(manifest: &Content, restored: &Content) -> Option<Finding> {
    let mut differences = Vec::new();
    for (key, then) in manifest {
        if let Some(now) = restored.get(key) {
            compare(key, key, then, now, &mut differences);
        }
    }
    let more = differences.len().saturating_sub(NAMED);
    differences.truncate(NAMED);
    if more > 0 {
        differences.push(format!("and {more} more"));
    }
    (!differences.is_empty()).then(|| {
        let message = format!("what was restored is not what the manifest says: {}", differences.join("; "));
        Finding::refusal(FindingCode::DrillContentDiffers, message)
            .hint("see that the drill's server has all that the origin's has, such as extensions; else run `holdpoint check --read-data`")
    })
}

fn compare(key: &str, path: &str, then: &Value, now: &Value, differences: &mut Vec<String>) {
    let (Some(before), Some(after)) = (then.as_object(), now.as_object()) else {
        if then != now {
            differences.push(format!("{path} is {now}, and was {then}"));
        }
        return;
    };
    for (name, then) in before {
        let path = format!("{path} of {name}");
        match after.get(name) {
            Some(now) => compare(name, &path, then, now, differences),
            None if WHOLE.contains(&key) => differences.push(format!("{path} is missing, and was {then}")),
            None => {}
        }
    }
    if WHOLE.contains(&key) {
        let added = after.iter().filter(|(name, _)| !before.contains_key(*name));
        differences.extend(added.map(|(name, now)| format!("{path} of {name} is {now}, and was not there")));
    }
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
/// one on purpose.
pub fn rpo(age: Option<f64>, rpo: Option<u64>, was_named: bool) -> Option<Finding> {
    let (age, rpo) = (age?, rpo?);
    if age <= as_seconds(rpo) {
        return None;
    }
    let message = format!("the data was {age:.0} s old when the drill began, and the environment's rpo is {rpo} s");
    let finding = Finding::refusal(FindingCode::DrillRpoMissed, message)
        .hint("schedule `holdpoint snapshot` more often than the rpo, or promise less: [environment.NAME] rpo");
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

    fn told(then: Value, now: Value) -> Option<String> {
        let of = |value| serde_json::from_value::<Content>(value).unwrap();
        content(&of(then), &of(now)).map(|finding| finding.message)
    }

    #[test]
    fn content_is_compared_as_far_as_both_tell_it() {
        let then = json!({"tables": 2, "rows": {"a": 3, "b": 0}, "wal_lsn": "0/1", "extensions": {"citext": "1.6"}});
        assert_eq!(told(then.clone(), json!({"tables": 2, "rows": {"b": 0, "a": 3}, "more": 1})), None);
        assert_eq!(told(then.clone(), json!({})), None);
        let told = |now| told(then.clone(), now).unwrap().split_once("says: ").unwrap().1.to_owned();
        assert_eq!(told(json!({"tables": 1})), "tables is 1, and was 2");
        assert_eq!(told(json!({"rows": {"a": 2, "b": 0}})), "rows of a is 2, and was 3");
        assert_eq!(told(json!({"rows": {"a": 3}})), "rows of b is missing, and was 0");
        assert_eq!(told(json!({"rows": {"a": 3, "b": 0, "c": 9}})), "rows of c is 9, and was not there");
        assert_eq!(told(json!({"extensions": {}})), "extensions of citext is missing, and was \"1.6\"");
        let many: serde_json::Map<_, _> = (0..9).map(|n| (n.to_string(), json!(n))).collect();
        assert!(told(json!({"rows": many})).ends_with("; and 6 more"));
    }

    #[test]
    fn several_databases_are_compared_one_by_one() {
        let then = json!({"databases": {"a.db": {"tables": 1, "integrity_check": "ok"}}, "rows": {"a.db.t": 1}});
        assert_eq!(told(then.clone(), json!({"databases": {"a.db": {"tables": 1}}})), None);
        let message = told(then, json!({"databases": {"a.db": {"tables": 2}}})).unwrap();
        assert!(
            message.ends_with("tables is 2, and was 1")
                || message.ends_with("databases of a.db of tables is 2, and was 1")
        );
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
            (rpo(Some(9.0), None, false), rpo(None, Some(1), false), rpo(Some(1.0), Some(1), false)),
            (None, None, None)
        );
        assert_eq!(rpo(Some(2.0), Some(1), false).unwrap().level, Level::Refusal);
        assert_eq!(rpo(Some(2.0), Some(1), true).unwrap().level, Level::Warning);
    }
}
