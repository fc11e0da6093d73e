//! The archive of the log, as `restore_command` reads it.

use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, IoContext, Result};
use crate::process::{Program, run_to_end};
use crate::source::postgres::wal::{Lsn, Records, SegmentName};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one segment may take to come from the archive.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// The most that the program may print, in bytes.
const MOST: u64 = 1 << 20;

/// What brings segments from the archive.
#[derive(Debug, Clone)]
pub(super) struct Archive {
    command: Vec<String>,
    directory: PathBuf,
}

/// What a point must be in the archive.
pub(super) struct Wanted<'a> {
    /// Its name.
    pub name: &'a str,
    /// The position after it.
    pub end: Lsn,
    /// A position before it where a record begins.
    pub from: Lsn,
    /// The segment that holds its last byte.
    pub segment: SegmentName,
    /// The server that it is of; `None` if that is unknown.
    pub system_identifier: Option<u64>,
    /// The size of segments, in bytes.
    pub segment_size: u32,
}

impl Archive {
    /// Takes the arguments of `restore_command`; the program counts from `directory` if it is relative.
    pub fn new(command: &[String], directory: &Path) -> Self {
        let mut command = command.to_vec();
        if let Some(program) = command.first_mut().filter(|program| program.contains('/')) {
            *program = crate::source::write::absolute(directory, Path::new(program)).display().to_string();
        }
        Self { command, directory: directory.to_owned() }
    }

    /// Returns the program that brings `segment` to `place`.
    pub fn program(&self, segment: &str, place: &str) -> Program {
        let argv = self.command.iter().map(|argument| substituted(argument, segment, place));
        Program { directory: Some(self.directory.clone()), ..Program::new(argv) }
    }

    /// Returns the command as the server runs it, by a shell: `%f` and `%p` are its to replace.
    ///
    /// # Errors
    /// `config`: an argument cannot be given to a shell.
    pub fn shell_line(&self) -> Result<String> {
        shlex::try_join(self.command.iter().map(String::as_str)).map_err(|error| {
            Error::new(ErrorCode::Config, "`restore_command` cannot be given to the server").caused_by(error)
        })
    }

    /// Brings the segments that hold a restore point from the archive, and makes sure that it is in them: every record
    /// from a position before it on, each with its checksum. Returns the SHA-256 of the last segment.
    ///
    /// # Errors
    /// `capture-failed`: a segment does not come, or is not what it should be; a cancellation.
    pub fn prove(&self, wanted: &Wanted<'_>, scratch: &Path, cancel: &Cancel) -> Result<[u8; 32]> {
        let size = wanted.segment_size;
        let mut records = Records::from(wanted.from);
        let mut found = None;
        let mut at = SegmentName::of(wanted.segment.timeline, wanted.from, size).start(size);
        let mut sha256 = [0; 32];
        while at <= wanted.segment.start(size) {
            let name = SegmentName::of(wanted.segment.timeline, at, size);
            let mut segment = self.bring(name, scratch, cancel)?;
            records.segment(name, &mut segment, &mut |record| {
                if record.restore_point() == Some(wanted.name) {
                    found = Some(record.end);
                }
            })?;
            sha256 = segment.sha256.finalize().into();
            at.0 += u64::from(size);
        }
        let wrong = |why: String| {
            let text = format!("what came from the archive for {} is not what the server wrote: {why}", wanted.segment);
            Err(Error::new(ErrorCode::CaptureFailed, text)
                .hint("see that archive_command and restore_command are about the same archive, and that it is whole"))
        };
        if let (Some(header), Some(identifier)) = (records.header(), wanted.system_identifier)
            && header.system_identifier != identifier
        {
            return wrong(format!("it is of the server {}", header.system_identifier));
        }
        match found {
            Some(end) if end == wanted.end => Ok(sha256),
            Some(end) => wrong(format!("the restore point {} is at {end} in it, not at {}", wanted.name, wanted.end)),
            None => {
                let why = records.stopped().unwrap_or("it ends");
                wrong(format!("the restore point {} at {} is not in it: {why}", wanted.name, wanted.end))
            }
        }
    }

