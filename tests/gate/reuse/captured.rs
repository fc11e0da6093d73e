//! What cannot be found, believed or proved is captured, and the record says why.

use super::{REUSE, id, outcome, pass, said, shop};
use crate::gate::shop::{Manifest, STAGING, Shop, names};
use crate::support::environment::{command, must};
use crate::support::ledger::release_folder;
use crate::support::tree::assert_same;
use std::fs;
use std::path::PathBuf;

/// Fails unless a source was captured for this reason.
#[track_caller]
fn assert_captured(manifest: &Manifest, name: &str, why: &str) {
    let said = said(manifest, name).join("\n");
    assert_eq!(outcome(manifest, name), ("verified", None), "{said}");
    assert!(said.contains(&format!("captured after all: {why}")), "{why:?} in\n{said}");
}

#[test]
fn what_is_too_old_or_of_something_else_is_captured() {
    let shop = shop(&REUSE.replace("\"1h\"", "\"1ms\""));
    pass(&shop);
    let manifest = pass(&shop);
    assert_captured(&manifest, "orders", "the newest snapshot of it is");
    assert!(said(&manifest, "orders").join("\n").contains("old, and may be 0s"), "{:?}", said(&manifest, "orders"));
    shop.write("holdpoint.toml", REUSE);
    assert_eq!(outcome(&pass(&shop), "orders").0, "stood_in");
    // The recovery point objective is older than no snapshot.
    shop.write("holdpoint.toml", format!("{REUSE}\n[environment.staging]\nrpo = \"1ms\"\n"));
    let manifest = pass(&shop);
    assert_captured(&manifest, "orders", "the newest snapshot of it is");
    assert!(said(&manifest, "orders").join("\n").contains("old, and may be 0s"), "{:?}", said(&manifest, "orders"));
    let excluding = REUSE.replace("paths = [\"data\"]", "paths = [\"data\"]\nexclude = [\"x\"]");
    shop.write("holdpoint.toml", &excluding);
    let manifest = pass(&shop);
    assert_captured(&manifest, "uploads", "the newest snapshot of it is of another definition");
    assert_eq!(outcome(&manifest, "orders").0, "stood_in");
    assert_eq!(outcome(&pass(&shop), "uploads").0, "stood_in");
    // Back to what it was: an older one is of the same thing again.
    shop.write("holdpoint.toml", REUSE);
    let manifest = pass(&shop);
    assert_eq!(outcome(&manifest, "uploads").0, "stood_in");
    fs::rename(shop.path("orders.db"), shop.path("sales.db")).unwrap();
    shop.write("holdpoint.toml", REUSE.replace("orders.db", "sales.db"));
    assert_captured(&pass(&shop), "orders", "the newest snapshot of it is of another");
}

#[test]
fn what_did_not_pass_lends_nothing() {
    let strict = REUSE.replace("restore_order = 1", "restore_order = 1\nexpect = { min_rows = { orders = 3 } }");
    let shop = shop(&strict);
    shop.gate(&[]).expect(12);
    assert_eq!(outcome(&shop.manifest(), "uploads").0, "verified", "it has a snapshot, of a run that was refused");
    shop.write("holdpoint.toml", REUSE);
    assert_captured(&pass(&shop), "uploads", "no release that passed has a verified snapshot of it");
}

#[test]
fn a_snapshot_that_was_forgotten_or_is_not_whole_is_missed() {
    let shop = shop(REUSE);
    let first = pass(&shop);
    let snapshot = first.source("uploads")["snapshot"]["id"].as_str().unwrap();
    shop.restic(STAGING).run(&["forget", snapshot]);
    let second = pass(&shop);
    assert_captured(&second, "uploads", "the newest snapshot of it is not whole in the store");
    assert_eq!((second.codes("warning").contains(&"snapshot-gone"), outcome(&second, "orders").0), (true, "stood_in"));
    assert!(second.message("snapshot-gone").contains(id(&first)), "{}", second.message("snapshot-gone"));
    assert_eq!(outcome(&pass(&shop), "uploads"), ("stood_in", Some(id(&second))));

    // A pack that is lost is missed by whatever needs it: by the older snapshot, and by the new one, too.
    let packs = packs(&shop);
    for pack in &packs {
        let harm = || fs::rename(pack, pack.with_extension("away")).unwrap();
        harmed(&shop, harm, || {
            shop.gate(&[]).expect(12);
            assert!(shop.manifest().codes("warning").contains(&"snapshot-gone"), "{}", pack.display());
        });
    }
    // One byte more or less is seen in every pack, and a wrong one in those of trees, which are read. The trees above the files
    // are others at each capture: where nothing else needs the pack, what is captured anew is whole, and passes.
    let (mut wrong, mut whole) = (0, 0);
    for pack in &packs {
        let bytes = fs::read(pack).unwrap();
        harmed(
            &shop,
            || fs::write(pack, &bytes[..bytes.len() - 1]).unwrap(),
            || {
                let code = shop.gate(&[]).code;
                let manifest = shop.manifest();
                assert!(manifest.codes("warning").contains(&"snapshot-gone"), "{}", pack.display());
                if code != Some(0) {
                    assert_eq!(code, Some(12), "{}", pack.display());
                    return;
                }
                whole += 1;
                assert_eq!(outcome(&manifest, "uploads").0, "verified");
                let target = shop.beside("restored");
                let to = target.display().to_string();
                shop.holdpoint.run(["restore", "uploads", "-e", STAGING, "--target", &to]).expect(0);
                let data = shop.path("data");
                assert_same(&data, &target.join(data.strip_prefix("/").unwrap()));
            },
        );
        let mut altered = bytes.clone();
        altered[bytes.len() / 2] ^= 1;
        harmed(
            &shop,
            || fs::write(pack, &altered).unwrap(),
            || {
                shop.gate(&[]);
                wrong += usize::from(shop.manifest().codes("warning").contains(&"snapshot-gone"));
            },
        );
    }
    assert!(wrong > 0, "the trees are read");
    assert!(whole <= 1, "{whole} of {} packs are not needed", packs.len());
    assert_eq!(outcome(&pass(&shop), "orders").0, "stood_in");
}

