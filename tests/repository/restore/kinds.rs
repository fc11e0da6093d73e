//! What stands where something else should be.

use super::{Stage, touches};
use crate::support::sample::{is_root, noise};
use crate::support::shared::PASSWORD;
use crate::support::tree;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;

/// A user that owns nothing.
const NOBODY: u32 = 65534;

/// A directory with what a file, a link or a pipe can be confused with.
fn build(tree: &Path) {
    fs::create_dir(tree.join("dir")).unwrap();
    fs::write(tree.join("dir/inside"), "inside").unwrap();
    fs::write(tree.join("file"), "a file").unwrap();
    fs::write(tree.join("empty"), "").unwrap();
    symlink("file", tree.join("link")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, tree.join("pipe"), rustix::fs::FileType::Fifo, 0o640.into(), 0).unwrap();
    for name in ["one", "one again", "two", "two again"] {
        fs::write(tree.join(name), "the same content in both").unwrap();
    }
    for name in ["one", "two"] {
        fs::remove_file(tree.join(format!("{name} again"))).unwrap();
        fs::hard_link(tree.join(name), tree.join(format!("{name} again"))).unwrap();
    }
    let sparse = fs::File::create(tree.join("sparse")).unwrap();
    sparse.write_all_at(&noise(3 << 20, 1), 0).unwrap();
    sparse.set_len(24 << 20).unwrap();
    fs::write(tree.join("large"), noise(40 << 20, 2)).unwrap();
}

/// Removes a name, whatever it is.
fn clear(path: &Path) {
    let _ = fs::remove_file(path);
    let _ = fs::remove_dir_all(path);
}

#[test]
fn every_kind_makes_way_for_every_other() {
    let stage = Stage::of(build);
    let (target, outside) = (stage.path("target"), stage.path("outside"));
    stage.restore(&target);
    fs::create_dir_all(outside.join("inside")).unwrap();
    fs::write(outside.join("file"), "must stay").unwrap();
    let outside_before = touches(&outside);
    let makes: [&dyn Fn(&Path); 5] = [
        &|path| fs::write(path, "something else").unwrap(),
        &|path| {
            fs::create_dir_all(path.join("a/b/c")).unwrap();
            fs::write(path.join("a/file"), "in the way").unwrap();
            symlink(&outside, path.join("a/b/link")).unwrap();
        },
        &|path| symlink(&outside, path).unwrap(),
        &|path| symlink(outside.join("file"), path).unwrap(),
        &|path| rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o640.into(), 0).unwrap(),
    ];
    for (number, make) in makes.into_iter().enumerate() {
        // In a directory that belongs there, additional names stay.
        let dir = if number == 1 { "file" } else { "dir" };
        for name in [dir, "file", "empty", "link", "pipe", "one", "two again", "sparse"] {
            let path = target.join("tree").join(name);
            clear(&path);
            make(&path);
        }
        stage.restore(&target);
        stage.assert_restored(&target);
    }
    assert_eq!(touches(&outside), outside_before);
}

#[test]
fn a_file_that_somebody_reads_is_replaced_and_not_overwritten() {
    let stage = Stage::of(build);
    let target = stage.path("target");
    stage.restore(&target);
    fs::write(target.join("tree/file"), "another").unwrap();
    let mut reader = fs::File::open(target.join("tree/file")).unwrap();
    stage.restore(&target);
    let mut read = String::new();
    reader.read_to_string(&mut read).unwrap();
    assert_eq!(read, "another");
    stage.assert_restored(&target);
}

#[test]
fn holes_are_right_over_what_was_there() {
    let stage = Stage::of(build);
    let target = stage.path("target");
    stage.restore(&target);
    let path = target.join("tree/sparse");
    let blocks = fs::metadata(&path).unwrap().blocks();
    // Garbage where there should be a hole, at the end and in the middle, and beyond the end.
    for (at, length) in [((24 << 20) - 5, 5), (8 << 20, 1 << 20), (23 << 20, 3 << 20)] {
        fs::OpenOptions::new().write(true).open(&path).unwrap().write_all_at(&vec![7; length], at).unwrap();
        let restored = stage.restore(&target);
        assert_eq!((restored.changed_files, restored.written_bytes), (1, 24 << 20));
        stage.assert_restored(&target);
        assert!(fs::metadata(&path).unwrap().blocks() <= blocks);
    }
    // A file that is right and has no holes is right.
    let zeros = vec![0; 20 << 20];
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&zeros, 4 << 20).unwrap();
    file.set_modified(modified).unwrap();
    assert_eq!(stage.restore(&target).changed_files, 0);
}

#[test]
fn what_the_old_file_has_at_its_place_is_not_fetched() {
    let stage = Stage::of(build);
    let target = stage.path("target");
    stage.restore(&target);
    let path = target.join("tree/large");
    let whole = fs::metadata(&path).unwrap().len();
    let cut = whole - 100;
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(cut).unwrap();
    // The store loses all but the end: what the old file has must do.
    let repository = stage.path("repository/data");
    let packs: Vec<_> = fs::read_dir(&repository)
        .unwrap()
        .flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|pack| pack.unwrap().path())
        .collect();
    assert!(packs.len() > 2);
    let needed = |pack: &&std::path::PathBuf| {
        let away = stage.path("away");
        fs::rename(pack, &away).unwrap();
        let progress = Default::default();
        let restored = stage.plan().perform(&stage.indexed, &target, true, &stage.workers(&progress));
        fs::rename(&away, pack).unwrap();
        let failed = restored.is_err();
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(cut).unwrap();
        failed
    };
    // The plan needs the pack of the trees, and the file needs the pack of its end.
    let trees = |pack: &&std::path::PathBuf| {
        let away = stage.path("away");
        fs::rename(pack, &away).unwrap();
        let progress = Default::default();
        let planned =
            holdpoint::repository::restore::plan(&stage.indexed, stage.root, Path::new("/"), &stage.workers(&progress));
        fs::rename(&away, pack).unwrap();
        planned.is_err()
    };
    let data: Vec<_> = packs.iter().filter(|pack| !trees(pack)).collect();
    assert_eq!(data.iter().filter(|pack| needed(pack)).count(), 1);
    stage.restore(&target);
    stage.assert_restored(&target);
}

