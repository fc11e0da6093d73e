//! Compares what a manifest says should run with what runs.

use crate::model::manifest::{Instance, Release};
use crate::model::reconciliation::{Outcome, Side};
use crate::model::version::Version;

/// What the comparison came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The outcome.
    pub outcome: Outcome,
    /// The outcome in one sentence, with the instances that decided it.
    pub explanation: String,
}

/// What one instance runs, measured by a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runs {
    Expected,
    Other,
    Stranger,
    Nothing,
}

/// One side of a release.
struct Wanted<'a> {
    versions: Vec<&'a Version>,
    commit: Option<&'a str>,
}

impl Wanted<'_> {
    /// Says whether an instance runs this side: one of its versions and, where both are known, its commit.
    fn is_run_by(&self, version: &Version, commit: Option<&str>) -> bool {
        let same_commit = match (self.commit, commit) {
            (Some(one), Some(two)) => is_same_commit(one, two),
            _ => true,
        };
        same_commit && self.versions.iter().any(|wanted| wanted.is_same_release(version))
    }
}

/// Compares the instances of the running system with the `expected` side of a release.
///
/// `accept` holds further texts that count as the expected version, as the manifest lists them. Versions are compared
/// as releases (`v1.4.0` is `1.4.0`), commits by their beginning and only where both sides tell theirs. An instance
/// without an answer keeps the outcome from being `matched`; something that the manifest does not describe makes it
/// `drifted` whatever the others run.
pub fn compare(release: &Release, expected: Side, accept: &[Version], instances: &[Instance]) -> Comparison {
    let from = Wanted { versions: release.from.version.iter().collect(), commit: release.from.commit.as_deref() };
    let to = Wanted { versions: vec![&release.to.version], commit: Some(&release.to.commit) };
    let (mut wanted, other) = match expected {
        Side::To => (to, from),
        Side::From => (from, to),
    };
    let Some(name) = wanted.versions.first().copied() else {
        let explanation = "the manifest does not tell which version ran before the release, so nothing can match it";
        return Comparison { outcome: Outcome::Unknown, explanation: explanation.to_owned() };
    };
    wanted.versions.extend(accept);
    let measured: Vec<_> = instances.iter().map(|instance| (measure(instance, &wanted, &other), instance)).collect();
    let of = |kind: Runs| measured.iter().filter(move |(runs, _)| *runs == kind).map(|(_, instance)| *instance);
    let count = |kind: Runs| of(kind).count();
    let all = instances.len();
    let here = count(Runs::Expected);

    let (outcome, explanation) = if count(Runs::Nothing) == all {
        let why = if all == 0 { "nothing was asked".to_owned() } else { silent(of(Runs::Nothing)) };
        (Outcome::Unknown, format!("the deployed version could not be observed: {why}"))
    } else if count(Runs::Stranger) > 0 {
        let strangers = of(Runs::Stranger).map(running).collect::<Vec<_>>().join("; ");
        (Outcome::Drifted, format!("{} is expected, but {strangers}", described(name, wanted.commit)))
    } else if here == all {
        let same = other.versions.iter().any(|other| other.is_same_release(name));
        let told = of(Runs::Expected).all(|instance| instance.commit.is_some()) && other.commit.is_some();
        // With one version on both sides and no commit to tell them apart, a match proves little: say so.
        let doubt = if same && !told {
            ", which also ran before, so this does not show that anything was deployed"
        } else {
            ""
        };
        (Outcome::Matched, format!("{} {name}, as expected{doubt}", instances_run(here, all)))
    } else if here > 0 {
        let others = of(Runs::Other).map(running).chain(of(Runs::Nothing).map(no_answer));
        let others = others.collect::<Vec<_>>().join("; ");
        (Outcome::Partial, format!("{} {name}, as expected, but {others}", instances_run(here, all)))
    } else if count(Runs::Nothing) > 0 {
        let why = silent(of(Runs::Nothing));
        let others = of(Runs::Other).map(running).collect::<Vec<_>>().join("; ");
        (Outcome::Unknown, format!("{name} is expected, but {others}, and the others could not be observed: {why}"))
    } else {
        let runs = of(Runs::Other).map(running).collect::<Vec<_>>().join("; ");
        (Outcome::Unchanged, format!("{name} is expected, but nothing changed: {runs}"))
    };
    Comparison { outcome, explanation }
}

