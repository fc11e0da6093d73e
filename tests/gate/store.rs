//! A store that cannot be written, is full, locked away, damaged or somebody else's: a refusal with a whole local record.

use super::shop::{STAGING, Shop, names};
use crate::support::environment::must;
use crate::support::restic::Restic;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system in memory; unmounted when dropped.
pub struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Mounts one of so many MiB; `None`, said loudly, where this user may not mount.
    pub fn mount(path: &Path, size: u32) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}m"), "none"]).arg(path).output();
        if mounted.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self(path.to_owned()));
        }
        eprintln!("SKIPPED: this user may not mount a file system: {mounted:?}");
        None
    }

    pub fn remount(&self, options: &str) {
        must(Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0));
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // One that is left is seen by whoever removes the directory.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn random(size: usize) -> Vec<u8> {
    let mut data = vec![0; size];
    getrandom::fill(&mut data).unwrap();
    data
}

#[track_caller]
fn assert_refused(shop: &Shop, exit: u8, code: &str) {
    shop.gate(&["data"]).expect(exit).refuses_in_words();
    let manifest = shop.manifest();
    let codes = manifest.codes("refusal");
    assert!(manifest.state() == "refused" && codes.contains(&code), "{:#}", manifest.0["decision"]);
    assert_eq!(manifest.0["decision"]["exit_code"], exit);
}

#[test]
fn a_file_where_the_store_should_be_refuses() {
    let shop = Shop::new();
    shop.write(".holdpoint/store", "a file");
    assert_refused(&shop, 10, "store-failed");
    fs::remove_file(shop.path(".holdpoint/store")).unwrap();
    shop.gate(&["data"]).expect(0);
    shop.restic(STAGING).check();
}

#[test]
fn a_store_that_is_read_only_refuses() {
    let shop = Shop::new();
    let Some(tmpfs) = Tmpfs::mount(&shop.path(".holdpoint/store"), 64) else { return };
    shop.gate(&["data"]).expect(0);
    tmpfs.remount("ro");
    assert_refused(&shop, 10, "store-failed");
    assert!(shop.manifest().message("store-failed").contains("Read-only"), "{:?}", shop.manifest());
    tmpfs.remount("rw");
    shop.gate(&["data"]).expect(0);
    shop.assert_nothing_left();
    shop.restic(STAGING).check();
}

#[test]
fn a_store_that_fills_up_refuses_and_is_whole() {
    let shop = Shop::new();
    let Some(tmpfs) = Tmpfs::mount(&shop.path(".holdpoint/store"), 40) else { return };
    for file in 0..12 {
        shop.write(&format!("data/{file}"), random(8 << 20));
    }
    assert_refused(&shop, 10, "store-failed");
    let refused = shop.manifest();
    assert!(refused.message("store-failed").contains("No space left"), "{:#}", refused.0["decision"]);
    assert_ne!(refused.source("data")["outcome"], "verified");
    shop.restic(STAGING).check_without_lock();
    assert_eq!(names(&shop.place(STAGING).join("repository/snapshots")), [""; 0]);
    tmpfs.remount("size=300m");
    shop.gate(&["data"]).expect(0);
    shop.assert_nothing_left();
    shop.restic(STAGING).check();
    // What fitted the first time was not stored again.
    assert!(shop.manifest().bytes_added() < 90 << 20, "{}", shop.manifest().bytes_added());
}

#[test]
fn a_store_without_a_byte_of_room_refuses_with_a_local_record() {
    let shop = Shop::new();
    let Some(tmpfs) = Tmpfs::mount(&shop.path(".holdpoint/store"), 4) else { return };
    shop.gate(&["data"]).expect(0);
    let filler = shop.path(".holdpoint/store/filler");
    // Fails when all is full, which is wanted.
    let _ = fs::write(&filler, vec![0; 5 << 20]);
    assert_refused(&shop, 10, "store-failed");
    fs::remove_file(&filler).unwrap();
    shop.gate(&["data"]).expect(0);
    shop.assert_nothing_left();
    shop.restic(STAGING).check();
    drop(tmpfs);
}

