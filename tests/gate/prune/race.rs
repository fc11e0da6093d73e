//! Gates and prunes at the same time, some of them killed: nothing that a record names is ever lost.

use super::super::shop::{STAGING, Shop, arguments};
use super::{BARE, Passed, gate, restores, run};
use crate::support::full;
use rustix::process::Signal;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

#[test]
fn gates_and_prunes_racing_lose_nothing() {
    // Every other release stands in for the one before it, so that prunes meet what is leaned on.
    let reuse = format!("{BARE}\n[policy.first]\nreuse_within = \"1h\"\n");
    let plain = BARE.replace("keep_last = 1", "keep_last = 3");
    let reusing = reuse.replace("keep_last = 1", "keep_last = 3");
    let shop = Shop::with(&plain);
    shop.write("reusing.toml", reusing);
    let rounds = if full() { 1000 } else { 40 };
    let over = AtomicBool::new(false);
    let mut passed: Vec<Passed> = vec![gate(&shop, "0.0.0")];
    let (told, ended) = std::sync::mpsc::channel();
    let (prunes, killed) = std::thread::scope(|scope| {
        let over = &over;
        let pruning = scope.spawn({
            let shop = &shop;
            move || {
                let (mut done, mut killed) = (0, 0);
                while !over.load(Relaxed) {
                    let _ = told.send(());
                    let mut running = shop.holdpoint.start(["prune", "--environment", STAGING, "--yes"]);
                    // Every third one dies at another moment of its work.
                    if (done + killed) % 3 == 2 && !running.ends_within(Duration::from_millis((killed * 7) % 120)) {
                        running.signal(Signal::KILL);
                        killed += 1;
                        drop(running.wait());
                        continue;
                    }
                    let output = running.wait();
                    assert!(matches!(output.code, Some(0 | 14)), "{output:?}");
                    done += 1;
                }
                (done, killed)
            }
        });
        let gating = || {
            for round in 1..=rounds {
                let version = format!("0.0.{round}");
                // Prunes make way for gates: without a pause hardly one would get its turn.
                if round % 4 == 0 {
                    let _ = ended.recv();
                }
                if round % 2 == 1 {
                    passed.push(gate(&shop, &version));
                    continue;
                }
                let last = passed.last().unwrap().clone();
                let arguments = arguments("gate", STAGING, &version, &["--config", "reusing.toml"]);
                shop.holdpoint.run(arguments).expect(0);
                let manifest = shop.manifest();
                let snapshot = manifest.source("data")["snapshot"]["id"].as_str().unwrap().to_owned();
                let id = manifest.0["id"].as_str().unwrap().to_owned();
                passed.push(Passed { id, snapshot, ..last });
            }
        };
        let gated = std::panic::catch_unwind(std::panic::AssertUnwindSafe(gating));
        over.store(true, Relaxed);
        let counts = pruning.join().unwrap();
        gated.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        counts
    });
    assert!(prunes > 0 && killed > 0, "{prunes} prunes ended, {killed} were killed");
    let listed = run(&shop, &["releases", "--limit", "2000", "--format", "json"]).expect(0).json();
    let listed = listed["releases"].as_array().unwrap();
    let is_kept = |passed: &&Passed| {
        let release = listed.iter().find(|release| release["id"] == passed.id).expect("its record");
        release["pruned"] == false
    };
    let kept: Vec<&Passed> = passed.iter().filter(is_kept).collect();
    assert!(kept.len() >= 3 && kept.len() < passed.len(), "{} of {} stay", kept.len(), passed.len());
    // What a killed prune left, the last one removes.
    run(&shop, &["prune", "--yes"]).expect(0);
    kept.iter().rev().take(3).for_each(|passed| restores(&shop, passed));
    let there: Vec<String> = shop.restic(STAGING).check().snapshots().iter().map(id_of).collect();
    let named = |passed: &&&Passed| {
        let listed = run(&shop, &["show", &passed.id, "--format", "json"]).expect(0).json();
        !listed["events"].as_array().unwrap().iter().any(|event| event["event"] == "pruned")
    };
    for passed in kept.iter().filter(named) {
        assert!(there.contains(&passed.snapshot), "{} names a snapshot that is gone", passed.id);
    }
}

fn id_of(snapshot: &serde_json::Value) -> String {
    snapshot["id"].as_str().unwrap().to_owned()
}
