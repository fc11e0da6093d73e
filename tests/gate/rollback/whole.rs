//! The whole way with a real PostgreSQL, files and an HTTP application: deployed with a destructive migration, found
//! broken, rolled back, thawed.

use super::{HOOKS, NEW, OLD, World};
use crate::gate::shop::until;
use crate::support::holdpoint::Running;
use crate::support::postgres::{Postgres, programs_15};
use crate::support::tree;
use crate::support::version_server::Answer;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// What an application of version 1.3.0 has.
const SCHEMA: &str = "
CREATE TYPE state AS ENUM ('open', 'paid');
CREATE TABLE customers (id serial PRIMARY KEY, name text NOT NULL UNIQUE, facts jsonb);
CREATE TABLE orders (id integer PRIMARY KEY, total integer NOT NULL, customer integer REFERENCES customers, state state DEFAULT 'open');
CREATE INDEX ON orders (state);
CREATE VIEW revenue AS SELECT c.name, sum(o.total) FROM orders o JOIN customers c ON c.id = o.customer GROUP BY 1;
CREATE FUNCTION pay(integer) RETURNS void LANGUAGE sql AS 'UPDATE orders SET state = ''paid'' WHERE id = $1';
CREATE TABLE schema_migrations (version text PRIMARY KEY);
INSERT INTO schema_migrations VALUES ('0041');
INSERT INTO customers (name, facts) SELECT 'customer ' || i, jsonb_build_object('n', i) FROM generate_series(1, 500) i;
INSERT INTO orders VALUES (1, 10, 1), (2, 20, 2);
COMMENT ON TABLE orders IS 'what was bought';
";

/// What 1.4.0 makes of it: a column and tables are gone, and with them what they held.
const MIGRATION: &str = "
DROP VIEW revenue; DROP FUNCTION pay; ALTER TABLE orders DROP COLUMN customer, DROP COLUMN state; DROP TYPE state;
DROP TABLE customers; ALTER TABLE orders RENAME TO sales; UPDATE sales SET total = total * 100;
INSERT INTO schema_migrations VALUES ('0042'); INSERT INTO sales VALUES (3, 3000);
";

/// The state of the data: what the server dumps, and every file with all that belongs to it.
type State = (String, String);

fn world(hooks: &str) -> World {
    World::with_postgres(hooks, SCHEMA, &format!("programs = \"{}\"", programs_15().display()))
}

impl World {
    fn state(&self) -> State {
        (self.dump(), format!("{:?}", tree::facts(&self.shop.path("uploads"))))
    }

    fn migrate_all(&self) {
        self.sql(MIGRATION);
        fs::remove_dir_all(self.shop.path("uploads/old")).unwrap();
        self.shop.write("uploads/mug.txt", "rewritten by 1.4.0\n").write("uploads/new/plate.txt", "a plate\n");
    }

    /// Takes 1.4.0 all the way; returns the release, and the state before.
    fn deploy_all(&self) -> (String, State) {
        let before = self.state();
        let id = self.pass("1.4.0", NEW);
        self.migrate_all();
        self.deployed(&[1, 2, 3], "1.4.0", NEW);
        self.run(&["reconcile", "--id", &id]).expect(0);
        (id, before)
    }

    /// Fails unless everything is as it was before 1.4.0, and nothing is left of the way there.
    #[track_caller]
    fn assert_as(&self, before: &State) {
        let (dump, files) = self.state();
        assert_eq!(dump, before.0);
        // Directories get new times by what is restored into them only before their own are set.
        assert_eq!(files, before.1);
        for instance in [1, 2, 3] {
            assert!(self.shop.read(&format!("instance-{instance}.json")).contains("\"1.3.0\""));
        }
        assert_eq!(self.databases(), "postgres shop template0 template1");
        assert_eq!(self.server.as_ref().unwrap().left(), "", "sessions are left");
        assert!(self.place("freeze.json").exists() && !self.place("claim.json").exists());
        assert!(!self.place("rollback-pass.json").exists());
        self.shop.assert_nothing_left();
    }
}

