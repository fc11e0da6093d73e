//! What every driver does, whatever is behind it: one list of properties for all.

use crate::support::s3::Server;
use bytes::Bytes;
use holdpoint::error::ErrorCode;
use holdpoint::storage::{Class, LocalStorage, PutMode, PutOutcome, ReadFrom, SharedStorage, SubStorage};
use std::sync::Arc;
use std::sync::Barrier;
use std::thread;
use tempfile::TempDir;

/// A property, by its name, of an empty storage.
type Property = (&'static str, fn(&SharedStorage));

const PROPERTIES: &[Property] = &[
    ("what is written is read", what_is_written_is_read),
    ("overwriting replaces", overwriting_replaces),
    ("creating does not replace", creating_does_not_replace),
    ("of many creators one wins", of_many_creators_one_wins),
    ("ranges are exact", ranges_are_exact),
    ("what is missing is none", what_is_missing_is_none),
    ("names are any", names_are_any),
    ("a prefix is a folder", a_prefix_is_a_folder),
    ("listings have as many pages as they need", listings_have_as_many_pages_as_they_need),
    ("deleting is done once", deleting_is_done_once),
    ("many threads work at once", many_threads_work_at_once),
    ("a part is a storage", a_part_is_a_storage),
    ("large objects are whole", large_objects_are_whole),
];

/// Fails unless a storage has every property; `open` opens an empty one by its name.
fn conforms(open: impl Fn(&str) -> SharedStorage) {
    for (index, (name, holds)) in PROPERTIES.iter().enumerate() {
        // Shown if it fails.
        eprintln!("{name}");
        holds(&open(&format!("{index}/a place, 100% für alles")));
    }
}

fn on_server(server: &Server) {
    let bucket = server.bucket("conformance");
    conforms(|name| Arc::new(server.open(&bucket, name)));
}

#[test]
fn local() {
    let directory = TempDir::new().unwrap();
    conforms(|name| Arc::new(LocalStorage::new(directory.path().join(name)).unwrap()));
}

#[test]
fn s3_in_process() {
    on_server(&Server::in_process());
}

#[test]
fn ceph_gateway() {
    on_server(&Server::rgw());
}

fn write(storage: &SharedStorage, key: &str, data: impl Into<Bytes>) {
    let outcome = storage.put(key, &data.into(), PutMode::Overwrite, Class::Record).unwrap();
    assert_eq!(outcome, PutOutcome::Written, "{key}");
}

fn read(storage: &SharedStorage, key: &str) -> Option<Vec<u8>> {
    let anywhere = storage.get(key, ReadFrom::Anywhere).unwrap();
    assert_eq!(storage.get(key, ReadFrom::Medium).unwrap(), anywhere, "{key}");
    assert_eq!(storage.size(key).unwrap(), anywhere.as_ref().map(|data| data.len() as u64), "{key}");
    anywhere
}

fn keys(storage: &SharedStorage, prefix: &str) -> Vec<String> {
    storage.list(prefix).unwrap().into_iter().map(|entry| entry.key).collect()
}

fn what_is_written_is_read(storage: &SharedStorage) {
    for class in [Class::Data, Class::Record, Class::Transient] {
        let key = format!("a/{class:?}");
        for data in [&b""[..], b"x", b"some content\n", &[0, 255, 13, 10]] {
            let outcome = storage.put(&key, &Bytes::from_static(b"old"), PutMode::Overwrite, class).unwrap();
            assert_eq!(outcome, PutOutcome::Written);
            storage.put(&key, &Bytes::copy_from_slice(data), PutMode::Overwrite, class).map(drop).unwrap();
            assert_eq!(read(storage, &key).as_deref(), Some(data));
        }
    }
    let empty = storage.put("empty", &Bytes::new(), PutMode::CreateOnly, Class::Record).unwrap();
    assert_eq!(empty, PutOutcome::Written);
    assert_eq!(read(storage, "empty").as_deref(), Some(&b""[..]));
}

fn overwriting_replaces(storage: &SharedStorage) {
    write(storage, "a", "one, which is longer");
    write(storage, "a", "two");
    assert_eq!(read(storage, "a").unwrap(), b"two");
    let listed = storage.list("").unwrap();
    assert_eq!((listed.len(), listed[0].size), (1, 3));
    let age = jiff::Timestamp::now().duration_since(listed[0].modified);
    assert!(age.abs() < jiff::SignedDuration::from_mins(5), "{listed:?}");
}

fn creating_does_not_replace(storage: &SharedStorage) {
    let create = |data: &'static str| storage.put("a/b", &data.into(), PutMode::CreateOnly, Class::Record).unwrap();
    assert_eq!(create("one"), PutOutcome::Written);
    assert_eq!(create("two"), PutOutcome::Exists);
    assert_eq!(create("one"), PutOutcome::Exists);
    assert_eq!(read(storage, "a/b").unwrap(), b"one");
    storage.delete("a/b").unwrap();
    assert_eq!(create("three"), PutOutcome::Written);
    assert_eq!(read(storage, "a/b").unwrap(), b"three");
}

fn of_many_creators_one_wins(storage: &SharedStorage) {
    const WRITERS: usize = 12;
    const ROUNDS: usize = 100;
    let start = Barrier::new(WRITERS);
    let write = |writer: usize, round: usize| {
        start.wait();
        let data = format!("writer {writer} of round {round}").into();
        storage.put(&format!("race/{round}"), &data, PutMode::CreateOnly, Class::Transient).unwrap()
    };
    let write = &write;
    let outcomes: Vec<Vec<PutOutcome>> = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| scope.spawn(move || (0..ROUNDS).map(|round| write(writer, round)).collect()))
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    for round in 0..ROUNDS {
        let wrote = |writer: &usize| outcomes[*writer].get(round) == Some(&PutOutcome::Written);
        let winners: Vec<_> = (0..WRITERS).filter(wrote).collect();
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
        let expected = format!("writer {} of round {round}", winners[0]);
        assert_eq!(read(storage, &format!("race/{round}")).unwrap(), expected.as_bytes());
    }
}