    /// Brings one segment; it is removed from the scratch directory at once.
    fn bring(&self, name: SegmentName, scratch: &Path, cancel: &Cancel) -> Result<Hashing> {
        let place = scratch.join(format!("{name}.read-back"));
        let failed = |why: Error| {
            let hints = why.hints().to_vec();
            let text = format!("cannot read the segment {name} back from the archive");
            let error = Error::new(ErrorCode::CaptureFailed, text).caused_by(why);
            hints.into_iter().fold(error, Error::hint).hint(
                "see that archive_command of the server really stores segments, and that restore_command finds them",
            )
        };
        let program = self.program(&name.to_string(), &place.display().to_string());
        match run_to_end(&program, PATIENCE, cancel, MOST).and_then(|output| output.into_stdout()) {
            Err(error) if cancel.is_cancelled() => return Err(error),
            Err(error) => return Err(failed(error)),
            Ok(_) => {}
        }
        let file = File::open(&place).io_context(|| format!("{} left no {}", program.name(), place.display()));
        let file = file.map_err(failed)?;
        // What is open can still be read.
        std::fs::remove_file(&place).io_context(|| format!("cannot remove {}", place.display()))?;
        Ok(Hashing { file, sha256: Sha256::new() })
    }
}

/// A file that is hashed while it is read.
struct Hashing {
    file: File,
    sha256: Sha256,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.sha256.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Replaces `%f`, `%p`, `%r` and `%%` as the server does; the segment itself is the oldest that anybody still needs.
fn substituted(argument: &str, segment: &str, place: &str) -> String {
    let mut text = String::new();
    let mut characters = argument.chars();
    while let Some(character) = characters.next() {
        match character {
            '%' => match characters.next() {
                Some('f' | 'r') => text.push_str(segment),
                Some('p') => text.push_str(place),
                Some('%') => text.push('%'),
                Some(other) => text.extend(['%', other]),
                None => text.push('%'),
            },
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::postgres::wal::sample::Log;

    fn archive(directory: &Path) -> Archive {
        let command = ["cp", &format!("{}/%f", directory.display()), "%p"].map(str::to_owned);
        Archive::new(&command, Path::new("/"))
    }

    #[test]
    fn only_an_archive_that_holds_the_point_is_good_enough() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let mut log = Log::new(2);
        log.record(9, 0, &vec![1; Log::SEGMENT as usize]);
        let end = log.restore_point("holdpoint-1");
        log.switch();
        let segments = log.segments();
        let (last, _) = segments[1];
        let wanted = |name: &'static str, system_identifier| Wanted {
            name,
            end,
            from: log.start(),
            segment: last,
            system_identifier: Some(system_identifier),
            segment_size: Log::SEGMENT,
        };
        let write = |bytes: &[u8]| std::fs::write(folder.path().join(last.to_string()), bytes).unwrap();
        let prove = |name, system| {
            let proved = archive(folder.path()).prove(&wanted(name, system), scratch.path(), &Cancel::new());
            proved.map_err(|error| error.chain())
        };
        std::fs::write(folder.path().join(segments[0].0.to_string()), &segments[0].1).unwrap();
        assert!(prove("holdpoint-1", Log::SYSTEM).unwrap_err().contains("cannot read the segment"));
        write(&segments[1].1);
        assert_eq!(prove("holdpoint-1", Log::SYSTEM).unwrap(), <[u8; 32]>::from(Sha256::digest(&segments[1].1)));
        assert!(prove("holdpoint-2", Log::SYSTEM).unwrap_err().contains("holdpoint-2 at"));
        assert!(prove("holdpoint-1", 1).unwrap_err().contains("it is of the server"));
        let mut flipped = segments[1].1.clone();
        let at = usize::try_from(end.0 - last.start(Log::SEGMENT).0).unwrap() - 20;
        flipped[at] ^= 1;
        write(&flipped);
        assert!(prove("holdpoint-1", Log::SYSTEM).unwrap_err().contains("checksum"));
        write(b"");
        assert!(prove("holdpoint-1", Log::SYSTEM).is_err());
        assert_eq!(scratch.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn arguments_are_replaced_as_the_server_does() {
        assert_eq!(substituted("/wal/%f.gz", "A1", "/x"), "/wal/A1.gz");
        assert_eq!(substituted("100%% %p %r %q %", "A1", "/x"), "100% /x A1 %q %");
        let archive = Archive::new(&["bin/fetch".to_owned(), "a b/%f".to_owned(), "%p".to_owned()], Path::new("/srv"));
        assert_eq!(archive.program("A1", "/x").argv, ["/srv/bin/fetch", "a b/A1", "/x"]);
        assert_eq!(archive.shell_line().unwrap(), "/srv/bin/fetch 'a b/%f' %p");
    }
}
