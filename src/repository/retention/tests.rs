use super::*;
use crate::cancel::Cancel;
use crate::model::progress::Progress;
use crate::repository::{Cost, Creator};
use crate::storage::{Class, Entry, LocalStorage, LockMode, Parallelism, PutMode, PutOutcome, Storage};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;

const RETAIN: Duration = Duration::from_secs(90 * 24 * 3600);
const TERMS: LockTerms = LockTerms { mode: LockMode::Governance, retain: RETAIN };

/// A directory that keeps account of locks and of the requests for them.
#[derive(Debug)]
struct Locking {
    inner: LocalStorage,
    locks: Mutex<HashMap<String, Timestamp>>,
    /// Questions, then orders.
    requests: Mutex<(usize, usize)>,
    fails: Option<&'static str>,
}

impl Storage for Locking {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn parallelism(&self) -> Parallelism {
        Parallelism { uploads: 4, reads: 4 }
    }
    fn put(&self, key: &str, data: &Bytes, mode: PutMode, class: Class) -> Result<PutOutcome> {
        self.inner.put(key, data, mode, class)
    }
    fn get(&self, key: &str, from: ReadFrom) -> Result<Option<Vec<u8>>> {
        self.inner.get(key, from)
    }
    fn get_range(&self, key: &str, offset: u64, length: usize) -> Result<Option<Vec<u8>>> {
        self.inner.get_range(key, offset, length)
    }
    fn size(&self, key: &str) -> Result<Option<u64>> {
        self.inner.size(key)
    }
    fn list(&self, prefix: &str) -> Result<Vec<Entry>> {
        self.inner.list(prefix)
    }
    fn list_names(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.list_names(prefix)
    }
    fn delete(&self, key: &str) -> Result<()> {
        self.inner.delete(key)
    }
    fn lock_terms(&self) -> Option<LockTerms> {
        Some(TERMS)
    }
    fn locked_until(&self, key: &str) -> Result<Option<Timestamp>> {
        self.requests.lock().unwrap().0 += 1;
        Ok(self.locks.lock().unwrap().get(key).copied())
    }
    fn lock_until(&self, key: &str, until: Timestamp) -> Result<()> {
        self.requests.lock().unwrap().1 += 1;
        if self.fails.is_some_and(|fails| key.starts_with(fails)) {
            return Err(Error::new(ErrorCode::StoreRefused, format!("cannot lock {key}")));
        }
        self.locks.lock().unwrap().insert(key.to_owned(), until);
        Ok(())
    }
}

struct House {
    storage: Arc<Locking>,
    repository: Repository,
    needs: Needs,
    known: Known,
    _folder: tempfile::TempDir,
}

/// A repository of config, a key and some packs that nobody has locked.
fn house(packs: u8, fails: Option<&'static str>) -> House {
    let folder = tempfile::tempdir().unwrap();
    let inner = LocalStorage::new(folder.path().join("repository")).unwrap();
    let storage = Arc::new(Locking { inner, locks: Mutex::default(), requests: Mutex::default(), fails });
    let repository = Repository::create(storage.clone(), "x", Cost::RandomKey, Creator::default()).unwrap();
    let mut needs = Needs::of_repository(&repository).unwrap();
    let packs: Vec<Id> = (0..packs).map(|pack| Id::of(&[pack])).collect();
    needs.add(FileType::Pack, &packs);
    House { storage, repository, needs, known: Known::nothing(TERMS.mode), _folder: folder }
}

impl House {
    fn keep(&mut self, terms: LockTerms) -> Result<Kept> {
        let (progress, cancel) = (Progress::new(), Cancel::new());
        let workers = Workers { threads: 4, progress: &progress, cancel: &cancel };
        keep(&self.repository, &self.needs, &mut self.known, terms, &workers)
    }

    /// Stores what is known and reads it again.
    fn reread(&mut self, mode: LockMode) {
        let stored = self.known.to_store(&self.repository).unwrap().unwrap();
        self.known = Known::read(&self.repository, &stored, mode);
    }