fn ranges_are_exact(storage: &SharedStorage) {
    let data: Vec<u8> = (0..10_000_u32).map(|number| (number % 251) as u8).collect();
    write(storage, "a", data.clone());
    write(storage, "empty", "");
    for (offset, length) in [(0, 1), (0, 10_000), (1, 9_999), (9_999, 1), (4_000, 0), (10_000, 0), (123, 4_567)] {
        let range = storage.get_range("a", offset as u64, length).unwrap();
        assert_eq!(range.as_deref(), Some(&data[offset..offset + length]), "{offset} {length}");
    }
    for (key, offset, length) in
        [("a", 0, 10_001), ("a", 9_999, 2), ("a", 10_000, 1), ("a", 20_000, 5), ("empty", 0, 1)]
    {
        let error = storage.get_range(key, offset, length).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Damaged, "{key} {offset} {length}: {error}");
    }
    assert_eq!(storage.get_range("b", 0, 1).unwrap(), None);
    assert_eq!(storage.get_range("b", 0, 0).unwrap(), None);
}

fn what_is_missing_is_none(storage: &SharedStorage) {
    assert_eq!(read(storage, "a"), None);
    assert_eq!(read(storage, "a/b/c"), None);
    assert!(storage.list("").unwrap().is_empty());
    assert!(storage.list("a/b").unwrap().is_empty());
    assert!(storage.list_names("").unwrap().is_empty());
    assert!(storage.list_names("a").unwrap().is_empty());
    write(storage, "a/b", "x");
    // A folder is no object.
    assert_eq!(storage.size("a").unwrap(), None);
    assert_eq!(storage.locked_until("a/b").unwrap(), None);
}

fn names_are_any(storage: &SharedStorage) {
    let mut names = [
        "a b",
        "a+b",
        "a%2Fb",
        "100%",
        "%",
        "ü/ö",
        "日本/語",
        "a&b=c",
        "q?x#y",
        "'single' \"double\"",
        "~tilde",
        "a;b,c:d@e",
        "deep/er/and/deep/er",
        "UPPER/lower",
        "trailing.",
        ".hidden/.file",
        "a=b",
        "(x)[y]{z}",
        "back\\slash",
        "a  b",
    ]
    .map(str::to_owned);
    for name in &names {
        write(storage, name, name.clone());
    }
    for name in &names {
        assert_eq!(read(storage, name).unwrap(), name.as_bytes());
        assert_eq!(storage.get_range(name, 0, 1).unwrap().unwrap(), &name.as_bytes()[..1]);
    }
    names.sort();
    assert_eq!(keys(storage, ""), names);
    assert_eq!(keys(storage, "日本"), ["日本/語"]);
    assert_eq!(storage.list_names("ü").unwrap(), ["ö"]);
    for name in &names {
        storage.delete(name).unwrap();
    }
    assert!(keys(storage, "").is_empty());
}

