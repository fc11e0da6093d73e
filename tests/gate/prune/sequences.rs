//! Any sequence of gates, deployments, backups by restic and prunes, killed at any instant: what is kept restores.

use crate::gate::shop::{COMMIT, STAGING, Shop, names};
use crate::support::holdpoint::{Output, Running};
use crate::support::sample::noise;
use crate::support::tree;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const CONFIGURATION: &str = r#"
application = "shop"
[gate]
pass_valid_for = "1ms"
[retention]
keep_targets = 1
floor = { releases = 1, age = "0s" }
[environment.staging.deployed]
kind = "file"
path = "deployed"
[[source]]
name = "data"
kind = "files"
paths = ["data"]
"#;

#[derive(Debug, Clone)]
enum Step {
    /// Files change, and a gate stores them; killed after this part of the time that one takes, in hundredths.
    Gate { files: Vec<(u8, u32)>, killed: Option<u8> },
    /// One of the releases is deployed.
    Deploy(Index),
    /// A client of its own stores something else in the same repository.
    Restic(u32),
    /// Only the newest stay.
    Prune { keep_last: usize, max_unused: u8, killed: Option<u8> },
}

fn step() -> impl Strategy<Value = Step> {
    let files = prop::collection::vec((0..8_u8, 0..400_000_u32), 1..4);
    let killed = |share| prop::option::weighted(share, 0..100_u8);
    prop_oneof![
        4 => (files, killed(0.3)).prop_map(|(files, killed)| Step::Gate { files, killed }),
        1 => any::<Index>().prop_map(Step::Deploy),
        1 => (0..400_000_u32).prop_map(Step::Restic),
        4 => (1..4_usize, 0..30_u8, killed(0.6))
            .prop_map(|(keep_last, max_unused, killed)| Step::Prune { keep_last, max_unused, killed }),
    ]
}

/// A release that passed, and the data as it was.
struct Kept {
    id: String,
    version: String,
    data: PathBuf,
}

struct House {
    shop: Shop,
    /// The releases that must restore, the oldest first.
    kept: Vec<Kept>,
    live: Option<String>,
    others: Vec<String>,
    killed_gates: usize,
    count: u64,
    /// How long a gate and a prune take, undisturbed.
    takes: [Duration; 2],
}

impl House {
    fn new() -> Self {
        let shop = Shop::with(CONFIGURATION);
        shop.write("deployed", "0.9.0\n");
        let takes = [Duration::from_millis(300); 2];
        let mut house =
            Self { shop, kept: Vec::new(), live: None, others: Vec::new(), killed_gates: 0, count: 0, takes };
        house.gate(&[(0, 300_000), (1, 10)], None);
        house.gate(&[(1, 200_000)], None);
        house
    }

    fn repository(&self) -> PathBuf {
        self.shop.place(STAGING).join("repository")
    }

    /// Runs a command to its end, or kills it; `None` if it was killed.
    fn run(&mut self, which: usize, arguments: &[&str], killed: Option<u8>) -> Option<Output> {
        let mut running: Running = self.shop.holdpoint.start(arguments);
        let started = Instant::now();
        if let Some(part) = killed
            && !running.ends_within(self.takes[which] * u32::from(part) / 100)
        {
            running.signal(Signal::KILL);
        }
        let output = running.wait();
        if killed.is_none() {
            self.takes[which] = started.elapsed();
        }
        output.code.is_some().then(|| output.expect(0))
    }

    fn gate(&mut self, files: &[(u8, u32)], killed: Option<u8>) {
        for (name, length) in files {
            self.count += 1;
            self.shop.write(&format!("data/{name}"), noise(*length as usize, self.count));
        }
        self.count += 1;
        let version = format!("1.{}.0", self.count);
        let gate = ["gate", "-e", STAGING, "--release", &version, "--commit", COMMIT];
        if self.run(0, &gate, killed).is_some() {
            let id = self.shop.manifest().0["id"].as_str().unwrap().to_owned();
            let data = self.shop.beside(&id);
            assert!(Command::new("cp").arg("-a").args([&self.shop.path("data"), &data]).status().unwrap().success());
            self.kept.push(Kept { id, version, data });
        } else {
            self.killed_gates += 1;
        }
    }