fn measure(instance: &Instance, wanted: &Wanted<'_>, other: &Wanted<'_>) -> Runs {
    let commit = instance.commit.as_deref();
    match &instance.version {
        None => Runs::Nothing,
        Some(version) if wanted.is_run_by(version, commit) => Runs::Expected,
        Some(version) if other.is_run_by(version, commit) => Runs::Other,
        Some(_) => Runs::Stranger,
    }
}

/// Says whether one commit is the other, which may be given by its first digits.
pub fn is_same_commit(one: &str, two: &str) -> bool {
    let length = one.len().min(two.len());
    match (one.get(..length), two.get(..length)) {
        (Some(one), Some(two)) => length > 0 && one.eq_ignore_ascii_case(two),
        _ => false,
    }
}

fn instances_run(count: usize, all: usize) -> String {
    match (count, all) {
        (1, 1) => "the instance runs".to_owned(),
        (count, all) if count == all => format!("all {all} instances run"),
        (1, all) => format!("1 of {all} instances runs"),
        (count, all) => format!("{count} of {all} instances run"),
    }
}

fn described(version: &Version, commit: Option<&str>) -> String {
    commit.map_or_else(|| version.to_string(), |commit| format!("{version} (commit {commit})"))
}

fn running(instance: &Instance) -> String {
    let version = instance.version.as_ref();
    let what = version.map_or_else(|| "nothing".to_owned(), |version| described(version, instance.commit.as_deref()));
    format!("{} runs {what}", instance.name)
}

fn no_answer(instance: &Instance) -> String {
    format!("{} gave no version: {}", instance.name, instance.error.as_deref().unwrap_or("no reason is known"))
}

