//! From the plan to what is left: shown, asked for, freed to the byte, and told by every command.

use super::super::shop::{STAGING, Shop};
use super::{BARE, gate, prune, releases, restores, run, size_of};
use crate::support::ledger::release_folder;

#[test]
fn what_no_rule_keeps_goes_and_everybody_says_so() {
    let shop = Shop::with(BARE);
    let all: Vec<_> = ["1.0.0", "1.1.0", "1.2.0", "1.3.0"].map(|version| gate(&shop, version)).into();
    let repository = shop.place(STAGING).join("repository");
    let before = size_of(&repository);

    let plan = run(&shop, &["prune", "--dry-run", "--format", "json"]).expect(0).json();
    assert_eq!(plan["performed"], false);
    assert_eq!(releases(&plan, true), [&*all[2].id, &all[1].id, &all[0].id]);
    assert_eq!(releases(&plan, false), [&*all[3].id]);
    assert_eq!(size_of(&repository), before, "a plan changes nothing");
    run(&shop, &["prune"]).expect(2).shows(&["nobody is here to be asked", "--yes"]);
    run(&shop, &["prune", "--dry-run", "--keep-last", "2"]).expect(0).shows(&["2 releases let go"]);
    all.iter().for_each(|passed| restores(&shop, passed));

    let done = prune(&shop, &[]);
    assert_eq!(done["performed"], true);
    let freed = done["plan"]["totals"]["freed"].as_i64().unwrap();
    assert_eq!(plan["plan"]["totals"]["freed"], freed, "it is what was announced");
    assert_eq!(i64::try_from(before).unwrap() - i64::try_from(size_of(&repository)).unwrap(), freed);
    assert!(freed > 0);
    shop.restic(STAGING).check();
    restores(&shop, &all[3]);
    shop.assert_nothing_left();

    let (gone, id) = (&all[1], all[1].id.as_str());
    run(&shop, &["restore", "data", "--id", id, "--target", "x"]).expect(2).shows(&["retention let", "go at"]);
    run(&shop, &["show", id]).expect(0).shows(&["No, it was let go", "let go by retention"]);
    let listed = run(&shop, &["releases"]).expect(0);
    assert_eq!(listed.stdout.matches("passed, let go").count(), 3, "{}", listed.stdout);
    let listed = run(&shop, &["releases", "--format", "json"]).expect(0).json();
    let pruned: Vec<_> = listed["releases"].as_array().unwrap().iter().map(|one| one["pruned"] == true).collect();
    assert_eq!(pruned, [false, true, true, true]);
    let page = std::fs::read_to_string(folder(&shop, &gone.id).join("manifest.html")).unwrap();
    assert!(page.contains("No, it was let go"));
    assert!(folder(&shop, &gone.id).join("manifest.json").exists(), "manifests are never deleted");
    run(&shop, &["rollback", "--id", id, "--plan"]).expect(16).shows(&["retention let"]);
    run(&shop, &["drill", "--id", id]).shows(&["retention let"]);

    // A second one finds nothing, and a later gate goes on.
    let again = prune(&shop, &[]);
    assert_eq!((releases(&again, true).len(), again["plan"]["totals"]["freed"].as_i64()), (0, Some(0)));
    let next = gate(&shop, "1.4.0");
    assert_eq!(releases(&prune(&shop, &[]), true), [&*all[3].id]);
    restores(&shop, &next);
}

fn folder(shop: &Shop, id: &str) -> std::path::PathBuf {
    shop.place(STAGING).join(release_folder(id))
}

#[test]
fn a_prune_that_was_cut_off_after_its_events_is_finished_by_the_next() {
    let shop = Shop::with(BARE);
    let all: Vec<_> = ["1.0.0", "1.1.0"].map(|version| gate(&shop, version)).into();
    // As a kill leaves it: marked, and still there.
    let event = serde_json::json!({
        "event": "pruned", "at": "2026-11-20T00:00:00Z", "by": "ada", "snapshots": [all[0].snapshot],
    });
    let events = folder(&shop, &all[0].id).join("events");
    std::fs::create_dir_all(&events).unwrap();
    std::fs::write(events.join("pruned-20261120T000000.000000Z-00000000.json"), event.to_string()).unwrap();
    run(&shop, &["rollback", "--id", &all[0].id, "--plan"]).expect(16).shows(&["retention let"]);
    let done = prune(&shop, &[]);
    assert_eq!(done["plan"]["leftovers"], serde_json::json!([all[0].snapshot]));
    assert_eq!(shop.restic(STAGING).check().snapshots().len(), 1);
    restores(&shop, &all[1]);
}

#[test]
fn without_a_rule_nothing_is_let_go() {
    let shop = Shop::with(&BARE.replace("keep_last = 1\n", ""));
    let all: Vec<_> = ["1.0.0", "1.1.0", "1.2.0"].map(|version| gate(&shop, version)).into();
    let done = prune(&shop, &[]);
    assert_eq!((releases(&done, true).len(), &done["plan"]["without_rule"]), (0, &true.into()));
    assert_eq!(releases(&prune(&shop, &["--keep-within", "1ms"]), true), [&*all[1].id, &all[0].id]);
    restores(&shop, &all[2]);
}

#[test]
fn what_is_not_ours_stays_and_what_nobody_names_goes_if_it_is_asked_for() {
    let shop = Shop::with(BARE);
    gate(&shop, "1.0.0");
    let last = gate(&shop, "1.1.0");
    let restic = shop.restic(STAGING);
    let data = shop.path("data");
    let backup = |tags: &str, time: &str| {
        let tags: Vec<&str> = tags.split(' ').flat_map(|tag| ["--tag", tag]).collect();
        let arguments =
            [&["backup", "--quiet", "--json", "--time", time][..], &tags, &[data.to_str().unwrap()]].concat();
        restic.run(&arguments);
    };
    let lost = "application=shop environment=staging source=data release=20200101T000000Z-1.0.0-00000000";
    backup("mine", "2020-01-01 00:00:00");
    backup(lost, "2020-01-01 00:00:00");
    backup(&lost.replace("staging", "production"), "2020-01-01 00:00:00");
    let now = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    backup(lost, &now);
    let lonely = lost.replace("source=data", "source=other");
    backup(&lonely, "2020-01-01 00:00:00");
    assert_eq!(restic.snapshots().len(), 7);
    prune(&shop, &[]);
    assert_eq!(restic.snapshots().len(), 6, "what nobody names is not taken for garbage");
    let refused = run(&shop, &["prune", "--yes", "--unreferenced-older-than", "1m"]).expect(2);
    refused.shows(&["too short"]);
    let done = prune(&shop, &["--unreferenced-older-than", "1d"]);
    assert_eq!(done["plan"]["unnamed"].as_array().unwrap().len(), 1);
    assert_eq!(restic.check().snapshots().len(), 5, "the old one alone of which there is a newer one");
    restores(&shop, &last);
}
