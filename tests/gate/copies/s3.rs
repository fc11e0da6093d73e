//! Copies in buckets: from a directory, and from one server to another.

use super::super::shop::{STAGING, Shop};
use super::SECRET;
use crate::support::environment::{command, must};
use crate::support::s3::Server;
use crate::support::tree;
use std::path::Path;
use std::time::Duration;

/// Makes a shop whose store is at `store`, with a required copy in `bucket` of `server`.
fn shop(store: Option<String>, server: &Server, bucket: &str) -> Shop {
    let mut shop = Shop::new();
    let store = store.unwrap_or_else(|| shop.beside("store").display().to_string());
    for (name, value) in server.environment() {
        shop = shop.env(name, value);
    }
    let endpoint = server.endpoint();
    shop.write(
        "holdpoint.toml",
        format!("[store]\nrequest_timeout = \"5s\"\n\n[store.copies.offsite]\nlocation = \"s3://{bucket}/copies\"\nendpoint = {endpoint:?}\nrequired = true\n"),
    );
    shop.env("HOLDPOINT_STORE", store).env("HOLDPOINT_PASSWORD", SECRET)
}

/// Runs stock restic on the copy.
fn restic(shop: &Shop, server: &Server, bucket: &str, arguments: &[&str]) -> String {
    let mut restic = command("restic", shop.holdpoint.home());
    restic.envs(server.environment()).env("RESTIC_PASSWORD", SECRET);
    restic.args(["--no-cache", "-r", &server.restic_location(bucket, "copies/shop/staging/repository")]);
    must(restic.args(arguments))
}

/// Two gates, then the disaster: everything comes back from the bucket.
fn round_trip(shop: &Shop, server: &Server, bucket: &str, lose: impl FnOnce()) {
    shop.gate(&["data"]).expect(0);
    shop.write("data/new", vec![7; 3 << 20]);
    shop.gate(&["data"]).expect(0);
    assert_eq!(super::record(shop)["state"], "verified");
    let copied = shop.holdpoint.run(["copy", "-e", STAGING, "--verify", "all", "--format", "json"]).expect(0).json();
    assert_eq!(copied["copies"][0]["state"], "verified", "{copied:#}");
    assert!(copied["copies"][0]["read_back"].as_u64().unwrap() >= 10, "{copied:#}");
    lose();
    restic(shop, server, bucket, &["check", "--read-data"]);
    let (ours, theirs) = (shop.beside("ours"), shop.beside("theirs"));
    let location = format!("s3://{bucket}/copies");
    let to = |path: &Path| path.display().to_string();
    let arguments = ["restore", "data", "-e", STAGING, "--store", &location, "--target", &to(&ours)];
    shop.holdpoint.run(arguments).expect(0);
    restic(shop, server, bucket, &["restore", "latest", "--target", &to(&theirs)]);
    let inside = shop.path("data").strip_prefix("/").unwrap().to_owned();
    tree::assert_same(&shop.path("data"), &ours.join(&inside));
    tree::assert_same(&shop.path("data"), &theirs.join(&inside));
    let listed = shop.holdpoint.run(["releases", "-e", STAGING, "--store", &location, "--format", "json"]);
    assert_eq!(listed.expect(0).json()["releases"].as_array().unwrap().len(), 2);
}

#[test]
fn a_directory_is_copied_to_a_bucket() {
    let server = Server::in_process();
    let bucket = server.bucket("copies");
    let shop = shop(None, &server, &bucket);
    round_trip(&shop, &server, &bucket, || std::fs::remove_dir_all(shop.beside("store")).unwrap());
}

#[test]
fn a_bucket_is_copied_to_another_server() {
    let (server, other) = (Server::in_process(), Server::rgw());
    let (bucket, copies) = (server.bucket("store"), other.bucket("copies"));
    let shop = shop(Some(format!("s3://{bucket}/store")), &other, &copies);
    // The store's own server is the one of the configuration, the copy's that of the environment.
    let configuration = shop.read("holdpoint.toml");
    let store = format!("[store]\nendpoint = {:?}\n", server.endpoint());
    shop.write("holdpoint.toml", configuration.replacen("[store]\n", &store, 1));
    // The configuration stays as it is: it has the copy's settings.
    round_trip(&shop, &other, &copies, || server.stop());
}

