//! The password in escrow: tried in place of the daily one, which is not even there.

use super::{World, assert_only};
use crate::support::environment::must;
use crate::support::restic::Restic;
use std::fs;
use std::process::Command;

/// The password that lies in escrow.
const ESCROW: &str = "the envelope in the safe";

/// Adds the password to the repository as docs/drills.md says, by stock restic.
fn deposit(world: &World) {
    let daily = world.shop.read(".holdpoint/key");
    let restic = Restic::new(world.place("repository"), daily.trim());
    let file = world.shop.beside("escrow-password");
    fs::write(&file, ESCROW).unwrap();
    must(restic.command(&["key", "add", "--new-password-file"]).arg(&file));
    fs::remove_file(file).unwrap();
}

fn drill(world: &World, name: &str, password: &str) -> Command {
    let mut command =
        world.shop.holdpoint.command(["drill", "--escrow", "--environment", "staging", "--format", "json"]);
    command.env(name, password);
    command
}

#[test]
fn the_right_one_opens_the_repository_without_the_daily_one() {
    // No program of the drill gets to know it.
    let world = World::checking("command = [\"sh\", \"-c\", \"env | grep -c ESCROW || true\"]\nexpect = \"0\"");
    world.gate();
    deposit(&world);
    let key = world.shop.path(".holdpoint/key");
    fs::rename(&key, world.shop.beside("key")).unwrap();
    let file = world.shop.beside("escrow");
    fs::write(&file, format!("{ESCROW}\n")).unwrap();
    let by_command = format!("cat {}", file.display());
    for (name, value) in [
        ("HOLDPOINT_ESCROW_PASSWORD", ESCROW),
        ("HOLDPOINT_ESCROW_PASSWORD_FILE", file.to_str().unwrap()),
        ("HOLDPOINT_ESCROW_PASSWORD_COMMAND", by_command.as_str()),
    ] {
        let output = drill(&world, name, value).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{name}: {stderr}");
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let drill = &document["drills"][0]["drill"];
        assert_eq!((&drill["key"], &drill["result"]), (&"escrow".into(), &"passed".into()));
        world.assert_nothing_left();
    }
    assert!(!key.exists(), "no new key was made");
}

#[test]
fn a_wrong_one_is_found_and_recorded() {
    let world = World::new("");
    let id = world.gate();
    deposit(&world);
    let output = drill(&world, "HOLDPOINT_ESCROW_PASSWORD", "not that one").output().unwrap();
    assert_eq!(output.status.code(), Some(18));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("not that one"));
    let document = serde_json::from_slice(&output.stdout).unwrap();
    assert_only(&document, "drill-password", "password");
    let recorded = world.recorded(&id);
    let [event] = recorded.as_slice() else { panic!("one drill") };
    assert_eq!(event["drill"]["key"], "escrow");
    world.assert_nothing_left();
    // The daily one in its place proves nothing of what lies in the safe.
    let daily = world.shop.read(".holdpoint/key");
    let output = drill(&world, "HOLDPOINT_ESCROW_PASSWORD", daily.trim()).output().unwrap();
    assert_eq!(output.status.code(), Some(18));
    assert_only(&serde_json::from_slice(&output.stdout).unwrap(), "drill-password", "is the daily one");
    world.run(&["drill", "--escrow"]).expect(2).says(&["HOLDPOINT_ESCROW_PASSWORD"]);
}
