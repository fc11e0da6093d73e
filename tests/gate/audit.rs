//! The audit: a line for everything that is done, and nothing that is taken out of it unseen.

use super::shop::{Manifest, lease, until};
use crate::support::holdpoint::Output;
use crate::support::ledger::release_folder;
use crate::support::shop::{COMMIT, Shop};
use crate::support::signing::Keys;
use serde_json::Value;
use std::net::UdpSocket;
use std::path::PathBuf;

const CONFIGURATION: &str = "application = \"shop\"\n\
    [[source]]\nname = \"uploads\"\nkind = \"files\"\npaths = [\"uploads\"]\n";

fn shop(more: &str) -> (Keys, Shop) {
    let keys = Keys::new();
    let shop = Shop::with(|holdpoint| {
        let holdpoint = holdpoint.env("HOLDPOINT_SIGNING_KEY", keys.text("release")).env("USER", "ada");
        holdpoint.env("HOLDPOINT_ALLOWED_SIGNERS", keys.text("allowed_signers"))
    });
    shop.configure(&format!("{CONFIGURATION}{more}"));
    (keys, shop)
}

fn admit(shop: &Shop, release: &str) -> Output {
    shop.run(&["admit", "-e", "staging", "--release", release, "--commit", COMMIT])
}

fn reconcile(shop: &Shop, deployed: &str) -> Output {
    shop.run(&["reconcile", "-e", "staging", "--deployed", deployed])
}

