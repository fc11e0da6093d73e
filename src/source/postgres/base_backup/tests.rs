use super::sample::Backup;
use super::*;
use crate::error::ErrorCode;
use crate::model::finding::FindingCode;
use crate::source::postgres::wal::sample::Log;
use crate::source::sample::{Kept, context};
use std::os::unix::fs::MetadataExt;

/// Returns what is found in a tar: content, and codes with messages.
fn look(tar: &[u8]) -> (Content, Vec<(FindingCode, String)>) {
    let cancel = Cancel::new();
    let contents = Contents::read(&mut &*tar, None, &cancel).unwrap();
    let (content, findings) = check::judge(&contents);
    (content, findings.into_iter().map(|finding| (finding.code, finding.message)).collect())
}

#[track_caller]
fn assert_refused(tar: &[u8], code: FindingCode, message: &str) {
    let (_, findings) = look(tar);
    assert!(findings.iter().any(|(found, text)| *found == code && text.contains(message)), "{findings:#?}");
}

#[test]
fn a_whole_backup_is_described() {
    let backup = Backup::new();
    let (content, findings) = look(&backup.tar());
    assert_eq!(findings, []);
    let expected = serde_json::json!({
        "files": 5, "server_major_version": "15", "system_identifier": Log::SYSTEM.to_string(), "timeline": 1,
        "wal_start_lsn": "0/20028", "wal_end_lsn": backup.end.to_string(),
    });
    assert_eq!(serde_json::to_value(content).unwrap(), expected);
}

#[test]
fn a_backup_of_another_server_than_was_judged_is_refused() {
    let (content, _) = look(&Backup::new().tar());
    let judged = |identifier: Option<String>| check::is_of_another_server(&content, identifier);
    assert_eq!(judged(Some(Log::SYSTEM.to_string())), None);
    for other in [Some("8".to_owned()), None] {
        let finding = judged(other).unwrap();
        assert_eq!(finding.code, FindingCode::IdentityChanged);
        assert!(finding.message.contains(&Log::SYSTEM.to_string()), "{}", finding.message);
    }
    assert_eq!(check::is_of_another_server(&Content::new(), Some("8".to_owned())), None);
}

#[test]
fn every_flipped_byte_of_a_file_is_found() {
    for name in ["backup_label", "PG_VERSION", "base/1/1259", "global/pg_control"] {
        let mut backup = Backup::new();
        *backup.content(name).last_mut().unwrap() ^= 1;
        assert_refused(&backup.tar(), FindingCode::IntegrityFailed, name);
    }
    let mut backup = Backup::new();
    backup.content("backup_manifest")[300] ^= 1;
    assert_refused(&backup.tar(), FindingCode::IntegrityFailed, "backup_manifest is damaged");
    let mut backup = Backup::new();
    backup.content("pg_wal/")[80] ^= 1;
    assert_refused(&backup.tar(), FindingCode::ContentIncomplete, "it is whole only up to 0/20028");
}

#[test]
fn what_is_missing_or_too_much_is_named() {
    let incomplete = FindingCode::ContentIncomplete;
    assert_refused(&Backup::new().without("base/1/1259").tar(), incomplete, "base/1/1259 is in the manifest");
    assert_refused(&Backup::new().without("pg_wal").tar(), incomplete, "there is none in it");
    assert_refused(&Backup::new().without("backup_manifest").tar(), incomplete, "did not come to its end");
    assert_refused(&Backup::new().without("backup_label").tar(), incomplete, "no backup_label");
    let mut backup = Backup::new();
    backup.content("base/1/1259").push(0);
    assert_refused(&backup.tar(), incomplete, "base/1/1259 (8193 bytes instead of 8192)");
    let mut backup = Backup::new();
    backup.files.insert(0, ("base/1/9999".to_owned(), vec![1]));
    assert_refused(&backup.tar(), incomplete, "base/1/9999 is in the backup and not in its manifest");
    let mut backup = Backup::new();
    let again = backup.files[0].clone();
    backup.files.insert(0, again);
    assert_refused(&backup.tar(), incomplete, "backup_label is in it twice");
}

#[test]
fn a_tar_that_is_cut_off_or_no_tar_is_refused() {
    let tar = Backup::new().tar();
    for length in [0, 100, 512, 600, 9_000, tar.len() / 2, tar.len() - 1500] {
        let (_, findings) = look(&tar[..length]);
        assert!(!findings.is_empty(), "cut off after {length} of {}", tar.len());
    }
    assert_refused(&[b'x'; 4096], FindingCode::ContentIncomplete, "cannot be read on");
    let longer = [tar.as_slice(), b"more"].concat();
    assert_refused(&longer, FindingCode::ContentIncomplete, "something follows");
}

#[test]
fn a_backup_is_unpacked_or_nothing_is() {
    let parent = tempfile::tempdir().unwrap();
    let target = parent.path().join("data");
    let context = context(parent.path());
    let unpack = |tar: Vec<u8>, force| {
        let staging = Staging::beside(&target, force)?;
        unpack(&Kept::one("main.tar", tar), &staging, &context.cancel)?;
        staging.publish()
    };
    let error = unpack(Backup::new().without("base").tar(), false).unwrap_err();
    assert_eq!(error.code(), ErrorCode::RestoreFailed);
    assert!(error.chain().contains("base/1/1259"), "{}", error.chain());
    assert_eq!(parent.path().read_dir().unwrap().count(), 0);
    unpack(Backup::new().tar(), false).unwrap();
    assert_eq!(std::fs::read(target.join("PG_VERSION")).unwrap(), b"15\n");
    assert_eq!(std::fs::read(target.join("base/1/1259")).unwrap(), [7; 8192]);
    assert!(target.join("backup_manifest").exists() && target.join("pg_wal/000000010000000000000002").exists());
    assert_eq!(target.metadata().unwrap().mode() & 0o777, 0o700);
    assert!(unpack(Backup::new().tar(), false).unwrap_err().message().contains("is not empty"));
    unpack(Backup::new().tar(), true).unwrap();
}

#[test]
fn no_member_leaves_the_data_directory() {
    let mut backup = Backup::new();
    backup.files.insert(0, ("aa/outside".to_owned(), vec![1]));
    let mut tar = backup.tar();
    tar[..10].copy_from_slice(b"../outside");
    tar[148..156].fill(b' ');
    let sum: u32 = tar[..512].iter().map(|&byte| u32::from(byte)).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_refused(&tar, FindingCode::ContentIncomplete, "outside of the data directory");
}
