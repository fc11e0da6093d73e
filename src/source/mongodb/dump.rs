//! `mongodump`, whose archive is the snapshot.

use super::uri::Uri;
use crate::cancel::Cancel;
use crate::error::Result;
use crate::process::{Program, SecretFile, Stream};
use crate::source::clients::Clients;
use crate::source::output::ProgramOutput;
use std::path::Path;

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

/// Starts `mongodump`.
///
/// # Errors
/// `process-failed`: it cannot be started.
pub(super) fn start(
    clients: &Clients,
    uri: &Uri,
    oplog: bool,
    file_name: &Path,
    cancel: &Cancel,
) -> Result<ProgramOutput> {
    let arguments: &[&str] = if oplog { &["--archive", "--oplog"] } else { &["--archive"] };
    let Connected { program, config } = Connected::new(clients, "mongodump", uri, uri.text(), arguments)?;
    let stream = Stream::start(&program, cancel)?;
    Ok(ProgramOutput::new(stream, file_name.to_owned(), Some(config)))
}
