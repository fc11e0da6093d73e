//! What a gate does with its copies, well and broken ones.

use super::super::shop::{COMMIT, STAGING, Shop, names, shell, until};
use super::{assert_same, part, record, restic, shop};
use crate::support::restic::Restic;
use crate::support::shop::assert_valid;
use rustix::process::Signal;
use std::fs;
use std::time::Duration;

#[test]
fn a_gate_brings_its_copy_up_to_date() {
    let shop = shop("copy", true);
    shop.gate(&["data"]).expect(0);
    assert_same(&shop);
    let first = record(&shop);
    assert_eq!((&first["state"], &first["name"]), (&"verified".into(), &"offsite".into()));
    assert!(first["objects"].as_u64().unwrap() >= 5 && first["verified_at"].is_string(), "{first:#}");
    assert_valid("manifest", &shop.manifest().0);
    shop.write("data/new", "new\n");
    // Both directories are on one file system, which is said and no more.
    shop.gate(&["data"]).expect(0);
    assert_eq!(shop.manifest().codes("warning"), ["unsigned", "copy-same-failure-domain"]);
    assert_same(&shop);
    assert!(record(&shop)["objects"].as_u64() < first["objects"].as_u64(), "{:#}", record(&shop));
    assert_eq!(restic(&shop, "copy").snapshots().len(), 2);
    shop.holdpoint.run(["snapshot", "-e", STAGING, "data"]).expect(0);
    assert_same(&shop);
    shop.assert_nothing_left();
}

#[test]
fn a_copy_that_is_younger_than_the_store_gets_everything() {
    let shop = Shop::new();
    let store = shop.beside("store").display().to_string();
    let shop = shop.env("HOLDPOINT_STORE", store).env("HOLDPOINT_PASSWORD", super::SECRET);
    for version in ["1", "2"] {
        shop.write("data/version", version);
        shop.gate(&["data"]).expect(0);
    }
    let copy = shop.beside("copy").display().to_string();
    shop.write("holdpoint.toml", format!("[store.copies.offsite]\nlocation = {copy:?}\nrequired = true\n"));
    shop.gate(&["data"]).expect(0);
    assert_same(&shop);
    let listed = shop.holdpoint.run(["releases", "-e", STAGING, "--store", &copy, "--format", "json"]).expect(0).json();
    assert_eq!(listed["releases"].as_array().unwrap().len(), 3);
}

/// Puts a file where the copy's directory would be.
fn block(shop: &Shop) {
    fs::write(shop.beside("copy"), "a file").unwrap();
}

#[test]
fn a_required_copy_that_fails_refuses() {
    let shop = shop("copy", true);
    block(&shop);
    shop.gate(&["data"]).expect(10).refuses_in_words().says(&["copy offsite"]);
    shop.manifest().assert_refused("refused", &["copy-failed"]);
    assert_eq!(record(&shop)["state"], "failed");
    fs::remove_file(shop.beside("copy")).unwrap();
    shop.gate(&["data"]).expect(0);
    // The record of the refusal comes with the next pass.
    assert_same(&shop);
}

#[test]
fn a_copy_that_is_not_required_warns() {
    let shop = shop("copy", false);
    block(&shop);
    shop.gate(&["data"]).expect(0);
    assert!(shop.manifest().codes("warning").contains(&"copy-failed"), "{:?}", shop.manifest());
    let record = record(&shop);
    assert!(record["state"] == "failed" && record["error"].as_str().unwrap().contains("copy"), "{record:#}");
    fs::remove_file(shop.beside("copy")).unwrap();
    shop.holdpoint.run(["copy", "-e", STAGING]).expect(0);
    assert_same(&shop);
}

#[test]
fn a_required_copy_that_does_not_take_the_records_refuses() {
    let shop = shop("copy", true);
    shop.gate(&["data"]).expect(0);
    let releases = part(&shop, "copy").join("releases");
    fs::rename(&releases, shop.beside("aside")).unwrap();
    fs::write(&releases, "a file").unwrap();
    shop.gate(&["data"]).expect(10).refuses_in_words();
    assert_eq!(shop.manifest().codes("refusal"), ["copy-failed"]);
    assert_eq!(record(&shop)["state"], "failed");
    let listed = shop.holdpoint.run(["releases", "-e", STAGING, "--format", "json"]).expect(0).json();
    assert_eq!(listed["releases"][0]["manifest"]["state"], "refused");
    fs::remove_file(&releases).unwrap();
    fs::rename(shop.beside("aside"), &releases).unwrap();
    shop.gate(&["data"]).expect(0);
    assert_same(&shop);
}

#[test]
fn another_repository_at_the_copy_is_left_alone() {
    let shop = shop("copy", true);
    let theirs = part(&shop, "copy").join("repository");
    fs::create_dir_all(&theirs).unwrap();
    let restic = Restic::new(&theirs, super::SECRET);
    restic.init();
    let before = super::kept(&part(&shop, "copy"));
    shop.gate(&["data"]).expect(12).refuses_in_words();
    shop.manifest().assert_refused("refused", &["copy-unverified"]);
    assert!(shop.manifest().message("copy-unverified").contains("another repository"));
    // Seen before the work was done.
    assert_eq!(shop.manifest().source("data")["outcome"], "not_captured");
    assert_eq!(record(&shop)["state"], "not_copied");
    assert_eq!(shop.holdpoint.run(["copy", "-e", STAGING]).expect(12).says(&["another repository"]).code, Some(12));
    shop.holdpoint.run(["doctor", "-e", STAGING, "data"]).expect(12);
    assert!(super::kept(&part(&shop, "copy")) == before, "something was written");
    restic.check();
}

