//! What restic writes, we read: restored, listed, streamed and verified.

use crate::support::shared::Restic;
use crate::support::{sample, tree};
use holdpoint::cancel::{Cancel, Reason};
use holdpoint::error::ErrorCode;
use holdpoint::model::manifest::VerifyMode;
use holdpoint::model::progress::Progress;
use holdpoint::repository::restore::{self, MARKER};
use holdpoint::repository::stream::{dump, open_stream};
use holdpoint::repository::{Id, Indexed, Workers, ls, verify};
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

struct Sample {
    folder: TempDir,
    indexed: Arc<Indexed>,
    root: Id,
    cancel: Cancel,
    progress: Arc<Progress>,
}

/// Has restic store the sample tree.
fn sample() -> Sample {
    let folder = tempfile::tempdir().unwrap();
    sample::build(&folder.path().join("sample"));
    fs::remove_file(folder.path().join("sample").join(sample::LINK_TO_BYTES)).unwrap();
    let restic = Restic::at(folder.path().join("repository")).init();
    restic.backup(&folder.path().join("sample"));
    let repository = restic.open();
    let cancel = Cancel::new();
    let indexed = Arc::new(repository.index(&cancel).unwrap());
    let root = repository.snapshots().unwrap()[0].1.tree;
    Sample { folder, indexed, root, cancel, progress: Progress::new() }
}

impl Sample {
    fn workers(&self) -> Workers<'_> {
        Workers { threads: 3, progress: &self.progress, cancel: &self.cancel }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn restore(&self, path: &str, target: &Path, force: bool) -> holdpoint::error::Result<restore::Restored> {
        let plan = restore::plan(&self.indexed, self.root, Path::new(path), &self.workers())?;
        plan.perform(&self.indexed, target, force, &self.workers())
    }
}

#[test]
fn every_kind_of_node_is_restored_as_it_was() {
    let sample = sample();
    let restored = sample.restore("/", &sample.path("target"), false).unwrap();
    tree::assert_same(&sample.path("sample"), &sample.path("target/sample"));
    assert_eq!(restored.notes, []);
    assert_eq!(sample.progress.bytes(), restored.bytes);
    assert!(!sample.path("target").join(MARKER).exists());
    use std::os::unix::fs::MetadataExt;
    for name in ["sparse", "only a hole"] {
        let metadata = fs::metadata(sample.path("target/sample").join(name)).unwrap();
        assert!(metadata.blocks() * 512 < metadata.size() / 2, "{name} has no holes");
    }
}

#[test]
fn what_exists_is_replaced_only_by_force() {
    let sample = sample();
    let target = sample.path("target");
    fs::create_dir_all(target.join("sample/folder")).unwrap();
    fs::write(target.join("sample/small"), b"other").unwrap();
    fs::write(target.join("sample/deep"), b"a file where a folder goes").unwrap();
    std::os::unix::fs::symlink("/etc", target.join("sample/empty folder")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", target.join("sample/text")).unwrap();
    let error = sample.restore("/", &target, false).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Usage);
    sample.restore("/", &target, true).unwrap();
    tree::assert_same(&sample.path("sample"), &target.join("sample"));
    sample.restore("/", &target, true).unwrap();
    tree::assert_same(&sample.path("sample"), &target.join("sample"));
}

#[test]
fn a_part_or_one_file_is_restored_alone() {
    let sample = sample();
    sample.restore("/sample/folder", &sample.path("part"), false).unwrap();
    tree::assert_same(&sample.path("sample/folder"), &sample.path("part"));
    sample.restore("sample/large", &sample.path("file"), false).unwrap();
    assert_eq!(fs::read(sample.path("file/large")).unwrap(), fs::read(sample.path("sample/large")).unwrap());
    let error = sample.restore("/sample/no such", &sample.path("nothing"), false).unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert!(!sample.path("nothing").exists());
}

#[test]
fn a_cancelled_restore_keeps_its_mark() {
    let sample = sample();
    let plan = restore::plan(&sample.indexed, sample.root, Path::new("/"), &sample.workers()).unwrap();
    sample.cancel.cancel(Reason::Interrupt);
    let target = sample.path("target");
    let error = plan.perform(&sample.indexed, &target, false, &sample.workers()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Interrupted);
    assert!(target.join(MARKER).exists());
}

