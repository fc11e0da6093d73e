//! A rollback from another checkout of the same configuration than the gate ran in.

use super::World;
use crate::gate::shop::names;
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn files_are_saved_and_restored_where_they_were_captured() {
    let world = World::new("redeploy = [\"sh\", \"-c\", \"cd HERE; sh deploy.sh\"]");
    let shop = &world.shop;
    let configuration = shop.read("holdpoint.toml").replace("HERE", &shop.path("").display().to_string());
    // The database is named by where it is; of the files each checkout has its own.
    let database = format!("path = {:?}", shop.path("orders.db"));
    shop.write("holdpoint.toml", configuration.replace("path = \"orders.db\"", &database));
    let id = world.deploy();

    let other = shop.beside("checkout");
    fs::create_dir_all(other.join("uploads/new")).unwrap();
    fs::copy(shop.path("holdpoint.toml"), other.join("holdpoint.toml")).unwrap();
    symlink(shop.path(".holdpoint"), other.join(".holdpoint")).unwrap();
    fs::write(other.join("uploads/new/plate.txt"), "of this checkout\n").unwrap();
    let arguments = World::arguments(&id, &[]);
    let output = shop.holdpoint.command(arguments).current_dir(&other).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    world.assert_undone();
    assert_eq!(names(&other.join("uploads/new")), ["plate.txt"], "files of the other checkout are gone");

    // What was overwritten and removed is in the safety snapshot.
    let saved = world.events(&id).iter().find_map(|event| Some(event["saved"].as_str()?.to_owned())).unwrap();
    let target = shop.beside("saved");
    world.run(&["restore", "uploads", "--id", &saved, "--target", target.to_str().unwrap()]).expect(0);
    let saved = target.join(shop.path("uploads").strip_prefix("/").unwrap());
    assert_eq!(fs::read_to_string(saved.join("mug.txt")).unwrap(), "another mug\n");
    assert_eq!(fs::read_to_string(saved.join("new/plate.txt")).unwrap(), "a plate\n");
}
