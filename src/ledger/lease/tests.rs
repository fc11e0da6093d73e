//! Tests of the lease, on clocks that move only when told.

use super::record::{Files, Record};
use super::*;
use crate::cancel::Reason;
use crate::storage::{Class, LocalStorage, PutMode};
use bytes::Bytes;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// A clock that stands still; both of its times move together.
#[derive(Debug)]
struct Manual(Mutex<Duration>);

impl Manual {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Duration::from_secs(1000))))
    }
    fn advance(&self, seconds: u64) {
        *self.0.lock().unwrap() += Duration::from_secs(seconds);
    }
}

impl Clock for Manual {
    fn now(&self) -> Timestamp {
        "2026-11-20T21:00:00Z".parse::<Timestamp>().unwrap() + self.elapsed()
    }
    fn elapsed(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}

/// Leases that are renewed only when a test says so.
const TERMS: Terms = Terms { duration: Duration::from_secs(60), renew_every: Duration::from_secs(1_000_000) };

struct House {
    directory: tempfile::TempDir,
    storage: SharedStorage,
    clock: Arc<Manual>,
    cancel: Cancel,
}

fn house() -> House {
    let directory = tempfile::tempdir().unwrap();
    let storage = Arc::new(LocalStorage::new(directory.path()).unwrap());
    House { directory, storage, clock: Manual::new(), cancel: Cancel::new() }
}

fn me() -> Owner {
    Owner::current(None, None).unwrap()
}

/// A run that cannot be proved dead.
fn elsewhere() -> Owner {
    Owner { host: "runner-7".into(), pid: 4711, run_url: Some("https://ci.example/run/9".into()), ..me() }
}

impl House {
    fn acquire(&self, owner: Owner) -> Result<Acquired> {
        acquire_with(self.storage.clone(), owner, &self.cancel, self.clock.clone(), TERMS)
    }
    /// Writes a lease that some run left behind.
    fn leave(&self, number: u64, owner: Owner, age: i64) {
        let acquired_at = self.clock.now() - jiff::SignedDuration::from_secs(age);
        let expires_at = acquired_at + Duration::from_secs(60);
        let record = Record { owner, acquired_at, expires_at, released: false };
        assert_eq!(Files::new(self.storage.clone()).claim(number, &record).unwrap(), Claim::Ours);
    }
    fn files(&self) -> Vec<String> {
        self.storage.list_names("lease").unwrap()
    }
}

#[test]
fn a_released_lease_leaves_one_file_and_no_holder() {
    let house = house();
    let acquired = house.acquire(me()).unwrap();
    assert!(acquired.finding.is_none());
    acquired.lease.check().unwrap();
    acquired.lease.release().unwrap();
    assert_eq!(house.files(), ["2.json"]);
    drop(house.acquire(elsewhere()).unwrap());
    assert_eq!(house.files(), ["4.json"]);
    assert!(!house.cancel.is_cancelled());
}

#[test]
fn a_held_lease_is_refused_and_its_holder_named() {
    let house = house();
    house.leave(7, elsewhere(), 50);
    let error = house.acquire(me()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Busy);
    insta::assert_snapshot!(error.message(), @"another run holds this environment: process 4711 on runner-7, run https://ci.example/run/9, since 2026-11-20T21:15:50Z; its lease runs out at 2026-11-20T21:16:50Z unless it is renewed");
    assert_eq!(house.files(), ["7.json"]);
}

#[test]
fn an_expired_lease_of_another_host_is_taken_over() {
    let house = house();
    house.leave(7, elsewhere(), 61);
    let acquired = house.acquire(me()).unwrap();
    let finding = acquired.finding.unwrap();
    assert_eq!(finding.code, FindingCode::LeaseTakenOver);
    assert!(finding.message.contains("runner-7"), "{}", finding.message);
    assert_eq!(house.files(), ["8.json"]);
}

#[test]
fn a_dead_run_of_this_host_is_taken_over_at_once() {
    let house = house();
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    house.leave(1, Owner { pid, ..me() }, 0);
    let finding = house.acquire(me()).unwrap().finding.unwrap();
    assert!(finding.message.contains("no such process"), "{}", finding.message);
}

#[test]
fn a_lease_from_the_future_is_held() {
    let house = house();
    house.leave(1, elsewhere(), -3600);
    let error = house.acquire(me()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Busy);
    assert!(error.hints().iter().any(|hint| hint.contains("clock is ahead")), "{:?}", error.hints());
}

#[test]
fn renewing_keeps_the_lease() {
    let house = house();
    let acquired = house.acquire(elsewhere()).unwrap();
    for _ in 0..4 {
        house.clock.advance(50);
        acquired.lease.renew().unwrap();
        acquired.lease.check().unwrap();
        assert_eq!(house.acquire(me()).unwrap_err().code(), ErrorCode::Busy);
    }
    assert_eq!(house.files(), ["5.json"]);
}

#[test]
fn an_expired_lease_is_lost_to_its_holder() {
    let house = house();
    let acquired = house.acquire(me()).unwrap();
    house.clock.advance(60);
    assert_eq!(acquired.lease.check().unwrap_err().code(), ErrorCode::LeaseLost);
    assert_eq!(house.cancel.reason(), Some(Reason::LeaseLost));
    assert_eq!(acquired.lease.release().unwrap_err().code(), ErrorCode::LeaseLost);
}

#[test]
fn a_lease_taken_by_another_is_noticed() {
    for renew in [false, true] {
        let house = house();
        let acquired = house.acquire(me()).unwrap();
        house.leave(3, elsewhere(), 0);
        let result = if renew { acquired.lease.renew() } else { acquired.lease.check() };
        assert_eq!(result.unwrap_err().code(), ErrorCode::LeaseLost);
        assert_eq!(house.cancel.reason(), Some(Reason::LeaseLost));
        // Giving back what is not ours must not free the other's lease.
        drop(acquired);
        let next = acquire_with(house.storage.clone(), me(), &Cancel::new(), house.clock.clone(), TERMS);
        assert_eq!(next.unwrap_err().code(), ErrorCode::Busy);
    }
}

#[test]
fn a_renewal_whose_answer_was_lost_is_still_ours() {
    for release in [false, true] {
        let house = house();
        let owner = me();
        let acquired = house.acquire(owner.clone()).unwrap();
        house.leave(2, owner, 0);
        if release {
            acquired.lease.release().unwrap();
            assert_eq!(house.files(), ["3.json"]);
        } else {
            acquired.lease.check().unwrap();
            assert_eq!(house.files(), ["2.json"]);
        }
        assert!(!house.cancel.is_cancelled());
    }
}

#[test]
fn the_thread_renews_and_stops_at_once() {
    let house = house();
    let terms = Terms { renew_every: Duration::from_millis(1), ..TERMS };
    let acquired = acquire_with(house.storage.clone(), me(), &house.cancel, house.clock.clone(), terms).unwrap();
    while house.files() == ["1.json"] {
        std::thread::yield_now();
    }
    acquired.lease.release().unwrap();
    assert_eq!(house.files().len(), 1);
}

#[test]
fn a_broken_file_is_nobodys_invitation() {
    let house = house();
    let _ =
        house.storage.put("lease/5.json", &Bytes::from_static(b"{"), PutMode::CreateOnly, Class::Transient).unwrap();
    assert_eq!(house.acquire(me()).unwrap_err().code(), ErrorCode::Busy);
}

#[test]
fn of_several_runs_exactly_one_holds_the_lease() {
    let house = house();
    let (holders, wins) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..60 {
                    match house.acquire(me()) {
                        Ok(acquired) => {
                            assert_eq!(holders.fetch_add(1, SeqCst), 0, "two holders at once");
                            wins.fetch_add(1, SeqCst);
                            acquired.lease.renew().unwrap();
                            acquired.lease.check().unwrap();
                            holders.fetch_sub(1, SeqCst);
                            acquired.lease.release().unwrap();
                        }
                        Err(error) => assert_eq!(error.code(), ErrorCode::Busy),
                    }
                }
            });
        }
    });
    assert!(wins.load(SeqCst) > 0);
    assert_eq!(house.files().len(), 1);
    assert!(house.directory.path().exists());
}

#[test]
fn of_several_runs_exactly_one_takes_over() {
    for _ in 0..20 {
        let house = house();
        house.leave(1, elsewhere(), 100);
        let results: Vec<_> = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| house.acquire(me()))).collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    }
}
