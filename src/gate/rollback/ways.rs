//! The ways back, weighed: can each be gone, what does it take, what does it lose, and which one is right?

use super::against::{against, tells_no_schema};
use super::estimates::Estimates;
use super::lost::{self, seconds};
use super::survey::Present;
use super::{Request, command, point, sources};
use crate::model::finding::{Finding, Level};
use crate::model::manifest::SourceRecord;
use crate::model::way::{Loss, SourceLoss, Way, WayKind};
use crate::policy::ways::{Candidate, Criteria, Flaw, Loses, recommend};
use jiff::Timestamp;

/// What was found before the ways are weighed.
pub(super) struct Known<'k, 'r> {
    /// The sources as they are now.
    pub(super) presents: &'k [Present<'r>],
    /// What a restore loses.
    pub(super) lost: &'k [SourceLoss],
    /// How long restores take.
    pub(super) estimates: &'k Estimates,
    /// What speaks against this manifest, whichever way is gone.
    pub(super) common: &'k [Finding],
    /// When the deployment that is undone was admitted.
    pub(super) admitted_at: Option<Timestamp>,
    /// What every way leaves behind.
    pub(super) not_reverted: &'k [String],
    /// The present moment.
    pub(super) now: Timestamp,
}

/// Weighs every way.
pub(super) fn weigh(request: &Request<'_>, known: &Known<'_, '_>) -> Vec<Way> {
    let mut ways: Vec<Way> = WayKind::ALL.iter().map(|&way| one(way, request, known)).collect();
    // Before it is settled whether this manifest may be believed and describes what runs, nothing is right.
    if known.common.iter().any(|finding| finding.level == Level::Refusal) {
        return ways;
    }
    let rollback = &request.run.settings.rollback;
    let objectives = &request.run.settings;
    let criteria = Criteria {
        prefer: rollback.prefer.clone(),
        max_loss: rollback.max_loss.or(objectives.rpo),
        max_duration: rollback.max_duration.or(objectives.rto),
    };
    let candidates: Vec<_> = ways.iter().map(|way| candidate(way, request, known)).collect();
    let recommended = recommend(&candidates, &criteria);
    for (kind, reason) in recommended.reasons {
        for way in ways.iter_mut().filter(|way| way.way == kind && way.possible) {
            way.recommended = recommended.way == Some(kind);
            way.reasons.push(reason.clone());
        }
    }
    let preferred = |kind: WayKind| criteria.prefer.iter().position(|one| *one == kind).unwrap_or(usize::MAX);
    let usual = |kind: WayKind| WayKind::ALL.iter().position(|one| *one == kind);
    let is_mixed = |kind: WayKind| candidates.iter().any(|one| one.way == kind && one.flaw == Some(Flaw::Mixed));
    let place = |kind: WayKind| match is_mixed(kind) {
        // Right behind the way that brings all of it back.
        true => (preferred(WayKind::FullRestore), usual(WayKind::FullRestore), true),
        false => (preferred(kind), usual(kind), false),
    };
    ways.sort_by_key(|way| (!way.recommended, !way.possible, place(way.way)));
    ways
}

fn candidate(way: &Way, request: &Request<'_>, known: &Known<'_, '_>) -> Candidate {
    let loses = match &way.loses {
        None => Loses::Nothing,
        Some(loss) if loss.dropped => Loses::Dropped,
        Some(loss) => loss.seconds.map_or(Loses::Unknown, Loses::Seconds),
    };
    let flaw = match way.way {
        WayKind::CodeOnly if tells_no_schema(request, known.presents) => Some(Flaw::SchemaUnknown),
        WayKind::PointInTime if point::without_log(known.presents).next().is_some() => Some(Flaw::Mixed),
        _ => None,
    };
    Candidate { way: way.way, possible: way.possible, seconds: way.seconds, loses, flaw }
}