    fn prune(&mut self, keep_last: usize, max_unused: u8, killed: Option<u8>) {
        let before = size(&self.repository());
        let (last, unused) = (keep_last.to_string(), format!("{max_unused}%"));
        let prune =
            ["prune", "-e", STAGING, "--yes", "--keep-last", &last, "--max-unused", &unused, "--format", "json"];
        let pruned = self.run(1, &prune, killed);
        // A gate that was killed after its record counts as a release, too: so the ledger is asked what there is.
        let listed = self.shop.holdpoint.run(["releases", "-e", STAGING, "--limit", "2000", "--format", "json"]);
        let listed = listed.expect(0).json()["releases"].as_array().unwrap().clone();
        let passed = listed.iter().filter(|release| release["state"] == "passed");
        for release in passed.take(keep_last) {
            assert_eq!(release["pruned"], false, "one of the newest {keep_last}: {release:#}");
        }
        let is_pruned = |id: &str| listed.iter().any(|release| release["id"] == id && release["pruned"] == true);
        let live = self.live.clone();
        self.kept.retain(|kept| {
            let pruned = is_pruned(&kept.id);
            assert!(!pruned || Some(&kept.version) != live.as_ref(), "{} runs, and was let go", kept.id);
            !pruned
        });
        let Some(pruned) = pruned else { return };
        let freed = pruned.json()["plan"]["totals"]["freed"].as_i64().unwrap();
        let after = size(&self.repository());
        assert_eq!(i64::try_from(before).unwrap() - freed, i64::try_from(after).unwrap(), "{:#}", pruned.json());
        let stays = self.kept.len() + self.others.len();
        assert!(names(&self.repository().join("snapshots")).len() >= stays);
    }

    fn perform(&mut self, step: Step) {
        match step {
            Step::Gate { files, killed } => self.gate(&files, killed),
            Step::Deploy(place) => {
                let version = self.kept[place.index(self.kept.len())].version.clone();
                self.shop.write("deployed", format!("{version}\n"));
                self.live = Some(version);
            }
            Step::Restic(length) => {
                self.count += 1;
                let folder = self.shop.beside(&format!("other-{}", self.count));
                fs::create_dir(&folder).unwrap();
                fs::write(folder.join("own"), noise(length as usize, self.count)).unwrap();
                fs::copy(self.shop.path("data/0"), folder.join("shared")).unwrap();
                // Restic does not pass over the lock of a dead process, but removes it when it is told to.
                let restic = self.shop.restic(STAGING);
                restic.run(&["unlock"]);
                let id = restic.backup(&[&folder]);
                self.others.push(id);
            }
            Step::Prune { keep_last, max_unused, killed } => self.prune(keep_last, max_unused, killed),
        }
        self.shop.restic(STAGING).check_without_lock();
        let live = self.live.clone();
        if let Some(live) = self.kept.iter().find(|kept| Some(&kept.version) == live.as_ref()) {
            self.assert_restores(live);
        }
    }

    fn assert_restores(&self, kept: &Kept) {
        let target = tempfile::tempdir().unwrap();
        let into = target.path().join("into");
        let arguments = ["restore", "data", "-e", STAGING, "--id", &kept.id, "--target", into.to_str().unwrap()];
        self.shop.holdpoint.run(arguments).expect(0);
        let data = self.shop.path("data");
        tree::assert_same(&kept.data, &into.join(data.strip_prefix("/").unwrap()));
    }

    fn assert_all_restores(&self) {
        for kept in &self.kept {
            self.assert_restores(kept);
        }
        for other in &self.others {
            let target = tempfile::tempdir().unwrap();
            self.shop.restic(STAGING).restore(other, target.path());
        }
    }
}

fn size(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return fs::metadata(path).map_or(0, |metadata| metadata.len()) };
    let entries = entries.flatten().filter(|entry| entry.file_name() != "locks");
    entries.map(|entry| size(&entry.path())).sum()
}

#[test]
fn whatever_comes_after_what_what_is_kept_restores() {
    let (cases, steps) = if crate::support::full() { (25, 6..25) } else { (2, 6..10) };
    let mut runner =
        TestRunner::new(Config { cases, max_shrink_iters: 10, failure_persistence: None, ..Config::default() });
    let all = |steps: Vec<Step>| {
        let mut house = House::new();
        for step in steps {
            eprintln!("{step:?}");
            house.perform(step);
        }
        // Killed or not, what was let go is gone after one more that is not.
        house.prune(1, 0, None);
        // Of a gate that was killed between its snapshot and its record, the snapshot is left.
        let snapshots = names(&house.repository().join("snapshots")).len();
        let most = house.kept.len() + house.others.len() + house.killed_gates;
        assert!(snapshots <= most, "{snapshots} snapshots are left, {most} at most should be");
        house.shop.restic(STAGING).check();
        house.assert_all_restores();
        Ok(())
    };
    runner.run(&prop::collection::vec(step(), steps), all).unwrap();
}