#[test]
fn names_joined_or_parted_are_put_right() {
    let stage = Stage::of(build);
    let target = stage.path("target");
    stage.restore(&target);
    let tree = target.join("tree");
    let inode = |name: &str| fs::metadata(tree.join(name)).unwrap().ino();
    let join = |from: &str, to: &str| {
        clear(&tree.join(to));
        fs::hard_link(tree.join(from), tree.join(to)).unwrap();
    };
    let modified = fs::metadata(tree.join("one")).unwrap().modified().unwrap();
    let changes: [&dyn Fn(); 5] = [
        // All four are one.
        &|| ["one again", "two", "two again"].iter().for_each(|name| join("one", name)),
        // Crosswise.
        &|| {
            join("one", "two");
            join("one again", "two again");
        },
        // Apart.
        &|| {
            clear(&tree.join("one again"));
            fs::copy(tree.join("one"), tree.join("one again")).unwrap();
            fs::File::open(tree.join("one again")).unwrap().set_modified(modified).unwrap();
        },
        // A name that nobody knows leads into it.
        &|| fs::hard_link(tree.join("file"), stage.path("outside name")).unwrap(),
        // What was the first name is gone: the other one stays what it is.
        &|| fs::remove_file(tree.join("one")).unwrap(),
    ];
    for (number, change) in changes.iter().enumerate() {
        let (kept, file) = (inode("one again"), inode("file"));
        change();
        let found = stage.compare(&target);
        assert!(found.links + found.missing > 0, "{number}: {found}");
        stage.restore(&target);
        stage.assert_restored(&target);
        match number {
            3 => assert_ne!(inode("file"), file),
            4 => assert_eq!(inode("one again"), kept),
            _ => {}
        }
    }
}

#[test]
fn attributes_and_lists_that_should_not_be_there_go() {
    let stage = Stage::of(build);
    let target = stage.path("target");
    fs::create_dir(&target).unwrap();
    // Everything made below would inherit it: user 1 may read.
    let entries: [(u16, u16, u32); 5] =
        [(1, 7, u32::MAX), (2, 4, 1), (4, 5, u32::MAX), (0x10, 5, u32::MAX), (0x20, 5, u32::MAX)];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        list.extend([tag.to_le_bytes(), permissions.to_le_bytes()].concat());
        list.extend(id.to_le_bytes());
    }
    let set = rustix::fs::setxattr(&target, "system.posix_acl_default", &list, rustix::fs::XattrFlags::empty());
    if let Err(error) = set {
        eprintln!("no access control lists here: {error}");
        return;
    }
    stage.restore(&target);
    stage.assert_restored(&target);
    for name in ["file", "dir", "dir/inside"] {
        let path = target.join("tree").join(name);
        rustix::fs::setxattr(&path, "user.superfluous", b"x", rustix::fs::XattrFlags::empty()).unwrap();
    }
    let found = stage.compare(&target);
    assert_eq!((found.metadata, found.total()), (3, 3));
    let restored = stage.restore(&target);
    assert_eq!((restored.changed_files, restored.changed_dirs, restored.written_bytes), (2, 1, 0));
    stage.assert_restored(&target);
}

/// What permissions forbid to whoever restores, the owner of a directory may still allow.
#[test]
fn directories_that_are_locked_are_opened_and_locked_again() {
    if !is_root() {
        return eprintln!("not root: cannot become another user");
    }
    let stage = Stage::of(|tree| {
        build(tree);
        fs::write(tree.join("dir/closed"), "nobody reads it").unwrap();
        fs::set_permissions(tree.join("dir/closed"), fs::Permissions::from_mode(0o0)).unwrap();
        fs::set_permissions(tree.join("dir"), fs::Permissions::from_mode(0o555)).unwrap();
    });
    let (target, program) = (stage.path("target"), stage.path("program"));
    fs::copy(env!("CARGO_BIN_EXE_holdpoint"), &program).unwrap();
    let folder = stage.path("");
    let all = tree::facts(&folder).into_keys().map(|path| folder.join(path));
    for path in all.chain([folder.clone()]) {
        std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let restore = || {
        let mut command = std::process::Command::new(&program);
        command.args(["restore", "--force", "--target", "target", "--repository", "repository"]);
        command.env_clear().env("HOLDPOINT_PASSWORD", PASSWORD).env("HOME", stage.path(""));
        let output = command.current_dir(stage.path("")).uid(NOBODY).gid(NOBODY).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = restore();
    assert!(said.contains("tree/dir/closed: was not read back"), "{said}");
    let inside = target.join("tree/dir/inside");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    fs::write(&inside, "other").unwrap();
    restore();
    assert_eq!(fs::read(&inside).unwrap(), b"inside");
    assert_eq!((mode(&target.join("tree/dir")), mode(&target.join("tree/dir/closed"))), (0o555, 0));
    assert_eq!(fs::read(target.join("tree/dir/closed")).unwrap(), b"nobody reads it");
}
