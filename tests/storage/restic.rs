//! Stock restic on the same bucket: it reads what we wrote, and we read what it wrote.

use crate::support::environment::{command, must};
use crate::support::holdpoint::PASSWORD;
use crate::support::s3::Server;
use crate::support::shop::Shop;
use crate::support::tree;
use std::process::Command;

/// An environment whose folder has a percent sign: restic decodes the path of a URL.
const ENVIRONMENT: &str = "review/x";

struct Bucket<'a> {
    server: &'a Server,
    name: String,
    shop: Shop,
}

impl<'a> Bucket<'a> {
    fn new(server: &'a Server) -> Self {
        let name = server.bucket("restic");
        let variables = server.environment();
        let shop = Shop::with(|holdpoint| {
            variables.into_iter().fold(holdpoint.password(), |holdpoint, (name, value)| holdpoint.env(name, value))
        });
        Self { server, name, shop }
    }

    fn store(&self) -> String {
        format!("s3://{}/hold/point", self.name)
    }

    fn restic(&self) -> Command {
        let mut restic = command("restic", self.shop.holdpoint().home());
        let repository = self.server.restic_location(&self.name, "hold/point/shop/review%252Fx/repository");
        restic.envs(self.server.environment()).env("RESTIC_PASSWORD", PASSWORD);
        restic.args(["--no-cache", "--quiet", "--repo", &repository]);
        restic
    }
}

fn works_beside_us(server: &Server) {
    let bucket = Bucket::new(server);
    let shop = &bucket.shop;
    let store = bucket.store();
    let gate = ["gate", "uploads", "--environment", ENVIRONMENT, "--release", "1.4.0", "--first", "--store", &store];
    let commit = ["--commit", "3f9c2ab13f9c2ab13f9c2ab13f9c2ab13f9c2ab1"];
    shop.write("uploads/large.bin", random(3 << 20)).run(&[&gate[..], &commit].concat()).expect(0);
    let uploads = shop.path().join("uploads");

    must(bucket.restic().args(["check", "--read-data"]));
    let restored = shop.beside("by restic");
    must(bucket.restic().args(["restore", "latest", "--target"]).arg(&restored));
    tree::assert_same(&uploads, &restored.join(uploads.strip_prefix("/").unwrap()));

    // restic beside us, from another directory, and read by us in both spellings.
    let other = shop.beside("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("file"), random(2 << 20)).unwrap();
    std::fs::write(other.join("ünïcode"), "content").unwrap();
    must(bucket.restic().args(["backup", "--host", "elsewhere"]).arg(&other));
    let ours = format!("{store}/shop/review%2Fx/repository");
    let restics = server.restic_location(&bucket.name, "hold/point/shop/review%252Fx/repository");
    for (number, repository) in [ours, restics].iter().enumerate() {
        let listed = shop.run(&["ls", "--repository", repository, "--snapshot", "latest"]).expect(0).stdout;
        assert!(listed.contains("ünïcode"), "{listed}");
        let target = shop.beside(&format!("by us {number}"));
        let to = target.to_str().unwrap();
        shop.run(&["restore", "--repository", repository, "--snapshot", "latest", "--target", to]).expect(0);
        tree::assert_same(&other, &target.join(other.strip_prefix("/").unwrap()));
        shop.run(&["check", "--read-data", "--repository", repository]).expect(0);
    }
    // The gate goes on in what restic left, and restic in what the gate left.
    shop.write("uploads/new.txt", "new").run(&[&gate[..], &commit].concat()).expect(0);
    must(bucket.restic().args(["check", "--read-data"]));
    assert_eq!(must(bucket.restic().args(["list", "locks", "--no-lock"])), "");
}

fn random(size: usize) -> Vec<u8> {
    let mut data = vec![0; size];
    getrandom::fill(&mut data).unwrap();
    data
}

#[test]
fn on_the_server_in_process() {
    works_beside_us(&Server::in_process());
}

#[test]
fn on_ceph() {
    works_beside_us(&Server::rgw());
}
