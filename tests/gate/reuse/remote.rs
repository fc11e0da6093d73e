//! Reuse in a bucket: how many requests it takes, and what is kept from being deleted.

use super::{REUSE, Shop, arguments, names, outcome, shop};
use crate::gate::shop::STAGING;
use crate::storage::object_lock::locked_bucket;
use crate::support::s3::Server;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// How many requests a gate makes at most that reuses two sources, of a repository that it has in its cache (docs/performance.md).
const REQUESTS: u64 = 80;

fn at(server: &Server, bucket: &str, more: &str) -> Shop {
    let store =
        format!("[store]\nlocation = \"s3://{bucket}/holdpoint\"\nendpoint = {:?}\n{more}\n", server.endpoint());
    let mut shop = shop(&format!("{REUSE}{store}"));
    for (name, value) in server.environment() {
        shop = shop.env(name, value);
    }
    shop.env("HOLDPOINT_PASSWORD", crate::support::holdpoint::PASSWORD)
}

/// Returns how many requests of each kind a gate made.
fn requests(server: &Server, shop: &Shop) -> BTreeMap<&'static str, u64> {
    let before = server.requests();
    shop.holdpoint.run(arguments("gate", STAGING, "1.4.0", &[])).expect(0);
    let mut made = server.requests();
    for (name, count) in &mut made {
        *count -= before.get(name).copied().unwrap_or_default();
    }
    made
}

/// Waits for the clock's next second: of releases in one second all are read, whichever is the newest.
fn next_second() {
    let second = || Timestamp::now().as_second();
    let now = second();
    while second() == now {
        std::thread::yield_now();
    }
}

#[test]
fn a_gate_that_reuses_everything_makes_few_requests_however_long_the_history_is() {
    let server = Server::in_process();
    let shop = at(&server, &server.bucket("reuse"), "");
    shop.write("data/large", crate::support::sample::noise(20 << 20, 1));
    let alone = || {
        next_second();
        requests(&server, &shop)
    };
    alone();
    let total = |requests: &BTreeMap<_, u64>| requests.values().sum::<u64>();
    let early = alone();
    assert_eq!(outcome(&shop.manifest(), "uploads").0, "stood_in");
    for _ in 0..8 {
        requests(&server, &shop);
    }
    alone();
    let late = alone();
    assert_eq!(
        (outcome(&shop.manifest(), "orders").0, outcome(&shop.manifest(), "uploads").0),
        ("stood_in", "stood_in")
    );
    eprintln!("{early:?}\n{late:?}");
    assert!(total(&late) <= REQUESTS && total(&late) <= total(&early) + 6, "{early:?}\n{late:?}");
    assert_eq!(names(&shop.beside("tmp")), [""; 0]);
}

#[test]
fn what_stands_in_is_locked_for_as_long_as_a_new_snapshot() {
    let server = Server::rgw();
    let bucket = locked_bucket(&server, "reuse");
    let lock = |retain: &str| format!("object_lock = {{ mode = \"governance\", retain = \"{retain}\" }}");
    let shop = at(&server, &bucket, &lock("1h"));
    let gate = || drop(shop.holdpoint.run(arguments("gate", STAGING, "1.4.0", &[])).expect(0));
    gate();
    let objects = || {
        let client = server.client();
        let prefix = "holdpoint/shop/staging/repository/";
        let listed = server.wait(client.list_objects_v2().bucket(&bucket).prefix(prefix).send()).unwrap();
        let until = |key: String| {
            let head = server.wait(client.head_object().bucket(&bucket).key(&key).send()).unwrap();
            (key[prefix.len()..].to_owned(), head.object_lock_retain_until_date.map(|until| until.secs()))
        };
        let keys = listed.contents.unwrap_or_default().into_iter().map(|object| object.key.unwrap());
        keys.filter(|key| !key.contains("/locks/")).map(until).collect::<BTreeMap<_, _>>()
    };
    let first = objects();
    assert!(first.keys().any(|key| key.starts_with("snapshots/")), "{first:?}");
    // Now it is promised for ten times as long: the snapshots that stand in, and all that they need.
    let text = shop.read("holdpoint.toml").replace(&lock("1h"), &lock("10h"));
    shop.write("holdpoint.toml", text);
    gate();
    assert_eq!(outcome(&shop.manifest(), "uploads").0, "stood_in");
    let second = objects();
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>(), "nothing is added");
    for (key, until) in &second {
        assert!(until.unwrap() >= first[key].unwrap() + 8 * 3600, "{key}: {:?}, then {until:?}", first[key]);
    }
    let kept = &shop.manifest().0["store"]["object_lock"]["retain_until"];
    let kept: jiff::Timestamp = kept.as_str().unwrap().parse().unwrap();
    assert!(second.values().all(|until| until.unwrap() >= kept.as_second()), "{kept}: {second:?}");
}
