//! A snapshot becomes visible whole, or not at all: also where the store's answer is lost.

use crate::support::shared::{PASSWORD, Restic};
use crate::support::storage::Watched;
use holdpoint::cancel::Cancel;
use holdpoint::error::{Error, ErrorCode, Result};
use holdpoint::model::manifest::VerifyMode;
use holdpoint::model::progress::Progress;
use holdpoint::repository::verify::{PackEvidence, verify_tree};
use holdpoint::repository::{Id, Repository, Snapshot, Workers};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// An empty repository.
struct Lab {
    folder: TempDir,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Restic::at(folder.path()).init();
        Self { folder }
    }

    fn snapshots(&self) -> PathBuf {
        self.folder.path().join("snapshots")
    }

    /// Publishes a snapshot through a storage that `watch` may make fail.
    fn publish(&self, watch: impl Fn(&str, &str) -> Result<()> + Send + Sync + 'static) -> Result<Id> {
        let in_snapshots =
            move |verb: &str, key: &str| if key.starts_with("snapshots/") { watch(verb, key) } else { Ok(()) };
        let storage = Arc::new(Watched::new(self.folder.path(), in_snapshots));
        let repository = Repository::open(storage, PASSWORD).unwrap();
        let (cancel, progress) = (Cancel::new(), Progress::new());
        let indexed = repository.index(&cancel).unwrap();
        let workers = Workers { threads: 1, progress: &progress, cancel: &cancel };
        let tree = Id::of(b"a tree");
        let sizes = repository.pack_sizes().unwrap();
        let evidence = PackEvidence::default();
        let verified = verify_tree(&indexed, tree, VerifyMode::None, &evidence, &sizes, &workers).unwrap();
        let json = serde_json::json!({"time": jiff::Timestamp::now(), "tree": tree, "paths": ["/"]});
        let snapshot: Snapshot = serde_json::from_value(json).unwrap();
        repository.publish(&verified, snapshot)
    }

    fn visible(&self) -> usize {
        fs::read_dir(self.snapshots()).unwrap().count()
    }
}

fn lost() -> Error {
    Error::new(ErrorCode::StoreUnavailable, "the answer was lost")
}

#[test]
fn a_lost_answer_is_asked_for_again() {
    let lab = Lab::new();
    let id = lab.publish(|verb, _| if verb == "written" { Err(lost()) } else { Ok(()) }).unwrap();
    assert!(lab.snapshots().join(id.to_string()).exists());
    assert_eq!(lab.visible(), 1);
    let stored = Restic::at(lab.folder.path()).open().snapshots().unwrap();
    assert_eq!((stored.len(), stored[0].0), (1, id));
}

#[test]
fn what_was_never_acknowledged_and_cannot_be_read_back_is_removed() {
    let lab = Lab::new();
    // The write arrives; neither its answer nor a look at it does.
    let error =
        lab.publish(|verb, _| if ["written", "read"].contains(&verb) { Err(lost()) } else { Ok(()) }).unwrap_err();
    assert_eq!((error.code(), error.message()), (ErrorCode::StoreUnavailable, "the answer was lost"));
    assert_eq!((lab.visible(), error.hints().len()), (0, 0));
    // Not even removing it: then the error says what may be left.
    let error = lab.publish(|verb, _| if verb == "write" { Ok(()) } else { Err(lost()) }).unwrap_err();
    assert_eq!(lab.visible(), 1);
    assert!(error.hints().concat().contains("may be in the store"), "{error:?}");
}

#[test]
fn what_reads_back_as_something_else_is_removed() {
    let lab = Lab::new();
    let folder = lab.folder.path().to_owned();
    let alter = move |path: &Path| {
        let mut content = fs::read(path).unwrap();
        content[40] ^= 1;
        fs::remove_file(path).unwrap();
        fs::write(path, content).unwrap();
    };
    let error = lab.publish(move |verb, key| {
        if verb == "written" {
            alter(&folder.join(key));
        }
        Ok(())
    });
    assert_eq!(error.unwrap_err().code(), ErrorCode::Damaged);
    assert_eq!(lab.visible(), 0);
    // A write that was refused left nothing, and is told as what it was.
    let full = |verb: &str| if verb == "write" { Err(Error::new(ErrorCode::StoreFull, "no room")) } else { Ok(()) };
    assert_eq!(lab.publish(move |verb, _| full(verb)).unwrap_err().code(), ErrorCode::StoreFull);
    assert_eq!(lab.visible(), 0);
}
