//! `kind = "mariadb"` against real servers.

mod breaks;
mod drill;
mod refuses;
mod round_trip;

use crate::gate::shop::Shop;
use crate::support::mariadb::{MariaDb, TELLTALE};
use std::path::Path;

/// Makes an application with one source, the database `shop`, whose URL comes from the environment.
fn shop_of(url: &str, settings: &str) -> Shop {
    Shop::with(&format!(
        "[gate]\nretry = {{ attempts = 1 }}\n\n[[source]]\nname = \"orders\"\nkind = \"mariadb\"\nurl = {{ env = \"DATABASE_URL\" }}\n{settings}\n"
    ))
    .env("DATABASE_URL", url)
}

/// Fills the database `shop` with one table.
fn fill(server: &MariaDb) {
    server.sql(
        "CREATE DATABASE shop CHARACTER SET utf8mb4; USE shop; \
         CREATE TABLE shop.orders (id int PRIMARY KEY, total decimal(10,2)); \
         INSERT INTO shop.orders SELECT seq, seq FROM seq_1_to_1000",
    );
}

/// Fails if the password is in any file below a directory.
#[track_caller]
fn assert_no_password(directory: &Path) {
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let content = std::fs::read(&path).unwrap_or_default();
                let is_there = memchr::memmem::find(&content, TELLTALE.as_bytes()).is_some();
                assert!(!is_there, "the password is in {}", path.display());
            }
        }
    }
}
