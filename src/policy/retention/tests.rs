//! What is kept, by tables.

use super::*;
use crate::config::Floor;
use proptest::prelude::*;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn id(at: Timestamp, number: usize) -> ReleaseId {
    ReleaseId::parse(&format!("{}-1.0.{number}-{number:08x}", at.strftime("%Y%m%dT%H%M%SZ"))).unwrap()
}

/// A gate that passed at a time, with one source.
fn passed(number: usize, at: &str) -> Candidate {
    let at: Timestamp = at.parse().unwrap();
    Candidate {
        id: id(at, number),
        at,
        passed: true,
        purpose: Purpose::Gate,
        severity: Some(Severity::Patch),
        deployed: false,
        pruned: false,
        sources: BTreeMap::from([("orders".to_owned(), true)]),
        leans_on: BTreeSet::new(),
        bound: Vec::new(),
    }
}

/// Rules that keep next to nothing.
fn bare() -> RetentionConfig {
    RetentionConfig { keep_targets: 1, floor: Floor { releases: 1, age: Duration::ZERO }, ..Default::default() }
}

struct House {
    config: RetentionConfig,
    keep_for: Vec<(Severity, Duration)>,
    zone: TimeZone,
    now: Timestamp,
}

impl House {
    fn new(config: RetentionConfig) -> Self {
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        Self { config, keep_for: Vec::new(), zone: TimeZone::UTC, now }
    }

    fn judge(&self, candidates: &[Candidate], unreadable: &[ReleaseId]) -> Vec<Vec<String>> {
        let rules = Rules {
            config: &self.config,
            keep_for: &self.keep_for,
            pass_valid_for: HOUR,
            time_zone: &self.zone,
            now: self.now,
        };
        let kept = judge(candidates, unreadable, &rules);
        assert_eq!(kept.len(), candidates.len());
        kept.into_iter().map(|reasons| reasons.iter().map(ToString::to_string).collect()).collect()
    }

    /// The numbers of those that are kept by a reason with these words.
    fn kept_by(&self, candidates: &[Candidate], words: &str) -> Vec<usize> {
        let kept = self.judge(candidates, &[]);
        (0..candidates.len()).filter(|place| kept[*place].iter().any(|reason| reason.contains(words))).collect()
    }
}

#[test]
fn every_rule_keeps_what_it_says() {
    // Newest first: places 0 to 8.
    let all: Vec<Candidate> = [
        "2026-11-21T11:30:00Z",
        "2026-11-21T09:00:00Z",
        "2026-11-20T23:30:00Z",
        "2026-11-20T01:00:00Z",
        "2026-11-16T00:00:00Z",
        "2026-11-15T23:59:59Z",
        "2026-10-31T12:00:00Z",
        "2025-12-31T12:00:00Z",
        "2024-02-29T12:00:00Z",
    ]
    .into_iter()
    .enumerate()
    .map(|(number, at)| passed(number, at))
    .collect();
    let with = |change: fn(&mut RetentionConfig)| {
        let mut config = bare();
        change(&mut config);
        House::new(config)
    };
    for (words, house, places) in [
        ("keep_last", with(|config| config.keep_last = Some(3)), vec![0, 1, 2]),
        ("keep_last", with(|config| config.keep_last = Some(99)), (0..9).collect()),
        ("keep_within", with(|config| config.keep_within = Some(DAY)), vec![0, 1, 2]),
        ("keep_daily", with(|config| config.keep_daily = Some(3)), vec![0, 2, 4]),
        // 2026-11-16 is a Monday: the second before is in another week.
        ("keep_weekly", with(|config| config.keep_weekly = Some(2)), vec![0, 5]),
        ("keep_monthly", with(|config| config.keep_monthly = Some(3)), vec![0, 6, 7]),
        ("keep_yearly", with(|config| config.keep_yearly = Some(9)), vec![0, 7, 8]),
        ("floor.releases", with(|config| config.floor.releases = 2), vec![0, 1]),
        ("floor.age", with(|config| config.floor.age = DAY * 2), vec![0, 1, 2, 3]),
        ("keep_targets", with(|config| config.keep_targets = 2), vec![0, 1]),
        ("newest snapshot of orders", with(|_| ()), vec![0]),
        ("its pass may still be used", with(|_| ()), vec![0]),
    ] {
        assert_eq!(house.kept_by(&all, words), places, "{words}");
    }
    let nothing_said = House::new(bare()).judge(&all, &[]);
    assert!(nothing_said[1..].iter().all(Vec::is_empty), "what nothing keeps is let go: {nothing_said:?}");
}

