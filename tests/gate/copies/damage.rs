//! A damaged source, a copy without room, and records that are in each other's way.

use super::super::shop::{STAGING, names};
use super::super::store::Tmpfs;
use super::{assert_same, part, restic, shop};
use crate::support::ledger::release_folder;
use std::fs;
use std::path::{Path, PathBuf};

fn a_pack(part: &Path) -> PathBuf {
    let data = part.join("repository/data");
    names(&data)
        .into_iter()
        .find_map(|folder| Some(data.join(&folder).join(names(&data.join(&folder)).pop()?)))
        .expect("a pack")
}

#[test]
fn what_is_damaged_in_the_store_is_named_and_not_copied() {
    let shop = shop("copy", false);
    let configuration = shop.read("holdpoint.toml");
    shop.write("holdpoint.toml", "");
    shop.gate(&["data"]).expect(0);
    shop.write("holdpoint.toml", configuration);
    let pack = a_pack(&part(&shop, "store"));
    let whole = fs::read(&pack).unwrap();
    let name = pack.file_name().unwrap().to_str().unwrap().to_owned();
    let mut altered = whole.clone();
    altered[3] ^= 1;
    for damage in [Some(altered), Some(whole[1..].to_vec()), None] {
        match damage {
            Some(content) => fs::write(&pack, content).unwrap(),
            None => fs::remove_file(&pack).unwrap(),
        }
        let output = shop.holdpoint.run(["copy", "-e", STAGING]).expect(12);
        output.refuses_in_words();
        assert!(output.stdout.contains(&name), "{}", output.stdout);
        let copy = part(&shop, "copy");
        assert!(!copy.join("repository/data").join(&name[..2]).join(&name).exists(), "it was copied");
        // Nothing that refers to it is there either.
        assert_eq!(names(&copy.join("repository/index")), [""; 0]);
        assert_eq!(names(&copy.join("releases")), [""; 0]);
    }
    fs::write(&pack, whole).unwrap();
    shop.holdpoint.run(["copy", "-e", STAGING]).expect(0);
    assert_same(&shop);
    // What the copy has already, the store may lose: nothing of it has to be read.
    fs::remove_file(&pack).unwrap();
    shop.holdpoint.run(["copy", "-e", STAGING]).expect(0);
    restic(&shop, "copy").check();
}

#[test]
fn records_that_differ_are_never_overwritten_and_pages_are() {
    let shop = shop("copy", true);
    shop.gate(&["data"]).expect(0);
    let id = shop.manifest().0["id"].as_str().unwrap().to_owned();
    let release = part(&shop, "copy").join(release_folder(&id));
    fs::write(release.join("manifest.html"), "an old page").unwrap();
    shop.holdpoint.run(["copy", "-e", STAGING]).expect(0);
    assert_same(&shop);
    let manifest = fs::read_to_string(release.join("manifest.json")).unwrap();
    fs::write(release.join("manifest.json"), manifest.replace("\"passed\"", "\"altered\"")).unwrap();
    let output = shop.holdpoint.run(["copy", "-e", STAGING]).expect(12);
    assert!(output.stdout.contains("manifest.json is not what the source has"), "{}", output.stdout);
    let mark = part(&shop, "copy").join("copy/completed.json");
    assert!(!mark.exists(), "a copy that is not whole is marked as whole");
    assert!(fs::read_to_string(release.join("manifest.json")).unwrap().contains("\"altered\""), "it was overwritten");
    fs::write(release.join("manifest.json"), &manifest[..manifest.len() / 2]).unwrap();
    shop.gate(&["data"]).expect(12);
    shop.manifest().assert_refused("refused", &["copy-unverified"]);
}

#[test]
fn a_copy_without_room_refuses_and_goes_on_once_there_is_some() {
    let shop = shop("copy", true);
    let Some(tmpfs) = Tmpfs::mount(&shop.beside("copy"), 20) else { return };
    for file in 0..6 {
        let mut content = vec![0; 8 << 20];
        getrandom::fill(&mut content).unwrap();
        shop.write(&format!("data/{file}"), content);
    }
    shop.gate(&["data"]).expect(10).refuses_in_words();
    shop.manifest().assert_refused("refused", &["copy-failed"]);
    assert!(shop.manifest().message("copy-failed").contains("No space left"));
    assert_eq!(names(&part(&shop, "copy").join("repository/index")), [""; 0]);
    restic(&shop, "copy").check_without_lock();
    tmpfs.remount("size=200m");
    shop.gate(&["data"]).expect(0);
    // Another file system is another failure domain, as far as a machine can tell.
    assert_eq!(shop.manifest().codes("warning"), ["unsigned"]);
    assert_same(&shop);
    drop(tmpfs);
}
