//! The tar of a base backup, read once from its start to its end: hashed, its log followed, and unpacked if asked to.

use super::label::BackupLabel;
use crate::cancel::Cancel;
use crate::error::{Error, IoContext, Result};
use crate::source::postgres::data_directory::Staging;
use crate::source::postgres::wal::{Records, SegmentName};
use crate::source::write::{failed, read_all};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use tar::{Archive, Entry, EntryType};

/// The name of the manifest.
pub(super) const MANIFEST: &[u8] = b"backup_manifest";
/// The most that is read of a manifest, in bytes: about five million files.
const LARGEST_MANIFEST: u64 = 1 << 30;
/// How much of a file is kept that is looked at as a whole, in bytes; they are far smaller.
const KEPT: usize = 64 * 1024;

/// What a tar held.
#[derive(Default)]
pub(super) struct Contents {
    /// Every file but the manifest and the segments of the log, by its path.
    pub files: HashMap<Vec<u8>, Hashed>,
    /// The manifest.
    pub manifest: Option<Vec<u8>>,
    /// What the server noted at the start of the backup.
    pub label: Option<BackupLabel>,
    /// The content of `PG_VERSION`: the major version.
    pub version: Option<String>,
    /// The first field of `global/pg_control`: the server's identifier.
    pub system_identifier: Option<u64>,
    /// The segments of the log, in their order in the tar.
    pub segments: Vec<SegmentName>,
    /// The records in them.
    pub records: Option<Records>,
    /// What is wrong with the tar as such, in words.
    pub problems: Vec<String>,
}

/// A file, as far as it must be known to compare it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hashed {
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

impl Contents {
    /// Reads a tar; writes what it holds below `into`, if that is given. What is wrong with it as a tar is among its
    /// problems.
    ///
    /// # Errors
    /// The stream could not be read; `restore-failed` if something could not be written; a cancellation.
    pub fn read(stream: &mut dyn Read, into: Option<&Staging>, cancel: &Cancel) -> Result<Self> {
        let failure = RefCell::new(None);
        let mut archive = Archive::new(Watched { stream, failure: &failure });
        let mut contents = Self::default();
        let read = contents.entries(&mut archive, into, cancel);
        if let Some(error) = failure.take() {
            return Err(error);
        }
        if let Some(why) = read? {
            contents.problems.push(format!("the tar cannot be read on: {why}"));
        }
        let mut rest_is_zero = true;
        read_all(&mut archive.into_inner(), cancel, |data| {
            rest_is_zero &= data.iter().all(|&byte| byte == 0);
            Ok(())
        })?;
        if !rest_is_zero && contents.problems.is_empty() {
            contents.problems.push("something follows the end of the tar".to_owned());
        }
        Ok(contents)
    }

    /// Reads all entries; returns why it ended early, in words.
    fn entries<R: Read>(
        &mut self,
        archive: &mut Archive<R>,
        into: Option<&Staging>,
        cancel: &Cancel,
    ) -> Result<Option<String>> {
        let entries = match archive.entries() {
            Ok(entries) => entries,
            Err(error) => return Ok(Some(error.to_string())),
        };
        for entry in entries {
            cancel.check()?;
            let mut entry = match entry {
                Ok(entry) => entry,
                Err(error) => return Ok(Some(error.to_string())),
            };
            let Some(path) = normal(&entry.path_bytes()) else {
                let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                return Ok(Some(format!("{path} would be outside of the data directory")));
            };
            match entry.header().entry_type() {
                EntryType::Directory => {
                    if let Some(into) = into {
                        into.directory(&as_path(&path))?;
                    }
                }
                EntryType::Regular | EntryType::Continuous => {
                    let size = entry.size();
                    let read = self.file(&path, &mut entry, into, cancel)?;
                    if read != size {
                        let path = String::from_utf8_lossy(&path);
                        return Ok(Some(format!("it is cut off in {path}, after {read} of {size} bytes")));
                    }
                }
                _ => {
                    let path = String::from_utf8_lossy(&path);
                    self.problems.push(format!("{path} is neither a file nor a directory"));
                }
            }
        }
        Ok(None)
    }

