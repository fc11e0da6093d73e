//! A retired environment: nothing is deployed there any more, and a copy keeps everything.

use super::super::copies::{SECRET, part, restic};
use super::super::shop::Shop;
use super::{BARE, Passed, gate, prune, releases, restores, run};

fn configuration(shop: &Shop, more: &str) -> String {
    let copy = shop.beside("archive").display().to_string();
    format!("{BARE}\n[store.copies.archive]\nlocation = {copy:?}\nrequired = false\n{more}")
}

const RETIRED: &str = "\n[environment.staging]\nretired = true\narchive = \"archive\"\n";

#[test]
fn a_retired_environment_is_moved_to_its_archive() {
    let shop = Shop::new();
    let store = shop.beside("store").display().to_string();
    let shop = shop.env("HOLDPOINT_STORE", store).env("HOLDPOINT_PASSWORD", SECRET);
    shop.write("holdpoint.toml", BARE);
    let all: Vec<Passed> = ["1.0.0", "1.1.0", "1.2.0"].map(|version| gate(&shop, version)).into();
    run(&shop, &["hold", &all[1].id, "--reason", "case 7"]).expect(0);
    shop.write("holdpoint.toml", configuration(&shop, RETIRED));
    let refused = shop.gate(&[]).expect(13);
    refused.refuses_in_words().shows(&["is retired", "nothing is deployed there"]);
    shop.manifest().assert_refused("refused", &["environment-retired"]);

    // What is in the way of the archive keeps everything where it is.
    std::fs::write(shop.beside("archive"), "in the way").unwrap();
    let failed = run(&shop, &["prune", "--yes"]);
    assert!(failed.code.is_some_and(|code| code != 0), "{failed:?}");
    assert_eq!(restic(&shop, "store").check().snapshots().len(), 3);
    std::fs::remove_file(shop.beside("archive")).unwrap();

    let done = prune(&shop, &[]);
    assert_eq!((releases(&done, true).len(), &done["plan"]["archive"]), (2, &"archive".into()));
    assert_eq!(restic(&shop, "store").check().snapshots().len(), 1, "what is held stays here, too");
    assert_eq!(restic(&shop, "archive").check().snapshots().len(), 3);
    let archive = shop.beside("archive").display().to_string();
    run(&shop, &["show", &all[0].id]).expect(0).shows(&["moved to the copy archive", "--store"]);
    let target = shop.beside("into").display().to_string();
    run(&shop, &["restore", "data", "--id", &all[0].id, "--target", &target]).expect(2).shows(&["moved to the copy"]);
    let from = ["restore", "data", "--id", &all[0].id, "--target", &target, "--store", &archive];
    run(&shop, &from).expect(0);
    restores(&shop, &all[1]);
    assert!(part(&shop, "archive").join("releases").exists());
    run(&shop, &["prune", "--yes", "--copy", "archive"]).expect(2).shows(&["is retired"]);
}

#[test]
fn a_copy_is_pruned_by_itself() {
    let shop = Shop::new();
    let store = shop.beside("store").display().to_string();
    let shop = shop.env("HOLDPOINT_STORE", store).env("HOLDPOINT_PASSWORD", SECRET);
    shop.write("holdpoint.toml", configuration(&shop, ""));
    let all: Vec<Passed> = ["1.0.0", "1.1.0"].map(|version| gate(&shop, version)).into();
    assert_eq!(restic(&shop, "archive").check().snapshots().len(), 2);
    prune(&shop, &[]);
    assert_eq!(restic(&shop, "store").check().snapshots().len(), 1);
    assert_eq!(restic(&shop, "archive").check().snapshots().len(), 2, "the copy keeps what it has");
    run(&shop, &["prune", "--yes", "--copy", "nowhere"]).expect(2).shows(&["there is no copy `nowhere`"]);
    // What the store let go can be held where a copy has it.
    run(&shop, &["hold", &all[0].id, "--reason", "case 8"]).expect(0).shows(&["held where a copy has it"]);
    assert_eq!(releases(&prune(&shop, &["--copy", "archive"]), true), [""; 0]);
    run(&shop, &["hold", &all[0].id, "--reason", "over", "--lift"]).expect(0);
    let done = prune(&shop, &["--copy", "archive"]);
    assert_eq!(releases(&done, true), [&*all[0].id]);
    assert_eq!(restic(&shop, "archive").check().snapshots().len(), 1);
    run(&shop, &["hold", &all[0].id, "--reason", "too late"]).expect(2).shows(&["was let go"]);
    restores(&shop, &all[1]);
    gate(&shop, "1.2.0");
    run(&shop, &["copy", "--verify", "all"]).expect(0);
    restic(&shop, "archive").check();
}