#[test]
fn a_destructive_migration_is_undone_and_deploying_goes_on_once_somebody_thaws() {
    let world = world(HOOKS);
    let (id, before) = world.deploy_all();
    assert_ne!(world.state(), before);
    // The application answers, with the new version, and sells nothing: that is for people to find out.
    let output = world.roll_back(&id, &[]).expect(0);
    assert!(output.stdout.contains("rolled back: 1.4.0 is undone"), "{}", output.stdout);
    world.assert_as(&before);
    let deployed = format!("deploy 1.3.0 {OLD} for {id}");
    assert_eq!(world.log(), ["stop staging", &deployed, "start 1.3.0 after 1.4.0"]);
    let events = world.events(&id);
    let observed = events.iter().rfind(|event| event["event"] == "reconciled").unwrap();
    assert_eq!((&observed["expected"], &observed["outcome"]), (&"from".into(), &"matched".into()));
    assert!(events.iter().any(|event| event["event"] == "rolled_back"));

    // What 1.4.0 had written is kept: in a database of its own, it can be looked at.
    let saved = events.iter().find_map(|event| Some(event["saved"].as_str()?.to_owned())).unwrap();
    let server = world.server.as_ref().unwrap();
    world.run(&["restore", "orders", "--id", &saved, "--target", &server.url("look")]).expect(0);
    assert_eq!(server.psql("look", "SELECT sum(total) FROM sales"), "6000");
    server.psql("postgres", "DROP DATABASE look");

    let gate = |code| world.run(&["gate", "--release", "1.4.1", "--commit", NEW]).expect(code);
    gate(14).refuses_in_words();
    world.run(&["admit", "--release", "1.4.1", "--commit", NEW]).expect(14);
    world.run(&["thaw", "--reason", "1.4.0 is undone"]).expect(0);
    gate(0);
    world.run(&["admit", "--release", "1.4.1", "--commit", NEW]).expect(0);
}

#[test]
fn a_deployment_that_reached_two_of_three_instances_is_undone() {
    let world = world(HOOKS);
    let before = world.state();
    let id = world.pass("1.4.0", NEW);
    world.migrate_all();
    world.deployed(&[1, 2], "1.4.0", NEW);
    world.run(&["reconcile", "--id", &id]).expect(15);
    world.roll_back(&id, &[]).expect(0);
    world.assert_as(&before);
}

#[test]
fn an_application_that_is_down_and_a_deploy_step_that_asks_are_no_obstacle() {
    let binary = env!("CARGO_BIN_EXE_holdpoint");
    let world = world("before = [[\"sh\", \"-c\", \"rm -f instance-*.json\"]]\nredeploy = [\"sh\", \"ask.sh\"]");
    let other = format!("if {binary} admit -e staging --release 1.4.0 --commit {NEW} >> log 2>&1; then exit 1; fi");
    world.shop.write("ask.sh", format!("set -e\n{other}\n{binary} admit -e staging >> admitted 2>&1\n. ./deploy.sh\n"));
    let (id, before) = world.deploy_all();
    world.down();
    world.roll_back(&id, &[]).expect(0);
    world.assert_as(&before);
    assert!(world.shop.read("admitted").contains("admitted: shop 1.3.0"));
    let admitted = world.events(&id).into_iter().find(|event| event["event"] == "rollback_admitted").unwrap();
    assert_eq!(admitted["signer"], "release@acme.example");
}

