//! Object Lock, versions, encryption, storage classes and regions, on the servers that know them.

use crate::support::s3::Server;
use crate::support::wait;
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, DefaultRetention,
    ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode, ObjectLockRule, StorageClass,
    VersioningConfiguration,
};
use bytes::Bytes;
use holdpoint::cancel::Cancel;
use holdpoint::error::ErrorCode;
use holdpoint::storage::s3::{Encryption, Settings};
use holdpoint::storage::{
    Class, HiddenBy, LockMode, LockTerms, Look, PutMode, PutOutcome, ReadFrom, S3Storage, Storage, UnfitKind,
};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Creates a bucket with Object Lock.
pub fn locked_bucket(server: &Server, name: &str) -> String {
    let bucket = format!("{}-locked", server.bucket(name));
    let request = server.client().create_bucket().bucket(&bucket).object_lock_enabled_for_bucket(true);
    server.wait(request.send()).unwrap();
    bucket
}

fn open(settings: Settings) -> S3Storage {
    S3Storage::open(settings, Cancel::new()).unwrap()
}

fn locking(server: &Server, bucket: &str, mode: LockMode, retain: Duration) -> S3Storage {
    let terms = LockTerms { mode, retain };
    open(Settings { object_lock: Some(terms), ..server.settings(bucket, "hold/point") })
}

fn write(storage: &S3Storage, key: &str, class: Class) {
    let data = Bytes::copy_from_slice(key.as_bytes());
    assert_eq!(storage.put(key, &data, PutMode::CreateOnly, class).unwrap(), PutOutcome::Written);
}

fn in_days(days: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(24 * days)
}

/// Returns the id of the newest version of an object.
fn version(server: &Server, bucket: &str, key: &str) -> String {
    let request = server.client().head_object().bucket(bucket).key(format!("hold/point/{key}"));
    server.wait(request.send()).unwrap().version_id.unwrap()
}

fn delete_version(server: &Server, bucket: &str, key: &str) -> bool {
    let id = version(server, bucket, key);
    let request = server.client().delete_object().bucket(bucket).key(format!("hold/point/{key}")).version_id(id);
    server.wait(request.send()).is_ok()
}

#[test]
fn what_is_kept_cannot_be_deleted_and_what_is_replaced_can() {
    let server = Server::rgw();
    for mode in [LockMode::Governance, LockMode::Compliance] {
        let bucket = locked_bucket(&server, "kept");
        let storage = locking(&server, &bucket, mode, DAY * 4);
        assert_eq!(storage.preflight(Look::Everything).unwrap(), []);
        write(&storage, "pack", Class::Data);
        write(&storage, "record", Class::Record);
        write(&storage, "lease", Class::Transient);
        for key in ["pack", "record"] {
            // A quarter longer than asked for.
            let until = storage.locked_until(key).unwrap().unwrap();
            assert!(until > in_days(4) && until < in_days(6), "{key}: {until}");
            assert!(!delete_version(&server, &bucket, key), "{mode:?} {key}");
        }
        assert_eq!(storage.locked_until("lease").unwrap(), None);
        assert!(delete_version(&server, &bucket, "lease"), "{mode:?}");
        // The lock is extended, and never shortened.
        let longer = in_days(20);
        storage.lock_until("pack", longer).unwrap();
        storage.lock_until("pack", in_days(1)).unwrap();
        assert_eq!(storage.locked_until("pack").unwrap().map(|until| until.as_second()), Some(longer.as_second()));
        assert!(!delete_version(&server, &bucket, "pack"), "{mode:?}");
        let error = storage.lock_until("nothing", longer).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Damaged, "{error}");
    }
}

#[test]
fn a_weaker_lock_does_not_count_and_is_raised() {
    let server = Server::rgw();
    let bucket = locked_bucket(&server, "raised");
    let governance = locking(&server, &bucket, LockMode::Governance, DAY);
    let compliance = locking(&server, &bucket, LockMode::Compliance, DAY);
    write(&governance, "pack", Class::Data);
    assert_eq!(compliance.locked_until("pack").unwrap(), None);
    compliance.lock_until("pack", in_days(3)).unwrap();
    assert!(compliance.locked_until("pack").unwrap().unwrap() > in_days(2));
    // A stricter one counts, and stays as strict when it is extended.
    assert!(governance.locked_until("pack").unwrap().unwrap() > in_days(2));
    governance.lock_until("pack", in_days(5)).unwrap();
    assert!(compliance.locked_until("pack").unwrap().unwrap() > in_days(4));
}

