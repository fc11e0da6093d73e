//! Small base backups for tests.

use crate::source::postgres::wal::Lsn;
use crate::source::postgres::wal::sample::Log;
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

/// Writes a manifest as the server does.
pub fn manifest(files: &[(&str, &[u8])], start: &str, end: &str) -> String {
    let line = |(path, content): &(&str, &[u8])| {
        format!(
            "{{ \"Path\": \"{path}\", \"Size\": {}, \"Last-Modified\": \"2026-11-21 10:16:47 GMT\", \
             \"Checksum-Algorithm\": \"SHA256\", \"Checksum\": \"{}\" }}",
            content.len(),
            hex::encode(Sha256::digest(content))
        )
    };
    let lines: Vec<_> = files.iter().map(line).collect();
    let text = format!(
        "{{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n{}\n],\n\"WAL-Ranges\": [\n\
         {{ \"Timeline\": 1, \"Start-LSN\": \"{start}\", \"End-LSN\": \"{end}\" }}\n],\n",
        lines.join(",\n")
    );
    let checksum = hex::encode(Sha256::digest(&text));
    format!("{text}\"Manifest-Checksum\": \"{checksum}\"}}\n")
}

/// A base backup as a list of files, to be altered before it becomes a tar.
pub struct Backup {
    /// Names and contents; the manifest is the last.
    pub files: Vec<(String, Vec<u8>)>,
    /// Where its log ends.
    pub end: Lsn,
}

impl Backup {
    /// Makes a backup that is whole.
    pub fn new() -> Self {
        let mut log = Log::new(1);
        log.record(9, 0, &[1; 100]);
        let end = log.record(0, 0x50, &[2; 8]);
        log.switch();
        let segments = log.segments();
        let label = format!("START WAL LOCATION: {} (file {})\nSTART TIMELINE: 1\n", log.start(), segments[0].0);
        let mut control = Log::SYSTEM.to_le_bytes().to_vec();
        control.resize(8192, 0);
        let files: [(&str, &[u8]); 4] = [
            ("backup_label", label.as_bytes()),
            ("PG_VERSION", b"15\n"),
            ("base/1/1259", &[7; 8192]),
            ("global/pg_control", &control),
        ];
        let manifest = manifest(&files, &log.start().to_string(), &end.to_string());
        let owned = |(name, content): &(&str, &[u8])| ((*name).to_owned(), content.to_vec());
        let mut all: Vec<_> = files.iter().map(owned).collect();
        all.extend(segments.into_iter().map(|(name, bytes)| (format!("pg_wal/{name}"), bytes)));
        all.push(("backup_manifest".to_owned(), manifest.into_bytes()));
        Self { files: all, end }
    }

    /// Returns the content of a file.
    pub fn content(&mut self, name: &str) -> &mut Vec<u8> {
        &mut self.files.iter_mut().find(|(file, _)| file.starts_with(name)).unwrap().1
    }

    /// Takes a file out.
    pub fn without(mut self, name: &str) -> Self {
        self.files.retain(|(file, _)| !file.starts_with(name));
        self
    }

    /// Returns the tar.
    pub fn tar(&self) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (name, content) in &self.files {
            let mut header = Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o600);
            builder.append_data(&mut header, name, content.as_slice()).unwrap();
        }
        builder.into_inner().unwrap()
    }
}