#[test]
fn the_wrong_manifest_the_wrong_database_and_a_target_that_is_not_empty_change_nothing() {
    let mut world = world(HOOKS);
    let older = world.pass("1.4.0", NEW);
    world.deployed(&[1, 2, 3], "1.4.0", NEW);
    world.run(&["reconcile", "--id", &older]).expect(0);
    let newer = "3333333333333333333333333333333333333333";
    let id = world.pass("1.5.0", newer);
    world.migrate_all();
    world.deployed(&[1, 2, 3], "1.5.0", newer);
    world.run(&["reconcile", "--id", &id]).expect(0);
    let before = world.state();
    let untouched = |world: &World| {
        assert_eq!(world.state(), before);
        assert_eq!((world.databases().as_str(), world.log().len()), ("postgres shop template0 template1", 0));
        assert!(!world.place("freeze.json").exists());
    };
    // Of another release, of nobody, of another environment.
    world.roll_back(&older, &[]).expect(15).says(&["does not describe what is running"]);
    let file = world.shop.path("holdpoint-manifest.json");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.replace("dba@acme.example", "eve@acme.example")).unwrap();
    let by_file = ["rollback", "--manifest", "holdpoint-manifest.json", "--yes", "staging", "--wait", "0s"];
    world.run(&by_file).expect(16).refuses_in_words();
    fs::write(&file, &good).unwrap();
    let other = ["rollback", "--environment", "production", "--yes", "production"];
    let refused = world.shop.holdpoint.run([&other[..], &["--manifest", "holdpoint-manifest.json"]].concat());
    refused.expect(16).refuses_in_words();
    untouched(&world);

    // Nothing existing is overwritten by a restore that was not told to.
    let server = world.server.as_ref().unwrap();
    world.run(&["restore", "orders", "--id", &id]).expect(17).says(&["is not empty", "--force"]);
    world.run(&["restore", "orders", "--id", &id, "--target", &server.url("shop")]).expect(17).says(&["is not empty"]);
    world.run(&["restore", "uploads", "--id", &id]).expect(2).says(&["overwrites what is there"]);
    let full = world.shop.path("uploads").display().to_string();
    for source in ["uploads", "orders"] {
        world.run(&["restore", source, "--id", &id, "--target", &full]).expect(2).says(&["is not empty"]);
    }
    untouched(&world);

    // A server with the same database, which is another one all the same.
    let wrong = Postgres::start();
    wrong.create("shop", "CREATE TABLE orders (id integer, total integer); INSERT INTO orders VALUES (99, 1)");
    world.shop = world.shop.env("DATABASE_URL", wrong.url("shop"));
    let output = world.roll_back(&id, &[]).expect(17);
    assert!(output.stdout.contains("[wrong-target]"), "{}", output.stdout);
    assert_eq!(wrong.psql("shop", "SELECT id FROM orders"), "99");
    assert_eq!(wrong.left(), "");
    untouched(&world);
}

/// Waits at the step that the file `wait` names; says that it was reached.
const WAIT: &str =
    r#"at() { echo "$1" >> "$SHOP/log"; if [ "$(cat "$SHOP/wait")" = "$1" ]; then exec sleep 600; fi; }"#;

