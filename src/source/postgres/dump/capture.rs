//! The streams of a dump: the roles of the cluster, then the database, read by client programs within one snapshot.

use super::blocked;
use super::globals::GLOBALS_FILE;
use super::snapshot::Snapshot;
use super::{DumpSource, database_argument};
use crate::error::{Error, ErrorCode, IoContext, Result};
use crate::model::manifest::Content;
use crate::process::{Program, Stream};
use crate::source::postgres::endpoint::Endpoint;
use crate::source::{Context, StreamCapture};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// What is to be captured still, first things first.
pub(super) struct DumpStreams {
    context: Context,
    endpoint: Endpoint,
    left: VecDeque<Step>,
    /// Dropped when the last program has read in it.
    snapshot: Option<Snapshot>,
}

/// One step of a capture.
enum Step {
    /// The output of a program, and what is known once it is complete.
    Output { program: Program, file_name: String, content: Content, is_last: bool },
    /// A program that writes files, which come next.
    Files { program: Program, directory: TempDir },
    /// One of these files.
    File { directory: Arc<TempDir>, file_name: String },
}

impl DumpStreams {
    /// Opens the snapshot and prepares the programs.
    pub(super) fn start(source: &DumpSource, context: &Context) -> Result<Self> {
        let endpoint = source.server.endpoint()?;
        let snapshot = Snapshot::take(source, &endpoint, context)?;
        let mut left = VecDeque::new();
        if source.globals {
            left.push_back(globals(source, &endpoint, context, snapshot.facts.is_superuser));
        }
        let mut arguments = vec!["--compress=0".to_owned(), "--no-password".to_owned()];
        arguments.push(format!("--snapshot={}", snapshot.name));
        let program = |arguments: Vec<String>| source.server.program("pg_dump", arguments, &endpoint, context);
        if source.jobs > 1 {
            let directory = tempfile::Builder::new()
                .prefix("postgres-")
                .tempdir_in(&context.scratch)
                .io_context(|| format!("cannot make a directory in {}", context.scratch.display()))?;
            arguments.push("--format=directory".to_owned());
            arguments.push(format!("--jobs={}", source.jobs));
            arguments.push(format!("--file={}", directory.path().join("dump").display()));
            left.push_back(Step::Files { program: program(arguments), directory });
        } else {
            arguments.push("--format=custom".to_owned());
            left.push_back(Step::Output {
                program: program(arguments),
                file_name: source.dump_file(),
                content: snapshot.content.clone(),
                is_last: true,
            });
        }
        Ok(Self { context: context.clone(), endpoint, left, snapshot: Some(snapshot) })
    }

    fn next_step(&mut self, step: Step) -> Result<Box<dyn StreamCapture>> {
        match step {
            Step::Output { program, file_name, content, is_last } => {
                let stream = Stream::start(&program, &self.context.cancel)?;
                let held = if is_last { self.snapshot.take() } else { None };
                let (endpoint, context) = (self.endpoint.clone(), self.context.clone());
                Ok(Box::new(Output { stream, file_name: file_name.into(), content, endpoint, context, held }))
            }
            Step::Files { program, directory } => {
                self.write_files(&program, directory)?;
                let next = self.left.pop_front();
                next.map_or_else(
                    || Err(Error::new(ErrorCode::CaptureFailed, "pg_dump wrote no file")),
                    |step| self.next_step(step),
                )
            }
            Step::File { directory, file_name } => {
                let content = self.snapshot.take().map(|snapshot| snapshot.content).unwrap_or_default();
                Ok(Box::new(DumpedFile::open(directory, file_name, content, &self.context)?))
            }
        }
    }

