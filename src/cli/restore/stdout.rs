//! `restore --target -`: to standard output, which carries nothing else then.

use super::super::options::Format;
use super::super::output;
use super::super::session::Session;
use super::trail::Trail;
use super::{Found, Options, restore_with};
use crate::error::{Error, ErrorCode, ExitCode, IoContext, Result};
use crate::report::units;
use crate::repository::tar::Selection;
use crate::source::only_stream;
use std::fs::File;
use std::io::IsTerminal;
use std::path::Path;

/// What `--target` says for standard output, as `tar` and `cat` take it.
const STDOUT: &str = "-";

/// Says whether standard output is the target.
pub(super) fn is_wanted(options: &Options) -> bool {
    options.target.as_deref() == Some(STDOUT)
}

/// Runs `restore --target -`: one stream goes out as it was captured, all else as a tar archive.
pub(super) fn run(session: &Session, options: &Options, trail: &Trail) -> anyhow::Result<ExitCode> {
    if session.format() == Format::Json {
        return Err(Error::new(ErrorCode::Usage, "standard output cannot carry both the data and a JSON document")
            .hint("leave --format json out; the exit code tells whether all of it came, and standard error the rest")
            .into());
    }
    if std::io::stdout().is_terminal() {
        return Err(Error::new(ErrorCode::Usage, "what is restored may be binary, and standard output is a terminal")
            .hint("send it elsewhere: `… --target - > FILE`, or `… --target - | tar x` for files")
            .into());
    }
    let found = Found::look(session, options, trail)?;
    let observer = session.observer();
    let restore = restore_with(session, options, &found.indexed, &*observer);
    let (root, name) = (found.snapshot.tree, options.source.as_deref().unwrap_or("snapshot"));
    let names = match found.record.as_ref().filter(|record| record.kind != "files") {
        Some(_) => restore.names(root)?,
        None => Vec::new(),
    };
    let stream = match (&found.record, options.paths.as_slice()) {
        (Some(record), []) => only_stream(&record.kind, &record.method, &names)?,
        // One of the streams, such as the roles beside a dump.
        (Some(_), [path]) => {
            names.iter().map(String::as_str).find(|name| Path::new("/").join(name) == Path::new("/").join(path))
        }
        _ => None,
    };
    let out = out()?;
    let restored = match stream {
        Some(stream) => restore.stream_to(name, root, stream, out)?,
        None => restore.archive_to(name, Selection { root, paths: &options.paths }, out)?,
    };
    drop(observer);
    if !session.global.quiet {
        let what = match stream {
            Some(stream) => stream.to_owned(),
            None => format!("a tar archive of {}", units::counted(restored.files, "file")),
        };
        // Whoever names paths knows that there are others.
        let names = if options.paths.is_empty() { names.as_slice() } else { &[] };
        let left: Vec<_> =
            names.iter().map(String::as_str).filter(|name| stream.is_some_and(|one| one != *name)).collect();
        let bytes = units::bytes(restored.bytes);
        output::note(&format!(
            "restored {name} (snapshot {}) to standard output: {what}, {bytes}, all of it verified",
            found.id.short()
        ));
        if !left.is_empty() {
            output::note(&format!(
                "not part of it: {}; one of them comes by --path NAME, all by --target DIR",
                left.join(", ")
            ));
        }
    }
    for note in &restored.notes {
        output::note(&format!("note: {}: {}", note.path.display(), note.message));
    }
    Ok(ExitCode::Pass)
}

/// Returns standard output without the buffer of lines that it has for text.
fn out() -> Result<File> {
    let descriptor = rustix::io::dup(std::io::stdout()).io_context(|| "cannot use standard output".to_owned())?;
    Ok(File::from(descriptor))
}
