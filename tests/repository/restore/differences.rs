//! An identical tree is not touched; what a comparison says.

use super::{Stage, touches};
use holdpoint::repository::restore::Aspects;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_tree_that_is_right_is_not_touched() {
    let stage = Stage::of_sample();
    let target = stage.path("target");
    assert!(!stage.compare(&target).is_none());
    let first = stage.restore(&target);
    stage.assert_restored(&target);
    assert_eq!((first.changed_files, first.written_bytes), (first.files, first.bytes));
    let before = (touches(&target), fs::metadata(&target).unwrap().modified().unwrap());
    let again = stage.restore(&target);
    assert_eq!((again.changed_files, again.changed_dirs, again.written_bytes), (0, 0, 0));
    assert_eq!((again.files, again.bytes), (first.files, first.bytes));
    assert!(stage.compare(&target).is_none());
    assert_eq!(stage.compare(&target).to_string(), "nothing differs");
    assert_eq!((touches(&target), fs::metadata(&target).unwrap().modified().unwrap()), before);
    // What restic restored is right too, to the last byte and bit.
    assert_eq!(stage.compare(&stage.path("expected")).to_string(), "nothing differs");
}

#[test]
fn a_comparison_names_what_differs_and_how() {
    let stage = Stage::of_sample();
    let target = stage.path("target");
    let missing = stage.compare(&target);
    assert_eq!((missing.missing, missing.total()), (missing.names, missing.names));
    assert_eq!(missing.first.len(), 100);
    stage.restore(&target);
    let sample = target.join("tree");
    fs::remove_file(sample.join("größe")).unwrap();
    fs::remove_file(sample.join("tab\tand\x01")).unwrap();
    fs::create_dir(sample.join("tab\tand\x01")).unwrap();
    fs::set_permissions(sample.join("-rf"), fs::Permissions::from_mode(0o751)).unwrap();
    fs::write(sample.join("folder/9"), "x").unwrap();
    fs::write(sample.join("new"), "x").unwrap();
    fs::create_dir_all(sample.join("new folder/inside")).unwrap();
    let before = touches(&target);
    let found = stage.compare(&target);
    assert_eq!(touches(&target), before);
    let of =
        |path: &str| found.first.iter().find(|one| one.path.to_str() == Some(path)).map(|one| one.what.to_string());
    assert_eq!(of("tree/größe").as_deref(), Some("missing"));
    assert_eq!(of("tree/tab\tand\x01").as_deref(), Some("kind"));
    assert_eq!(of("tree/-rf").as_deref(), Some("permissions"));
    assert_eq!(of("tree/folder/9").as_deref(), Some("content, time"));
    assert_eq!(of("tree/new").as_deref(), Some("additional"));
    assert_eq!(of("tree/new folder").as_deref(), Some("additional"));
    assert_eq!(of("tree").as_deref(), Some("time"));
    assert_eq!((found.missing, found.kind, found.content, found.metadata, found.additional), (1, 1, 1, 2, 2));
    assert!(found.to_string().starts_with("7 of "), "{found}");
    assert!(found.first.iter().any(|one| one.what.has(Aspects::CONTENT)));
}

#[test]
fn a_comparison_of_one_path_does_not_see_what_is_beside_it() {
    let stage = Stage::of_sample();
    let target = stage.path("target");
    stage.restore(&target);
    fs::write(target.join("tree/beside"), "x").unwrap();
    let progress = Default::default();
    let workers = stage.workers(&progress);
    let plan = |path: &str| {
        holdpoint::repository::restore::plan_itself(&stage.indexed, stage.root, path.as_ref(), &workers).unwrap()
    };
    assert!(plan("/tree/folder").compare(&target.join("tree"), true, &workers).unwrap().is_none());
    fs::write(target.join("tree/folder/added"), "x").unwrap();
    let found = plan("/tree/folder").compare(&target.join("tree"), true, &workers).unwrap();
    assert_eq!((found.additional, found.metadata), (1, 1));
    let found = plan("/tree/folder").compare(&target.join("tree"), false, &workers).unwrap();
    assert_eq!((found.additional, found.metadata), (0, 1));
}
