//! What tests of sources share: a context, and streams as they come back from a store.

use super::{Capture, Context, Source, Stored};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, IoContext, Result};
use crate::model::manifest::Content;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::OnceLock;
use tokio::runtime::{Handle, Runtime};

/// Returns a context whose scratch directory is `scratch`.
pub fn context(scratch: impl Into<PathBuf>) -> Context {
    Context::new(Cancel::new(), scratch.into(), runtime()).unwrap()
}

/// Returns a runtime that lives as long as the tests.
pub fn runtime() -> Handle {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap()).handle().clone()
}

/// Streams in memory.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Kept {
    names: Vec<String>,
    streams: BTreeMap<String, Vec<u8>>,
}

impl Kept {
    /// Keeps one stream.
    pub fn one(name: &str, data: impl Into<Vec<u8>>) -> Self {
        Self::default().with(name, data)
    }

    /// Keeps one more.
    pub fn with(mut self, name: &str, data: impl Into<Vec<u8>>) -> Self {
        self.streams.insert(name.to_owned(), data.into());
        self.names = self.streams.keys().cloned().collect();
        self
    }

    /// Returns the bytes of a stream.
    pub fn bytes(&self, name: &str) -> &[u8] {
        &self.streams[name]
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
}

/// Captures a source of streams as the gate does: every stream to its end, then its facts.
pub fn capture(source: &dyn Source, context: &Context) -> Result<(Kept, Content)> {
    let Capture::Streams(streams) = source.capture(context)? else { panic!("a tree") };
    let (mut kept, mut content) = (Kept::default(), Content::new());
    for stream in streams {
        let mut stream = stream?;
        let mut data = Vec::new();
        stream.read_to_end(&mut data).io_context(|| "the stream could not be read".to_owned())?;
        kept = kept.with(stream.file_name().to_str().unwrap(), data);
        content.extend(stream.finish()?);
    }
    Ok((kept, content))
}
