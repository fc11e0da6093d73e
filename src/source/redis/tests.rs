//! What an RDB file may be, against files that real servers wrote.

use super::inspect::inspect;
use super::rdb::{Checked, Item, Parser};
use crate::model::finding::{FindingCode, Level};
use crate::source::Inspection;
use crate::source::redis::rdb::CRC64;
use serde_json::json;
use std::io::Read;

/// Written by Redis 7.0 for a few keys of every type, some of them packed: `src/source/redis/tests/7.0.rdb`.
const SAMPLE: &[u8] = include_bytes!("tests/7.0.rdb");

fn look(bytes: &[u8]) -> Inspection {
    inspect(Box::new(bytes)).unwrap()
}

/// Returns an RDB file of a version with some records, an end and a checksum.
fn file(version: &str, records: &[u8]) -> Vec<u8> {
    let mut bytes = [b"REDIS", version.as_bytes(), records, b"\xff"].concat();
    bytes.extend(CRC64.checksum(&bytes).to_le_bytes());
    bytes
}

#[track_caller]
fn assert_refused(bytes: &[u8], code: FindingCode, words: &str) {
    let inspection = look(bytes);
    let [finding] = inspection.findings.as_slice() else { panic!("{inspection:?}") };
    assert_eq!((finding.code, finding.level), (code, Level::Refusal), "{finding:?}");
    assert!(finding.message.contains(words), "{}", finding.message);
    assert!(inspection.content.is_empty());
}

#[test]
fn a_file_of_a_real_server_is_understood() {
    let inspection = look(SAMPLE);
    assert_eq!(inspection.findings, []);
    let content = inspection.content;
    assert_eq!(content["rows"], json!({"db0": 15, "db9": 1}));
    assert_eq!(content["keys_by_type"], json!({"hash": 2, "list": 3, "set": 4, "stream": 2, "string": 3, "zset": 2}));
    assert_eq!((&content["redis_version"], &content["function_libraries"]), (&json!("7.0.15"), &json!(1)));
    assert!(content["captured_at"].is_string());
}

#[test]
fn names_and_values_are_kept_where_they_are_wanted() {
    let mut parser = Parser::start(Box::new(SAMPLE), true).unwrap();
    let mut seen = Vec::new();
    while let Some(item) = parser.next().unwrap() {
        if let Item::Key(key) = item {
            seen.push((String::from_utf8_lossy(key.name).into_owned(), key.value.len(), key.expires_at));
        }
    }
    seen.sort();
    assert_eq!(parser.checked(), Some(Checked::Sound));
    assert!(seen.contains(&("expires".to_owned(), 2, Some(4_102_444_800_123))), "{seen:?}");
    // A name long enough to be compressed.
    assert!(seen.iter().any(|(name, _, _)| *name == "long:".repeat(20)), "{seen:?}");
}

