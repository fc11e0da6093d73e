//! Archives made by the rules of mongo-tools, whole and otherwise.

use super::super::bson::document;
use super::*;

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn header(database: &str, collection: &str, end: Option<i64>) -> Vec<u8> {
    document(&[
        ("db", text(database)),
        ("collection", text(collection)),
        ("EOF", Value::Truth(end.is_some())),
        ("CRC", Value::Number(end.unwrap_or(0))),
    ])
}

/// Returns a document of a collection.
fn order(number: i64) -> Vec<u8> {
    document(&[("_id", Value::Number(number)), ("text", text("grün"))])
}

/// Returns an archive of two collections that take turns, and one that is empty.
fn archive() -> Vec<u8> {
    let announced = |database, collection| {
        let metadata = text("{\"indexes\":[]}");
        document(&[
            ("db", text(database)),
            ("collection", text(collection)),
            ("metadata", metadata),
            ("size", Value::Number(0)),
            ("type", text("collection")),
        ])
    };
    let start = document(&[
        ("concurrent_collections", Value::Number(4)),
        ("version", text("0.1")),
        ("server_version", text("7.0.14")),
        ("tool_version", text("100.9.4")),
    ]);
    let crc = |documents: &[Vec<u8>]| Some(CRC64.checksum(&documents.concat()).cast_signed());
    [
        MAGIC.to_vec(),
        start,
        announced("shop", "orders"),
        announced("shop", "empty"),
        announced("shop", "items"),
        announced("admin", "system.users"),
        END_OF_BLOCK.to_vec(),
        header("shop", "orders", None),
        order(1),
        order(2),
        END_OF_BLOCK.to_vec(),
        header("shop", "items", None),
        order(7),
        END_OF_BLOCK.to_vec(),
        header("shop", "orders", None),
        order(3),
        END_OF_BLOCK.to_vec(),
        header("shop", "orders", crc(&[order(1), order(2), order(3)])),
        END_OF_BLOCK.to_vec(),
        header("shop", "empty", crc(&[])),
        END_OF_BLOCK.to_vec(),
        header("admin", "system.users", crc(&[])),
        END_OF_BLOCK.to_vec(),
        header("shop", "items", crc(&[order(7)])),
        END_OF_BLOCK.to_vec(),
    ]
    .concat()
}

fn look(bytes: &[u8]) -> Result<Contents, Broken> {
    read(Box::new(bytes))
}

#[test]
fn the_checksum_is_the_one_of_go() {
    // crc64.Checksum([]byte("123456789"), crc64.MakeTable(crc64.ECMA))
    assert_eq!(CRC64.checksum(b"123456789"), 0x995d_c9bb_df19_39fa);
}

#[test]
fn documents_are_counted() {
    let contents = look(&archive()).unwrap();
    let rows: Vec<_> = contents.of_application().collect();
    assert_eq!(rows, [("shop.empty".into(), 0), ("shop.items".into(), 1), ("shop.orders".into(), 3)]);
    assert_eq!((contents.server_version.as_str(), contents.has_oplog()), ("7.0.14", false));
}

#[test]
fn an_archive_that_is_cut_off_anywhere_is_incomplete() {
    let whole = archive();
    for length in 0..whole.len() {
        assert!(matches!(look(&whole[..length]), Err(Broken::Incomplete(_))), "{length}");
    }
}

#[test]
fn a_byte_of_a_document_that_is_not_what_it_was_is_found() {
    let whole = archive();
    let documents = memchr::memmem::find(&whole, &order(1)).unwrap();
    for at in documents..documents + order(1).len() + order(2).len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        assert!(look(&bytes).is_err(), "byte {at} is not missed");
    }
}

#[test]
fn what_goes_on_after_its_end_is_damaged() {
    let more = [archive(), header("shop", "orders", None), order(4), END_OF_BLOCK.to_vec()].concat();
    assert!(matches!(look(&more), Err(Broken::Damaged(words)) if words.contains("shop.orders goes on")));
    assert!(matches!(look(b"{\"_id\": 1}"), Err(Broken::Damaged(words)) if words.contains("does not begin")));
    let open = [archive(), header("shop", "new", None), order(4), END_OF_BLOCK.to_vec()].concat();
    assert!(matches!(look(&open), Err(Broken::Incomplete(words)) if words.contains("in the middle of shop.new")));
}

#[test]
fn a_time_series_is_there_as_its_buckets() {
    let crc = Some(CRC64.checksum(&[]).cast_signed());
    let announced = document(&[("db", text("shop")), ("collection", text("load")), ("type", text("timeseries"))]);
    let archive = [
        MAGIC.to_vec(),
        document(&[("version", text("0.1"))]),
        announced,
        END_OF_BLOCK.to_vec(),
        header("shop", "system.buckets.load", crc),
        END_OF_BLOCK.to_vec(),
        header("", "oplog", crc),
        END_OF_BLOCK.to_vec(),
    ]
    .concat();
    assert!(look(&archive).unwrap().has_oplog());
}
