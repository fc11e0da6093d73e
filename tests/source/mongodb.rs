//! `kind = "mongodb"` with stand-ins for `mongodump` and `mongorestore`, which behave as those are documented to: no server
//! of MongoDB can be installed where these tests run. What a real server would say is not tested here.

use crate::gate::shop::Shop;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const PASSWORD: &str = "hunter2%2Fx";

/// Programs that write and read an archive in place of a server's data, and note how they were called.
struct Tools {
    folder: TempDir,
    /// Something that listens where the server would.
    listener: TcpListener,
}

impl Tools {
    fn new() -> Self {
        let tools = Self { folder: TempDir::new().unwrap(), listener: TcpListener::bind("127.0.0.1:0").unwrap() };
        for name in ["mongodump", "mongorestore"] {
            let path = tools.path(name);
            fs::write(&path, script(name, tools.folder.path())).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(tools.path("archive"), archive(&["orders", "items"], 3)).unwrap();
        tools.then("mongodump", "exit 0").then("mongorestore", "exit 0");
        tools
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Says what a program does after its work.
    fn then(&self, name: &str, script: &str) -> &Self {
        fs::write(self.path(&format!("{name}.then")), script).unwrap();
        self
    }

    fn uri(&self, rest: &str) -> String {
        format!("mongodb://shop:{PASSWORD}@127.0.0.1:{}/{rest}", self.listener.local_addr().unwrap().port())
    }

    fn shop(&self, rest: &str, settings: &str) -> Shop {
        Shop::with(&format!(
            "[gate]\nretry = {{ attempts = 1 }}\n\n[[source]]\nname = \"orders\"\nkind = \"mongodb\"\n\
             url = {{ env = \"MONGODB_URI\" }}\nprograms = \"{}\"\n{settings}\n",
            self.folder.path().display()
        ))
        .env("MONGODB_URI", self.uri(rest))
    }

    /// Returns what a program noted, such as its arguments.
    fn noted(&self, what: &str) -> String {
        fs::read_to_string(self.path(what)).unwrap()
    }
}

/// Both are called with a configuration file that holds the URI, and `--archive` for standard output or input.
fn script(name: &str, folder: &Path) -> String {
    let folder = folder.display();
    let work =
        if name == "mongodump" { format!("cat '{folder}/archive'") } else { format!("cat > '{folder}/restored'") };
    format!(
        "#!/bin/sh\n\
         [ \"$1\" = --version ] && {{ echo '{name} version: 100.9.4'; echo 'git version: 1'; exit 0; }}\n\
         echo \"$@\" > '{folder}/{name}.arguments'\n\
         case \"$1\" in --config=/proc/*/fd/*) ;; *) echo \"no configuration file: $1\" >&2; exit 1 ;; esac\n\
         cat \"${{1#--config=}}\" > '{folder}/{name}.config' || exit 1\n\
         [ \"$2\" = --archive ] || {{ echo 'no archive' >&2; exit 1; }}\n\
         {work} || exit 1\n\
         . '{folder}/{name}.then'\n"
    )
}

/// Returns an archive of the database `shop`.
fn archive(collections: &[&str], documents: i32) -> Vec<u8> {
    archive_of("shop", collections, documents)
}

/// Returns an archive of a database, as mongo-tools' `common/archive` writes it.
fn archive_of(database: &str, collections: &[&str], documents: i32) -> Vec<u8> {
    let ends = [0xff; 4].to_vec();
    let header = bson(&json!({"server_version": "7.0.14", "tool_version": "100.9.4"}));
    let mut parts = vec![0x8199_e26d_u32.to_le_bytes().to_vec(), header];
    parts.extend(collections.iter().map(|name| bson(&json!({"db": database, "collection": name, "metadata": "{}"}))));
    parts.push(ends.clone());
    let crc = crc::Crc::<u64>::new(&crc::CRC_64_XZ);
    for name in collections {
        let body: Vec<u8> = (0..documents).flat_map(|number| bson(&json!({"_id": number, "text": "grün"}))).collect();
        let header = |end: bool, crc: i64| bson(&json!({"db": database, "collection": name, "EOF": end, "CRC": crc}));
        let sum = i64::from_le_bytes(crc.checksum(&body).to_le_bytes());
        parts.extend([header(false, 0), body, ends.clone(), header(true, sum), ends.clone()]);
    }
    parts.concat()
}

/// Writes a flat document; numbers have 64 bits.
fn bson(value: &Value) -> Vec<u8> {
    let field = |(name, value): (&String, &Value)| {
        let (kind, bytes) = match value {
            Value::String(text) => {
                (0x02, [&u32::try_from(text.len() + 1).unwrap().to_le_bytes(), text.as_bytes(), &[0]].concat())
            }
            Value::Bool(truth) => (0x08, vec![u8::from(*truth)]),
            number => (0x12, number.as_i64().unwrap().to_le_bytes().to_vec()),
        };
        [&[kind], name.as_bytes(), &[0], &bytes].concat()
    };
    let body: Vec<u8> = value.as_object().unwrap().iter().flat_map(field).collect();
    [&u32::try_from(body.len() + 5).unwrap().to_le_bytes()[..], &body, &[0]].concat()
}

#[test]
fn an_archive_is_captured_counted_and_restored() {
    let tools = Tools::new();
    let shop = tools.shop("shop?replicaSet=rs", "expect = { min_rows = { orders = 3, \"shop.items\" = 3 } }");
    let output = shop.gate(&["--html-out", "page.html", "-v"]).expect(0);
    let manifest = shop.manifest();
    let record = manifest.source("orders");
    assert_eq!(record["content"]["rows"], json!({"shop.items": 3, "shop.orders": 3}));
    assert_eq!((&record["content"]["server_version"], &record["content"]["oplog"]), (&json!("7.0.14"), &json!(false)));
    assert_eq!(record["tool_version"], "mongodump version: 100.9.4");

    // The password is in the file that only the program can read, and nowhere else.
    assert_eq!(tools.noted("mongodump.config"), format!("uri: \"{}\"\n", tools.uri("shop?replicaSet=rs")));
    assert!(!tools.noted("mongodump.arguments").contains("hunter2"));
    for text in [output.stdout, output.stderr, manifest.0.to_string(), shop.read("page.html")] {
        assert!(!text.contains("hunter2") && !text.contains("replicaSet"), "{text}");
    }

    // Whether something is there cannot be seen, so that it is not touched unless that is asked for.
    for target in [&[][..], &["--target", "mongodb://127.0.0.1/shop"]] {
        let output = shop.holdpoint.run([&["restore", "orders", "-e", "staging"], target].concat()).expect(17);
        output.says(&["is empty is not known", "--force"]);
    }
    assert!(!tools.path("restored").exists());
    let forced = ["restore", "orders", "-e", "staging", "--force"];
    shop.holdpoint.run(forced).expect(0);
    assert_eq!(fs::read(tools.path("restored")).unwrap(), fs::read(tools.path("archive")).unwrap());
    assert!(tools.noted("mongorestore.arguments").ends_with("--archive --stopOnError --drop\n"));
    // A database in the URI would limit what is restored; users are still looked for there.
    let config = tools.noted("mongorestore.config");
    assert_eq!(config, format!("uri: \"{}\"\n", tools.uri("?replicaSet=rs&authSource=shop")));

    let folder = shop.beside("into");
    shop.holdpoint.run(["restore", "orders", "-e", "staging", "--target", folder.to_str().unwrap()]).expect(0);
    assert_eq!(fs::read(folder.join("orders.archive")).unwrap(), fs::read(tools.path("archive")).unwrap());
    let other = shop.holdpoint.run([&forced[..], &["--target", "mongodb://127.0.0.1/other"]].concat());
    other.expect(17).says(&["has no database other"]);
    tools.then("mongorestore", "echo 'E11000 duplicate key error' >&2; exit 1");
    let output = shop.holdpoint.run(forced).expect(17);
    output.says(&["mongorestore exited 1: E11000 duplicate key error", "may hold a part of the snapshot"]);
}

#[test]
fn the_oplog_is_of_whole_servers() {
    let tools = Tools::new();
    tools.shop("shop", "oplog = true").gate(&[]).expect(10).says(&["`oplog` is of the whole server"]);
    let shop = tools.shop("?replicaSet=rs", "oplog = true");
    shop.gate(&[]).expect(12).says(&["the archive holds no oplog"]);
    shop.manifest().assert_refused("refused", &["content-incomplete"]);
    let oplog = archive_of("", &["oplog"], 2);
    // Behind the collections, and not announced.
    let start = memchr::memmem::find(&oplog, &[0xff; 4]).unwrap() + 4;
    fs::write(tools.path("archive"), [archive(&["orders"], 3), oplog[start..].to_vec()].concat()).unwrap();
    shop.gate(&[]).expect(0);
    assert!(tools.noted("mongodump.arguments").ends_with("--archive --oplog\n"));
}

#[test]
fn a_dump_that_fails_or_is_not_whole_refuses() {
    let tools = Tools::new();
    let shop = tools.shop("shop", "");
    let whole = fs::read(tools.path("archive")).unwrap();
    let refuses = |exit: u8, code: &str, words: &str| {
        shop.gate(&[]).expect(exit).refuses_in_words();
        let manifest = shop.manifest();
        manifest.assert_refused("refused", &[code]);
        assert!(manifest.message(code).contains(words), "{}", manifest.message(code));
        shop.assert_nothing_left();
    };
    tools.then("mongodump", "echo \"Failed: auth error for $(cat ${1#--config=})\" >&2; exit 1");
    refuses(10, "source-failed", "mongodump exited 1: Failed: auth error for uri: \"***\"");
    tools.then("mongodump", "exit 0");
    // What a program wrote that was killed behind its back, and exited 0 all the same.
    fs::write(tools.path("archive"), &whole[..whole.len() - 20]).unwrap();
    refuses(12, "content-incomplete", "the archive ends within");
    let mut damaged = whole.clone();
    let document = memchr::memmem::find(&whole, "grün".as_bytes()).unwrap();
    damaged[document] ^= 1;
    fs::write(tools.path("archive"), damaged).unwrap();
    refuses(12, "integrity-failed", "the checksum of shop.orders is not that of its documents");
    fs::write(tools.path("archive"), archive(&[], 0)).unwrap();
    refuses(12, "below-min-tables", "the database has no tables");
    fs::write(tools.path("archive"), whole).unwrap();
    shop.gate(&[]).expect(0);
}

#[test]
fn what_is_missing_is_found_before_the_dump() {
    let tools = Tools::new();
    fs::remove_file(tools.path("mongorestore")).unwrap();
    let shop = tools.shop("shop", "");
    shop.gate(&[]).expect(0);
    assert!(shop.manifest().message("preflight-failed").contains("mongorestore"));
    fs::remove_file(tools.path("mongodump")).unwrap();
    drop(tools.listener);
    shop.gate(&[]).expect(10).says(&["cannot reach 127.0.0.1:"]);
    shop.manifest().assert_refused("refused", &["server-unreachable", "preflight-failed"]);
}

#[test]
fn a_dump_that_hangs_ends_with_the_run() {
    let tools = Tools::new();
    tools.then("mongodump", "sleep 1000");
    let shop = tools.shop("shop", "");
    shop.gate(&["--timeout", "2s"]).expect(11);
    assert_eq!(shop.manifest().state(), "timed_out");
    shop.assert_nothing_left();
    let mut running = shop.start(&[]);
    crate::gate::shop::until(&mut running, "the dump", || shop.processes().iter().any(|line| line.contains("sleep")));
    running.signal(Signal::TERM);
    running.wait().expect(143);
    shop.assert_nothing_left();
    tools.then("mongodump", "exit 0");
    shop.gate(&[]).expect(0);
}

#[test]
fn a_restore_that_is_killed_can_be_done_again() {
    let tools = Tools::new();
    let shop = tools.shop("shop", "");
    shop.gate(&[]).expect(0);
    let whole = fs::read_to_string(tools.path("mongorestore")).unwrap();
    let folder = tools.folder.path().display().to_string();
    let forced = ["restore", "orders", "-e", "staging", "--force"];
    let half =
        whole.replace("cat > ", &format!("head -c 20 > '{folder}/part'; echo > '{folder}/begun'; sleep 1000; cat > "));
    assert_ne!(half, whole);
    for (signal, code) in [(Signal::KILL, None), (Signal::TERM, Some(143))] {
        fs::write(tools.path("mongorestore"), &half).unwrap();
        let mut running = shop.holdpoint.start(forced);
        crate::gate::shop::until(&mut running, "the restore", || tools.path("begun").exists());
        running.signal(signal);
        let ended = running.wait();
        assert_eq!(ended.code, code, "{}", ended.stderr);
        // The program dies with it, and does not take that for the end of the archive.
        while !shop.processes().is_empty() {}
        assert!(!tools.path("restored").exists());
        fs::remove_file(tools.path("begun")).unwrap();
        fs::write(tools.path("mongorestore"), &whole).unwrap();
        shop.holdpoint.run(forced).expect(0);
        assert_eq!(fs::read(tools.path("restored")).unwrap(), fs::read(tools.path("archive")).unwrap());
        fs::remove_file(tools.path("restored")).unwrap();
    }
    let output = shop.holdpoint.command(["restore", "orders", "-e", "staging", "--target", "-"]).output().unwrap();
    assert!(output.status.success() && output.stdout == fs::read(tools.path("archive")).unwrap());
}