fn a_prefix_is_a_folder(storage: &SharedStorage) {
    for key in ["a/1", "a/b/2", "ab/3", "a.4", "z"] {
        write(storage, key, key);
    }
    assert_eq!(keys(storage, "a"), ["a/1", "a/b/2"]);
    assert_eq!(keys(storage, "a/b"), ["a/b/2"]);
    assert_eq!(keys(storage, ""), ["a.4", "a/1", "a/b/2", "ab/3", "z"]);
    assert_eq!(storage.list_names("a").unwrap(), ["1", "b/"]);
    assert_eq!(storage.list_names("").unwrap(), ["a.4", "a/", "ab/", "z"]);
}

fn listings_have_as_many_pages_as_they_need(storage: &SharedStorage) {
    const OBJECTS: usize = 1100;
    let key = |number: usize| format!("many/{:03}/{number:04}", number / 2);
    in_parallel(OBJECTS, |number| write(storage, &key(number), vec![b'x'; number % 3]));
    let expected: Vec<_> = (0..OBJECTS).map(key).collect();
    assert_eq!(keys(storage, "many"), expected);
    assert_eq!(keys(storage, ""), expected);
    let sizes = storage.list("many").unwrap();
    assert!(sizes.iter().enumerate().all(|(number, entry)| entry.size == (number % 3) as u64));
    let folders: Vec<_> = (0..OBJECTS / 2).map(|number| format!("{number:03}/")).collect();
    assert_eq!(storage.list_names("many").unwrap(), folders);
    in_parallel(OBJECTS, |number| write(storage, &format!("flat/{number:04}/x"), ""));
    let names: Vec<_> = (0..OBJECTS).map(|number| format!("{number:04}/")).collect();
    assert_eq!(storage.list_names("flat").unwrap(), names);
}

fn deleting_is_done_once(storage: &SharedStorage) {
    write(storage, "a/b", "x");
    write(storage, "a/c", "y");
    storage.delete("a/b").unwrap();
    storage.delete("a/b").unwrap();
    storage.delete("never/was").unwrap();
    assert_eq!(read(storage, "a/b"), None);
    assert_eq!(keys(storage, ""), ["a/c"]);
    storage.delete("a/c").unwrap();
    assert!(storage.list_names("").unwrap().iter().all(|name| name.ends_with('/')));
}

fn many_threads_work_at_once(storage: &SharedStorage) {
    in_parallel(200, |number| {
        let key = format!("threads/{number}");
        write(storage, &key, key.clone());
        assert_eq!(read(storage, &key).unwrap(), key.as_bytes());
        if number % 2 == 0 {
            storage.delete(&key).unwrap();
        }
    });
    assert_eq!(keys(storage, "threads").len(), 100);
}

fn a_part_is_a_storage(storage: &SharedStorage) {
    let part: SharedStorage = Arc::new(SubStorage::new(Arc::clone(storage), "part/of it"));
    let part_of_part: SharedStorage = Arc::new(SubStorage::new(Arc::clone(&part), "x"));
    write(&part, "a", "1");
    write(&part_of_part, "b", "2");
    write(storage, "part/of it too", "3");
    assert_eq!(keys(storage, "part"), ["part/of it too", "part/of it/a", "part/of it/x/b"]);
    assert_eq!(keys(&part, ""), ["a", "x/b"]);
    assert_eq!(part.list_names("").unwrap(), ["a", "x/"]);
    assert_eq!(keys(&part_of_part, ""), ["b"]);
    assert_eq!(read(&part, "x/b").unwrap(), b"2");
    part.delete("x/b").unwrap();
    assert_eq!(read(&part_of_part, "b"), None);
    let again = storage.put("part/of it/a", &Bytes::new(), PutMode::CreateOnly, Class::Record).unwrap();
    assert_eq!(again, PutOutcome::Exists);
}

fn large_objects_are_whole(storage: &SharedStorage) {
    let mut data = vec![0; 16 << 20];
    getrandom::fill(&mut data).unwrap();
    write(storage, "large", data.clone());
    assert!(read(storage, "large").unwrap() == data);
    let tail = storage.get_range("large", (16 << 20) - 1000, 1000).unwrap().unwrap();
    assert_eq!(tail, data[data.len() - 1000..]);
}

/// Does something for each number below `count` on some threads.
fn in_parallel(count: usize, act: impl Fn(usize) + Sync) {
    const THREADS: usize = 16;
    let act = &act;
    thread::scope(|scope| {
        for first in 0..THREADS {
            scope.spawn(move || (first..count).step_by(THREADS).for_each(act));
        }
    });
}
