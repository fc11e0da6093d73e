//! Gates on a bucket with Object Lock: what they need stays, what they replace does not, and who takes it away is found out.

use crate::storage::object_lock::locked_bucket;
use crate::support::environment::must;
use crate::support::holdpoint::PASSWORD;
use crate::support::restic::Restic;
use crate::support::s3::Server;
use crate::support::shop::{Shop, assert_valid};
use crate::support::wait;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{ObjectLockRetention, ObjectLockRetentionMode};
use serde_json::Value;
use std::collections::BTreeMap;

/// An application whose store is a bucket.
struct House {
    server: Server,
    bucket: String,
    shop: Shop,
}

/// The part of the store for `staging`, in the bucket.
const PLACE: &str = "hp/shop/staging";

impl House {
    /// Makes one whose bucket has Object Lock, and whose `[store]` says `settings`, too.
    fn locked(settings: &str) -> Self {
        let server = Server::rgw();
        let bucket = locked_bucket(&server, "gate");
        Self::on(server, bucket, settings)
    }

    fn on(server: Server, bucket: String, settings: &str) -> Self {
        let environment = server.environment();
        let shop = Shop::with(|holdpoint| {
            environment.into_iter().fold(holdpoint.password(), |holdpoint, (name, value)| holdpoint.env(name, value))
        });
        let house = Self { server, bucket, shop };
        house.configure(settings);
        house
    }

    fn configure(&self, settings: &str) {
        let location = format!("location = \"s3://{}/hp\"", self.bucket);
        let sources = "[[source]]\nname = \"uploads\"\nkind = \"files\"\npaths = [\"uploads\"]\n";
        self.shop.configure(&format!("application = \"shop\"\n[store]\n{location}\n{settings}\n{sources}"));
    }

    /// Returns every object of the place, by its key below it.
    fn objects(&self) -> BTreeMap<String, HeadObjectOutput> {
        let request = self.server.client().list_objects_v2().bucket(&self.bucket).prefix(format!("{PLACE}/"));
        let listed = self.server.wait(request.send()).unwrap().contents.unwrap_or_default();
        let head = |key: &str| {
            let request = self.server.client().head_object().bucket(&self.bucket).key(key);
            self.server.wait(request.send()).unwrap()
        };
        let keys = listed.into_iter().map(|object| object.key.unwrap());
        keys.map(|key| (key[PLACE.len() + 1..].to_owned(), head(&key))).collect()
    }

    /// Returns until when objects are locked, in seconds, by key; the others are not.
    fn locks(&self) -> BTreeMap<String, Option<i64>> {
        let until = |head: HeadObjectOutput| head.object_lock_retain_until_date.map(|until| until.secs());
        self.objects().into_iter().map(|(key, head)| (key, until(head))).collect()
    }

    /// Puts a delete marker over an object; returns the ids of the version and of the marker.
    fn delete(&self, key: &str) -> (String, String) {
        let key = format!("{PLACE}/{key}");
        let head = self.server.client().head_object().bucket(&self.bucket).key(&key);
        let version = self.server.wait(head.send()).unwrap().version_id.unwrap();
        let marker = self.server.client().delete_object().bucket(&self.bucket).key(&key);
        (version, self.server.wait(marker.send()).unwrap().version_id.unwrap())
    }

    fn delete_version(&self, key: &str, version: &str) -> bool {
        let request = self.server.client().delete_object().bucket(&self.bucket).key(format!("{PLACE}/{key}"));
        self.server.wait(request.version_id(version).send()).is_ok()
    }

    fn restic(&self, arguments: &[&str]) -> String {
        let repository = self.server.restic_location(&self.bucket, &format!("{PLACE}/repository"));
        let restic = Restic::new(repository, PASSWORD);
        must(restic.command(arguments).envs(self.server.environment()))
    }

    fn check(&self, exit: u8) -> Value {
        self.shop.run(&["check", "-e", "staging", "--format", "json"]).expect(exit).json()
    }
}

