//! Gates in which older snapshots stand in: what is recorded, what is proved, and what is captured all the same.

mod captured;
mod deployed;
mod remote;
mod story;

use super::shop::{Manifest, STAGING, Shop, arguments, names};
use serde_json::Value;

/// Files and a database, of which snapshots of the last hour may stand in.
const REUSE: &str = r#"
application = "shop"

[[source]]
name = "orders"
kind = "sqlite"
path = "orders.db"
restore_order = 1

[[source]]
name = "uploads"
kind = "files"
paths = ["data"]
restore_order = 2

[policy.first]
reuse_within = "1h"
"#;

/// Makes an application with two orders and two files.
fn shop(configuration: &str) -> Shop {
    let shop = Shop::with(configuration);
    let database = rusqlite::Connection::open(shop.path("orders.db")).unwrap();
    database.execute_batch("CREATE TABLE orders (id INTEGER); INSERT INTO orders VALUES (1), (2);").unwrap();
    shop
}

/// Runs a gate that must pass; returns its manifest.
#[track_caller]
fn pass(shop: &Shop) -> Manifest {
    shop.gate(&[]).expect(0);
    shop.assert_nothing_left();
    shop.manifest()
}

/// Returns what became of a source, and the release whose snapshot stands in, if one does.
fn outcome<'m>(manifest: &'m Manifest, name: &str) -> (&'m str, Option<&'m str>) {
    let source = manifest.source(name);
    (source["outcome"].as_str().unwrap(), source["stand_in"]["release"].as_str())
}

/// Returns what the rules said of a source, in the order in which they spoke.
fn said(manifest: &Manifest, name: &str) -> Vec<String> {
    let rules = manifest.0["decision"]["policy"]["rules"].as_array().unwrap().iter();
    rules.filter(|rule| rule["source"] == name).map(|rule| rule["outcome"].as_str().unwrap().to_owned()).collect()
}

fn id(manifest: &Manifest) -> &str {
    manifest.0["id"].as_str().unwrap()
}

/// Returns the names of all packs and snapshots in the store.
fn stored(shop: &Shop) -> Vec<String> {
    let repository = shop.place(STAGING).join("repository");
    let packs =
        names(&repository.join("data")).into_iter().flat_map(|folder| names(&repository.join("data").join(folder)));
    names(&repository.join("snapshots")).into_iter().chain(packs).collect()
}

fn ids(document: &Value) -> Vec<&str> {
    document["sources"].as_array().unwrap().iter().map(|source| source["snapshot"]["id"].as_str().unwrap()).collect()
}