#[test]
fn days_are_those_of_the_time_zone() {
    // Midnight in Berlin is 22:00 or 23:00 UTC; in the night to 2026-10-25 an hour comes twice.
    let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let all = [
        passed(0, "2026-10-25T22:30:00Z"), // 23:30 on the 25th
        passed(1, "2026-10-25T01:30:00Z"), // 02:30 on the 25th, the second time
        passed(2, "2026-10-25T00:30:00Z"), // 02:30 on the 25th, the first time
        passed(3, "2026-10-24T22:30:00Z"), // 00:30 on the 25th
        passed(4, "2026-10-24T21:59:59Z"), // 23:59:59 on the 24th
    ];
    let config = RetentionConfig { keep_daily: Some(9), ..bare() };
    let house = House { zone: berlin, ..House::new(config.clone()) };
    assert_eq!(house.kept_by(&all, "keep_daily"), [0, 4]);
    assert_eq!(House::new(config).kept_by(&all, "keep_daily"), [0, 3], "and in UTC others");
    // The last days of a year may be in the first week of the next, and a leap day is a day.
    let all = [passed(0, "2025-01-01T12:00:00Z"), passed(1, "2024-12-30T12:00:00Z"), passed(2, "2024-12-29T12:00:00Z")];
    let weekly = House::new(RetentionConfig { keep_weekly: Some(9), ..bare() });
    assert_eq!(weekly.kept_by(&all, "keep_weekly"), [0, 2]);
}

#[test]
fn what_is_bound_is_kept_and_what_it_leans_on() {
    let mut all: Vec<_> = (0..5).map(|number| passed(number, &format!("2026-0{}-01T00:00:00Z", 9 - number))).collect();
    all[3].bound = vec![Reason::Held("court 7".to_owned())];
    let base = all[4].id.clone();
    all[3].leans_on = BTreeSet::from([base, ReleaseId::parse("20200101T000000Z-1-00000000").unwrap()]);
    let kept = House::new(bare()).judge(&all, &[]);
    assert_eq!(kept[3], ["held: court 7"]);
    assert_eq!(kept[4], [format!("{} leans on it", all[3].id)]);
    assert_eq!((kept[1].len(), kept[2].len()), (0, 0));
    // Over several steps, and in a circle, which no gate makes.
    let third = all[2].id.clone();
    all[4].leans_on = BTreeSet::from([third]);
    all[2].leans_on = BTreeSet::from([all[3].id.clone()]);
    let kept = House::new(bare()).judge(&all, &[]);
    assert_eq!(kept[2], [format!("{} leans on it", all[4].id)]);
}

#[test]
fn a_run_of_one_source_takes_no_place_of_one_with_all() {
    let mut all: Vec<_> =
        (0..4).map(|number| passed(number, &format!("2026-11-{:02}T00:00:00Z", 10 - number))).collect();
    all[1].sources.insert("uploads".to_owned(), true);
    all[3].sources = BTreeMap::from([("uploads".to_owned(), true), ("gone".to_owned(), true)]);
    let house = House::new(RetentionConfig { keep_last: Some(2), ..bare() });
    assert_eq!(house.kept_by(&all, "keep_last"), [0, 1, 3]);
    assert_eq!(house.kept_by(&all, "newest snapshot of gone"), [3]);
    // One that did not pass, or is not whole, or was let go, or saves a broken state, counts for nothing.
    let spoil: [fn(&mut Candidate); 4] = [
        |candidate| candidate.passed = false,
        |candidate| candidate.sources = BTreeMap::from([("orders".to_owned(), false)]),
        |candidate| candidate.pruned = true,
        |candidate| candidate.purpose = Purpose::Safety,
    ];
    for spoil in spoil {
        let mut all = all.clone();
        spoil(&mut all[0]);
        assert_eq!(house.kept_by(&all, "keep_last"), [1, 2, 3]);
        assert_eq!(house.kept_by(&all, "newest snapshot of orders"), [1]);
    }
    // Where none passed, the newest one is better than nothing.
    all.iter_mut().for_each(|candidate| candidate.passed = false);
    assert_eq!(house.kept_by(&all, "newest snapshot of orders"), [0]);
}

