//! `kill -9` at any instant of a gate: the repository stays whole, and the next gate goes on from there unaided.

use super::shop::{Manifest, STAGING, Shop, names};
use rustix::process::Signal;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// How much a gate has to store: at least two packs.
const FILES: usize = 5;
const FILE_SIZE: usize = 8 << 20;

/// Random numbers from a seed that is printed, so that a failure can be looked at again.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).unwrap();
        Self(u64::from_le_bytes(seed))
    }

    /// Returns a number below `end` (splitmix64).
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// Makes a shop whose data was never stored before.
fn shop(random: &mut Random) -> Shop {
    let shop = Shop::new();
    let mut content = vec![0; FILE_SIZE];
    for file in 0..FILES {
        for word in content.chunks_exact_mut(8) {
            word.copy_from_slice(&random.below(u64::MAX).to_le_bytes());
        }
        shop.write(&format!("data/{file}"), &content);
    }
    shop
}

/// Returns the files below a directory and their sizes in all.
fn files(directory: &Path) -> (usize, u64) {
    let Ok(entries) = fs::read_dir(directory) else { return (0, 0) };
    entries.flatten().fold((0, 0), |(count, bytes), entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            let (more, size) = files(&entry.path());
            (count + more, bytes + size)
        }
        Ok(metadata) => (count + 1, bytes + metadata.len()),
        Err(_) => (count, bytes),
    })
}

/// The instant at which a gate is killed.
#[derive(Debug)]
enum Instants {
    /// So long after its start.
    After(Duration),
    /// As soon as its store holds so many files.
    Files(usize),
}

/// Runs a gate that is killed at an instant; says whether it was killed before its end.
fn kill(shop: &Shop, instant: &Instants) -> bool {
    let mut running = shop.start(&["data"]);
    let started = Instant::now();
    let store = shop.path(".holdpoint");
    let reached = || match instant {
        Instants::After(delay) => started.elapsed() >= *delay,
        Instants::Files(count) => files(&store).0 >= *count,
    };
    while !reached() && !running.ends_within(Duration::from_micros(200)) {}
    if !running.ended() {
        running.signal(Signal::KILL);
    }
    // Reaps it: one that is still a zombie would count as alive. It may have ended by itself just before the signal.
    let code = running.wait().code;
    assert!(code.is_none_or(|code| code == 0), "ended with {code:?}");
    code.is_none()
}

fn assert_goes_on(shop: &Shop, total: u64) {
    let repository = shop.place(STAGING).join("repository");
    let whole = repository.join("config").exists();
    if whole {
        shop.restic(STAGING).check_without_lock();
    }
    let stored = files(&repository.join("data")).1;
    let locks = names(&repository.join("locks")).len();
    let held = shop.lease(STAGING).is_some_and(|lease| lease["released"] == false);
    let published = names(&repository.join("snapshots")).len();

    shop.gate(&["data"]).expect(0);
    let manifest = shop.manifest();
    assert_eq!(manifest.codes("warning").contains(&"lease-taken-over"), held, "{:#}", manifest.0["decision"]);
    let removed = manifest.codes("info").iter().filter(|code| **code == "stale-lock-removed").count();
    assert_eq!(removed, locks, "{:#}", manifest.0["decision"]);
    // Headers, trees and chunks that two files share make up for a little.
    let added = manifest.bytes_added();
    assert!(added + stored <= total + total / 50, "{stored} bytes were stored, and {added} of {total} were added");
    assert_eq!(names(&repository.join("snapshots")).len(), published + 1);
    shop.assert_nothing_left();
    shop.restic(STAGING).check();
    assert_eq!(Manifest::read(&shop.path("holdpoint-manifest.json")).state(), "passed");
}

#[test]
fn a_gate_that_was_killed_at_any_instant_is_gone_on_from() {
    let kills = if crate::support::full() { 50 } else { 10 };
    let mut random = Random::new();
    eprintln!("seed {}", random.0);
    let undisturbed = shop(&mut random);
    let output = undisturbed.gate(&["data"]).expect(0);
    let total = undisturbed.manifest().bytes_added();
    let last = files(&undisturbed.path(".holdpoint")).0;
    drop(undisturbed);
    let (mut killed, mut rounds) = (0, 0);
    while killed < kills {
        let shop = shop(&mut random);
        let instant = if rounds % 2 == 0 {
            let longest = u64::try_from(output.elapsed.as_micros()).unwrap();
            Instants::After(Duration::from_micros(random.below(longest)))
        } else {
            Instants::Files(usize::try_from(1 + random.below(last as u64)).unwrap())
        };
        eprintln!("round {rounds}: {instant:?}");
        rounds += 1;
        if kill(&shop, &instant) {
            killed += 1;
            assert_goes_on(&shop, total);
        } else {
            // It was faster than the first one, and ended before its instant came.
            shop.restic(STAGING).check();
        }
    }
    eprintln!("{killed} of {rounds} gates were killed before their end");
}

#[test]
fn the_key_that_a_killed_gate_left_is_the_one_of_the_repository() {
    let shop = Shop::new();
    shop.gate(&["data"]).expect(0);
    let repository = shop.place(STAGING).join("repository");
    // As it is when a gate is killed after the key and before the config.
    let key = names(&repository.join("keys"));
    fs::remove_file(repository.join("config")).unwrap();
    for folder in ["data", "index", "snapshots"] {
        fs::remove_dir_all(repository.join(folder)).unwrap();
    }
    shop.gate(&["data"]).expect(0);
    assert_eq!(names(&repository.join("keys")), key);
    shop.restic(STAGING).check();
}