fn silent<'a>(instances: impl Iterator<Item = &'a Instance>) -> String {
    instances.map(no_answer).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::{From, ProbeKind, Severity, To};

    const OLD: &str = "aaaaaaa1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const NEW: &str = "bbbbbbb1bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn version(text: &str) -> Version {
        Version::from(text.to_owned())
    }

    fn release(from: Option<&str>, from_commit: Option<&str>) -> Release {
        Release {
            from: From {
                version: from.map(version),
                commit: from_commit.map(str::to_owned),
                observed_at: None,
                probe: ProbeKind::Http,
                instances: Vec::new(),
            },
            to: To {
                version: version("1.4.0"),
                commit: NEW.to_owned(),
                reference: None,
                severity: Severity::Minor,
                changed_paths: Vec::new(),
            },
        }
    }

    /// Instances from texts such as `1.4.0` or `1.4.0@bbbbbbb`; an empty text is one without an answer.
    fn instances(texts: &[&str]) -> Vec<Instance> {
        let instance = |(number, text): (usize, &&str)| {
            let (number_text, commit) =
                text.split_once('@').map_or((*text, None), |(text, commit)| (text, Some(commit)));
            Instance {
                name: format!("i{number}"),
                version: (!number_text.is_empty()).then(|| version(number_text)),
                commit: commit.map(str::to_owned),
                error: number_text.is_empty().then(|| "timed out".to_owned()),
            }
        };
        texts.iter().enumerate().map(instance).collect()
    }

    fn outcome(release: &Release, side: Side, texts: &[&str]) -> Outcome {
        compare(release, side, &[], &instances(texts)).outcome
    }

    #[test]
    fn a_release_from_one_version_to_another() {
        use Outcome::*;
        let release = release(Some("1.3.0"), Some(OLD));
        let cases: &[(&[&str], Outcome, Outcome)] = &[
            // What the instances run, what that means where `to` is expected, and where `from` is.
            (&["1.4.0"], Matched, Unchanged),
            (&["v1.4.0+build.7"], Matched, Unchanged),
            (&["1.4.0@bbbbbbb"], Matched, Unchanged),
            (&["1.4.0@BBBBBBB1"], Matched, Unchanged),
            (&["1.4.0@ccccccc"], Drifted, Drifted),
            (&["1.3.0@aaaaaaa"], Unchanged, Matched),
            (&["1.3.0@bbbbbbb"], Drifted, Drifted),
            (&["1.4.0", "v1.4.0"], Matched, Unchanged),
            (&["1.4.0", "1.3.0"], Partial, Partial),
            (&["1.4.0", "1.3.0", ""], Partial, Partial),
            (&["1.4.0", ""], Partial, Unknown),
            (&["1.3.0", ""], Unknown, Partial),
            (&["1.3.0", "1.3.0"], Unchanged, Matched),
            (&["1.4.0", "2.0.0"], Drifted, Drifted),
            (&["2.0.0", ""], Drifted, Drifted),
            (&["1.4.0-rc.1"], Drifted, Drifted),
            (&["", ""], Unknown, Unknown),
            (&[], Unknown, Unknown),
        ];
        for (texts, to, from) in cases {
            assert_eq!(outcome(&release, Side::To, texts), *to, "{texts:?} where the new version is expected");
            assert_eq!(outcome(&release, Side::From, texts), *from, "{texts:?} where the old version is expected");
        }
    }

    #[test]
    fn a_first_release_has_no_other_side() {
        let first = release(None, None);
        assert_eq!(outcome(&first, Side::To, &["1.4.0"]), Outcome::Matched);
        assert_eq!(outcome(&first, Side::To, &["1.3.0"]), Outcome::Drifted);
        assert_eq!(outcome(&first, Side::From, &["1.3.0"]), Outcome::Unknown);
    }

    #[test]
    fn the_same_version_twice_is_told_apart_by_commit_alone() {
        let again = release(Some("1.4.0"), Some(OLD));
        assert_eq!(outcome(&again, Side::To, &["1.4.0@aaaaaaa"]), Outcome::Unchanged);
        assert_eq!(outcome(&again, Side::To, &["1.4.0@bbbbbbb"]), Outcome::Matched);
        let comparison = compare(&again, Side::To, &[], &instances(&["1.4.0"]));
        assert_eq!(comparison.outcome, Outcome::Matched);
        assert!(comparison.explanation.contains("does not show that anything was deployed"), "{comparison:?}");
    }

    #[test]
    fn accepted_texts_count_as_the_expected_version() {
        let release = release(Some("1.3.0"), None);
        let accepted = compare(&release, Side::To, &[version("release-1.4")], &instances(&["release-1.4"]));
        assert_eq!(accepted.outcome, Outcome::Matched);
    }

    #[test]
    fn explanations_name_the_instances_that_decided() {
        let release = release(Some("1.3.0"), None);
        for (texts, expected) in [
            (&["1.4.0"][..], "the instance runs 1.4.0, as expected"),
            (&["1.4.0", "1.4.0"], "all 2 instances run 1.4.0, as expected"),
            (
                &["1.4.0", "1.3.0", ""],
                "1 of 3 instances runs 1.4.0, as expected, but i1 runs 1.3.0; i2 gave no version: timed out",
            ),
            (&["1.3.0"], "1.4.0 is expected, but nothing changed: i0 runs 1.3.0"),
            (&[""], "the deployed version could not be observed: i0 gave no version: timed out"),
            (&[], "the deployed version could not be observed: nothing was asked"),
        ] {
            assert_eq!(compare(&release, Side::To, &[], &instances(texts)).explanation, expected);
        }
        let drifted = compare(&release, Side::To, &[], &instances(&["9.0.0@ccccccc"]));
        let expected = format!("1.4.0 (commit {NEW}) is expected, but i0 runs 9.0.0 (commit ccccccc)");
        assert_eq!(drifted.explanation, expected);
    }
}