/// Harms the store, looks what becomes of that, and puts the store back as it was: what a gate stores a second time would hide
/// the next harm. Nothing is made in a folder that leads to what is captured: its trees would be others.
fn harmed(shop: &Shop, harm: impl FnOnce(), look: impl FnOnce()) {
    let (store, whole) = (shop.path(".holdpoint/store"), shop.path(".holdpoint/whole"));
    must(command("cp", &shop.path(".")).arg("-a").args([&store, &whole]));
    harm();
    look();
    fs::remove_dir_all(&store).unwrap();
    fs::rename(&whole, &store).unwrap();
}

fn packs(shop: &Shop) -> Vec<PathBuf> {
    let data = shop.place(STAGING).join("repository/data");
    let folders = names(&data).into_iter().map(|folder| data.join(folder));
    let packs: Vec<_> =
        folders.flat_map(|folder| names(&folder).into_iter().map(move |name| folder.join(name))).collect();
    assert!(packs.len() >= 2, "{packs:?}");
    packs
}

fn manifest_file(shop: &Shop, id: &str) -> PathBuf {
    shop.place(STAGING).join(release_folder(id)).join("manifest.json")
}

#[test]
fn a_record_that_was_made_younger_or_points_elsewhere_is_not_believed() {
    let shop = shop(REUSE);
    let (first, other) = (pass(&shop), {
        shop.write("holdpoint.toml", REUSE.replace("\"1h\"", "\"1ms\""));
        let other = pass(&shop);
        shop.write("holdpoint.toml", REUSE);
        other
    });
    let file = manifest_file(&shop, id(&other));
    let honest = fs::read_to_string(&file).unwrap();
    let forge = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut manifest: serde_json::Value = serde_json::from_str(&honest).unwrap();
        let sources = manifest["sources"].as_array_mut().unwrap();
        change(sources.iter_mut().find(|source| source["name"] == "orders").unwrap());
        fs::write(&file, manifest.to_string()).unwrap();
    };
    // The snapshot says when it was captured and of what, sealed with a key that the forger has not.
    forge(&|source| source["started_at"] = jiff::Timestamp::now().to_string().into());
    assert_captured(&pass(&shop), "orders", "the newest snapshot of it is not whole in the store: the snapshot");
    fs::remove_dir_all(file.parent().unwrap().parent().unwrap().join(id(&shop.manifest()))).unwrap();
    forge(&|source| source["snapshot"] = first.source("uploads")["snapshot"].clone());
    let manifest = pass(&shop);
    assert_captured(&manifest, "orders", "the newest snapshot of it is not whole in the store: the snapshot");
    assert!(
        manifest.message("snapshot-gone").contains("is not the one that the release"),
        "{}",
        manifest.message("snapshot-gone")
    );
}

#[test]
fn what_was_captured_while_somebody_deployed_lends_nothing() {
    let shop = shop(REUSE);
    let first = pass(&shop);
    let claimed = shop.claim(id(&first));
    shop.holdpoint.run(["snapshot", "-e", STAGING, "--first"]).expect(0);
    let snapshot = shop.manifest();
    assert!(snapshot.message("claimed").contains("was admitted at"), "{}", snapshot.message("claimed"));
    assert_eq!(outcome(&snapshot, "uploads").0, "verified");
    let during = pass(&shop);
    assert!(shop.ledger().close_claim(&claimed).unwrap());
    let after = pass(&shop);
    for gate in [&during, &after] {
        assert_eq!(outcome(gate, "uploads"), ("stood_in", Some(id(&first))));
    }
    // What is captured when it is over does.
    shop.holdpoint.run(["snapshot", "-e", STAGING, "--first"]).expect(0);
    let snapshot = shop.manifest();
    assert_eq!(outcome(&pass(&shop), "uploads"), ("stood_in", Some(id(&snapshot))));
}

#[test]
fn a_release_that_nobody_may_have_signed_lends_nothing() {
    let keys = crate::support::signing::Keys::new();
    let shop = shop(REUSE).env("HOLDPOINT_ALLOWED_SIGNERS", keys.text("allowed_signers"));
    pass(&shop);
    assert_captured(&pass(&shop), "uploads", "the newest snapshot of it is of the release");
    assert!(said(&shop.manifest(), "uploads").join("\n").contains("it has no signature"));
    let shop = shop.env("HOLDPOINT_SIGNING_KEY", keys.text("release"));
    let signed = pass(&shop);
    assert_captured(&signed, "uploads", "the newest snapshot of it is of the release");
    assert_eq!(outcome(&pass(&shop), "uploads"), ("stood_in", Some(id(&signed))));
}
