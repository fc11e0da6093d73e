//! Second stores: what a gate and `copy` make of them, and what is left when the store itself is gone.

mod continued;
mod damage;
mod disaster;
mod fit;
mod gate;
mod locks;
mod order;
mod records;
mod s3;

use super::shop::{STAGING, Shop, names};
use crate::support::restic::Restic;
use std::path::{Path, PathBuf};

/// The password of store and copy.
pub const SECRET: &str = "secret";

/// Makes a shop with a store beside it and a copy at `copy`, which is `required` or not.
pub fn shop(copy: &str, required: bool) -> Shop {
    let shop = Shop::new();
    let store = shop.beside("store").display().to_string();
    let copy = shop.beside(copy).display().to_string();
    shop.write("holdpoint.toml", format!("[store.copies.offsite]\nlocation = {copy:?}\nrequired = {required}\n"));
    shop.env("HOLDPOINT_STORE", store).env("HOLDPOINT_PASSWORD", SECRET)
}

/// Returns the part of a store beside the shop that belongs to staging.
pub fn part(shop: &Shop, store: &str) -> PathBuf {
    shop.beside(store).join("shop").join(STAGING)
}

/// Returns restic on the repository of a store beside the shop.
pub fn restic(shop: &Shop, store: &str) -> Restic {
    Restic::new(part(shop, store).join("repository"), SECRET)
}

/// Returns every file below a directory and its content, without what no copy has: locks and lease, and the mark that
/// only a copy has.
pub fn kept(directory: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut files = std::collections::BTreeMap::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for name in names(&directory.join(&folder)) {
            let key = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            match directory.join(&key) {
                path if path.is_dir() => folders.push(key),
                path if !["lease/", "copy/", "repository/locks/"].iter().any(|other| key.starts_with(other)) => {
                    files.insert(key, std::fs::read(path).unwrap());
                }
                _ => {}
            }
        }
    }
    files
}

/// Fails unless the copy holds exactly what the store does, and stock restic finds it whole.
#[track_caller]
pub fn assert_same(shop: &Shop) {
    let (store, copy) = (kept(&part(shop, "store")), kept(&part(shop, "copy")));
    assert_eq!(copy.keys().collect::<Vec<_>>(), store.keys().collect::<Vec<_>>());
    assert!(copy == store, "the content of some file differs");
    restic(shop, "copy").check();
    assert_eq!(names(&part(shop, "copy").join("repository/locks")), [""; 0], "locks are left in the copy");
    assert_eq!(names(&shop.beside("copy/.tmp")), [""; 0], "unfinished objects are left in the copy");
}

/// Returns the record of the only copy in the newest manifest.
pub fn record(shop: &Shop) -> serde_json::Value {
    shop.manifest().0["store"]["copies"][0].clone()
}
