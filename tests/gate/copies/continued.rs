//! `kill -9` at any write of a copy: what is there is whole as far as it goes, and the next copy goes on from there.

use super::super::shop::{STAGING, Shop, names};
use super::{assert_same, part, restic, shop};
use crate::support::environment;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

/// Makes a shop with three releases, a few packs and no copy yet.
fn filled() -> Shop {
    let shop = shop("copy", true);
    let configuration = shop.read("holdpoint.toml");
    shop.write("holdpoint.toml", "");
    for version in 0..3_u8 {
        let content: Vec<u8> =
            (0..200_000_u32).flat_map(|number| (number ^ u32::from(version) << 20).to_le_bytes()).collect();
        shop.write(&format!("data/{version}"), content);
        shop.gate(&["data"]).expect(0);
    }
    shop.write("holdpoint.toml", configuration);
    shop
}

/// Runs `copy` that is killed as it moves its `count`th object into place; says whether it came so far.
fn killed_at(shop: &Shop, count: usize) -> bool {
    let copy = shop.holdpoint.command(["copy", "-e", STAGING, "--no-progress"]);
    let mut strace = environment::command("strace", shop.holdpoint.home());
    let calls = "rename,renameat,renameat2,link,linkat";
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    strace.arg("-e").arg(format!("inject={calls}:signal=KILL:when={count}"));
    strace.arg(copy.get_program()).args(copy.get_args()).current_dir(copy.get_current_dir().unwrap());
    strace.envs(copy.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = strace.output().unwrap();
    let killed = output.status.signal() == Some(9) || output.status.code() == Some(137);
    assert!(killed || output.status.success(), "{output:?}");
    killed
}

/// Fails if the copy refers to something that it does not have.
#[track_caller]
fn assert_nothing_dangles(shop: &Shop) {
    let copy = part(shop, "copy");
    if !copy.join("repository/config").exists() {
        assert_eq!(names(&copy.join("repository/data")), [""; 0], "packs before the config");
        return;
    }
    restic(shop, "copy").check_without_lock();
    let location = shop.beside("copy").display().to_string();
    let listed =
        shop.holdpoint.run(["releases", "-e", STAGING, "--store", &location, "--format", "json"]).expect(0).json();
    let releases = listed["releases"].as_array().unwrap();
    let stored = |id: &str| copy.join("repository/snapshots").join(id).exists();
    for (place, release) in releases.iter().enumerate() {
        let manifest = &release["manifest"];
        assert!(stored(manifest["sources"][0]["snapshot"]["id"].as_str().unwrap()), "{release:#}");
        let before = releases.get(place + 1).map_or(&serde_json::Value::Null, |before| &before["id"]);
        assert_eq!(&manifest["previous"]["id"], before);
    }
}

/// Writes a whole directory again as it was.
fn remove(copy: &Path) {
    if copy.exists() {
        fs::remove_dir_all(copy).unwrap();
    }
}

#[test]
fn a_copy_that_was_killed_at_any_write_is_gone_on_from() {
    let shop = filled();
    let step = if crate::support::full() { 1 } else { 3 };
    let mut kills = 0;
    for count in (1..).step_by(step) {
        remove(&shop.beside("copy"));
        if !killed_at(&shop, count) {
            break;
        }
        kills += 1;
        assert_nothing_dangles(&shop);
        shop.holdpoint.run(["copy", "-e", STAGING]).expect(0);
        assert_same(&shop);
    }
    eprintln!("killed {kills} copies");
    assert!(kills >= 3, "{kills}");
}

/// An object that a killed copy had written and not read back is not taken for whole, although its size is right.
#[test]
fn what_was_never_read_back_is_read_by_the_next_copy() {
    let packs = |shop: &Shop| -> Vec<PathBuf> {
        let data = part(shop, "copy").join("repository/data");
        let below = |folder: &String| {
            let folder = data.join(folder);
            names(&folder).into_iter().map(move |name| folder.join(name))
        };
        names(&data).iter().flat_map(below).collect()
    };
    let is_between =
        |shop: &Shop| !packs(shop).is_empty() && names(&part(shop, "copy").join("repository/snapshots")).is_empty();
    // strace counts the calls of each thread alone, so that the same count is not always the same instant.
    let killed = [8, 7, 6, 5, 4, 3, 2].into_iter().cycle().take(50).find_map(|count| {
        let shop = filled();
        (killed_at(&shop, count) && is_between(&shop)).then_some(shop)
    });
    let shop = killed.expect("a copy that was killed between its first pack and its first snapshot");
    let pack = packs(&shop).pop().expect("a pack was copied");
    let mut content = fs::read(&pack).unwrap();
    *content.last_mut().unwrap() ^= 1;
    fs::write(&pack, &content).unwrap();
    let output = shop.holdpoint.run(["copy", "-e", STAGING]).expect(12);
    assert!(output.stdout.contains("was altered or cut"), "{}", output.stdout);
    assert_eq!(names(&part(&shop, "copy").join("repository/snapshots")), [""; 0]);
    fs::remove_file(pack).unwrap();
    shop.holdpoint.run(["copy", "-e", STAGING]).expect(0);
    assert_same(&shop);
}