fn codes(document: &Value) -> Vec<(String, String)> {
    let findings = document["findings"].as_array().or_else(|| document["decision"]["findings"].as_array()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    findings.iter().map(|finding| (text(&finding["code"]), text(&finding["level"]))).collect()
}

fn has(document: &Value, code: &str, level: &str) -> bool {
    codes(document).contains(&(code.to_owned(), level.to_owned()))
}

fn messages(document: &Value) -> String {
    let problems = document["problems"].as_array().unwrap();
    problems.iter().map(|problem| format!("{}: {}\n", problem["kind"], problem["message"])).collect()
}

#[test]
fn what_snapshots_need_is_locked_and_nothing_else() {
    for mode in ["governance", "compliance"] {
        let house = House::locked(&format!("object_lock = {{ mode = \"{mode}\", retain = \"2h\" }}"));
        house.shop.gate("1.0.0", &["--first"]).expect(0);
        let first = house.locks();
        house.shop.gate("1.1.0", &["--first"]).expect(0);
        let second = house.locks();
        for (key, until) in &second {
            let is_replaced = ["lease/", "head.json", "audit/head.json", "retention.json", "repository/locks/"];
            let is_replaced = is_replaced.iter().any(|start| key.starts_with(start)) || key.ends_with("/manifest.html");
            assert_eq!(until.is_none(), is_replaced, "{mode} {key}: {until:?}");
        }
        let packs = || first.iter().filter(|(key, _)| key.starts_with("repository/"));
        assert!(packs().count() > 5, "{first:?}");
        for (key, until) in packs() {
            assert_eq!(second.get(key), Some(until), "{key} was extended although it was not due");
        }
        let manifest = house.shop.manifest();
        assert_valid("manifest", &manifest);
        assert_eq!(manifest["store"]["object_lock"]["mode"], mode);
        let until: jiff::Timestamp =
            manifest["store"]["object_lock"]["retain_until"].as_str().unwrap().parse().unwrap();
        assert!(packs().all(|(_, locked)| locked.unwrap() >= until.as_second()));
        assert!(
            until > jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2) - jiff::SignedDuration::from_mins(10)
        );
        house.restic(&["check", "--read-data"]);
        let report = house.check(0);
        assert_eq!(report["problems"], serde_json::json!([]));
        assert!(report["locked"]["objects"].as_u64().unwrap() > 5, "{report}");
        // The gate's own credentials cannot delete for good what it needs.
        let objects = house.objects();
        for (key, head) in objects.iter().filter(|(key, _)| second[*key].is_some()) {
            assert!(!house.delete_version(key, head.version_id.as_deref().unwrap()), "{mode} {key}");
        }
    }
}

#[test]
fn what_is_needed_again_is_extended_when_it_is_due() {
    let house = House::locked("object_lock = { mode = \"governance\", retain = \"1h\" }");
    house.shop.gate("1.0.0", &["--first"]).expect(0);
    let first = house.locks();
    // Longer terms make everything due at once, as time would.
    house.configure("object_lock = { mode = \"governance\", retain = \"10h\" }");
    house.shop.gate("1.1.0", &["--first"]).expect(0);
    let second = house.locks();
    let is_old = |key: &str| {
        ["data/", "index/", "keys/", "config"].iter().any(|part| key.starts_with(&format!("repository/{part}")))
    };
    let old: Vec<_> = first.iter().filter(|(key, _)| is_old(key)).collect();
    assert!(old.len() > 4, "{first:?}");
    for (key, until) in old {
        assert!(second[key].unwrap() > until.unwrap() + 8 * 3600, "{key} was not extended");
    }
    // Snapshots that nothing leans on any more keep the lock that they had.
    let snapshots = first.iter().filter(|(key, _)| key.starts_with("repository/snapshots/"));
    snapshots.for_each(|(key, until)| assert_eq!(second.get(key), Some(until)));
    house.shop.gate("1.2.0", &["--first"]).expect(0);
    let third = house.locks();
    assert!(second.iter().filter(|(key, _)| is_old(key)).all(|(key, until)| third.get(key) == Some(until)));
    // The hint is gone: what is locked is asked for, and not locked again.
    house.delete("retention.json");
    house.shop.gate("1.3.0", &["--first"]).expect(0);
    let fourth = house.locks();
    assert!(third.iter().filter(|(key, _)| is_old(key)).all(|(key, until)| fourth.get(key) == Some(until)));
}

#[test]
fn a_repository_from_before_is_locked_by_the_first_gate_that_has_to() {
    let house = House::locked("");
    house.shop.gate("1.0.0", &["--first"]).expect(0);
    assert!(house.locks().values().all(Option::is_none));
    house.configure("object_lock = { mode = \"compliance\", retain = \"1h\" }");
    let notes = house.check(0)["notes"].to_string();
    assert!(notes.contains("are not locked themselves"), "{notes}");
    house.shop.gate("1.1.0", &["--first"]).expect(0);
    let locks = house.locks();
    let needed = |key: &&String| {
        ["data/", "index/", "keys/", "config"].iter().any(|part| key.starts_with(&format!("repository/{part}")))
    };
    assert!(locks.keys().filter(needed).all(|key| locks[key].is_some()), "{locks:?}");
}

#[test]
fn a_delete_marker_is_not_a_deletion_and_check_says_so() {
    let house = House::locked("object_lock = { mode = \"compliance\", retain = \"1h\" }");
    house.shop.gate("1.0.0", &["--first"]).expect(0);
    let objects = house.objects();
    let find = |start: &str, end: &str| {
        objects.keys().find(|key| key.starts_with(start) && key.ends_with(end)).unwrap().clone()
    };
    for (kind, key) in [
        ("pack", find("repository/data/", "")),
        ("snapshot", find("repository/snapshots/", "")),
        ("record", find("releases/", "/manifest.json")),
    ] {
        let (version, marker) = house.delete(&key);
        let report = house.check(12);
        let messages = messages(&report);
        assert!(messages.contains(&format!("\"{kind}\"")), "{messages}");
        let name = key.rsplit('/').next().unwrap();
        for text in [name, &version, &marker, "hidden by a delete marker"] {
            assert!(messages.contains(text), "no {text} in {messages}");
        }
        // What it says is what helps.
        assert!(house.delete_version(&key, &marker));
        let report = house.check(0);
        assert_eq!(report["problems"], serde_json::json!([]), "{kind}");
    }
    // Locks and leases that were deleted are no damage, and are told.
    let notes = house.check(0)["notes"].to_string();
    assert!(notes.contains("still in the store") && notes.contains("lock: "), "{notes}");
}

