//! Any sequence of backups by restic, prunes by us and by restic, and prunes that are killed: what was not to go is there.

use super::faults::dies_after;
use super::{Lab, prune};
use holdpoint::repository::Id;
use holdpoint::repository::prune::{MaxUnused, Options};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::sync::Arc;

#[derive(Debug, Clone)]
enum Step {
    /// Restic stores the data, of which these files are new.
    Backup { files: Vec<(u8, u32)> },
    /// We remove the snapshots at these places; killed after so many changes.
    Prune { remove: Vec<prop::sample::Index>, max_unused: u8, killed_after: Option<u8> },
    /// Restic forgets the oldest snapshot and prunes.
    Restic,
}

fn step() -> impl Strategy<Value = Step> {
    let files = prop::collection::vec((0..8_u8, 0..300_000_u32), 1..4);
    let remove = prop::collection::vec(any::<prop::sample::Index>(), 0..3);
    prop_oneof![
        3 => files.prop_map(|files| Step::Backup { files }),
        3 => (remove, 0..60_u8, prop::option::weighted(0.7, 0..40_u8))
            .prop_map(|(remove, max_unused, killed_after)| Step::Prune { remove, max_unused, killed_after }),
        1 => Just(Step::Restic),
    ]
}

fn run(steps: Vec<Step>) {
    let lab = Lab::new();
    let mut seed = 0;
    lab.write("0", 200_000, seed);
    let mut kept: Vec<Id> = vec![lab.backup(), lab.write("1", 100, 1).backup()];
    for step in steps {
        match step {
            Step::Backup { files } => {
                for (name, length) in files {
                    seed += 1;
                    lab.write(&name.to_string(), length as usize, seed);
                }
                kept.push(lab.backup());
            }
            Step::Prune { remove, max_unused, killed_after } => {
                let mut gone: Vec<Id> = remove.iter().map(|place| kept[place.index(kept.len())]).collect();
                gone.retain(|id| *id != kept[kept.len() - 1]);
                kept.retain(|id| !gone.contains(id));
                let limit = killed_after.map_or(usize::MAX, usize::from);
                let options = Options { max_unused: MaxUnused::Percent(max_unused), max_repack: None };
                let pruned = prune(&lab.watched(dies_after(limit, Arc::default())), &gone, options);
                assert!(pruned.is_ok() || killed_after.is_some(), "{pruned:?}");
                lab.unlock();
            }
            Step::Restic => {
                let oldest = kept.remove(0).to_string();
                lab.restic().run(&["forget", "--prune", &oldest]);
                if kept.is_empty() {
                    kept.push(lab.backup());
                }
            }
        }
        lab.assert_whole(&kept);
        lab.restic().run(&["check", "--read-data"]);
    }
    let (plan, before) = (lab.plan(&[], super::ALL).unwrap(), lab.stored());
    lab.prune(&[], super::ALL).unwrap();
    assert_eq!(i64::try_from(lab.stored()).unwrap(), i64::try_from(before).unwrap() - plan.totals().freed());
    lab.assert_restores(&kept);
}

#[test]
fn whatever_comes_after_what_nothing_needed_is_lost() {
    let (cases, steps) = if crate::support::full() { (40, 4..20) } else { (2, 4..9) };
    let mut runner =
        TestRunner::new(Config { cases, max_shrink_iters: 20, failure_persistence: None, ..Config::default() });
    runner
        .run(&prop::collection::vec(step(), steps), |steps| {
            run(steps);
            Ok(())
        })
        .unwrap();
}