#[test]
fn deployments_stay_targets_whatever_else_passes() {
    let mut all: Vec<_> = (0..6).map(|number| passed(number, &format!("2026-11-0{}T00:00:00Z", 9 - number))).collect();
    all[3].deployed = true;
    all[5].deployed = true;
    let house = House::new(RetentionConfig { keep_targets: 2, ..bare() });
    assert_eq!(house.kept_by(&all, "keep_targets"), [0, 1, 3, 5]);
    all[0].purpose = Purpose::Snapshot;
    assert_eq!(house.kept_by(&all, "keep_targets"), [1, 2, 3, 5], "a snapshot is no deployment");
}

#[test]
fn one_snapshot_that_is_missing_says_nothing_of_the_other_sources() {
    let mut all: Vec<_> = (0..4).map(|number| passed(number, &format!("2026-11-0{}T00:00:00Z", 9 - number))).collect();
    // Somebody forgot old uploads by restic.
    for (place, candidate) in all.iter_mut().enumerate() {
        candidate.sources.insert("uploads".to_owned(), place == 3);
    }
    let house = House::new(RetentionConfig { keep_last: Some(2), ..bare() });
    assert_eq!(house.kept_by(&all, "keep_last"), [0, 1, 3]);
    assert_eq!(house.kept_by(&all, "newest snapshot of orders"), [0]);
    assert_eq!(house.kept_by(&all, "newest snapshot of uploads"), [3]);
    assert_eq!(house.kept_by(&all, "keep_targets"), [0, 1, 2, 3], "what is there of a way back stays");
    all[1].sources.insert("uploads".to_owned(), true);
    assert_eq!(house.kept_by(&all, "keep_targets"), [0, 1]);
}

#[test]
fn larger_steps_are_kept_longer() {
    let mut all =
        [passed(0, "2026-11-20T00:00:00Z"), passed(1, "2026-01-20T00:00:00Z"), passed(2, "2025-01-20T00:00:00Z")];
    all[1].severity = Some(Severity::Major);
    all[2].severity = Some(Severity::Major);
    let house = House { keep_for: vec![(Severity::Major, DAY * 400)], ..House::new(bare()) };
    assert_eq!(house.kept_by(&all, "policy.major.keep_for"), [1]);
}

#[test]
fn what_a_record_that_nobody_can_read_may_need_is_kept() {
    let all: Vec<_> = (0..4).map(|number| passed(number, &format!("2026-11-0{}T00:00:00Z", 9 - number))).collect();
    let lost = id("2026-11-08T12:00:00Z".parse().unwrap(), 99);
    let kept = House::new(bare()).judge(&all, std::slice::from_ref(&lost));
    assert!(kept[1..].iter().all(|reasons| reasons.iter().any(|reason| reason.contains(lost.as_str()))), "{kept:?}");
    assert!(kept[0].iter().all(|reason| !reason.contains(lost.as_str())), "what is newer it cannot need");
    // Unless it is what its rollback saved.
    let mut all = all;
    all.insert(0, passed(7, "2026-11-10T00:00:00Z"));
    all[1].purpose = Purpose::Safety;
    let older = id("2026-11-01T12:00:00Z".parse().unwrap(), 98);
    let kept = House::new(bare()).judge(&all, &[lost, older.clone()]);
    assert!(kept[1].contains(&format!("{older} cannot be read, and its rollback may have saved it")), "{kept:?}");
    assert!(kept[0].iter().all(|reason| !reason.contains("saved")), "{kept:?}");
}

#[test]
fn what_was_let_go_stays_let_go_unless_somebody_needs_it() {
    let mut all: Vec<_> = (0..3).map(|number| passed(number, &format!("2026-11-0{}T00:00:00Z", 9 - number))).collect();
    all[1].pruned = true;
    all[2].pruned = true;
    all[0].leans_on = BTreeSet::from([all[2].id.clone()]);
    let kept = House::new(RetentionConfig { keep_last: Some(9), ..bare() }).judge(&all, &[]);
    assert!(kept[1].is_empty(), "{kept:?}");
    assert_eq!(kept[2], [format!("{} leans on it", all[0].id)]);
}