#[test]
fn a_probe_finds_out_whether_locks_hold_and_cleans_up_later() {
    let server = Server::rgw();
    let bucket = locked_bucket(&server, "probe");
    let short = Duration::from_secs(2);
    let compliance = locking(&server, &bucket, LockMode::Compliance, DAY);
    let probe = compliance.probe_lock("doctor-lock-", short).unwrap().unwrap();
    assert!(probe.held && !probe.lifted, "{probe:?}");
    assert_eq!(compliance.list("").unwrap().len(), 1);
    // Its lock has run out then.
    wait::for_moment(compliance.locked_until(&compliance.list("").unwrap()[0].key).unwrap().unwrap());
    // The owner of the bucket may bypass governance.
    let governance = locking(&server, &bucket, LockMode::Governance, DAY);
    let probe = governance.probe_lock("doctor-lock-", short).unwrap().unwrap();
    assert!(probe.held && probe.lifted, "{probe:?}");
    assert_eq!((compliance.list("").unwrap(), compliance.hidden("").unwrap()), (vec![], vec![]));
    let plain = open(server.settings(&bucket, "hold/point"));
    assert_eq!(plain.probe_lock("doctor-lock-", short).unwrap(), None);
}

#[test]
fn a_bucket_that_cannot_lock_or_locks_everything_is_unfit() {
    let server = Server::rgw();
    let kinds = |storage: &S3Storage, look| -> Vec<_> {
        storage.preflight(look).unwrap().into_iter().map(|unfit| unfit.kind).collect()
    };
    let plain = server.bucket("plain");
    let asked = locking(&server, &plain, LockMode::Governance, DAY);
    assert_eq!(kinds(&asked, Look::AsAsked), [UnfitKind::NoObjectLock]);
    assert_eq!(kinds(&open(server.settings(&plain, "")), Look::Everything), []);
    let error = asked.put("pack", &Bytes::from_static(b"x"), PutMode::CreateOnly, Class::Data).unwrap_err();
    assert_eq!(error.code(), ErrorCode::StoreRefused, "{error}");
    let bucket = locked_bucket(&server, "default");
    let rule = DefaultRetention::builder().mode(ObjectLockRetentionMode::Governance).days(1).build();
    let configuration = ObjectLockConfiguration::builder()
        .object_lock_enabled(ObjectLockEnabled::Enabled)
        .rule(ObjectLockRule::builder().default_retention(rule).build())
        .build();
    let request = server.client().put_object_lock_configuration().bucket(&bucket);
    server.wait(request.object_lock_configuration(configuration).send()).unwrap();
    let asked = locking(&server, &bucket, LockMode::Governance, DAY);
    assert_eq!(kinds(&asked, Look::AsAsked), [UnfitKind::LocksEverything]);
    assert_eq!(kinds(&open(server.settings(&bucket, "")), Look::Everything), [UnfitKind::LocksEverything]);
    assert_eq!(kinds(&open(server.settings(&bucket, "")), Look::AsAsked), []);
}

#[test]
fn a_server_without_locks_costs_no_request_where_none_are_asked_for() {
    let server = Server::in_process();
    let bucket = server.bucket("none");
    let storage = server.open(&bucket, "");
    assert_eq!(storage.preflight(Look::AsAsked).unwrap(), []);
    assert_eq!(storage.locked_until("x").unwrap(), None);
    let before = server.requests();
    assert_eq!(storage.preflight(Look::AsAsked).unwrap(), []);
    assert_eq!(server.requests(), before);
    assert_eq!(storage.preflight(Look::Everything).unwrap(), []);
}

