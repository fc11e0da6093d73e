//! A snapshot that can be read back and holds nothing of worth is refused all the same.

use super::shop::{Shop, names, shell};

fn command(script: &str, expect: &str) -> String {
    format!("[[source]]\nname = \"orders\"\nkind = \"command\"\ncommand = {}\nexpect = {{ {expect} }}\n", shell(script))
}

#[track_caller]
fn assert_refused(shop: &Shop, more: &[&str], exit: u8, code: &str) {
    let before = names(&shop.place("staging").join("repository/snapshots"));
    shop.gate(more).expect(exit).refuses_in_words();
    shop.manifest().assert_refused("refused", &[code]);
    assert_eq!(names(&shop.place("staging").join("repository/snapshots")), before, "a snapshot became visible");
    shop.assert_nothing_left();
}

#[test]
fn an_empty_stream_is_refused() {
    let shop = Shop::with(&command("true", ""));
    assert_refused(&shop, &[], 12, "stream-empty");
    shop.restic("staging").check();
}

#[test]
fn fewer_bytes_than_expected_are_refused() {
    let shop = Shop::with(&command("echo few", "min_bytes = \"1KiB\""));
    assert_refused(&shop, &[], 12, "below-min-bytes");
}

#[test]
fn what_shrank_is_refused_until_it_is_expected() {
    let shop = Shop::with(&command("cat dump", "max_shrink = \"30%\""));
    shop.write("dump", "x".repeat(1000));
    shop.gate(&[]).expect(0);
    shop.write("dump", "x".repeat(750));
    shop.gate(&[]).expect(0);
    shop.write("dump", "x".repeat(500));
    assert_refused(&shop, &[], 12, "size-shrank");
    let manifest = shop.manifest();
    assert_eq!(manifest.source("orders")["change"]["bytes_before"], 750);
    // What was refused is not what the next one is compared with.
    shop.write("dump", "x".repeat(400));
    assert_refused(&shop, &[], 12, "size-shrank");
    shop.write("holdpoint.toml", command("cat dump", "max_shrink = \"60%\""));
    shop.gate(&[]).expect(0);
    shop.restic("staging").check();
}

#[test]
fn files_that_shrank_are_refused_by_default() {
    let shop = Shop::new();
    shop.write("data/large", vec![7; 100_000]);
    shop.gate(&["data"]).expect(0);
    std::fs::remove_file(shop.path("data/large")).unwrap();
    assert_refused(&shop, &["data"], 12, "size-shrank");
}

#[test]
fn no_file_at_all_is_refused() {
    let shop = Shop::with("[[source]]\nname = \"files\"\nkind = \"files\"\npaths = [\"data\"]\nexclude = [\"*\"]\n");
    assert_refused(&shop, &[], 12, "no-files-matched");
    let shop = Shop::new();
    std::fs::create_dir(shop.path("empty")).unwrap();
    assert_refused(&shop, &["empty"], 12, "no-files-matched");
    assert_refused(&shop, &["missing"], 10, "path-missing");
}

#[test]
fn a_gate_that_reads_nothing_back_says_so() {
    let shop = Shop::with("[gate]\nverify = \"none\"\n");
    shop.gate(&["data"]).expect(0);
    let manifest = shop.manifest();
    assert!(manifest.codes("warning").contains(&"verification-off"));
    assert_eq!(manifest.source("data")["verification"]["mode"], "none");
    assert_eq!(manifest.source("data")["verification"]["bytes_read"], 0);
    shop.restic("staging").check();
}

#[test]
fn a_source_that_may_fail_is_not_published_when_it_did_and_cannot_be_all_there_is() {
    let shop = Shop::with(&command("true", "").replace("expect", "required = false\nexpect"));
    assert_refused(&shop, &[], 10, "nothing-captured");
    assert!(shop.manifest().codes("warning").contains(&"stream-empty"));
    shop.gate(&["data"]).expect(0);
    assert_eq!(shop.manifest().source("orders")["outcome"], "unverified");
    assert_eq!(shop.manifest().source("data")["outcome"], "verified");
}
