//! `mongodump`, whose archive is the snapshot.

use super::uri::Uri;
use crate::cancel::Cancel;
use crate::error::Result;
use crate::model::manifest::Content;
use crate::process::{Program, SecretFile, Stream};
use crate::source::StreamCapture;
use crate::source::clients::Clients;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A program of MongoDB's with a connection string, which only it can read.
pub(super) struct Connected {
    pub program: Program,
    /// Kept until the program has ended.
    config: SecretFile,
}

impl Connected {
    /// Prepares a program that connects by `text`, a form of `uri`.
    ///
    /// # Errors
    /// `io`: no file can be made in memory.
    pub(super) fn new(clients: &Clients, name: &str, uri: &Uri, text: &str, arguments: &[&str]) -> Result<Self> {
        // A JSON string is one of YAML, too.
        let config = SecretFile::new(&format!("uri: {}\n", serde_json::Value::from(text)))?;
        let first = format!("--config={}", config.path().display());
        let all = std::iter::once(first.as_str()).chain(arguments.iter().copied());
        let mut program = clients.program(name, all);
        program.secrets = uri.secrets();
        program.secrets.push(text.to_owned());
        Ok(Self { program, config })
    }
}

/// A dump under way.
pub(super) struct Dump {
    stream: Stream,
    file_name: PathBuf,
    _config: SecretFile,
}

impl Dump {
    /// Starts `mongodump`.
    ///
    /// # Errors
    /// `process-failed`: it cannot be started.
    pub(super) fn start(clients: &Clients, uri: &Uri, oplog: bool, file_name: &Path, cancel: &Cancel) -> Result<Self> {
        let arguments: &[&str] = if oplog { &["--archive", "--oplog"] } else { &["--archive"] };
        let Connected { program, config } = Connected::new(clients, "mongodump", uri, uri.text(), arguments)?;
        Ok(Self { stream: Stream::start(&program, cancel)?, file_name: file_name.to_owned(), _config: config })
    }
}

impl Read for Dump {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl StreamCapture for Dump {
    fn file_name(&self) -> &Path {
        &self.file_name
    }

    fn finish(self: Box<Self>) -> Result<Content> {
        self.stream.finish()?;
        Ok(Content::new())
    }
}
