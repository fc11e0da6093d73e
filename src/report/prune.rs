//! What a prune will do, or did, for people.

use super::table::{Align, Table};
use super::text::{Style, heading_and_rows, state};
use super::units::{bytes, counted, duration, plain, short, time};
use crate::model::manifest::Purpose;
use crate::model::prune::{PrunePlan, PruneTotals};
use std::fmt::Write as _;

/// Says what stays and why, what goes, and what that frees.
pub fn plan(plan: &PrunePlan, style: Style) -> String {
    let mut text = releases(plan, style);
    for unnamed in &plan.unnamed {
        let _ = writeln!(
            text,
            "goes, as no record names it: snapshot {} of {}",
            short(&unnamed.snapshot),
            time(unnamed.at)
        );
    }
    if !plan.leftovers.is_empty() {
        let count = counted(plan.leftovers.len() as u64, "snapshot");
        let _ = writeln!(text, "still there of releases that were let go before: {count}");
    }
    if plan.without_rule {
        text += "no rule of [retention] says what is kept, so no release is let go\n";
    }
    for id in &plan.unreadable {
        let _ = writeln!(text, "the record of {id} cannot be read: what is older than it stays");
    }
    let go = counted(plan.let_go().count() as u64, "release");
    let removed = counted(plan.totals.snapshots_removed, "snapshot");
    let _ = writeln!(text, "\n{go} let go, {removed} removed; {}", space(&plan.totals));
    if let Some(archive) = &plan.archive {
        let _ = writeln!(text, "before that, all of it is brought to the copy {archive} and read back there");
    }
    text += &left(plan);
    if let Some(obstacle) = &plan.obstacle {
        let _ = writeln!(text, "cannot be done now: {}", plain(obstacle));
    }
    text
}

/// Says what was done, and how long that took.
pub fn outcome(plan: &PrunePlan, seconds: f64) -> String {
    let count = counted(plan.totals.snapshots_removed, "snapshot");
    format!("removed {count}: {} in {}\n{}", space(&plan.totals), duration(seconds), left(plan))
}

fn releases(plan: &PrunePlan, style: Style) -> String {
    if plan.releases.is_empty() {
        return "no release has a snapshot here\n".to_owned();
    }
    let columns = ["release", "state", "for", "size", "recorded", "", "by"];
    let aligns = [Align::Left, Align::Left, Align::Left, Align::Right, Align::Left, Align::Left, Align::Left];
    let mut table = Table::new(&columns.into_iter().zip(aligns).collect::<Vec<_>>());
    for release in &plan.releases {
        let purpose = match release.purpose {
            Purpose::Gate => "",
            Purpose::Snapshot => "snapshot",
            Purpose::Safety => "safety",
        };
        let reasons: Vec<String> = release.kept_by.iter().map(|reason| plain(reason)).collect();
        table.row(vec![
            release.id.to_string(),
            state(release.state).to_owned(),
            purpose.to_owned(),
            bytes(release.bytes),
            time(release.recorded_at),
            if release.goes { "goes" } else { "stays" }.to_owned(),
            reasons.join(", "),
        ]);
    }
    heading_and_rows(&table, style)
}

fn space(totals: &PruneTotals) -> String {
    let packs = match (totals.packs_removed, totals.packs_repacked) {
        (0, 0) => "no pack goes".to_owned(),
        (removed, 0) => format!("{} removed", counted(removed, "pack")),
        (removed, repacked) => format!("{} removed, {repacked} packed anew", counted(removed, "pack")),
    };
    match u64::try_from(totals.freed) {
        Ok(freed) => format!("{packs}, {} freed", bytes(freed)),
        Err(_) => format!("{packs}, {} more are used", bytes(totals.freed.unsigned_abs())),
    }
}

/// Names what should go and stays for now.
fn left(plan: &PrunePlan) -> String {
    let mut text = String::new();
    for left in &plan.left {
        let why = left.locked_until.map_or_else(|| plain(&left.why), |until| format!("locked until {}", time(until)));
        let (kind, id) = (left.kind, short(&left.id));
        let _ = writeln!(text, "stays for now: {kind} {id} ({}): {why}", bytes(left.bytes));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::model::prune::{LeftFile, PrunedRelease, UnnamedSnapshot};

    #[test]
    fn a_plan_reads_well() {
        let manifest = sample::passed();
        let release = |purpose, kept_by: &[&str]| PrunedRelease {
            id: manifest.id.clone(),
            version: "1.4.0".to_owned(),
            state: manifest.state,
            purpose,
            recorded_at: manifest.created_at,
            goes: kept_by.is_empty(),
            kept_by: kept_by.iter().map(|reason| (*reason).to_owned()).collect(),
            snapshots: vec!["ab".repeat(32)],
            bytes: 5 << 20,
        };
        let locked = manifest.created_at + jiff::SignedDuration::from_hours(24);
        let of = PrunePlan {
            environment: "production".to_owned(),
            store: "/s".to_owned(),
            copy: None,
            archive: None,
            releases: vec![
                release(Purpose::Gate, &["retention.keep_last", "it runs, as far as is known"]),
                release(Purpose::Snapshot, &[]),
            ],
            unnamed: vec![UnnamedSnapshot { snapshot: "cd".repeat(32), at: manifest.created_at, tags: Vec::new() }],
            leftovers: vec!["ef".repeat(32)],
            unreadable: vec![manifest.id.clone()],
            without_rule: false,
            totals: PruneTotals {
                snapshots_removed: 3,
                snapshots_kept: 1,
                packs_removed: 2,
                packs_repacked: 1,
                bytes_removed: 9 << 20,
                bytes_written: 1 << 20,
                freed: 8 << 20,
            },
            left: vec![LeftFile {
                kind: "pack",
                id: "12".repeat(32),
                bytes: 1 << 20,
                locked_until: Some(locked),
                why: "locked".to_owned(),
            }],
            obstacle: Some("production is frozen since 2026-12-20T00:00:00Z by ada: year's end".to_owned()),
        };
        let text = plan(&of, Style { color: false }) + &outcome(&of, 2.0);
        insta::assert_snapshot!(text);
        let nothing = PrunePlan { releases: Vec::new(), without_rule: true, ..of };
        assert!(plan(&nothing, Style { color: false }).starts_with("no release has a snapshot here\n"));
    }
}
