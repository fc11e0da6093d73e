//! The servers of these tests are what they are said to be.

use crate::support::s3::Server;
use bytes::Bytes;
use holdpoint::storage::{Class, PutMode, PutOutcome, ReadFrom, Storage};

/// Writes and reads through our driver, and sees the object with the SDK's own client.
#[track_caller]
fn works(server: &Server) {
    let bucket = server.bucket("works");
    let storage = server.open(&bucket, "some/where");
    let data = Bytes::from_static(b"content");
    assert_eq!(storage.put("a/b", &data, PutMode::CreateOnly, Class::Record).unwrap(), PutOutcome::Written);
    assert_eq!(storage.put("a/b", &data, PutMode::CreateOnly, Class::Record).unwrap(), PutOutcome::Exists);
    assert_eq!(storage.get("a/b", ReadFrom::Medium).unwrap().unwrap(), data);
    let request = server.client().get_object().bucket(&bucket).key("some/where/a/b");
    let answer = server.wait(async { request.send().await.unwrap().body.collect().await.unwrap() });
    assert_eq!(answer.into_bytes(), data);
}

#[test]
fn in_process() {
    let server = Server::in_process();
    works(&server);
    let requests = server.requests();
    assert_eq!(requests["PutObject"], 2);
    assert_eq!(requests["GetObject"], 2);
}

#[test]
fn in_process_without_conditions() {
    let server = Server::in_process_without_conditions();
    let storage = server.open(&server.bucket("careless"), "");
    for _ in 0..2 {
        let outcome = storage.put("a", &Bytes::new(), PutMode::CreateOnly, Class::Record).unwrap();
        assert_eq!(outcome, PutOutcome::Written);
    }
}

#[test]
fn rgw() {
    works(&Server::rgw());
}

#[test]
fn moto() {
    works(&Server::moto());
}