    fn requests(&self) -> (usize, usize) {
        std::mem::take(&mut *self.storage.requests.lock().unwrap())
    }

    /// Lets time pass: locks end that much sooner, and so does what is known of them.
    fn wait(&mut self, days: i64) {
        let sooner = |until: Timestamp| until - SignedDuration::from_hours(24 * days);
        self.storage.locks.lock().unwrap().values_mut().for_each(|until| *until = sooner(*until));
        let mut known = Known::nothing(TERMS.mode);
        for id in self.needs.objects.values() {
            if let Some(until) = self.known.until(id) {
                known.learn(id, sooner(until));
            }
        }
        self.known = known;
    }
}

#[test]
fn each_object_is_extended_once_a_quarter_and_asked_for_never() {
    let mut house = house(10, None);
    let all = 12;
    assert_eq!(house.keep(TERMS).unwrap().extended, all);
    assert_eq!(house.requests(), (all, all));
    let due = Timestamp::now() + SignedDuration::try_from(RETAIN).unwrap();
    assert!(house.storage.locks.lock().unwrap().values().all(|until| *until > due));
    house.reread(TERMS.mode);
    for _ in 0..22 {
        house.wait(1);
        house.keep(TERMS).unwrap();
        assert_eq!(house.requests(), (0, 0));
    }
    house.wait(1);
    let kept = house.keep(TERMS).unwrap();
    assert_eq!(house.requests(), (0, all));
    assert!(kept.until > due);
    // A new pack alone is asked for, and locked.
    house.needs.add(FileType::Pack, &[Id::of(b"new")]);
    house.keep(TERMS).unwrap();
    assert_eq!(house.requests(), (1, 1));
}

#[test]
fn what_was_forgotten_costs_questions_and_no_locks() {
    let mut house = house(10, None);
    house.keep(TERMS).unwrap();
    house.requests();
    house.known = Known::nothing(TERMS.mode);
    let kept = house.keep(TERMS).unwrap();
    assert_eq!((kept.looked_at, kept.extended), (12, 0));
    assert_eq!(house.requests(), (12, 0));
}

#[test]
fn longer_terms_extend_and_stricter_ones_believe_nothing() {
    let mut house = house(3, None);
    house.keep(TERMS).unwrap();
    house.requests();
    house.keep(LockTerms { retain: RETAIN * 2, ..TERMS }).unwrap();
    assert_eq!(house.requests(), (0, 5));
    house.reread(LockMode::Compliance);
    assert_eq!(house.known, Known::nothing(LockMode::Compliance));
}

#[test]
fn a_lock_that_cannot_be_had_is_an_error_that_names_the_object() {
    let mut house = house(3, Some("data/"));
    let error = house.keep(TERMS).unwrap_err();
    assert!(error.message().contains("cannot lock data/"), "{error}");
    assert_eq!(error.code(), ErrorCode::StoreRefused);
}

#[test]
fn nobody_without_the_key_can_say_what_is_locked() {
    let mut one = house(3, None);
    one.keep(TERMS).unwrap();
    let stored = one.known.to_store(&one.repository).unwrap().unwrap();
    let read = |repository: &Repository, stored: &[u8]| Known::read(repository, stored, TERMS.mode);
    let known = read(&one.repository, &stored);
    assert_eq!(known.until(&Id::of(&[0])), one.known.until(&Id::of(&[0])));
    assert_eq!(known.to_store(&one.repository).unwrap(), None, "nothing was learnt");
    let nothing = Known::nothing(TERMS.mode);
    assert_eq!(read(&house(0, None).repository, &stored), nothing);
    for wrong in [&b""[..], b"{}", b"{\"schema_version\":1,\"sealed\":\"AAAA\"}", &stored[..stored.len() / 2]] {
        assert_eq!(read(&one.repository, wrong), nothing);
    }
}
