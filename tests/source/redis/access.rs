//! Who may capture, and what nobody gets to see.

use super::{fill, shop};
use crate::gate::shop::Shop;
use crate::support::environment::{command, must};
use crate::support::redis::RedisServer;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const PASSWORD: &str = "hunter2/with:all@of%it";
const ENCODED: &str = "hunter2%2Fwith%3Aall%40of%25it";

/// Fails if the password is in any file that a run left, or in what it said.
#[track_caller]
fn assert_secret(shop: &Shop, said: &str) {
    fn search(folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                search(&path);
            } else {
                let bytes = fs::read(&path).unwrap();
                let found = memchr::memmem::find(&bytes, b"hunter2").is_some();
                assert!(!found, "the password is in {}", path.display());
            }
        }
    }
    assert!(!said.contains("hunter2"), "{said}");
    search(&shop.path(""));
}

#[test]
fn a_user_needs_the_right_password() {
    let server = RedisServer::start_as(&["--requirepass", PASSWORD], &["-a", PASSWORD, "--no-auth-warning"]);
    server.ask(&["SET", "a", "1"]);
    let port = server.port();
    for (url, words) in [
        (format!("redis://:{ENCODED}-wrong@127.0.0.1:{port}"), "refuses the user or the password (WRONGPASS)"),
        (format!("redis://shop:{ENCODED}@127.0.0.1:{port}"), "refuses the user or the password (WRONGPASS)"),
        (format!("redis://127.0.0.1:{port}"), "NOAUTH"),
    ] {
        let shop = shop(&url, "");
        let output = shop.gate(&["--html-out", "page.html"]).expect(10);
        shop.manifest().assert_refused("refused", &["server-unreachable"]);
        output.says(&[words]);
        assert_secret(&shop, &(output.stdout + &output.stderr));
        shop.assert_nothing_left();
    }
    let shop = shop(&format!("redis://:{ENCODED}@127.0.0.1:{port}/0"), "");
    let output = shop.gate(&["--html-out", "page.html", "-v"]).expect(0);
    assert_secret(&shop, &(output.stdout + &output.stderr));
    // By the socket, as any user of the list.
    server.ask(&["ACL", "SETUSER", "shop", "on", &format!(">{PASSWORD}"), "+@all"]);
    let url = format!("unix://{}?username=shop&password={ENCODED}", server.path("socket").display());
    shop_at(&shop, &url).gate(&[]).expect(0);
}

/// Returns the same working tree for another server.
fn shop_at(shop: &Shop, url: &str) -> Shop {
    Shop::with(&shop.read("holdpoint.toml")).env("REDIS_URL", url)
}

#[test]
fn a_server_without_a_password_refuses_one() {
    let server = RedisServer::start();
    let shop = shop(&format!("redis://:{ENCODED}@127.0.0.1:{}", server.port()), "");
    let output = shop.gate(&[]).expect(10);
    output.says(&["has no password, but `url` gives one"]);
    assert_secret(&shop, &output.stderr);
}

#[test]
fn a_missing_privilege_is_named_with_how_to_grant_it() {
    let server = RedisServer::start();
    server.ask(&["SET", "a", "1"]);
    let user = ["ACL", "SETUSER", "shop", "on", ">secret"];
    server.ask(&[&user[..], &["+info", "+client|setname", "+client|list"]].concat());
    let url = format!("redis://shop:secret@127.0.0.1:{}", server.port());
    let shop = shop(&url, "");
    let saves =
        || server.ask(&["INFO", "stats"]).lines().find(|line| line.starts_with("total_forks")).map(str::to_owned);
    let before = saves();
    shop.gate(&[]).expect(10);
    shop.manifest().assert_refused("refused", &["privilege-missing"]);
    let decision = shop.manifest().0["decision"].to_string();
    assert!(decision.contains("ACL SETUSER shop +client|kill +replconf +psync;"), "{decision}");
    assert_eq!(saves(), before, "the preflight made the server fork");
    // What the message says is enough.
    server.ask(&["ACL", "SETUSER", "shop", "+client|kill", "+replconf", "+psync"]);
    shop.gate(&[]).expect(0);
    // Nor does a user who may not even ask what the server is.
    server.ask(&["ACL", "SETUSER", "shop", "-info"]);
    shop.gate(&[]).expect(10);
    shop.manifest().assert_refused("refused", &["privilege-missing"]);
}

/// A certificate authority, and a certificate of its for a host.
fn certificates(folder: &Path, host: &str) {
    let openssl = |arguments: &str| {
        let mut openssl = command("openssl", folder);
        must(openssl.current_dir(folder).args(arguments.split(' ')));
    };
    openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority");
    openssl("req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=server");
    fs::write(folder.join("names"), format!("subjectAltName={host}\n")).unwrap();
    openssl("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile names");
}

#[test]
fn tls_is_verified() {
    let folder = TempDir::new().unwrap();
    certificates(folder.path(), "IP:127.0.0.1");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let tls_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let server = RedisServer::with(&[
        "--tls-port",
        &tls_port,
        "--tls-cert-file",
        &file("server.pem"),
        "--tls-key-file",
        &file("server.key"),
        "--tls-ca-cert-file",
        &file("ca.pem"),
        "--tls-auth-clients",
        "no",
    ]);
    fill(&server);
    let url = format!("rediss://127.0.0.1:{tls_port}");
    let trusting = format!("ca_file = \"{}\"", file("ca.pem"));
    let sound = shop(&url, &trusting);
    sound.gate(&[]).expect(0);
    assert_eq!(sound.manifest().source("cache")["content"]["rows"]["db3"], 20001);
    for (url, settings) in [
        (url.as_str(), ""),
        (&url.replace("127.0.0.1", "localhost"), &trusting),
        (&format!("rediss://127.0.0.1:{}", server.port()), &trusting),
    ] {
        let shop = shop(url, settings);
        shop.gate(&[]).expect(10).says(&["TLS failed"]);
        shop.manifest().assert_refused("refused", &["server-unreachable"]);
    }
    // A server that speaks TLS says nothing that one without it would.
    let shop = shop(&format!("redis://127.0.0.1:{tls_port}"), "");
    shop.gate(&[]).expect(10);
    shop.manifest().assert_refused("refused", &["server-unreachable"]);
}
