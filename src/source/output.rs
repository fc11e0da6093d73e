//! The standard output of a program, as a stream to store.

use super::StreamCapture;
use crate::error::Result;
use crate::model::manifest::Content;
use crate::process::{SecretFile, Stream};
use std::io::Read;
use std::path::{Path, PathBuf};

/// A program that runs; what it prints is stored, if it exits 0.
#[derive(Debug)]
pub(super) struct ProgramOutput {
    stream: Stream,
    file_name: PathBuf,
    /// What the program reads, there until it has ended.
    _secret: Option<SecretFile>,
}

impl ProgramOutput {
    /// Stores what a program prints as a file of this name; `secret` is what the program reads.
    pub(super) fn new(stream: Stream, file_name: PathBuf, secret: Option<SecretFile>) -> Self {
        Self { stream, file_name, _secret: secret }
    }
}

impl Read for ProgramOutput {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl StreamCapture for ProgramOutput {
    fn file_name(&self) -> &Path {
        &self.file_name
    }

    fn finish(self: Box<Self>) -> Result<Content> {
        self.stream.finish()?;
        Ok(Content::new())
    }
}