    /// Runs a program that writes files to its end, and puts the files next.
    fn write_files(&mut self, program: &Program, directory: TempDir) -> Result<()> {
        let mut stream = Stream::start(program, &self.context.cancel)?;
        // It prints nothing; the end of its output is its end. While it runs, its sessions can be asked for.
        std::io::copy(&mut stream, &mut std::io::sink())
            .io_context(|| format!("cannot wait for {}", program.name()))
            .map_err(|error| blocked::explain(error, &self.endpoint, &self.context))?;
        stream.finish()?;
        let cannot = || format!("cannot list {}", directory.path().display());
        let mut names = Vec::new();
        for entry in std::fs::read_dir(directory.path().join("dump")).io_context(cannot)? {
            names.push(entry.io_context(cannot)?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        let directory = Arc::new(directory);
        let files = names.into_iter().map(|file_name| Step::File { directory: Arc::clone(&directory), file_name });
        self.left.extend(files);
        Ok(())
    }
}

impl Iterator for DumpStreams {
    type Item = Result<Box<dyn StreamCapture>>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.left.pop_front()?;
        let result = self.next_step(step);
        if result.is_err() {
            self.left.clear();
            self.snapshot = None;
        }
        Some(result)
    }
}

fn globals(source: &DumpSource, endpoint: &Endpoint, context: &Context, with_passwords: bool) -> Step {
    let mut arguments = vec!["--globals-only".to_owned(), "--no-password".to_owned()];
    arguments.push(database_argument("--database", &endpoint.database));
    if !with_passwords {
        // Only a superuser may read them.
        arguments.push("--no-role-passwords".to_owned());
    }
    let program = source.server.program("pg_dumpall", arguments, endpoint, context);
    let content = Content::from([("role_passwords".to_owned(), with_passwords.into())]);
    Step::Output { program, file_name: GLOBALS_FILE.to_owned(), content, is_last: false }
}

/// What a program prints.
struct Output {
    stream: Stream,
    file_name: PathBuf,
    content: Content,
    endpoint: Endpoint,
    context: Context,
    held: Option<Snapshot>,
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.stream.read(buffer).map_err(|error| match error.downcast::<Error>() {
            // The program still runs, and its sessions wait for what they waited for.
            Ok(own) => std::io::Error::other(blocked::explain(own, &self.endpoint, &self.context)),
            Err(error) => error,
        })
    }
}

impl StreamCapture for Output {
    fn file_name(&self) -> &Path {
        &self.file_name
    }

    fn finish(self: Box<Self>) -> Result<Content> {
        let Self { stream, content, held, .. } = *self;
        stream.finish()?;
        drop(held);
        Ok(content)
    }
}

/// A file that a program wrote; it is removed once it was read.
struct DumpedFile {
    file: File,
    path: PathBuf,
    file_name: PathBuf,
    bytes_left: u64,
    content: Content,
    context: Context,
    _directory: Arc<TempDir>,
}

impl DumpedFile {
    fn open(directory: Arc<TempDir>, file_name: String, content: Content, context: &Context) -> Result<Self> {
        let path = directory.path().join("dump").join(&file_name);
        let cannot = || format!("cannot read {}", path.display());
        let file = File::open(&path).io_context(cannot)?;
        let bytes_left = file.metadata().io_context(cannot)?.len();
        let file_name = PathBuf::from(file_name);
        Ok(Self { file, path, file_name, bytes_left, content, context: context.clone(), _directory: directory })
    }
}

impl Read for DumpedFile {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.context.cancel.check().map_err(std::io::Error::other)?;
        let count = self.file.read(buffer)?;
        self.bytes_left = self.bytes_left.saturating_sub(count as u64);
        Ok(count)
    }
}

impl StreamCapture for DumpedFile {
    fn file_name(&self) -> &Path {
        &self.file_name
    }

    fn finish(self: Box<Self>) -> Result<Content> {
        if self.bytes_left > 0 {
            let text = format!("{} ended {} bytes early", self.path.display(), self.bytes_left);
            return Err(Error::new(ErrorCode::CaptureFailed, text));
        }
        std::fs::remove_file(&self.path).io_context(|| format!("cannot remove {}", self.path.display()))?;
        Ok(self.content)
    }
}