#[test]
fn a_mark_does_not_unbind_what_runs_or_is_held() {
    let mut all: Vec<_> = (0..3).map(|number| passed(number, &format!("2026-11-0{}T00:00:00Z", 9 - number))).collect();
    all[1].pruned = true;
    all[1].leans_on = BTreeSet::from([all[2].id.clone()]);
    assert!(House::new(bare()).judge(&all, &[])[2].is_empty());
    for bound in [Reason::Live, Reason::Held("case 7".to_owned()), Reason::RollbackBegan] {
        all[1].bound = vec![bound.clone()];
        let kept = House::new(bare()).judge(&all, &[]);
        assert_eq!(kept[1], [bound.to_string()]);
        assert_eq!(kept[2], [format!("{} leans on it", all[1].id)]);
    }
    // A record that nobody can read may lean on it.
    all[1].bound = Vec::new();
    let lost = id("2026-11-08T12:00:00Z".parse().unwrap(), 99);
    assert_eq!(House::new(bare()).judge(&all, std::slice::from_ref(&lost))[1].len(), 1);
}

#[test]
fn in_an_environment_that_is_emptied_stays_what_cannot_go_and_what_it_leans_on() {
    let mut all: Vec<_> = (0..5).map(|number| passed(number, &format!("2026-11-0{}T00:00:00Z", 9 - number))).collect();
    all[0].bound = vec![Reason::Live, Reason::RollbackBegan];
    all[1].bound = vec![Reason::Held("case 7".to_owned())];
    all[2].bound = vec![Reason::Locked("locked".to_owned())];
    all[2].leans_on = BTreeSet::from([all[3].id.clone()]);
    let kept: Vec<usize> = judge_emptied(&all).iter().map(BTreeSet::len).collect();
    assert_eq!(kept, [0, 1, 1, 1, 0]);
}

#[test]
fn a_release_from_the_future_is_young() {
    let all = [passed(0, "2030-01-01T00:00:00Z"), passed(1, "2029-01-01T00:00:00Z")];
    let house = House::new(RetentionConfig { keep_within: Some(HOUR), ..bare() });
    assert_eq!(house.kept_by(&all, "keep_within"), [0, 1]);
}

/// Days ago, flags, sources, and what it leans on by place.
type Drawn = (i64, [bool; 5], usize, BTreeSet<usize>);

fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (0..400_i64, any::<[bool; 5]>(), 0..3_usize, prop::collection::btree_set(0..12_usize, 0..3));
    prop::collection::vec(one, 0..12).prop_map(|mut all| {
        all.sort_by_key(|(days, ..)| *days);
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let at = |days: i64| now - SignedDuration::from_hours(days * 24 + 2);
        let ids: Vec<_> = all.iter().enumerate().map(|(number, (days, ..))| id(at(*days), number)).collect();
        let make = |(number, (days, flags, sources, leans)): (usize, &Drawn)| {
            let [passed, deployed, whole, pruned, held] = *flags;
            Candidate {
                id: ids[number].clone(),
                at: at(*days),
                passed,
                deployed,
                pruned,
                sources: (0..=*sources).map(|source| (format!("s{source}"), whole || source == 0)).collect(),
                leans_on: leans
                    .iter()
                    .filter(|place| **place > number)
                    .filter_map(|place| ids.get(*place).cloned())
                    .collect(),
                bound: if held { vec![Reason::Live] } else { Vec::new() },
                ..self::passed(number, "2026-01-01T00:00:00Z")
            }
        };
        all.iter().enumerate().map(make).collect()
    })
}

proptest! {
    #[test]
    fn nothing_that_is_needed_is_ever_let_go(all in any_candidates(), last in 1..4_u32, targets in 1..3_u32) {
        let config = RetentionConfig { keep_last: Some(last), keep_targets: targets, ..bare() };
        let kept = House::new(config).judge(&all, &[]);
        for (candidate, reasons) in all.iter().zip(&kept) {
            prop_assert!(candidate.bound.is_empty() || !reasons.is_empty());
            if reasons.is_empty() {
                continue;
            }
            for (other, reasons) in all.iter().zip(&kept) {
                prop_assert!(!candidate.leans_on.contains(&other.id) || !reasons.is_empty());
            }
        }
        // Whatever is let go, something newer or as good holds each of its sources.
        for (place, candidate) in all.iter().enumerate() {
            let passes = candidate.passed && !candidate.pruned && kept[place].is_empty();
            for source in candidate.sources.keys().filter(|source| passes && candidate.has(source)) {
                let newer = all[..place].iter().zip(&kept).any(|(other, reasons)| {
                    other.passed && other.has(source) && !reasons.is_empty()
                });
                prop_assert!(newer, "{source}");
            }
        }
    }
}