#[test]
fn a_byte_that_is_not_what_it_was_is_always_found() {
    for at in 0..SAMPLE.len() {
        let mut bytes = SAMPLE.to_vec();
        bytes[at] ^= 0x10;
        let findings = look(&bytes).findings;
        assert!(findings.iter().any(|finding| finding.level == Level::Refusal), "byte {at} is not missed");
    }
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_incomplete() {
    for length in 0..SAMPLE.len() {
        assert_refused(&SAMPLE[..length], FindingCode::ContentIncomplete, "before its end marker");
    }
    assert_refused(&[SAMPLE, b"x"].concat(), FindingCode::IntegrityFailed, "it goes on after its end");
}

#[test]
fn what_is_not_known_cannot_be_checked() {
    assert_refused(&file("0013", b""), FindingCode::IntegrityFailed, "version 13");
    assert_refused(&file("0004", b""), FindingCode::IntegrityFailed, "version 4");
    assert_refused(&file("0012", b"\xfe\x00\x63\x01a\x01b"), FindingCode::IntegrityFailed, "a value of type 99");
    assert_refused(b"-ERR no such thing", FindingCode::IntegrityFailed, "does not begin as an RDB file does");
    assert_refused(b"", FindingCode::ContentIncomplete, "ends at byte 0");
}

#[test]
fn a_file_without_a_checksum_is_told_of() {
    let mut bytes = file("0010", b"\xfe\x00\x00\x01a\x01b");
    let length = bytes.len();
    bytes[length - 8..].fill(0);
    let inspection = look(&bytes);
    assert_eq!(inspection.findings[0].level, Level::Warning);
    assert!(inspection.findings[0].message.contains("rdbchecksum"));
    assert_eq!(inspection.content["rows"], json!({"db0": 1}));
}

/// Types that Redis 7.0 does not write: of older servers, of newer ones, of modules.
#[test]
fn types_of_other_versions_are_read_past() {
    let values: [(&str, &str, &[u8]); 9] = [
        ("0005", "list", b"\x01\x01k\x02\x01a\x01b"),
        ("0005", "zset", b"\x03\x01k\x04\x01a\x031.5\x01b\xfd\x01c\xfe\x01d\xff"),
        ("0007", "list", b"\x0e\x01k\x01\x03zip"),
        ("0009", "stream", b"\x0f\x01k\x01\x10aaaaaaaaaaaaaaaa\x02lp\x01\x05\x06\x01\x01g\x01\x02\x01aaaaaaaaaaaaaaaabbbbbbbb\x01\x01\x01cbbbbbbbb\x01aaaaaaaaaaaaaaaa"),
        ("0009", "module", b"\x07\x01k\x81aaaaaaaa\x01\x05\x02\x05\x03ffff\x04dddddddd\x05\x01s\x00"),
        ("0011", "set", b"\x14\x01k\x02lp"),
        ("0011", "stream", b"\x15\x01k\x00\x00\x01\x02\x03\x04\x05\x06\x07\x01\x01g\x01\x02\x03\x00\x01\x01cbbbbbbbbaaaaaaaa\x00"),
        ("0012", "hash", b"\x18\x01kmmmmmmmm\x02\x00\x01f\x01v\x05\x01g\x01w"),
        ("0012", "hash", b"\x19\x01kmmmmmmmm\x02lp"),
    ];
    for (version, kind, record) in values {
        let inspection = look(&file(version, &[b"\xfe\x00\xfb\x01\x00\xf9\x07", record].concat()));
        assert_eq!(inspection.findings, [], "{kind} of {version}");
        assert_eq!(inspection.content["keys_by_type"], json!({ kind: 1 }), "{version}");
        // The parts that are kept end where the value does.
        let bytes = file(version, &[b"\xfc\x01\0\0\0\0\0\0\0", record].concat());
        let mut parser = Parser::start(Box::new(bytes.as_slice()), true).unwrap();
        let Some(Item::Key(key)) = parser.next().unwrap() else { panic!("no key") };
        assert_eq!((key.name, key.value, key.expires_at), (&b"k"[..], &record[3..], Some(1)));
    }
    let module = file("0012", b"\xf7\x81aaaaaaaa\x02\x01\x05\x01x\x00\xf4\x05\x01\x00");
    assert_eq!(look(&module).content["module_data"], 1);
}

/// A reader that gives one byte at a time, so that everything crosses the end of a piece.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
}

#[test]
fn pieces_of_any_size_give_the_same() {
    assert_eq!(inspect(Box::new(Slow(SAMPLE))).unwrap().content, look(SAMPLE).content);
    let keys = |stream: Box<dyn Read>| {
        let mut parser = Parser::start(stream, true).unwrap();
        let mut keys = Vec::new();
        while let Some(item) = parser.next().unwrap() {
            if let Item::Key(key) = item {
                keys.push((key.name.to_vec(), key.value.to_vec()));
            }
        }
        keys
    };
    assert_eq!(keys(Box::new(Slow(SAMPLE))), keys(Box::new(SAMPLE)));
}