fn lines(shop: &Shop) -> Vec<Value> {
    let raw = shop.run(&["audit", "-e", "staging", "-n", "1000", "--raw"]).expect(0);
    raw.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What each line says: what, with which outcome, and the exit code.
fn said(shop: &Shop) -> Vec<String> {
    let text = |line: &Value| {
        let code = line["exit_code"].as_u64().map(|code| format!(" {code}")).unwrap_or_default();
        format!("{} {}{code}", line["action"].as_str().unwrap(), line["outcome"].as_str().unwrap())
    };
    lines(shop).iter().map(text).collect()
}

fn verify(shop: &Shop, exit: u8) -> Value {
    shop.run(&["audit", "verify", "-e", "staging", "--format", "json"]).expect(exit).json()
}

fn place(shop: &Shop) -> PathBuf {
    shop.path().join(".holdpoint/store/shop/staging")
}

fn line_file(shop: &Shop, number: u64) -> PathBuf {
    place(shop).join(format!("audit/000000/{number:09}.json"))
}

#[test]
fn everything_that_is_done_has_a_line() {
    let (_keys, shop) = shop("");
    shop.gate("1.3.0", &["--first"]).expect(0);
    let id = shop.manifest()["id"].as_str().unwrap().to_owned();
    admit(&shop, "1.3.0").expect(0);
    admit(&shop, "1.3.0").expect(14);
    reconcile(&shop, "1.2.9").expect(15);
    reconcile(&shop, "1.3.0").expect(0);
    shop.run(&["drill", "-e", "staging"]).expect(0);
    let target = shop.beside("restored").display().to_string();
    shop.run(&["restore", "uploads", "-e", "staging", "--target", &target]).expect(0);
    shop.run(&["restore", "uploads", "-e", "staging", "--target", &target]).expect(2);
    shop.run(&["freeze", "-e", "staging", "--reason", "year's end"]).expect(0);
    shop.gate("1.4.0", &["--from", "1.3.0"]).expect(14);
    shop.run(&["thaw", "-e", "staging", "--reason", "new year"]).expect(0);
    shop.run(&["snapshot", "-e", "staging", "--from", "1.3.0"]).expect(0);
    shop.run(&["guard", "-e", "staging", "--release", "1.4.0", "--commit", COMMIT, "--from", "1.3.0", "--", "false"])
        .expect(20);
    let expected = [
        "gate passed 0",
        "admit passed 0",
        "admit refused 14",
        "reconcile refused 15",
        "reconcile passed 0",
        "drill passed 0",
        "restore began",
        "restore done 0",
        "restore began",
        "restore failed 2",
        "freeze done 0",
        "gate refused 14",
        "thaw done 0",
        "snapshot passed 0",
        "gate passed 0",
        "admit passed 0",
        "guard failed 20",
    ];
    assert_eq!(said(&shop), expected);
    let lines = lines(&shop);
    for (place, line) in lines.iter().enumerate() {
        assert_eq!((line["number"].as_u64(), &line["by"]), (Some(place as u64 + 1), &"ada".into()), "{line:#}");
        assert_eq!((&line["application"], &line["environment"]), (&"shop".into(), &"staging".into()));
    }
    assert!(lines[..11].iter().all(|line| line["release"] == id.as_str()), "{lines:#?}");
    assert_eq!((&lines[0]["version"], &lines[0]["commit"]), (&"1.3.0".into(), &COMMIT.into()));
    assert_eq!(lines[6]["details"], serde_json::json!({"source": "uploads", "target": target}));
    assert_eq!((&lines[10]["why"], &lines[12]["why"]), (&"year's end".into(), &"new year".into()));
    assert_eq!(lines[11]["codes"], serde_json::json!(["frozen"]));
    assert_eq!(shop.manifest()["audit"]["number"], 14, "the manifest names the line before its own");

    let verified = verify(&shop, 0);
    assert_eq!((&verified["verdict"], &verified["lines"]), (&"pass".into(), &17.into()));
    assert_eq!((&verified["manifests"], &verified["end"]["number"]), (&4.into(), &17.into()));
    let table = shop.run(&["audit", "-e", "staging", "-n", "3"]).expect(0).stdout;
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(table.contains("guard") && table.contains("the command exited 1"), "{table}");
    let listed = shop.run(&["audit", "-e", "staging", "-n", "2", "--format", "json"]).expect(0).json();
    assert_eq!(listed["lines"][1]["line"], lines[16]);
}

#[test]
fn lines_and_records_that_are_removed_or_altered_are_found() {
    let (_keys, shop) = shop("");
    shop.gate("1.3.0", &["--first"]).expect(0);
    admit(&shop, "1.3.0").expect(0);
    reconcile(&shop, "1.3.0").expect(0);
    verify(&shop, 0);
    let found = |words: &str| {
        let findings = verify(&shop, 16)["findings"].clone();
        let all: Vec<_> = findings.as_array().unwrap().clone();
        assert!(all.iter().all(|finding| finding["code"] == "audit-broken"), "{all:#?}");
        assert!(all.iter().any(|finding| finding["message"].as_str().unwrap().contains(words)), "{words}: {all:#?}");
    };
    for number in 1..=3 {
        let file = line_file(&shop, number);
        let whole = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        found(&format!("line {number}"));
        std::fs::write(&file, whole.replace("ada", "eve")).unwrap();
        found(&format!("line {number}"));
        std::fs::write(&file, whole).unwrap();
    }
    let manifest = place(&shop).join("releases");
    let hidden = place(&shop).join("hidden");
    std::fs::rename(&manifest, &hidden).unwrap();
    found("which line 1 is about, was removed");
    std::fs::rename(&hidden, &manifest).unwrap();
    verify(&shop, 0);
    // Events that still have the time of their lines, and say something else.
    let release = shop.manifest()["id"].as_str().unwrap().to_owned();
    let events = place(&shop).join(release_folder(&release));
    for (kind, field) in [("admitted", "run"), ("reconciled", "explanation")] {
        let files = std::fs::read_dir(events.join("events")).unwrap().map(|entry| entry.unwrap().path());
        let file = files.into_iter().find(|file| file.file_name().unwrap().to_str().unwrap().contains(kind)).unwrap();
        let whole = std::fs::read(&file).unwrap();
        let mut event: Value = serde_json::from_slice(&whole).unwrap();
        event[field] = "nothing of the kind".into();
        std::fs::write(&file, serde_json::to_vec_pretty(&event).unwrap()).unwrap();
        found("was altered: it is not the one that its line is about");
        std::fs::write(&file, whole).unwrap();
    }
    verify(&shop, 0);
    let output = {
        std::fs::remove_file(line_file(&shop, 2)).unwrap();
        shop.run(&["audit", "verify", "-e", "staging"]).expect(16)
    };
    output.refuses_in_words();
}

#[test]
fn a_gate_without_a_line_does_not_pass() {
    let (_keys, shop) = shop("");
    shop.gate("1.3.0", &["--first"]).expect(0);
    // Where lines belong, there is something else now.
    let audit = place(&shop).join("audit");
    std::fs::rename(&audit, shop.beside("away")).unwrap();
    std::fs::write(&audit, "no folder").unwrap();
    let output = shop.gate("1.4.0", &["--from", "1.3.0"]).expect(10);
    output.refuses_in_words();
    let manifest = shop.manifest();
    assert_eq!(manifest["state"], "refused");
    let codes: Vec<_> =
        manifest["decision"]["findings"].as_array().unwrap().iter().map(|f| f["code"].clone()).collect();
    assert!(codes.contains(&"audit-failed".into()), "{codes:?}");
    let stored = shop.run(&["releases", "-e", "staging", "--format", "json"]).expect(0).json();
    assert_eq!(stored["releases"][0]["manifest"]["state"], "refused", "nobody finds a pass");
    admit(&shop, "1.4.0").expect(16);
    // The pass of before is not used up by one whose line could not be written.
    admit(&shop, "1.3.0").expect(10);
    let target = shop.beside("restored").display().to_string();
    let restored = shop.run(&["restore", "uploads", "-e", "staging", "--target", &target]).expect(0);
    restored.says(&["warning: the audit has no line of this restore"]);
    std::fs::remove_file(&audit).unwrap();
    std::fs::rename(shop.beside("away"), &audit).unwrap();
    admit(&shop, "1.3.0").expect(0);
}

#[test]
fn lines_go_to_a_file_and_to_syslog_as_they_are_stored() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = receiver.local_addr().unwrap().port();
    let (_keys, shop) = shop(&format!("[audit]\nfile = \"audit.jsonl\"\nsyslog = \"udp://127.0.0.1:{port}\"\n"));
    shop.gate("1.3.0", &["--first"]).expect(0);
    admit(&shop, "1.3.0").expect(0);
    let file = shop.path().join("audit.jsonl");
    let kept = std::fs::read_to_string(&file).unwrap();
    let stored = shop.run(&["audit", "-e", "staging", "--raw"]).expect(0).stdout;
    assert_eq!(kept, stored);
    for line in stored.lines() {
        let mut buffer = vec![0; 65536];
        let length = receiver.recv(&mut buffer).unwrap();
        let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
        assert!(
            message.starts_with("<109>1 ") && message.contains(" holdpoint ") && message.ends_with(line),
            "{message}"
        );
    }
    let against = |exit: u8| shop.run(&["audit", "verify", "-e", "staging", "--against", "audit.jsonl"]).expect(exit);
    against(0);
    // Whoever rewrites the whole chain cannot rewrite what was kept elsewhere.
    std::fs::write(&file, kept.replace("ada", "bob")).unwrap();
    assert!(against(16).stdout.contains("line 1 is not the one that was kept elsewhere"));
}