/// Lets the programs of the server wait, too.
fn stand_ins(world: &World) {
    for (program, step) in [("pg_dump", "safety"), ("pg_restore", "restore"), ("pg_dumpall", "")] {
        let (shop, bin) = (world.shop.path(""), programs_15());
        let wait = if step.is_empty() { String::new() } else { format!("at {step}\n") };
        let script = format!(
            "#!/bin/sh\nSHOP={}\n{WAIT}\ncase $1 in --version) ;; *) {} ;; esac\nexec {}/{program} \"$@\"\n",
            shop.display(),
            if wait.is_empty() { ":" } else { wait.trim_end() },
            bin.display()
        );
        let path = world.shop.write(&format!("bin/{program}"), script).path(&format!("bin/{program}"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Kills a run, and whatever it leaves to itself.
fn kill(world: &World, running: Running) {
    running.signal(Signal::KILL);
    assert_eq!(running.wait().code, None);
    // One that is just becoming another program has no environment for a moment, by which it is found: so twice none.
    let mut seen_none = 0;
    while seen_none < 2 {
        let left = world.shop.processes();
        seen_none = if left.is_empty() { seen_none + 1 } else { 0 };
        for process in left {
            let pid = process.trim_start_matches("/proc/").split(':').next().unwrap().parse().unwrap();
            // It may have ended by itself meanwhile.
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
    }
}

#[test]
fn a_rollback_that_is_killed_at_every_kind_of_step_is_gone_on_with() {
    let hooks = r#"
before = [["sh", "-c", "SHOP=.; . ./wait.sh; at before; rm -f instance-*.json"]]
redeploy = ["sh", "-c", "SHOP=.; . ./wait.sh; at redeploy; sh deploy.sh"]
after = [["sh", "-c", "SHOP=.; . ./wait.sh; at after"]]
"#;
    let world = World::with_postgres(hooks, SCHEMA, "programs = \"bin\"");
    stand_ins(&world);
    world.shop.write("wait.sh", WAIT).write("wait", "nowhere");
    // Enough files to be caught at them.
    for number in 0..400 {
        world.shop.write(&format!("uploads/many/{number}.txt"), format!("file {number}\n").repeat(100));
    }
    let (id, before) = world.deploy_all();
    for number in 0..400 {
        world.shop.write(&format!("uploads/many/{number}.txt"), "rewritten\n");
    }
    let server = world.server.as_ref().unwrap();
    let broken = world.dump();
    let reached =
        |step: &str| fs::read_to_string(world.shop.path("log")).is_ok_and(|log| log.lines().any(|line| line == step));
    let started = |step: &str| world.steps(&id).contains(&format!("{step}: started"));
    for step in ["safety", "before", "restore"] {
        world.log();
        world.shop.write("wait", step);
        let mut running = world.start(&id);
        until(&mut running, step, || reached(step));
        kill(&world, running);
        // So far the database is the broken one, whole: what was begun beside it bears the name of a run.
        while !server.left().is_empty() {}
        assert_eq!(world.dump(), broken, "after {step}");
        assert!(world.place("freeze.json").exists());
    }
    world.shop.write("wait", "nowhere");
    let mut running = world.start(&id);
    until(&mut running, "the files", || started("restore uploads"));
    kill(&world, running);
    for step in ["redeploy", "after"] {
        world.log();
        world.shop.write("wait", step);
        let mut running = world.start(&id);
        until(&mut running, step, || reached(step));
        assert_eq!(world.dump(), before.0, "the database is restored before the deploy step");
        kill(&world, running);
    }
    // The last look: an instance does not answer.
    world.shop.write("wait", "nowhere");
    world.instances[0].answer(Answer::Hang);
    let mut running = world.start(&id);
    until(&mut running, "the last look", || started("reconcile"));
    kill(&world, running);
    world.instances[0].answer(Answer::File(world.shop.path("instance-1.json")));
    world.roll_back(&id, &[]).expect(0);
    world.assert_as(&before);
    let steps = world.steps(&id);
    let done: Vec<_> = steps.iter().filter(|step| step.ends_with(": done")).collect();
    // The safety snapshot, a hook before, two restores, two looks at them, the deploy
    // step, a hook after, and the last look.
    assert_eq!(done.len(), 9, "nothing that was done is done again: {steps:?}");
}

#[test]
fn a_rollback_that_is_ended_while_it_restores_leaves_the_old_database_or_the_new_one() {
    let world = World::with_postgres(HOOKS, SCHEMA, "programs = \"bin\"");
    stand_ins(&world);
    world.shop.write("wait", "nowhere");
    let (id, before) = world.deploy_all();
    let broken = world.dump();
    world.shop.write("wait", "restore");
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        world.log();
        let mut running = world.start(&id);
        let reached = || fs::read_to_string(world.shop.path("log")).is_ok_and(|log| log.contains("restore"));
        until(&mut running, "the restore", reached);
        running.signal(signal);
        let ended = running.wait().expect(code);
        ended.refuses_in_words().says(&["next: holdpoint rollback ", &format!("--id {id}")]);
        assert_eq!(world.dump(), broken);
        assert_eq!(world.databases(), "postgres shop template0 template1", "what was begun is dropped");
        assert_eq!(world.server.as_ref().unwrap().left(), "");
        world.shop.assert_nothing_left();
    }
    world.shop.write("wait", "nowhere");
    world.roll_back(&id, &[]).expect(0);
    world.assert_as(&before);
}