#[test]
fn a_manifest_that_cannot_be_written_refuses_and_is_in_the_ledger() {
    let shop = Shop::new();
    shop.write("file", "");
    let output = shop.gate(&["data", "--manifest-out", "file/manifest.json"]).expect(10);
    output.refuses_in_words().says(&["cannot write"]);
    let listed = shop.holdpoint.run(["releases", "-e", STAGING, "--format", "json"]).expect(0).stdout;
    assert!(listed.contains("refused") && !listed.contains("passed"), "{listed}");
    shop.gate(&["data"]).expect(0);
    shop.assert_nothing_left();
}

#[test]
fn a_wrong_password_refuses() {
    let shop = Shop::new();
    let store = shop.beside("store").display().to_string();
    let shop = shop.env("HOLDPOINT_STORE", store.clone()).env("HOLDPOINT_PASSWORD", "right");
    shop.gate(&["data"]).expect(0);
    let shop = shop.env("HOLDPOINT_PASSWORD", "wrong");
    assert_refused(&shop, 10, "store-failed");
    assert!(shop.manifest().message("store-failed").contains("password"));
    let shop = shop.env("HOLDPOINT_PASSWORD", "");
    shop.gate(&["data"]).expect(2).says(&["no password for the store", "HOLDPOINT_PASSWORD_FILE"]);
    let shop = shop.env("HOLDPOINT_PASSWORD", "right");
    shop.gate(&["data"]).expect(0);
    let repository = Path::new(&store).join("shop").join(STAGING).join("repository");
    Restic::new(repository, "right").check();
    shop.assert_nothing_left();
}

#[test]
fn a_repository_whose_config_is_damaged_refuses() {
    let shop = Shop::new();
    shop.gate(&["data"]).expect(0);
    let config = shop.place(STAGING).join("repository/config");
    let whole = fs::read(&config).unwrap();
    File::options().write(true).open(&config).unwrap().write_all_at(&[whole[40] ^ 1], 40).unwrap();
    assert_refused(&shop, 12, "repository-damaged");
    assert!(shop.manifest().message("repository-damaged").contains("was altered or cut"));
    fs::write(&config, &whole[..10]).unwrap();
    assert_refused(&shop, 12, "repository-damaged");
    fs::write(&config, whole).unwrap();
    shop.gate(&["data"]).expect(0);
    shop.assert_nothing_left();
}

#[test]
fn a_pack_that_is_missing_refuses_what_rests_on_it() {
    let shop = Shop::new();
    shop.gate(&["data"]).expect(0);
    let data = shop.place(STAGING).join("repository/data");
    for folder in names(&data) {
        fs::remove_dir_all(data.join(folder)).unwrap();
    }
    assert_refused(&shop, 12, "repository-damaged");
    shop.assert_nothing_left();
}

#[test]
fn a_repository_of_another_version_refuses() {
    let shop = Shop::new();
    let store = shop.beside("store");
    let repository = store.join("shop").join(STAGING).join("repository");
    fs::create_dir_all(&repository).unwrap();
    Restic::new(&repository, "secret").run(&["init", "--repository-version", "1"]);
    let shop = shop.env("HOLDPOINT_STORE", store.display().to_string()).env("HOLDPOINT_PASSWORD", "secret");
    assert_refused(&shop, 12, "repository-damaged");
    assert!(shop.manifest().message("repository-damaged").contains("version 1"), "{:?}", shop.manifest());
    shop.assert_nothing_left();
}

#[test]
fn a_repository_that_restic_created_is_used() {
    let shop = Shop::new();
    let store = shop.beside("store");
    let repository = store.join("shop").join(STAGING).join("repository");
    fs::create_dir_all(&repository).unwrap();
    let restic = Restic::new(&repository, "secret");
    restic.init().backup(&[&shop.path("data")]);
    let shop = shop.env("HOLDPOINT_STORE", store.display().to_string()).env("HOLDPOINT_PASSWORD", "secret");
    shop.gate(&["data"]).expect(0);
    restic.check();
    assert_eq!(restic.snapshots().len(), 2);
}
