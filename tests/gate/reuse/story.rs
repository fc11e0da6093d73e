//! A gate that reuses everything: it adds nothing, proves all of it, and what it names can be restored.

use super::{REUSE, id, ids, outcome, pass, said, shop, stored};
use crate::gate::shop::{STAGING, arguments};
use crate::support::shop::assert_valid;
use std::fs;

#[test]
fn what_was_captured_within_the_hour_is_not_captured_again() {
    let shop = shop(REUSE);
    let first = pass(&shop);
    assert_eq!((outcome(&first, "orders"), outcome(&first, "uploads")), (("verified", None), ("verified", None)));
    assert!(
        said(&first, "orders").concat().contains("captured after all: no release that passed has"),
        "{:?}",
        said(&first, "orders")
    );
    let before = stored(&shop);
    shop.write("data/new.txt", "written since\n");
    let plan = shop.holdpoint.run(arguments("plan", STAGING, "1.4.0", &["--format", "json"])).expect(0).json();
    for source in plan["sources"].as_array().unwrap() {
        assert_eq!((&source["action"], &source["stand_in"]["release"]), (&"stand_in".into(), &first.0["id"]));
        assert!(source["why"].as_str().unwrap().contains("stands in"), "{source:#}");
    }
    shop.holdpoint.run(arguments("plan", STAGING, "1.4.0", &[])).expect(0);

    let second = pass(&shop);
    let stands_in = ("stood_in", Some(id(&first)));
    assert_eq!((outcome(&second, "orders"), outcome(&second, "uploads")), (stands_in, stands_in));
    assert_eq!((stored(&shop), ids(&second.0)), (before.clone(), ids(&first.0)), "nothing is added");
    assert_valid("manifest", &second.0);
    for name in ["orders", "uploads"] {
        let (then, now) = (first.source(name), second.source(name));
        assert_eq!(now["stand_in"]["captured_at"], then["started_at"]);
        assert_eq!(now["stand_in"]["rule"], "policy.first.reuse_within");
        for same in ["bytes", "items", "content", "definition", "identity", "method"] {
            assert_eq!(now[same], then[same], "{same} of {name}");
        }
        assert_eq!((&now["bytes_added"], &now["attempts"]), (&0.into(), &serde_json::json!([])));
        assert!(now.get("started_at").is_none() && now.get("change").is_none(), "{now:#}");
        // The trees were read in this run.
        assert!(now["verification"]["bytes_read"].as_u64().unwrap() > 0);
        assert_ne!(now["verification"]["finished_at"], then["verification"]["finished_at"]);
        assert!(said(&second, name).concat().contains("stands in"), "{:?}", said(&second, name));
    }
    let oldest = ["orders", "uploads"].map(|name| first.source(name)["started_at"].as_str().unwrap()).into_iter().min();
    assert_eq!(second.0["rollback"]["data_loss_from"].as_str(), oldest);
    assert_eq!(second.0["measured"]["capture_seconds"], 0.0);
    // What was reckoned by the run that read it back is known still.
    assert_eq!(second.0["measured"]["restore_seconds_estimate"], first.0["measured"]["restore_seconds_estimate"]);
    let not_reverted = second.0["rollback"]["not_reverted"].as_array().unwrap();
    assert!(!not_reverted.iter().any(|left| left.as_str().unwrap().contains("no snapshot")), "{not_reverted:?}");

    // However often: it is the one that was captured, and no younger for it.
    let third = pass(&shop);
    assert_eq!((outcome(&third, "orders"), outcome(&third, "uploads")), (stands_in, stands_in));
    assert_eq!(third.source("orders")["stand_in"], second.source("orders")["stand_in"]);
    shop.restic(STAGING).check();

    // It is told, and it leads back.
    let shown = shop.holdpoint.run(["show", id(&third), "-e", STAGING]).expect(0).stdout;
    for text in ["older snapshot", "stands in (release", "as it was at", "older snapshots seen to be whole in"] {
        assert!(shown.contains(text), "{text:?} in\n{shown}");
    }
    assert!(!shown.contains("were captured before the deploy"), "{shown}");
    let page = ["gate", "--html-out", "page.html"];
    shop.holdpoint.run(arguments(page[0], STAGING, "1.4.0", &page[1..])).expect(0);
    assert!(shop.read("page.html").contains("captured at 20"), "{}", shop.read("page.html"));
    let target = shop.beside("restored");
    let to = target.display().to_string();
    shop.holdpoint.run(["restore", "uploads", "-e", STAGING, "--id", id(&third), "--target", &to]).expect(0);
    let inside = shop.path("data").strip_prefix("/").unwrap().to_owned();
    assert_eq!(fs::read_to_string(target.join(&inside).join("orders.csv")).unwrap(), "id,total\n1,10\n");
    assert!(!target.join(&inside).join("new.txt").exists(), "it is of before");
    shop.holdpoint.run(["drill", "-e", STAGING, "--id", id(&third)]).expect(0);

    // A snapshot outside of a deploy is always a new one, and stands in from then on.
    shop.holdpoint.run(arguments("snapshot", STAGING, "1.4.0", &[])[..3].iter()).expect(0);
    let fourth = pass(&shop);
    let (name, release) = outcome(&fourth, "uploads");
    assert_eq!(name, "stood_in");
    assert!(release.is_some() && release != Some(id(&first)), "{release:?}");
    assert_ne!(stored(&shop), before);
}