#[test]
fn a_pack_that_was_replaced_is_found_out_and_its_older_version_named() {
    let house = House::locked("object_lock = { mode = \"compliance\", retain = \"1h\" }");
    house.shop.gate("1.0.0", &["--first"]).expect(0);
    let objects = house.objects();
    let (key, head) = objects.iter().find(|(key, _)| key.starts_with("repository/data/")).unwrap();
    // As long as what was there: only reading tells.
    let forged = vec![7; usize::try_from(head.content_length.unwrap()).unwrap()];
    let request = house.server.client().put_object().bucket(&house.bucket).key(format!("{PLACE}/{key}"));
    house.server.wait(request.body(forged.into()).send()).unwrap();
    let messages = messages(&house.check(12));
    assert!(messages.contains("was altered"), "{messages}");
    assert!(
        messages.contains(head.version_id.as_deref().unwrap()) && messages.contains("copy the older one"),
        "{messages}"
    );
}

#[test]
fn a_store_that_cannot_lock_refuses_before_anything_is_written() {
    let server = Server::rgw();
    let bucket = server.bucket("gate");
    let lock = "object_lock = { mode = \"governance\", retain = \"1h\" }";
    let house = House::on(server, bucket, lock);
    house.shop.gate("1.0.0", &["--first"]).expect(10).says(&["has no Object Lock"]);
    assert!(has(&house.shop.manifest(), "store-not-immutable", "refusal"));
    let is_record = |key: &String| key.starts_with("attempts/") || key.starts_with("audit/");
    assert!(house.objects().keys().all(is_record), "{:?}", house.objects().keys());
    let doctor = house.shop.run(&["doctor", "-e", "staging", "--first"]).expect(10);
    assert!(doctor.stdout.contains("store-not-immutable"), "{}", doctor.stdout);
    // A directory cannot, either.
    let store = house.shop.beside("store");
    house.shop.gate("1.0.0", &["--first", "--store", store.to_str().unwrap()]).expect(10).says(&["is a directory"]);
}

#[test]
fn a_store_in_another_region_refuses_by_policy() {
    let server = Server::rgw();
    let bucket = server.bucket("gate");
    // Ceph names its zone group where AWS names a region.
    let house = House::on(server, bucket, "allowed_regions = [\"eu-central-1\"]");
    house.shop.gate("1.0.0", &["--first"]).expect(13).says(&["is in default"]);
    assert!(has(&house.shop.manifest(), "region-not-allowed", "refusal"));
    for command in ["plan", "doctor"] {
        let run = house.shop.run(&[command, "-e", "staging", "--first", "--release", "1.0.0", "--commit", "3f9c2ab1"]);
        assert!(run.expect(13).stdout.contains("region-not-allowed"), "{command}");
    }
    house.configure("allowed_regions = [\"eu-central-1\", \"default\"]");
    house.shop.gate("1.0.0", &["--first"]).expect(0);
}

#[test]
fn doctor_tries_to_delete_what_is_locked() {
    let house = House::locked("object_lock = { mode = \"governance\", retain = \"1h\" }");
    let doctor = || house.shop.run(&["doctor", "-e", "staging", "--first", "--format", "json"]).expect(0).json();
    // The owner of this bucket may lift governance.
    let report = doctor();
    assert!(has(&report, "lock-can-be-lifted", "warning"), "{report}");
    house.configure("object_lock = { mode = \"compliance\", retain = \"1h\" }");
    let report = doctor();
    assert!(codes(&report).iter().all(|(code, _)| !code.contains("lock")), "{report}");
    let left: Vec<_> = house.locks().into_iter().filter(|(key, _)| key.starts_with("doctor-")).collect();
    let [(key, Some(_))] = &left[..] else { panic!("{left:?}") };
    assert!(key.starts_with("doctor-lock-"));
}

#[test]
fn check_tells_what_is_not_locked_any_more() {
    let house = House::locked("object_lock = { mode = \"governance\", retain = \"1h\" }");
    house.shop.gate("1.0.0", &["--first"]).expect(0);
    let key = house.objects().into_keys().find(|key| key.starts_with("repository/data/")).unwrap();
    // Whoever may bypass governance may shorten a lock.
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    let retention = ObjectLockRetention::builder()
        .mode(ObjectLockRetentionMode::Governance)
        .retain_until_date(DateTime::from_secs(soon.as_second()))
        .build();
    let request = house.server.client().put_object_retention().bucket(&house.bucket).key(format!("{PLACE}/{key}"));
    house.server.wait(request.retention(retention).bypass_governance_retention(true).send()).unwrap();
    wait::for_moment(soon);
    let messages = messages(&house.check(12));
    assert!(messages.contains("1 of ") && messages.contains("not locked any more"), "{messages}");
    assert!(messages.contains(&key["repository/".len()..]), "{messages}");
}