fn one(kind: WayKind, request: &Request<'_>, known: &Known<'_, '_>) -> Way {
    let refusals = |findings: Vec<Finding>| findings.into_iter().filter(|finding| finding.level == Level::Refusal);
    let refused = || {
        let all = refusals(known.common.to_vec()).chain(refusals(against(kind, request, known.presents)));
        all.map(|finding| finding.in_words()).collect()
    };
    let mut why_not: Vec<String> = match (kind, no_points(known)) {
        (WayKind::RollForward, _) => Vec::new(),
        (WayKind::PointInTime, Some(why)) => vec![why],
        _ => refused(),
    };
    why_not.dedup();
    let (seconds, takes) = takes(kind, request, known);
    Way {
        way: kind,
        possible: why_not.is_empty(),
        why_not,
        seconds,
        takes,
        loses: loses(kind, known),
        leaves_behind: leaves_behind(kind, request, known),
        command: kind.is_executed().then(|| command(request, kind)),
        by_hand: by_hand(kind, request, known),
        recommended: false,
        reasons: Vec::new(),
    }
}

fn no_points(known: &Known<'_, '_>) -> Option<String> {
    (!known.presents.iter().any(point::has_log))
        .then(|| "no source keeps the log that leads to any moment (method = \"restore-point\")".to_owned())
}

fn takes(kind: WayKind, request: &Request<'_>, known: &Known<'_, '_>) -> (Option<f64>, String) {
    let version = request.given.manifest.release.from.version.as_ref();
    let deploys =
        version.map_or_else(String::new, |version| format!("; nobody measured how long {version} takes to deploy"));
    match kind {
        WayKind::CodeOnly => (None, format!("no restore{deploys}")),
        WayKind::DownMigration => (None, format!("nobody measured how long the migration takes{deploys}")),
        WayKind::PointInTime => (None, "nobody measured how much log a recovery replays".to_owned()),
        WayKind::RollForward => (None, "as long as it takes to mend it and deploy it through the gate".to_owned()),
        WayKind::FullRestore => {
            let mut total = None;
            let mut parts = Vec::new();
            for record in sources::restorable(&request.given.manifest) {
                match known.estimates.of(&record.name) {
                    Some((seconds, by)) => {
                        total = Some(total.unwrap_or(0.0) + seconds);
                        parts.push(format!("{} {by}", record.name));
                    }
                    None => parts.push(format!("{}: nobody measured it", record.name)),
                }
            }
            (total, format!("{}{deploys}", parts.join(", ")))
        }
    }
}

fn loses(kind: WayKind, known: &Known<'_, '_>) -> Option<Loss> {
    match kind {
        WayKind::CodeOnly | WayKind::RollForward => None,
        WayKind::DownMigration => Some(Loss { dropped: true, ..Loss::default() }),
        WayKind::FullRestore => Some(lost::together(known.lost)),
        // Whoever recovers chooses the moment: the deployment broke nothing before it was let in.
        WayKind::PointInTime => Some(Loss {
            since: known.admitted_at,
            seconds: known.admitted_at.map(|at| seconds(at, known.now)),
            ..Loss::default()
        }),
    }
}

fn leaves_behind(kind: WayKind, request: &Request<'_>, known: &Known<'_, '_>) -> Vec<String> {
    let name = |record: &SourceRecord| format!("{} ({})", record.name, record.kind);
    let names: Vec<_> = match kind {
        WayKind::PointInTime => point::without_log(known.presents).map(|present| name(present.record)).collect(),
        _ => sources::restorable(&request.given.manifest).map(name).collect(),
    };
    let data = format!("what the newer version wrote into {}", names.join(", "));
    let of_way = match kind {
        WayKind::FullRestore => None,
        WayKind::PointInTime => Some(data),
        WayKind::CodeOnly | WayKind::RollForward => Some(data),
        WayKind::DownMigration => Some(format!("{data}, save what the migration drops")),
    };
    of_way.filter(|_| !names.is_empty()).into_iter().chain(known.not_reverted.iter().cloned()).collect()
}

fn by_hand(kind: WayKind, request: &Request<'_>, known: &Known<'_, '_>) -> Vec<String> {
    let manifest = &request.given.manifest;
    match kind {
        WayKind::RollForward => {
            vec![format!(
                "mend {}, and deploy that through `holdpoint gate` as any release",
                manifest.release.to.version
            )]
        }
        WayKind::PointInTime if no_points(known).is_none() => point::steps(request, known.presents),
        _ => Vec::new(),
    }
}
