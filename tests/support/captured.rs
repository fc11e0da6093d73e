//! A source that was captured into memory, for tests of what a source does with its snapshot without a store.

use holdpoint::cancel::Cancel;
use holdpoint::config;
use holdpoint::error::{Error, ErrorCode, Result};
use holdpoint::model::finding::Level;
use holdpoint::model::manifest::Content;
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