#[test]
fn a_bucket_in_another_region_or_in_none_is_unfit() {
    let allowing = |server: &Server, bucket: &str, allowed: &str| {
        let settings = server.settings(bucket, "");
        let storage = open(Settings { allowed_regions: vec![allowed.to_owned()], ..settings });
        let unfit = storage.preflight(Look::AsAsked).unwrap();
        unfit.into_iter().map(|unfit| (unfit.kind, unfit.message)).collect::<Vec<_>>()
    };
    let moto = Server::moto();
    let bucket = format!("{}-eu", moto.bucket("region"));
    let place = BucketLocationConstraint::EuCentral1;
    let place = CreateBucketConfiguration::builder().location_constraint(place).build();
    moto.wait(moto.client().create_bucket().bucket(&bucket).create_bucket_configuration(place).send()).unwrap();
    assert_eq!(allowing(&moto, &bucket, "eu-central-1"), []);
    let [(kind, message)] = allowing(&moto, &bucket, "us-east-1").try_into().unwrap();
    assert_eq!(kind, UnfitKind::Region);
    assert!(message.contains("is in eu-central-1"), "{message}");
    // Ceph names its zone group, the server in this process nothing.
    let rgw = Server::rgw();
    let bucket = rgw.bucket("region");
    assert_eq!(allowing(&rgw, &bucket, "default"), []);
    assert_eq!(allowing(&rgw, &bucket, "eu-central-1").len(), 1);
    let memory = Server::in_process();
    let bucket = memory.bucket("region");
    let [(_, message)] = allowing(&memory, &bucket, "us-east-1").try_into().unwrap();
    assert!(message.contains("does not say"), "{message}");
}

#[test]
fn what_is_deleted_or_overwritten_is_hidden_and_comes_back() {
    for server in [Server::rgw(), Server::moto()] {
        let bucket = server.bucket("hidden");
        let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let request = server.client().put_bucket_versioning().bucket(&bucket).versioning_configuration(on);
        server.wait(request.send()).unwrap();
        let storage = server.open(&bucket, "hold/point");
        write(&storage, "data/gone", Class::Data);
        write(&storage, "data/twice", Class::Data);
        write(&storage, "data/there", Class::Data);
        write(&storage, "database", Class::Data);
        let [gone, older] = ["data/gone", "data/twice"].map(|key| version(&server, &bucket, key));
        let new = Bytes::from_static(b"new");
        assert_eq!(storage.put("data/twice", &new, PutMode::Overwrite, Class::Data).unwrap(), PutOutcome::Written);
        storage.delete("data/gone").unwrap();
        storage.delete("database").unwrap();
        let hidden = storage.hidden("data").unwrap();
        let [first, second] = &hidden[..] else { panic!("{hidden:?}") };
        assert_eq!((&first.key[..], &first.version, first.size), ("data/gone", &gone, 9));
        let HiddenBy::Markers(markers) = &first.by else { panic!("{first:?}") };
        assert_eq!((&second.key[..], &second.version), ("data/twice", &older));
        assert_eq!(second.by, HiddenBy::Newer(version(&server, &bucket, "data/twice")));
        assert_eq!(storage.hidden("").unwrap().len(), 3);
        // The way back that `check` names.
        assert_eq!(storage.get("data/gone", ReadFrom::Medium).unwrap(), None);
        let request = server.client().delete_object().bucket(&bucket).key("hold/point/data/gone");
        server.wait(request.version_id(&markers[0]).send()).unwrap();
        assert_eq!(storage.get("data/gone", ReadFrom::Medium).unwrap().as_deref(), Some(&b"data/gone"[..]));
        assert_eq!(storage.hidden("data").unwrap().len(), 1);
    }
}

#[test]
fn a_server_encrypts_as_it_is_asked_or_is_found_out() {
    let with = |server: &Server, bucket: &str, encryption| {
        let settings = server.settings(bucket, "hold/point");
        open(Settings { encryption: Some(encryption), ..settings })
    };
    let head = |server: &Server, bucket: &str| {
        server.wait(server.client().head_object().bucket(bucket).key("hold/point/pack").send()).unwrap()
    };
    let kms = Encryption::Kms(Some("k1".to_owned()));
    for server in [Server::rgw(), Server::moto()] {
        let bucket = server.bucket("kms");
        let storage = with(&server, &bucket, kms.clone());
        write(&storage, "pack", Class::Data);
        let head = head(&server, &bucket);
        assert_eq!(head.server_side_encryption.unwrap().as_str(), "aws:kms");
        assert_eq!(head.ssekms_key_id.as_deref(), Some("k1"));
        assert_eq!(storage.get("pack", ReadFrom::Medium).unwrap().as_deref(), Some(&b"pack"[..]));
    }
    let moto = Server::moto();
    let bucket = moto.bucket("s3");
    write(&with(&moto, &bucket, Encryption::S3), "pack", Class::Record);
    assert_eq!(head(&moto, &bucket).server_side_encryption.unwrap().as_str(), "AES256");
    // This gateway takes SSE-S3 and does nothing; the server in this process does nothing at all.
    for (server, encryption) in [(Server::rgw(), Encryption::S3), (Server::in_process(), kms)] {
        let bucket = server.bucket("plain");
        let storage = with(&server, &bucket, encryption);
        let error = storage.put("pack", &Bytes::from_static(b"x"), PutMode::CreateOnly, Class::Data).unwrap_err();
        assert_eq!(error.code(), ErrorCode::StoreRefused);
        assert!(error.message().contains("did not encrypt"), "{error}");
    }
    let rgw = Server::rgw();
    let bucket = rgw.bucket("unknown");
    let storage = with(&rgw, &bucket, Encryption::Kms(Some("no-such-key".to_owned())));
    let error = storage.put("pack", &Bytes::from_static(b"x"), PutMode::CreateOnly, Class::Data).unwrap_err();
    assert_eq!(error.code(), ErrorCode::StoreRefused, "{error}");
}

