//! A source that was captured into memory, for tests of what a source does with its snapshot without a store.

use holdpoint::cancel::Cancel;
use holdpoint::config;
use holdpoint::error::{Error, ErrorCode, Result};
use holdpoint::model::finding::Level;
use holdpoint::model::manifest::Content;
use holdpoint::source::isolation::{Isolated, Isolation};
use holdpoint::source::{self, Capture, Context, Source, Stored};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A source with what its snapshot holds.
pub struct Captured {
    pub source: Box<dyn Source>,
    /// What the manifest says that it holds.
    pub content: Content,
    pub stored: Kept,
    pub context: Context,
    folder: TempDir,
    _runtime: Runtime,
}

/// The streams of a snapshot.
#[derive(Default)]
pub struct Kept {
    names: Vec<String>,
    streams: BTreeMap<String, Vec<u8>>,
    base: Option<Box<Kept>>,
}

impl Captured {
    /// Captures the only source of a configuration, `settings` of a `[[source]]`.
    #[track_caller]
    pub fn of(settings: &str) -> Self {
        let mut captured = Self::prepared(settings);
        captured.capture();
        captured
    }

    /// Builds the source without capturing anything.
    #[track_caller]
    pub fn prepared(settings: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let text = format!("application = \"shop\"\n\n[[source]]\nname = \"it\"\n{settings}\n");
        let config = config::parse(&text, &folder.path().join("holdpoint.toml")).unwrap();
        let runtime = Runtime::new().unwrap();
        let scratch = folder.path().join("scratch");
        std::fs::create_dir(&scratch).unwrap();
        let context = Context::new(Cancel::new(), scratch, runtime.handle().clone()).unwrap();
        let source = source::build(&config.sources[0], folder.path());
        let (content, stored) = (Content::new(), Kept::default());
        Self { source, content, stored, context, folder, _runtime: runtime }
    }

    /// Captures the source, as a gate does.
    #[track_caller]
    pub fn capture(&mut self) {
        let context = &self.context;
        let refusals: Vec<_> =
            self.source.preflight(context).into_iter().filter(|finding| finding.level >= Level::Refusal).collect();
        assert!(refusals.is_empty(), "{refusals:#?}");
        let Capture::Streams(streams) = self.source.capture(context).unwrap() else { panic!("a tree") };
        for stream in streams {
            let mut stream = stream.unwrap();
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            self.stored.add(stream.file_name().to_str().unwrap(), bytes);
            self.content.extend(stream.finish().unwrap());
        }
        let inspection = self.source.inspect(context, &self.stored).unwrap();
        assert!(inspection.findings.is_empty(), "{:#?}", inspection.findings);
        self.content.extend(inspection.content);
        assert_eq!(self.source.clean_up(context).unwrap(), [""; 0]);
    }

    /// Returns a path beside the source's directory of work.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Restores the snapshot into the place of a drill.
    pub fn restore(&self, isolated: &dyn Isolated) -> Result<()> {
        self.source.restore(&self.context, &self.stored, &isolated.target(), false)
    }

    /// Lets a snapshot that this one leans on be found.
    pub fn lean_on(&mut self, base: Self) {
        self.stored.base = Some(Box::new(base.stored));
    }
}

impl Kept {
    fn add(&mut self, name: &str, bytes: Vec<u8>) {
        self.streams.insert(name.to_owned(), bytes);
        self.names = self.streams.keys().cloned().collect();
    }
}

impl Kept {
    /// Returns the same with other bytes in one stream, wherever `from` is.
    pub fn replaced(&self, name: &str, from: &[u8], to: &[u8]) -> Self {
        let mut other = Self::default();
        for (stream, bytes) in &self.streams {
            let mut bytes = bytes.clone();
            if stream == name {
                let places: Vec<usize> = memchr_all(&bytes, from);
                assert!(!places.is_empty());
                places.into_iter().for_each(|at| bytes[at..at + to.len()].copy_from_slice(to));
            }
            other.add(stream, bytes);
        }
        other
    }
}

fn memchr_all(bytes: &[u8], wanted: &[u8]) -> Vec<usize> {
    (0..bytes.len()).filter(|at| bytes[*at..].starts_with(wanted)).collect()
}

/// A private directory for a drill, and what must not be left of it.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("drill-").tempdir().unwrap() }
    }

    /// Says how to isolate there.
    pub fn isolation(&self, server: Option<String>) -> Isolation {
        Isolation { directory: self.folder.path().to_owned(), server }
    }

    /// Fails if a process, a socket, a file, or a directory of its own is left.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        self.assert_no_process();
        let left: Vec<_> = self.folder.path().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// Fails if a server of this process runs, or its directory is left.
    #[track_caller]
    pub fn assert_no_process(&self) {
        let left = self.processes();
        assert!(left.is_empty(), "{left:?}");
        let own = format!("holdpoint-scratch-{}-", std::process::id());
        let entries = std::env::temp_dir().read_dir().unwrap().flatten();
        let left: Vec<_> = entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .filter(|name| name.starts_with(&own))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// Kills the server itself.
    pub fn kill_server(&self) {
        for pid in self.processes() {
            let _ = rustix::process::kill_process(
                rustix::process::Pid::from_raw(pid).unwrap(),
                rustix::process::Signal::KILL,
            );
        }
    }

    /// Waits until a server runs.
    pub fn wait_for_process(&self) {
        while self.processes().is_empty() {
            std::thread::yield_now();
        }
    }

    /// Returns the processes that work in the directory, or in one that this process made for a server.
    fn processes(&self) -> Vec<i32> {
        let own = std::env::temp_dir().join(format!("holdpoint-scratch-{}-", std::process::id()));
        let own = own.to_str().unwrap();
        let pids = Path::new("/proc").read_dir().unwrap().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let is_one = |pid: &i32| {
            std::fs::read_link(format!("/proc/{pid}/cwd"))
                .is_ok_and(|cwd| cwd.starts_with(self.folder.path()) || cwd.to_string_lossy().starts_with(own))
        };
        pids.filter(is_one).collect()
    }
}

/// Writes a program that is a shell script.
pub fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    for path in path.ancestors().take_while(|path| *path != std::env::temp_dir()) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

impl Stored for Kept {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn open(&self, name: &str) -> Result<Box<dyn Read + '_>> {
        let bytes = self.streams.get(name).ok_or_else(|| Error::new(ErrorCode::NotFound, name))?;
        Ok(Box::new(bytes.as_slice()))
    }

    fn base(&self) -> Option<&dyn Stored> {
        self.base.as_deref().map(|base| base as &dyn Stored)
    }
}

/// Fails unless what was looked at is what a manifest says, as far as both tell it; `told` must be among that.
#[track_caller]
pub fn assert_same(looked: &Content, manifest: &Content, told: &[&str]) {
    for name in told {
        assert!(looked.contains_key(*name) && manifest.contains_key(*name), "{name} in {looked:?} and {manifest:?}");
    }
    for (name, value) in looked {
        if let Some(expected) = manifest.get(name) {
            assert_eq!(value, expected, "{name}");
        }
    }
}