    /// Reads one file; returns how many bytes it had.
    fn file<R: Read>(
        &mut self,
        path: &[u8],
        entry: &mut Entry<'_, R>,
        into: Option<&Staging>,
        cancel: &Cancel,
    ) -> Result<u64> {
        let name = as_path(path);
        let to = into.map(|into| into.file(&name)).transpose()?;
        let mut copying = Copying { from: entry, to, path: &name, read: 0 };
        if path == MANIFEST {
            let mut bytes = Vec::new();
            let read = copying.by_ref().take(LARGEST_MANIFEST).read_to_end(&mut bytes);
            read.io_context(|| format!("cannot read {}", name.display()))?;
            self.manifest = Some(bytes);
        } else if let Some(segment) = segment(path) {
            // Without the label nobody knows where to begin; its absence is told by whoever judges.
            let start = self.label.as_ref().map(|label| label.start);
            if let (None, Some(start)) = (&self.records, start) {
                self.records = Some(Records::from(start));
            }
            self.segments.push(segment);
            match &mut self.records {
                Some(records) => drop(records.segment(segment, &mut copying, &mut |_| {})?),
                None => read_all(&mut copying, cancel, |_| Ok(()))?,
            }
        } else {
            let mut sha256 = Sha256::new();
            let mut kept = Vec::new();
            let keeps = matches!(path, b"PG_VERSION" | b"backup_label" | b"global/pg_control");
            read_all(&mut copying, cancel, |data| {
                sha256.update(data);
                if keeps && kept.len() < KEPT {
                    kept.extend_from_slice(data);
                }
                Ok(())
            })?;
            match path {
                b"PG_VERSION" => self.version = Some(String::from_utf8_lossy(&kept).trim().to_owned()),
                b"backup_label" => self.label = BackupLabel::parse(&String::from_utf8_lossy(&kept)),
                b"global/pg_control" => {
                    self.system_identifier = kept.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
                }
                _ => {}
            }
            let hashed = Hashed { size: copying.read, sha256: sha256.finalize().into() };
            if self.files.insert(path.to_owned(), hashed).is_some() {
                self.problems.push(format!("{} is in it twice", name.display()));
            }
        }
        copying.finish()
    }
}

/// Says whether a file is a segment of the log.
fn segment(path: &[u8]) -> Option<SegmentName> {
    SegmentName::parse(std::str::from_utf8(path.strip_prefix(b"pg_wal/")?).ok()?)
}

/// Takes `.` and empty parts out of a path: the server writes some with `./`. None leads out of the directory.
fn normal(path: &[u8]) -> Option<Vec<u8>> {
    let parts: Vec<_> = path.split(|&byte| byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    (!path.starts_with(b"/") && !parts.contains(&b"..".as_slice())).then(|| parts.join(&b'/'))
}

fn as_path(path: &[u8]) -> std::path::PathBuf {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(path)).to_owned()
}

/// The stream below a tar; keeps its own failures apart from those of the format.
struct Watched<'a> {
    stream: &'a mut dyn Read,
    failure: &'a RefCell<Option<Error>>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.stream.read(buffer);
        match read {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                let kind = error.kind();
                let error: Result<()> = Err(error).io_context(|| "cannot read the snapshot".to_owned());
                self.failure.replace(error.err());
                Err(kind.into())
            }
            read => read,
        }
    }
}

/// A file of the tar, copied to its place on the way.
struct Copying<'a> {
    from: &'a mut dyn Read,
    to: Option<File>,
    path: &'a Path,
    read: u64,
}

impl Copying<'_> {
    /// Returns how much there was, once it is durable.
    fn finish(self) -> Result<u64> {
        if let Some(file) = self.to {
            file.sync_all().map_err(|error| cannot_write(self.path, error))?;
        }
        Ok(self.read)
    }
}

impl Read for Copying<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(buffer)?;
        if let Some(to) = &mut self.to {
            let data = buffer.get(..count).unwrap_or_default();
            to.write_all(data).map_err(|error| std::io::Error::other(cannot_write(self.path, error)))?;
        }
        self.read += count as u64;
        Ok(count)
    }
}

fn cannot_write(path: &Path, error: std::io::Error) -> Error {
    failed(format!("cannot write {}", path.display())).caused_by(error)
}
