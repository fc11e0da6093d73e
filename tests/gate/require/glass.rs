//! Breaking the glass: who may sets aside what may be, for a while and for all to see; everything else stays.

use super::{SOURCE, captured, has, refusals};
use crate::support::holdpoint::Output;
use crate::support::shop::{COMMIT, Shop, assert_valid};
use crate::support::signing::Keys;

/// An application whose gate signs, with a release before whose uploads were larger.
struct World {
    keys: Keys,
    shop: Shop,
}

impl World {
    fn new(rules: &str) -> Self {
        let keys = Keys::new();
        let shop = Shop::with(|holdpoint| {
            holdpoint
                .env("HOLDPOINT_SIGNING_KEY", keys.text("release"))
                .env("HOLDPOINT_ALLOWED_SIGNERS", keys.text("allowed_signers"))
        });
        let world = Self { keys, shop };
        world.rules(rules);
        world.shop.write("uploads/large.bin", vec![7; 200_000]);
        world.shop.gate("1.3.0", &["--first"]).expect(0);
        std::fs::remove_file(world.shop.path().join("uploads/large.bin")).unwrap();
        world
    }

    fn rules(&self, rules: &str) {
        self.shop.configure(&format!("{SOURCE}{rules}"));
    }

    fn gate(&self, more: &[&str]) -> Output {
        self.shop.gate("1.4.0", &[&["--from", "1.3.0"], more].concat())
    }

    fn admit(&self) -> Output {
        self.shop.run(&["admit", "-e", "staging", "--release", "1.4.0", "--commit", COMMIT])
    }
}

const ADA: [&str; 4] = ["--override", "shop is down", "--approved-by", "ada"];

fn rule(codes: &str, more: &str) -> String {
    format!("[[override]]\ncodes = [{codes}]\nby = [\"ada\"]\n{more}\n")
}

#[test]
fn a_person_who_may_goes_on_and_everybody_sees_it() {
    let world = World::new(&rule("\"size-shrank\"", "signed = false\nvalid_for = \"20m\""));
    world.gate(&[]).expect(12);
    assert_eq!(refusals(&world.shop), ["size-shrank"]);
    let passed = world.gate(&[&ADA[..], &["--ticket", "OPS-7"]].concat()).expect(0);
    assert!(passed.stdout.contains("pass BY OVERRIDE of ada: 1.4.0 may go to staging"), "{}", passed.stdout);
    has(&passed, "overridden");
    has(&passed, "size-shrank");
    let manifest = world.shop.manifest();
    assert_valid("manifest", &manifest);
    let overridden = &manifest["decision"]["override"];
    assert_eq!(overridden["codes"], serde_json::json!(["size-shrank"]));
    assert_eq!((overridden["reason"].as_str(), overridden["ticket"].as_str()), (Some("shop is down"), Some("OPS-7")));
    assert!(overridden["key"].is_null(), "nobody proved to be ada");
    assert_eq!(manifest["sources"][0]["outcome"], "verified", "what is whole is published");
    let id = manifest["id"].as_str().unwrap();
    let shown = world.shop.run(&["show", id, "-e", "staging", "--markdown"]).expect(0).stdout;
    assert!(shown.contains("passed by override") && shown.contains("shop is down"), "{shown}");
    let admitted = world.admit().expect(0);
    assert!(admitted.stdout.contains("OVERRIDE of ada: size-shrank: shop is down"), "{}", admitted.stdout);
    // Where it is not needed it is not used.
    world.shop.write("uploads/large.bin", vec![7; 200_000]);
    world.gate(&ADA).expect(0);
    assert!(world.shop.manifest()["decision"]["override"].is_null());
}

#[test]
fn what_nobody_gave_to_that_person_stays() {
    let world =
        World::new(&rule("\"size-shrank\", \"require-ticket\"", "signed = false\nenvironments = [\"staging\"]"));
    // Another code than theirs: the refusal stands, and says who may not.
    world.shop.configure(&format!(
        "{SOURCE}expect = {{ min_bytes = \"1MiB\" }}\n{}",
        rule("\"size-shrank\"", "signed = false")
    ));
    world.gate(&ADA).expect(12);
    let refused = refusals(&world.shop);
    assert_eq!(refused, ["below-min-bytes", "override-refused"]);
    // Another person, before anything is captured.
    for (who, rules) in [("grace", rule("\"size-shrank\"", "signed = false")), ("ada", String::new())] {
        world.rules(&rules);
        world.gate(&["--override", "please", "--approved-by", who]).expect(13).refuses_in_words();
        assert_eq!(refusals(&world.shop), ["override-refused"]);
        assert!(!captured(&world.shop));
    }
    // Half an override is a mistake, and so is a rule for what nobody may override.
    world.gate(&["--override", "please"]).expect(2);
    world.gate(&["--override", " ", "--approved-by", "ada"]).expect(2);
    for code in ["signature-invalid", "repository-damaged", "lease-held", "identity-changed", "read-back-failed"] {
        world.rules(&rule(&format!("{code:?}"), ""));
        world.gate(&[]).expect(2).says(&["nobody may override"]);
    }
}