#[test]
fn a_copy_that_is_named_is_the_one_on_the_server_that_is_named() {
    let (server, other) = (Server::in_process(), Server::in_process());
    let (bucket, copies) = (server.bucket("store"), other.bucket("offsite"));
    let shop = shop(Some(format!("s3://{bucket}/store")), &other, &copies);
    let configuration = shop.read("holdpoint.toml");
    let store = format!("[store]\nendpoint = {:?}\n", server.endpoint());
    shop.write("holdpoint.toml", configuration.replacen("[store]\n", &store, 1));
    shop.gate(&["data"]).expect(0);
    let copy_to = |location: String| shop.holdpoint.run(["copy", "-e", STAGING, "--to", &location]);
    assert!(copy_to(other.restic_location(&copies, "copies")).expect(0).stdout.starts_with("offsite: "));
    // There is no such bucket there.
    let elsewhere = copy_to(server.restic_location(&copies, "copies"));
    assert!(elsewhere.code != Some(0) && !elsewhere.stdout.starts_with("offsite: "), "{elsewhere:?}");
    server.stop();
    let location = format!("s3://{copies}/copies");
    shop.holdpoint.run(["releases", "-e", STAGING, "--store", &location]).expect(0);
    shop.holdpoint.run(["check", "-e", STAGING, "--store", &location, "--read-data"]).expect(0);
}

#[test]
fn a_prefix_of_the_same_bucket_is_the_same_failure_domain() {
    let server = Server::in_process();
    let bucket = server.bucket("both");
    let shop = shop(Some(format!("s3://{bucket}/store")), &server, &bucket);
    shop.gate(&["data"]).expect(0);
    assert_eq!(shop.manifest().codes("warning"), ["unsigned", "copy-same-failure-domain"]);
    let same = format!("s3://{bucket}/copies");
    let arguments =
        ["gate", "-e", STAGING, "--release", "1.5.0", "--commit", super::super::shop::COMMIT, "--first", "data"];
    shop.holdpoint.run(arguments.iter().copied().chain(["--store", &same])).expect(10);
    shop.manifest().assert_refused("refused", &["copy-same-failure-domain"]);
}

#[test]
fn a_server_that_is_gone_refuses_with_a_record() {
    let server = Server::in_process();
    let bucket = server.bucket("copies");
    let shop = shop(None, &server, &bucket);
    shop.gate(&["data"]).expect(0);
    server.stop();
    let output = shop.gate(&["data", "--timeout", "60s"]);
    assert!(matches!(output.code, Some(10 | 11)) && output.elapsed < Duration::from_secs(70), "{output:?}");
    assert_eq!(shop.manifest().0["decision"]["result"], "refuse");
}

/// A server that takes the connection and never answers.
#[test]
fn a_server_that_hangs_is_given_up_in_time_if_it_is_not_required() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let shop = Shop::new();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let copies = format!("[store.copies.offsite]\nlocation = \"s3://copies/x\"\nendpoint = {endpoint:?}\n");
    shop.write("holdpoint.toml", copies);
    let keys = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "y"), ("AWS_EC2_METADATA_DISABLED", "true")];
    let shop = keys.iter().fold(shop, |shop, (name, value)| shop.env(name, *value));
    shop.gate(&["data", "--timeout", "8s"]).expect(0);
    assert!(shop.manifest().message("copy-failed").contains("deadline"), "{}", shop.manifest().message("copy-failed"));
    assert_eq!(super::record(&shop)["state"], "failed");
    shop.assert_nothing_left();
    let required = shop.read("holdpoint.toml") + "required = true\n";
    shop.write("holdpoint.toml", required);
    let output = shop.gate(&["data", "--timeout", "4s"]).expect(11);
    assert!(output.elapsed < Duration::from_secs(14), "{:?}", output.elapsed);
    shop.manifest().assert_refused("timed_out", &["timed-out"]);
    shop.assert_nothing_left();
}
