//! The deploy step of a rollback asks `holdpoint admit`, as any other.

use super::{NEW, OLD, World};

/// A deploy script as a pipeline has it: it asks first.
fn world() -> World {
    let binary = env!("CARGO_BIN_EXE_holdpoint");
    let world = World::new("before = [[\"sh\", \"-c\", \"rm -f instance-*.json\"]]\nredeploy = [\"sh\", \"ask.sh\"]");
    let other = |release: &str, commit: &str| {
        format!("if {binary} admit -e staging --release {release} --commit {commit} >> log 2>&1; then exit 1; fi\n")
    };
    let script = [
        "set -e\n",
        &other("1.4.0", NEW),
        &other("1.3.0", NEW),
        &other("1.3.1", OLD),
        &format!("{binary} admit -e staging >> admitted 2>&1\n. ./deploy.sh\n"),
    ];
    world.shop.write("ask.sh", script.concat());
    world
}

#[test]
fn exactly_the_older_version_is_admitted_under_the_freeze_and_only_meanwhile() {
    let world = world();
    let id = world.deploy();
    let again = ["admit", "--release", "1.3.0", "--commit", OLD];
    world.roll_back(&id, &[]).expect(0);
    world.assert_undone();
    assert!(world.shop.read("admitted").contains("admitted: shop 1.3.0"), "{}", world.shop.read("admitted"));
    assert_eq!(world.shop.read("log").matches("not admitted: ").count(), 3);
    let admitted: Vec<_> =
        world.events(&id).into_iter().filter(|event| event["event"] == "rollback_admitted").collect();
    assert_eq!(admitted.len(), 1);
    assert_eq!(admitted[0]["signer"], "release@acme.example");
    world.run(&again).expect(14);
}

#[test]
fn a_rollback_pass_counts_only_with_its_signature_and_under_its_freeze() {
    let world = world();
    let binary = env!("CARGO_BIN_EXE_holdpoint");
    // While the rollback waits: without its signature, and edited, the pass counts for nobody.
    let place = world.place("rollback-pass.json").display().to_string();
    let refused = format!("if {binary} admit -e staging >> doubts 2>&1; then exit 1; fi\n");
    let script = [
        "set -e\n",
        &format!("cp {place} {place}.sig .\nrm {place}.sig\n{refused}cp rollback-pass.json.sig {place}.sig\n"),
        &format!("echo >>{place}\n{refused}cp rollback-pass.json {place}\n"),
        &world.shop.read("ask.sh").replacen("set -e\n", "", 1),
    ];
    world.shop.write("ask.sh", script.concat());
    let id = world.deploy();
    world.roll_back(&id, &[]).expect(0);
    let doubts = world.shop.read("doubts");
    assert!(doubts.contains("[pass-unsigned]") && doubts.contains("[signature-invalid]"), "{doubts}");
    // Put back after the end it lets nobody through: neither under its freeze nor under another one.
    let again = || world.run(&["admit", "--release", "1.3.0", "--commit", OLD]);
    for name in ["rollback-pass.json", "rollback-pass.json.sig"] {
        std::fs::write(world.place(name), world.shop.read(name)).unwrap();
    }
    assert!(again().expect(14).stdout.contains("[pass-used]"));
    world.run(&["thaw", "--reason", "1.4.0 is undone"]).expect(0);
    world.run(&["freeze", "--reason", "holidays"]).expect(0);
    assert!(again().expect(14).stdout.contains("holidays"));
}
