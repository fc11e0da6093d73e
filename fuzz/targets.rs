//! The entry points for fuzzing: each takes any bytes and panics only if the code under test is wrong.
//!
//! `fuzz_targets/` runs them under libFuzzer; `tests/fuzz_corpus.rs` runs the corpus and mutations of it on stable Rust.

use holdpoint::config;
use holdpoint::ledger::manifest::parse as parse_manifest;
use holdpoint::model::release_id::{ReleaseId, path_component};
use holdpoint::model::version::{Version, Versioning};
use holdpoint::repository::compression::{Decompressor, decompress_file};
use holdpoint::repository::config::RepositoryConfig;
use holdpoint::repository::crypto::Key;
use holdpoint::repository::index::{Index, IndexFile};
use holdpoint::repository::keyfile::KeyFile;
use holdpoint::repository::tree::Tree;
use holdpoint::repository::{Id, Snapshot, name, pack};
use holdpoint::signing::{AllowedSigners, fingerprint, verify};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Component, Path};

/// What runs on any bytes.
pub type Target = fn(&[u8]);

/// Every entry point, by the name of its file in `fuzz_targets/` and its folder in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("allowed_signers", allowed_signers),
    ("config", config),
    ("index", index),
    ("key_file", key_file),
    ("manifest", manifest),
    ("names", names),
    ("pack_header", pack_header),
    ("repository_config", repository_config),
    ("restore_names", restore_names),
    ("sealed", sealed),
    ("signature", signature),
    ("snapshot", snapshot),
    ("tree", tree),
];

/// The key that seals what an attacker without the key cannot make: the parsers behind it must stand all the same.
const KEY: [u8; 64] = [7; 64];

/// A file of allowed signers: all of its lines, or a message that names one.
pub fn allowed_signers(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = AllowedSigners::parse(text, "fuzz");
    }
}

/// A signature, which is that of nobody who may sign.
pub fn signature(data: &[u8]) {
    let _ = fingerprint(data);
    let nobody = AllowedSigners::default();
    assert!(verify(b"a manifest", data, &nobody, &[]).is_err());
}

/// `holdpoint.toml`: a configuration or a list of mistakes.
pub fn config(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = config::parse(text, Path::new("/srv/shop/holdpoint.toml"));
    }
}

/// An index file, and the index that it fills.
pub fn index(data: &[u8]) {
    let Some(file) = json_that_writes_back::<IndexFile>(data) else { return };
    let mut index = Index::default();
    for entry in &file.packs {
        if index.add(entry.id, &entry.locations()).is_ok() {
            for blob in entry.locations() {
                assert!(index.contains(blob.kind, &blob.id));
            }
        }
    }
    for (number, _) in index.blobs() {
        assert!(index.pack(number).is_some());
    }
}

/// A key file and its password.
pub fn key_file(data: &[u8]) {
    let Ok(file) = serde_json::from_slice::<KeyFile>(data) else { return };
    // A costly derivation is no fault, but nothing to wait for either.
    let number = |name| serde_json::from_slice::<serde_json::Value>(data).ok()?.get(name)?.as_u64();
    let cost = ["N", "r", "p"].into_iter().try_fold(1_u64, |cost, name| cost.checked_mul(number(name)?));
    if cost.is_some_and(|cost| cost <= 1 << 14) {
        let _ = file.open("password");
    }
}

/// A manifest.
pub fn manifest(data: &[u8]) {
    let Ok(manifest) = parse_manifest(data, "fuzz") else { return };
    let written = manifest.to_json().expect("a manifest that was read can be written");
    let read = parse_manifest(&written, "fuzz").expect("what was written can be read");
    assert_eq!(read, manifest);
    assert!(stays_inside(Path::new(&manifest.id.date_path())), "{}", manifest.id.as_str());
    assert!(is_one_component(manifest.id.as_str().as_ref()), "{}", manifest.id.as_str());
}