#[test]
fn a_file_streams_out_whole() {
    let sample = sample();
    for name in ["large", "text", "empty", "sparse"] {
        let expected = fs::read(sample.path("sample").join(name)).unwrap();
        let path = Path::new("/sample").join(name);
        let mut dumped = Vec::new();
        let size = dump(&sample.indexed, sample.root, &path, 2, &sample.cancel, &mut dumped).unwrap();
        assert_eq!(size, expected.len() as u64);
        assert!(dumped == expected, "{name}");
        let mut stream = open_stream(&sample.indexed, sample.root, &path, 2, &sample.cancel).unwrap();
        let mut read = Vec::new();
        stream.read_to_end(&mut read).unwrap();
        assert!(read == expected, "{name}");
    }
    // One that is not read to its end stops its threads.
    let mut stream = open_stream(&sample.indexed, sample.root, Path::new("sample/large"), 2, &sample.cancel).unwrap();
    stream.read_exact(&mut [0; 10]).unwrap();
    drop(stream);
    let missing = open_stream(&sample.indexed, sample.root, Path::new("sample/folder"), 2, &sample.cancel);
    assert_eq!(missing.map(drop).unwrap_err().code(), ErrorCode::NotFound);
}

#[test]
fn a_listing_names_every_path() {
    let sample = sample();
    let mut listed = BTreeSet::new();
    let mut visit = |path: &Path, _: &_| {
        listed.insert(path.to_owned());
        Ok(())
    };
    ls::list(&sample.indexed, sample.root, Path::new(""), &sample.cancel, &mut visit).unwrap();
    let mut expected: BTreeSet<_> =
        tree::facts(&sample.path("sample")).into_keys().map(|path| Path::new("sample").join(path)).collect();
    expected.insert("sample".into());
    assert_eq!(listed, expected);
    assert!(listed.iter().any(|path| path.as_os_str().len() > 1000));
}

#[test]
fn what_restic_wrote_verifies_and_a_missing_pack_does_not() {
    let sample = sample();
    let repository = sample.indexed.repository();
    let packs: Vec<Id> = repository.pack_sizes().unwrap().into_keys().collect();
    let evidence = verify::verify_packs(&sample.indexed, &packs, &sample.workers()).unwrap();
    assert!(evidence.blobs() > 200 && evidence.bytes_read() > 5 << 20);
    let mut sizes = repository.pack_sizes().unwrap();
    let check = |mode, sizes: &_| {
        verify::verify_tree(&sample.indexed, sample.root, mode, &Default::default(), sizes, &sample.workers())
    };
    let new = check(VerifyMode::New, &sizes).unwrap();
    let files = tree::facts(&sample.path("sample"));
    assert_eq!(new.tree(), sample.root);
    assert_eq!(
        new.files(),
        files.keys().filter(|path| sample.path("sample").join(path).symlink_metadata().unwrap().is_file()).count()
            as u64
    );
    let all = check(VerifyMode::All, &sizes).unwrap();
    assert!(all.bytes_read() > new.bytes_read());
    let last = *packs.last().unwrap();
    sizes.insert(last, 1);
    assert_eq!(check(VerifyMode::New, &sizes).unwrap_err().code(), ErrorCode::Damaged);
    sizes.remove(&last);
    assert_eq!(check(VerifyMode::New, &sizes).unwrap_err().code(), ErrorCode::Damaged);
}

#[test]
fn a_published_snapshot_is_one_that_restic_lists() {
    let sample = sample();
    let repository = sample.indexed.repository();
    let sizes = repository.pack_sizes().unwrap();
    let verified = verify::verify_tree(
        &sample.indexed,
        sample.root,
        VerifyMode::New,
        &Default::default(),
        &sizes,
        &sample.workers(),
    );
    let mut snapshot = repository.snapshots().unwrap().remove(0).1;
    snapshot.tags = vec!["version=1.4.0".to_owned()];
    let id = repository.publish(&verified.unwrap(), snapshot).unwrap();
    let restic = Restic::at(sample.path("repository"));
    assert!(restic.run(&["snapshots", "--json", "--tag", "version=1.4.0"]).contains(&id.to_string()));
    restic.run(&["check", "--read-data"]);
}