#[test]
fn a_pass_by_override_ends_soon() {
    let world = World::new(&rule("\"size-shrank\"", "signed = false\nvalid_for = \"1ms\""));
    world.gate(&ADA).expect(0);
    let refused = world.admit().expect(16);
    has(&refused, "pass-expired");
    assert!(refused.stdout.contains("the override by ada"), "{}", refused.stdout);
    let marker = world.shop.beside("deployed");
    let fixed = ["guard", "-e", "staging", "--release", "1.4.0", "--commit", COMMIT, "--from", "1.3.0"];
    let touch = ["--", "touch", marker.to_str().unwrap()];
    world.shop.write("uploads/large.bin", vec![7; 200_000]);
    world.shop.run(&[&fixed[..], &touch].concat()).expect(0);
    std::fs::remove_file(&marker).unwrap();
    let id = world.shop.manifest()["id"].as_str().unwrap().to_owned();
    world.shop.run(&["reconcile", "-e", "staging", "--id", &id, "--deployed", "1.4.0"]).expect(0);
    std::fs::remove_file(world.shop.path().join("uploads/large.bin")).unwrap();
    world.shop.run(&[&fixed[..], &ADA, &touch].concat()).expect(16);
    assert!(!marker.exists());
}

#[test]
fn who_must_sign_signs_for_these_words_and_this_release() {
    let world = World::new("");
    let grace = world.keys.make("grace");
    let ada = world.keys.make("ada");
    std::fs::write(world.keys.path("approvers"), format!("ada {ada}\ngrace {grace}\n")).unwrap();
    let approvers = format!("[environment.staging]\napprovers = \"{}\"\n", world.keys.text("approvers"));
    world.rules(&format!("{approvers}{}", rule("\"size-shrank\"", "")));
    world.gate(&ADA).expect(13).says(&["must sign"]);

    let out = world.keys.text("override.sig");
    let approve = |more: &[&str]| {
        let fixed = ["approve", "-e", "staging", "--release", "1.4.0", "--commit", COMMIT];
        world.shop.run(&[&fixed[..], &ADA, more].concat())
    };
    approve(&["--key", &world.keys.text("ada"), "--out", &out]).expect(0);
    let given = |reason: &str| world.gate(&["--override", reason, "--approved-by", "ada", "--approval", &out]);
    given("another reason").expect(13).says(&["altered"]);
    given("shop is down").expect(0);
    assert!(world.shop.manifest()["decision"]["override"]["key"].as_str().unwrap().starts_with("SHA256:"));
    approve(&["--key", &world.keys.text("grace"), "--out", &out]).expect(0);
    given("shop is down").expect(13).says(&["it is by grace, and not by ada"]);

    // By stock ssh-keygen, which may ask for a passphrase or an agent.
    let file = world.keys.path("text");
    std::fs::write(&file, approve(&["--print"]).expect(0).stdout).unwrap();
    world.keys.sign("ada", "holdpoint@override", &file);
    let stock = format!("{}.sig", file.display());
    world.gate(&["--override", "shop is down", "--approved-by", "ada", "--approval", &stock]).expect(0);
    let codes: Vec<_> = refusals(&world.shop);
    assert!(codes.is_empty(), "{codes:?}");
}

#[test]
fn a_release_that_mends_a_dead_application_may_go_without_its_answer() {
    let world = World::new("");
    world.shop.write("uploads/large.bin", vec![7; 200_000]);
    let probe = "[environment.staging.deployed]\nkind = \"file\"\npath = \"VERSION\"\n";
    world.rules(&format!("{probe}{}", rule("\"probe-failed\"", "signed = false")));
    world.shop.gate("1.4.0", &[]).expect(15);
    world.shop.gate("1.4.0", &ADA).expect(0);
    // It is as dead when the deploy step asks; the override says so for that, too.
    let admitted = world.admit().expect(0);
    has(&admitted, "probe-failed");
    has(&admitted, "overridden");
}
