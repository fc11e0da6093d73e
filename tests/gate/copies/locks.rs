//! Locks in a copy that `holdpoint copy` alone makes: what came needs of what was there before.

use super::super::shop::{STAGING, Shop};
use super::SECRET;
use crate::storage::object_lock::locked_bucket;
use crate::support::s3::Server;
use crate::support::wait;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// The part of the copy for `staging`, in the bucket.
const PLACE: &str = "copies/shop/staging";

/// A shop whose store is a directory, and a bucket with Object Lock for its copy.
struct House {
    server: Server,
    bucket: String,
    shop: Shop,
}

impl House {
    fn new() -> Self {
        let server = Server::rgw();
        let bucket = locked_bucket(&server, "copies");
        let mut shop = Shop::new();
        let store = shop.beside("store").display().to_string();
        for (name, value) in server.environment() {
            shop = shop.env(name, value);
        }
        let shop = shop.env("HOLDPOINT_STORE", store).env("HOLDPOINT_PASSWORD", SECRET);
        Self { server, bucket, shop }
    }

    /// Runs a gate that knows of no copy.
    fn gate(&self) {
        self.shop.write("holdpoint.toml", "");
        self.shop.gate(&["data"]).expect(0);
    }

    /// Configures the copy under these terms.
    fn configure(&self, retain: &str, more: &str) {
        let lock = format!("object_lock = {{ mode = \"governance\", retain = \"{retain}\" }}");
        let place = format!("location = \"s3://{}/copies\"\nendpoint = {:?}", self.bucket, self.server.endpoint());
        self.shop.write("holdpoint.toml", format!("[store.copies.offsite]\n{place}\n{lock}\n{more}"));
    }

    /// Copies under these terms; returns until when objects of the copy are locked, in seconds, by key.
    fn copy(&self, retain: &str, more: &[&str]) -> BTreeMap<String, Option<i64>> {
        let Self { server, bucket, shop } = self;
        self.configure(retain, "");
        shop.holdpoint.run(["copy", "-e", STAGING].iter().chain(more)).expect(0);
        let client = server.client();
        let listed = server.wait(client.list_objects_v2().bucket(bucket).prefix(format!("{PLACE}/")).send()).unwrap();
        let until = |key: &str| {
            let head = server.wait(client.head_object().bucket(bucket).key(key).send()).unwrap();
            head.object_lock_retain_until_date.map(|until| until.secs())
        };
        let keys = listed.contents.unwrap_or_default().into_iter().map(|object| object.key.unwrap());
        keys.map(|key| (key[PLACE.len() + 1..].to_owned(), until(&key))).collect()
    }
}

/// Says whether an object is one that every later snapshot of the same data needs, too.
fn is_shared(key: &str) -> bool {
    ["data/", "index/", "keys/", "config"].iter().any(|part| key.starts_with(&format!("repository/{part}")))
}

#[test]
fn what_comes_to_a_copy_keeps_what_it_needs_there() {
    let house = House::new();
    house.gate();
    let first = house.copy("1h", &[]);
    let shared = || first.iter().filter(|(key, _)| is_shared(key));
    assert!(shared().count() > 4, "{first:?}");
    for (key, until) in &first {
        let is_replaced = ["copy/", "head.json", "audit/head.json", "retention.json", "repository/locks/"];
        let is_replaced = is_replaced.iter().any(|start| key.starts_with(start)) || key.ends_with("/manifest.html");
        assert_eq!(until.is_none(), is_replaced, "{key}: {until:?}");
    }
    // What was written in the second of the mark came after it, as far as a server tells; a later mark settles that.
    wait::for_moment(Timestamp::now() + Duration::from_secs(2));
    assert_eq!(house.copy("1h", &[]), first);
    // Longer terms make everything due at once, as time would; but nothing came that needs it.
    assert_eq!(house.copy("10h", &[]), first);
    assert_eq!(house.copy("10h", &["--verify", "all"]), first);
    house.gate();
    let second = house.copy("10h", &[]);
    for (key, until) in shared() {
        assert!(second[key].unwrap() > until.unwrap() + 8 * 3600, "{key} was not extended");
    }
    // Snapshots that nothing leans on keep the lock that they had.
    let snapshots = || first.iter().filter(|(key, _)| key.starts_with("repository/snapshots/"));
    assert!(snapshots().count() > 0);
    snapshots().for_each(|(key, until)| assert_eq!(second.get(key), Some(until)));
    assert!(second.contains_key("retention.json"), "{second:?}");
    assert_eq!(house.copy("10h", &[]), second);
}

/// Where nothing is ever gone, what a gate announced to a copy and took back is no damage.
#[test]
fn what_was_announced_is_no_damage_where_versions_are_kept() {
    let house = House::new();
    house.configure("1h", "required = true\n");
    house.shop.gate(&["data"]).expect(0);
    let location = format!("s3://{}/copies", house.bucket);
    let check = ["check", "-e", STAGING, "--store", &location, "--format", "json"];
    let report = house.shop.holdpoint.run(check).expect(0).json();
    assert_eq!(report["problems"], serde_json::json!([]));
    let key = format!("{PLACE}/copy/pending.json");
    let request = house.server.client().list_object_versions().bucket(&house.bucket).prefix(&key);
    let listed = house.server.wait(request.send()).unwrap();
    assert_eq!((listed.versions().len(), listed.delete_markers().len()), (1, 1));
}
