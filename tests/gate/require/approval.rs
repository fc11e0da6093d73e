//! Somebody other than who started the pipeline approves, or nothing is admitted.

use super::{SOURCE, has, refusals};
use crate::support::holdpoint::Output;
use crate::support::ledger::release_folder;
use crate::support::shop::{COMMIT, Shop};
use crate::support::signing::Keys;
use std::path::PathBuf;

/// An application whose releases must be approved, started by the actor `ada`.
struct World {
    keys: Keys,
    shop: Shop,
}

impl World {
    fn new(approvals: u32) -> Self {
        let keys = Keys::new();
        let lines = ["ada", "grace", "linus"].map(|name| format!("{name}@acme.example {}\n", keys.make(name)));
        let release = std::fs::read_to_string(keys.path("release.pub")).unwrap();
        std::fs::write(keys.path("approvers"), format!("{}bot@acme.example {release}", lines.concat())).unwrap();
        let shop = Shop::with(|holdpoint| {
            holdpoint
                .env("HOLDPOINT_SIGNING_KEY", keys.text("release"))
                .env("HOLDPOINT_ALLOWED_SIGNERS", keys.text("allowed_signers"))
                .env("HOLDPOINT_APPROVERS", keys.text("approvers"))
                .env("HOLDPOINT_STORE", "../store")
                .password()
                .env("GITHUB_ACTIONS", "true")
                .env("GITHUB_ACTOR", "ada")
                .env("GITHUB_RUN_ID", "7")
        });
        shop.configure(&format!("{SOURCE}[environment.staging]\nrequire = [\"approval\"]\napprovals = {approvals}\n"));
        Self { keys, shop }
    }

    /// Runs the gate, which must pass; returns the release.
    fn gate(&self, version: &str) -> String {
        let output = self.shop.gate(version, &["--first"]).expect(0);
        has(&output, "require-approval");
        self.shop.manifest()["id"].as_str().unwrap().to_owned()
    }

    fn approve(&self, id: &str, key: &str) -> Output {
        self.shop.run(&["approve", "-e", "staging", "--id", id, "--key", &self.keys.text(key)])
    }

    fn admit(&self, version: &str) -> Output {
        self.shop.run(&["admit", "-e", "staging", "--release", version, "--commit", COMMIT])
    }

    fn events(&self, id: &str) -> PathBuf {
        self.shop.beside("store/shop/staging").join(release_folder(id)).join("events")
    }
}

#[test]
fn a_release_waits_for_somebody_else() {
    let world = World::new(1);
    let id = world.gate("1.4.0");
    let refused = world.admit("1.4.0").expect(13);
    has(&refused, "require-approval");
    refused.refuses_in_words();
    assert!(
        refused.stdout.contains(&format!("holdpoint approve --environment staging --id {id}")),
        "{}",
        refused.stdout
    );
    for (key, words) in [("ada", "who started the pipeline"), ("release", "the key that signed the manifest")] {
        world.approve(&id, key).expect(2).says(&[words]);
    }
    world.keys.make("stranger");
    world.approve(&id, "stranger").expect(2).says(&["not among the allowed signers"]);
    assert!(!world.events(&id).exists(), "nothing that does not count was recorded");

    let approved = world.approve(&id, "grace").expect(0);
    assert!(approved.stdout.starts_with("approved by grace@acme.example: 1.4.0 (3f9c2ab13f9c)"), "{}", approved.stdout);
    let shown = world.shop.run(&["show", &id, "-e", "staging"]).expect(0);
    assert!(shown.stdout.contains("approved by grace@acme.example"), "{}", shown.stdout);
    let admitted = world.admit("1.4.0").expect(0);
    assert!(admitted.stdout.contains("approved by grace@acme.example"), "{}", admitted.stdout);
}