#[test]
fn a_receiver_that_takes_no_line_refuses_where_that_is_demanded() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    let syslog = format!("[audit]\nsyslog = \"tcp://{address}\"\n");
    let (_keys, shop) = shop(&syslog);
    let passed = shop.gate("1.3.0", &["--first"]).expect(0);
    assert!(
        passed.stdout.contains("line 1 of the audit was not taken by syslog at tcp 127.0.0.1"),
        "{}",
        passed.stdout
    );
    // The record of the drill says so, and so is another one than the first line was about.
    let drilled = shop.run(&["drill", "-e", "staging", "--format", "json"]).expect(0).json();
    assert!(drilled.to_string().contains("was not taken by syslog"), "{drilled:#}");
    verify(&shop, 0);
    shop.configure(&format!("{CONFIGURATION}{syslog}forward_required = true\n"));
    shop.gate("1.4.0", &["--from", "1.3.0"]).expect(10);
    let outcomes: Vec<_> = said(&shop);
    let expected = ["gate passed 0", "drill passed 0", "drill passed 0", "gate passed 0", "gate refused 10"];
    assert_eq!(outcomes, expected, "the last word is that it is refused");
    verify(&shop, 0);
}

#[test]
fn a_lease_that_is_lost_while_the_line_is_written_leaves_no_release() {
    let (_keys, shop) = shop("[audit]\nfile = \"pipe\"\n");
    let pipe = shop.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let gate = ["gate", "-e", "staging", "--release", "1.3.0", "--commit", COMMIT, "--first"];
    let mut running = shop.holdpoint().start(gate);
    // The pipe holds up the run as long as nobody reads: the store has the line, and not yet the record.
    until(&mut running, "it wrote its line", || line_file(&shop, 1).exists());
    let mut stolen = lease(&place(&shop)).unwrap();
    stolen["owner"]["host"] = "elsewhere.invalid".into();
    stolen["owner"]["token"] = "another".into();
    stolen["expires_at"] = stolen["acquired_at"].clone();
    std::fs::write(place(&shop).join("lease/1000.json"), serde_json::to_vec(&stolen).unwrap()).unwrap();
    let _reader = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    running.wait().expect(14);
    Manifest::read(&shop.path().join("holdpoint-manifest.json")).assert_refused("refused", &["lease-lost"]);
    assert_eq!(said(&shop), ["gate passed 0", "gate refused 14"], "the last word is that it is refused");
    verify(&shop, 0);
    shop.run(&["releases", "-e", "staging"]).expect(0);
    shop.gate("1.3.0", &["--first"]).expect(0);
    assert!(shop.manifest()["previous"].is_null());
}

#[test]
fn many_at_once_lose_no_line() {
    let (_keys, shop) = shop("");
    shop.gate("1.3.0", &["--first"]).expect(0);
    let runs = if crate::support::full() { 24 } else { 6 };
    let versions: Vec<String> = (0..runs).map(|number| format!("2.0.{number}")).collect();
    // Half of them look, half ask: whoever is refused writes a line, too.
    let running: Vec<_> = versions
        .iter()
        .enumerate()
        .map(|(number, version)| match number % 2 {
            0 => shop.holdpoint().start(["reconcile", "-e", "staging", "--deployed", "1.3.0", "--format", "json"]),
            _ => shop.holdpoint().start(["admit", "-e", "staging", "--release", version, "--commit", COMMIT]),
        })
        .collect();
    for run in running {
        run.wait();
    }
    assert_eq!(lines(&shop).len(), runs + 1);
    verify(&shop, 0);
}