#[test]
fn verify_all_reads_every_byte_of_what_stands_in() {
    let shop = shop(REUSE);
    shop.write("data/large", crate::support::sample::noise(1 << 20, 1));
    pass(&shop);
    let new = pass(&shop);
    assert!(new.source("uploads")["verification"]["bytes_read"].as_u64().unwrap() < 1 << 20);
    shop.write("holdpoint.toml", format!("{REUSE}\n[gate]\nverify = \"all\"\n"));
    let all = pass(&shop);
    assert_eq!(outcome(&all, "uploads").0, "stood_in");
    let proof = &all.source("uploads")["verification"];
    assert_eq!(proof["mode"], "all");
    assert!(proof["bytes_read"].as_u64().unwrap() > 1 << 20, "{proof}");
    // One that nobody read back stands in for nothing, and whatever is not read back of new ones: these are looked at.
    shop.write("holdpoint.toml", format!("{REUSE}\n[gate]\nverify = \"none\"\n"));
    let none = pass(&shop);
    assert_eq!(none.source("uploads")["verification"]["mode"], "new");
}

#[test]
fn a_source_that_is_left_out_is_no_part_of_another_one_either() {
    let configuration = REUSE.replace("reuse_within = \"1h\"", "scope = [\"uploads\"]");
    let shop = shop(&configuration.replace("path = \"orders.db\"", "path = \"data/orders.db\""));
    fs::rename(shop.path("orders.db"), shop.path("data/orders.db")).unwrap();
    let first = pass(&shop);
    assert_eq!(outcome(&first, "orders").0, "verified", "there is nothing that could stand in");
    shop.write("data/new.txt", "new\n");
    let second = pass(&shop);
    assert_eq!(
        (outcome(&second, "orders"), outcome(&second, "uploads").0),
        (("stood_in", Some(id(&first))), "verified")
    );
    assert_eq!(second.source("orders")["stand_in"]["rule"], "policy.first.scope");
    let snapshot = second.source("uploads")["snapshot"]["id"].as_str().unwrap();
    let listed = shop.restic(STAGING).run(&["ls", snapshot]);
    assert!(listed.contains("data/new.txt") && !listed.contains("orders.db"), "{listed}");
    // The sizes of what was captured are compared with what was captured, and of what stood in with nothing.
    assert_eq!(second.source("uploads")["change"]["release"], id(&first));
    assert!(second.source("orders").get("change").is_none());
}