/// Texts that name something: files in trees, snapshots, releases, versions, folders of a store.
pub fn names(data: &[u8]) {
    assert_eq!(name::unquote(&name::quote(data)).as_deref(), Some(data), "a quoted name reads back");
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(bytes) = name::unquote(text) {
        assert_eq!(name::unquote(&name::quote(&bytes)), Some(bytes));
    }
    if let Ok(id) = Id::parse(text) {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
    }
    if let Ok(id) = ReleaseId::parse(text) {
        assert_eq!(id.as_str(), text);
        assert!(stays_inside(Path::new(&id.date_path())), "{text:?}");
        assert!(stays_inside(Path::new(id.as_str())), "{text:?}");
    }
    for versioning in [Versioning::Semver, Versioning::Opaque] {
        if let Ok(version) = Version::parse(text, versioning) {
            assert!(version.is_same_release(&version));
        }
    }
    let component = path_component(text);
    assert!(text.is_empty() || is_one_component(component.as_ref()), "{text:?} became {component:?}");
}

/// A pack, and a pack whose header was sealed with the right key.
pub fn pack_header(data: &[u8]) {
    let key = Key::from_bytes(KEY);
    let _ = pack::read_header(&key, data);
    let Some((length, header)) = data.split_first_chunk::<2>() else { return };
    let mut whole = vec![0; usize::from(u16::from_le_bytes(*length))];
    let blobs = whole.len();
    key.seal_into(header, &mut whole).expect("anything can be sealed");
    let sealed = u32::try_from(whole.len() - blobs).expect("a header of the fuzzer is short");
    whole.extend_from_slice(&sealed.to_le_bytes());
    let Ok(entries) = pack::read_header(&key, &whole) else { return };
    for entry in &entries {
        assert!(entry.offset as usize + entry.length as usize <= blobs);
    }
    let mut again = vec![0; blobs];
    pack::finish(&key, &entries, &mut again).expect("a header that was read can be written");
    assert_eq!(pack::read_header(&key, &again).expect("what was written can be read"), entries);
}

/// The configuration of a repository.
pub fn repository_config(data: &[u8]) {
    let _ = RepositoryConfig::parse(data);
}

/// The names in a tree, as a restore uses them: none leads out of its directory.
pub fn restore_names(data: &[u8]) {
    let Ok(tree) = Tree::parse(data) else { return };
    for node in &tree.nodes {
        assert!(is_one_component(node.name.as_ref()), "{:?}", node.name);
        let _ = node.link_target();
    }
}

/// A sealed file, and compressed content behind an intact seal.
pub fn sealed(data: &[u8]) {
    let key = Key::from_bytes(KEY);
    assert!(key.open(&mut data.to_vec()).is_err(), "a seal without the key");
    let mut sealed = key.seal(data).expect("anything can be sealed");
    assert_eq!(key.open(&mut sealed).ok().as_deref(), Some(data));
    let _ = decompress_file(data);
    if let Some((length, compressed)) = data.split_first_chunk::<2>() {
        let length = u32::from(u16::from_le_bytes(*length));
        let mut plain = Vec::new();
        let mut decompressor = Decompressor::new().expect("memory for a decompressor");
        if decompressor.decompress_into(compressed, length, &mut plain).is_ok() {
            assert_eq!(plain.len(), length as usize);
        }
    }
}

/// A snapshot.
pub fn snapshot(data: &[u8]) {
    if let Some(snapshot) = json_that_writes_back::<Snapshot>(data) {
        let _ = snapshot.tag("version");
    }
}

/// A tree.
pub fn tree(data: &[u8]) {
    let Ok(tree) = Tree::parse(data) else { return };
    let written = tree.to_json().expect("a tree that was read can be written");
    let read = Tree::parse(&written).expect("what was written can be read");
    assert_eq!(read.to_json().expect("it was written before"), written);
    for node in &tree.nodes {
        let _ = tree.find(node.name.as_ref());
    }
}

/// Reads JSON, and makes sure that it is the same after it was written and read again.
fn json_that_writes_back<T: DeserializeOwned + Serialize>(data: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(data).ok()?;
    let written = serde_json::to_vec(&value).expect("what was read can be written");
    let read: T = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(serde_json::to_vec(&read).expect("it was written before"), written);
    Some(value)
}

fn is_one_component(name: &Path) -> bool {
    let mut components = name.components();
    matches!((components.next(), components.next()), (Some(Component::Normal(only)), None) if only == name.as_os_str())
}

fn stays_inside(path: &Path) -> bool {
    path.components().all(|component| matches!(component, Component::Normal(_)))
}
