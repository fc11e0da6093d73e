//! The page of a release tells how its rollback goes, while it goes.

use super::{HOOKS, World};
use crate::support::ledger::release_folder;
use crate::support::wait;
use rustix::process::Signal;
use std::fs;
use std::path::PathBuf;

fn folder(world: &World, id: &str) -> PathBuf {
    world.place(&release_folder(id))
}

/// Returns the page without its tags, one blank between words.
fn words(html: &str) -> String {
    let text = regex::Regex::new("<[^>]*>").unwrap().replace_all(html, " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace("&#x27;", "'").replace("&quot;", "\"")
}

#[test]
fn the_stored_page_is_made_anew_at_each_step() {
    let world = World::new(
        "before = [[\"sh\", \"-c\", \"rm -f instance-*.json; test -e goes-on || exec sleep 600\"]]\n\
         redeploy = [\"sh\", \"deploy.sh\"]",
    );
    let id = world.deploy();
    let folder = folder(&world, &id);
    let page = || words(&fs::read_to_string(folder.join("manifest.html")).unwrap());
    let before = page();
    assert!(before.contains("rollback --application shop --environment staging --store"), "{before}");
    assert!(!before.contains("The rollback of this release") && !before.contains("Frozen"), "{before}");

    let first = world.start(&id);
    let reached = wait::for_change(&[&folder], first.pid(), || page().contains("Under way: step 2 of 8 since "));
    assert!(reached, "{}\n{}", page(), first.stderr());
    let running = page();
    for text in [
        "1 done save the present state",
        "2 running stop what writes",
        "3 to do restore orders (sqlite) overwrites data owner: dba@acme.example",
        "The state before it is saved as 20",
        "Go on where it is: holdpoint rollback --application shop --environment staging",
        "staging is frozen: nothing may be deployed into it",
        "A rollback was begun on ",
    ] {
        assert!(running.contains(text), "{text:?} in\n{running}");
    }
    first.signal(Signal::TERM);
    first.wait().expect(143);
    let stopped = page();
    assert!(stopped.contains("Stopped at step 2 of 8: it failed Failed on "), "{stopped}");

    world.shop.write("goes-on", "");
    world.roll_back(&id, &[]).expect(0);
    world.assert_undone();
    let done = page();
    assert!(done.contains("Rolled back on ") && done.contains("Steps done 8 of 8"), "{done}");
    assert!(done.contains("8 done see that 1.3.0 runs") && !done.contains("Go on where it is"), "{done}");
    assert!(done.contains("holdpoint thaw --application shop --environment staging --store "), "{done}");
    let markdown = world.run(&["show", &id, "--markdown"]).expect(0).stdout;
    assert!(markdown.contains("\n```sh\nholdpoint thaw --application shop --environment staging"), "{markdown}");
    assert!(markdown.contains("| 8 | see that 1.3.0 runs | **done**"), "{markdown}");

    world.run(&["thaw", "--reason", "1.4.0 is undone"]).expect(0);
    let thawed = page();
    assert!(thawed.contains("Rolled back on ") && thawed.contains(": 1.4.0 is undone"), "{thawed}");
    assert!(!thawed.contains("staging is frozen"), "{thawed}");
}

#[test]
fn a_page_that_cannot_be_written_stops_nothing() {
    let world = World::new(HOOKS);
    let id = world.deploy();
    let page = folder(&world, &id).join("manifest.html");
    fs::remove_file(&page).unwrap();
    fs::create_dir_all(page.join("in the way")).unwrap();
    let output = world.roll_back(&id, &[]).expect(0);
    output.says(&["warning: ", "manifest.html"]);
    world.assert_undone();
}

#[test]
fn the_commands_of_the_page_can_be_copied() {
    let world = World::new(HOOKS);
    let id = world.deploy();
    let commands = world.shop.manifest().0["rollback"]["commands"].clone();
    let run = |name: &str| {
        let words = shlex::split(commands[name].as_str().unwrap()).unwrap();
        assert_eq!(words[0], "holdpoint");
        world.shop.holdpoint.run(&words[1..])
    };
    assert!(run("plan").expect(0).stdout.contains("roll back shop → staging   1.4.0 → 1.3.0"));
    run("rollback").expect(0);
    world.assert_undone();
    run("thaw").expect(0);
    assert!(!world.place("freeze.json").exists());
    let markdown = world.run(&["show", &id, "--markdown"]).expect(0).stdout;
    assert!(markdown.contains(&format!("```sh\n{}\n```", commands["plan"].as_str().unwrap())), "{markdown}");
    world.run(&["show", &id, "--markdown", "--html"]).expect(2);
    world.run(&["show", &id, "--markdown", "--format", "json"]).expect(2);
}