#[test]
fn an_approval_is_for_one_release_and_made_by_stock_ssh_keygen_too() {
    let world = World::new(2);
    let first = world.gate("1.4.0");
    let text = world.shop.run(&["approve", "-e", "staging", "--id", &first, "--print"]).expect(0).stdout;
    assert!(text.contains("\"document\": \"approval\"") && text.contains(&first), "{text}");
    let file = world.keys.path("text");
    std::fs::write(&file, &text).unwrap();
    let hand_in = |id: &str| {
        let signature = format!("{}.sig", file.display());
        world.shop.run(&["approve", "-e", "staging", "--id", id, "--signature", &signature])
    };
    world.keys.sign("linus", "holdpoint@manifest", &file);
    hand_in(&first).expect(2).says(&["was made for \"holdpoint@manifest\""]);
    world.keys.sign("linus", "holdpoint@approval", &file);
    hand_in(&first).expect(0);
    // The same person again is one person.
    world.approve(&first, "linus").expect(0);
    has(&world.admit("1.4.0").expect(13), "require-approval");

    let second = world.gate("1.4.1");
    hand_in(&second).expect(2).says(&["altered"]);
    world.approve(&second, "grace").expect(0);
    // Whoever can write to the store can put an event there, and no signature.
    for entry in std::fs::read_dir(world.events(&first)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), world.events(&second).join(entry.file_name())).unwrap();
    }
    let refused = world.admit("1.4.1").expect(13);
    assert!(refused.stdout.contains("only grace@acme.example did"), "{}", refused.stdout);
    world.approve(&second, "linus").expect(0);
    world.admit("1.4.1").expect(0);
}

#[test]
fn a_key_that_was_withdrawn_approves_of_nothing() {
    let world = World::new(1);
    let id = world.gate("1.4.0");
    world.approve(&id, "grace").expect(0);
    let approvers = world.keys.path("approvers");
    let lines = std::fs::read_to_string(&approvers).unwrap();
    std::fs::write(&approvers, lines.replace("grace@acme.example", "grace@acme.example valid-before=\"20200101Z\""))
        .unwrap();
    let refused = world.admit("1.4.0").expect(13);
    assert!(refused.stdout.contains("valid only before 2020"), "{}", refused.stdout);
    std::fs::write(&approvers, lines).unwrap();
    world.admit("1.4.0").expect(0);
}

#[test]
fn where_the_deployment_follows_at_once_nobody_could_approve() {
    let world = World::new(1);
    let marker = world.shop.beside("deployed");
    let guard = |more: &[&str]| {
        let fixed = ["guard", "-e", "staging", "--release", "1.4.0", "--commit", COMMIT, "--first"];
        let touch = ["--", "touch", marker.to_str().unwrap()];
        world.shop.run(&[&fixed[..], more, &touch[..]].concat())
    };
    guard(&[]).expect(13).refuses_in_words();
    assert_eq!(refusals(&world.shop), ["require-approval"]);
    assert!(!marker.exists() && !super::captured(&world.shop));
    // A person who may can answer for it, in `guard` and in `gate`.
    let text = std::fs::read_to_string(world.shop.path().join("holdpoint.toml")).unwrap();
    let rule = "[[override]]\ncodes = [\"require-approval\"]\nby = [\"grace\"]\nsigned = false\n";
    world.shop.configure(&format!("{text}{rule}"));
    let glass = ["--override", "shop is down", "--approved-by", "grace"];
    world.shop.gate("1.4.0", &[&["--first"], &glass[..]].concat()).expect(0);
    world.admit("1.4.0").expect(0).stdout.contains("OVERRIDE of grace").then_some(()).unwrap();
    let id = world.shop.manifest()["id"].as_str().unwrap().to_owned();
    world.shop.run(&["reconcile", "-e", "staging", "--id", &id, "--deployed", "1.4.0"]).expect(0);
    let guarded = guard(&glass).expect(0);
    guarded.says(&["OVERRIDDEN by grace"]);
    assert!(marker.exists());
}