#[test]
fn packs_of_content_alone_lie_in_the_storage_class() {
    let classes = |server: &Server, class: &str| {
        let bucket = server.bucket("class");
        let settings = server.settings(&bucket, "hold/point");
        let storage = open(Settings { storage_class: Some(class.to_owned()), ..settings });
        for (key, class) in [("pack", Class::Data), ("record", Class::Record), ("lease", Class::Transient)] {
            write(&storage, key, class);
        }
        let class_of = |key: &str| {
            let request = server.client().head_object().bucket(&bucket).key(format!("hold/point/{key}"));
            server.wait(request.send()).unwrap().storage_class
        };
        (storage, ["pack", "record", "lease"].map(class_of))
    };
    for (server, class) in [(Server::rgw(), "STANDARD_IA"), (Server::rgw(), "GLACIER"), (Server::moto(), "STANDARD_IA")]
    {
        let (storage, [pack, record, lease]) = classes(&server, class);
        assert_eq!(pack, Some(StorageClass::from(class)));
        let is_hot = |class: Option<StorageClass>| class.is_none_or(|class| class == StorageClass::Standard);
        assert!(is_hot(record) && is_hot(lease));
        assert_eq!(storage.get("pack", ReadFrom::Medium).unwrap().as_deref(), Some(&b"pack"[..]));
    }
    let moto = Server::moto();
    let (cold, _) = classes(&moto, "GLACIER");
    for error in [cold.get("pack", ReadFrom::Medium).unwrap_err(), cold.get_range("pack", 1, 2).unwrap_err()] {
        assert_eq!(error.code(), ErrorCode::ObjectCold);
        assert!(error.message().contains("thawed first"), "{error}");
        assert!(error.hints()[0].contains("GLACIER_IR"), "{error}");
    }
}

#[test]
fn of_many_writers_into_a_bucket_with_versions_one_is_first() {
    let server = Server::rgw();
    let bucket = locked_bucket(&server, "race");
    for round in 0..if crate::support::full() { 100 } else { 8 } {
        let key = format!("lease/{round}.json");
        let written = std::sync::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for writer in 0..6 {
                let (server, bucket, key, written) = (&server, &bucket, &key, &written);
                scope.spawn(move || {
                    let storage = locking(server, bucket, LockMode::Governance, DAY);
                    let data = Bytes::from(format!("writer {writer}"));
                    if storage.put(key, &data, PutMode::CreateOnly, Class::Transient).unwrap() == PutOutcome::Written {
                        written.lock().unwrap().push(data);
                    }
                });
            }
        });
        let [first] = written.into_inner().unwrap().try_into().unwrap();
        let storage = locking(&server, &bucket, LockMode::Governance, DAY);
        assert_eq!(storage.get(&key, ReadFrom::Medium).unwrap().as_deref(), Some(&first[..]), "round {round}");
        // Once it was deleted it can be created again.
        storage.delete(&key).unwrap();
        let again = Bytes::from_static(b"again");
        for outcome in [PutOutcome::Written, PutOutcome::Exists] {
            assert_eq!(storage.put(&key, &again, PutMode::CreateOnly, Class::Transient).unwrap(), outcome);
        }
    }
}
