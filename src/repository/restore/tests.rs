//! Trees that no honest client writes.

use super::*;
use crate::cancel::Cancel;
use crate::error::ErrorCode;
use crate::model::progress::Progress;
use crate::repository::crypto::Key;
use crate::repository::keyfile::Cost;
use crate::repository::pack::{self, BlobLocation, BlobType};
use crate::repository::tree::{Node, NodeType, Tree};
use crate::repository::{FileType, Id, Repository};
use crate::repository::{Indexed, Workers};
use crate::storage::{Class, LocalStorage, PutMode};
use rustix::fs::{AtFlags, Mode};
use std::path::Path;
use std::sync::Arc;

/// Packs of one kind of blob each, for a repository made by hand.
#[derive(Default)]
struct Packer {
    pack: Vec<u8>,
    blobs: Vec<BlobLocation>,
}

impl Packer {
    fn add(&mut self, key: &Key, kind: BlobType, plain: &[u8]) -> Id {
        let offset = u32::try_from(self.pack.len()).unwrap();
        key.seal_into(plain, &mut self.pack).unwrap();
        let length = u32::try_from(self.pack.len()).unwrap() - offset;
        let id = Id::of(plain);
        self.blobs.push(BlobLocation { kind, id, offset, length, uncompressed_length: 0 });
        id
    }

    fn store(mut self, indexed: &Indexed) {
        let repository = indexed.repository();
        pack::finish(repository.key(), &self.blobs, &mut self.pack).unwrap();
        let id = Id::of(&self.pack);
        let _ = repository
            .storage()
            .put(&FileType::Pack.key(&id), &self.pack.clone().into(), PutMode::CreateOnly, Class::Data)
            .unwrap();
        indexed.add_pack(id, &self.blobs).unwrap();
    }
}

fn tree(packer: &mut Packer, key: &Key, nodes: Vec<Node>) -> Id {
    packer.add(key, BlobType::Tree, &Tree { nodes }.to_json().unwrap())
}

#[test]
fn nothing_is_written_through_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let storage = Arc::new(LocalStorage::new(folder.path().join("repository")).unwrap());
    let repository = Repository::create(storage, "secret", Cost::RandomKey, Default::default()).unwrap();
    let (cancel, progress) = (Cancel::new(), Progress::default());
    let workers = Workers { threads: 2, progress: &progress, cancel: &cancel };
    let indexed = repository.index(&cancel).unwrap();
    let key = repository.key();
    let mut packer = Packer::default();
    let mut link = Node::new("a", NodeType::Symlink);
    link.set_link_target(outside.clone().into_os_string());
    let mut file = Node::new("hostile", NodeType::File);
    file.content = Some(vec![packer.add(key, BlobType::Data, b"x")]);
    file.size = 1;
    let mut dir = Node::new("a", NodeType::Dir);
    dir.subtree = Some(tree(&mut packer, key, vec![file.clone()]));
    // The same name twice, and a link that claims to have an inside.
    let twice = tree(&mut packer, key, vec![link.clone(), dir.clone()]);
    let mut both = link.clone();
    both.subtree = dir.subtree;
    let both = tree(&mut packer, key, vec![both]);
    let honest = tree(&mut packer, key, vec![dir]);
    packer.store(&indexed);
    let error = plan(&indexed, twice, Path::new("/"), &workers).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Damaged);
    let restore = |root, target: &Path| {
        let plan = plan(&indexed, root, Path::new("/"), &workers).unwrap();
        plan.perform(&indexed, target, true, &workers)
    };
    restore(both, &folder.path().join("both")).unwrap();
    // A link that waits in the target makes way for the directory.
    let target = folder.path().join("target");
    std::fs::create_dir(&target).unwrap();
    std::os::unix::fs::symlink(&outside, target.join("a")).unwrap();
    restore(honest, &target).unwrap();
    assert_eq!(std::fs::read(target.join("a/hostile")).unwrap(), b"x");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn a_path_may_be_longer_than_the_system_takes_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Arc::new(LocalStorage::new(folder.path().join("repository")).unwrap());
    let repository = Repository::create(storage, "secret", Cost::RandomKey, Default::default()).unwrap();
    let (cancel, progress) = (Cancel::new(), Progress::default());
    let workers = Workers { threads: 2, progress: &progress, cancel: &cancel };
    let indexed = repository.index(&cancel).unwrap();
    let mut packer = Packer::default();
    let mut root = tree(&mut packer, repository.key(), vec![Node::new("pipe", NodeType::Fifo)]);
    let name = "d".repeat(255);
    for _ in 0..40 {
        let mut dir = Node::new(name.as_str(), NodeType::Dir);
        (dir.subtree, dir.mode) = (Some(root), crate::repository::mode::to_go(NodeType::Dir, 0o755));
        root = tree(&mut packer, repository.key(), vec![dir]);
    }
    packer.store(&indexed);
    let plan = plan(&indexed, root, Path::new("/"), &workers).unwrap();
    let target = folder.path().join("target");
    plan.perform(&indexed, &target, false, &workers).unwrap();
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
    let mut dir = rustix::fs::open(&target, flags, Mode::empty()).unwrap();
    for _ in 0..40 {
        dir = rustix::fs::openat(&dir, name.as_str(), flags, Mode::empty()).unwrap();
    }
    rustix::fs::statat(&dir, "pipe", AtFlags::SYMLINK_NOFOLLOW).unwrap();
}