#[test]
fn a_copy_that_is_the_store_refuses() {
    let shop = shop("store", false);
    shop.gate(&["data"]).expect(10).refuses_in_words();
    shop.manifest().assert_refused("refused", &["copy-same-failure-domain"]);
    let plan = ["plan", "-e", STAGING, "--release", "1.0.0", "--commit", COMMIT, "--first", "data"];
    shop.holdpoint.run(plan).expect(10);
    shop.holdpoint.run(["copy", "-e", STAGING]).expect(2).says(&["is the store itself"]);
    // Through a link it is the same.
    std::os::unix::fs::symlink(shop.beside("store"), shop.beside("link")).unwrap();
    let link = shop.beside("link").display().to_string();
    shop.holdpoint.run(["copy", "-e", STAGING, "--to", &link]).expect(2).says(&["is the store itself"]);
}

#[test]
fn doctor_and_plan_look_at_the_copies() {
    let shop = shop("copy", true);
    let doctor = shop.holdpoint.run(["doctor", "-e", STAGING, "data"]).expect(0);
    assert!(
        doctor.stdout.contains("copy offsite") && doctor.stdout.contains("copy-same-failure-domain"),
        "{}",
        doctor.stdout
    );
    assert_eq!(names(&part(&shop, "copy")), [""; 0], "the probe is left");
    let plan = ["plan", "-e", STAGING, "--release", "1.0.0", "--commit", COMMIT, "--first", "data"];
    let plan = shop.holdpoint.run(plan).expect(0);
    assert!(plan.stdout.contains("copy-same-failure-domain"), "{}", plan.stdout);
    fs::remove_dir_all(shop.beside("copy")).unwrap();
    block(&shop);
    let doctor = shop.holdpoint.run(["doctor", "-e", STAGING, "data"]).expect(10);
    assert!(doctor.stdout.contains("FAIL  copy offsite"), "{}", doctor.stdout);
}

/// A store that answers nothing more: a named pipe that nobody reads stands for it.
#[test]
fn a_copy_that_hangs_ends_with_the_deadline() {
    let shop = shop("copy", false);
    let repository = part(&shop, "copy").join("repository");
    fs::create_dir_all(&repository).unwrap();
    // Opening it waits for a writer that never comes.
    let pipe = std::process::Command::new("mkfifo").arg(repository.join("config")).status().unwrap();
    assert!(pipe.success());
    let output = shop.gate(&["data", "--timeout", "3s"]).expect(11);
    assert!(output.elapsed < Duration::from_secs(13), "{:?}", output.elapsed);
    output.refuses_in_words();
    let manifest = shop.manifest();
    assert_eq!((manifest.state(), &record(&shop)["state"]), ("timed_out", &"not_copied".into()));
    assert_eq!(manifest.source("data")["outcome"], "verified");
}

#[test]
fn a_signal_ends_a_gate_that_copies() {
    let shop = shop("copy", false);
    let repository = part(&shop, "copy").join("repository");
    fs::create_dir_all(&repository).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(repository.join("config")).status().unwrap().success());
    let mut running = shop.start(&["data"]);
    let snapshots = part(&shop, "store").join("repository/snapshots");
    until(&mut running, "the snapshot was there", || !names(&snapshots).is_empty());
    running.signal(Signal::TERM);
    running.wait().expect(143).refuses_in_words();
    assert_eq!(shop.manifest().state(), "cancelled");
}

/// What the copy is in does not become part of a snapshot.
#[test]
fn a_copy_inside_of_what_is_captured_is_left_out() {
    let shop = Shop::new();
    let store = shop.beside("store").display().to_string();
    let copy = shop.path("data/copy").display().to_string();
    shop.write("holdpoint.toml", format!("[store.copies.near]\nlocation = {copy:?}\n"));
    let shop = shop.env("HOLDPOINT_STORE", store).env("HOLDPOINT_PASSWORD", super::SECRET);
    shop.gate(&["data"]).expect(0);
    let files = shop.manifest().source("data")["items"].as_u64();
    shop.gate(&["data"]).expect(0);
    assert_eq!(shop.manifest().source("data")["items"].as_u64(), files);
}

#[test]
fn what_a_copy_lost_is_sent_again_and_what_was_altered_refuses() {
    let shop = shop("copy", true);
    shop.gate(&["data"]).expect(0);
    let data = part(&shop, "copy").join("repository/data");
    let script = format!("find '{}' -type f -delete; echo 1", data.display());
    let copies = shop.read("holdpoint.toml");
    shop.write(
        "holdpoint.toml",
        format!("{copies}\n[[source]]\nname = \"orders\"\nkind = \"command\"\ncommand = {}\n", shell(&script)),
    );
    shop.gate(&["data"]).expect(0);
    assert_same(&shop);
    shop.write("holdpoint.toml", copies);
    // One that was altered and has its size is found by whoever reads all.
    let pack = names(&data)
        .into_iter()
        .find_map(|folder| names(&data.join(&folder)).pop().map(|pack| data.join(folder).join(pack)));
    let pack = pack.unwrap();
    let mut content = fs::read(&pack).unwrap();
    content[7] ^= 1;
    fs::write(&pack, &content).unwrap();
    let output = shop.holdpoint.run(["copy", "-e", STAGING, "--verify", "all"]).expect(12);
    output.refuses_in_words();
    assert!(output.stdout.contains("was altered or cut"), "{}", output.stdout);
    // One of another size is found by everybody.
    fs::write(&pack, &content[1..]).unwrap();
    shop.gate(&["data"]).expect(12).refuses_in_words();
    shop.manifest().assert_refused("refused", &["copy-unverified"]);
}
