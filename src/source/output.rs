//! The standard output of a program, as a stream to store.

use super::StreamCapture;
use crate::error::Result;
use crate::model::manifest::Content;
use crate::process::Stream;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A program that runs; what it prints is stored, if it exits 0.
#[derive(Debug)]
pub(super) struct ProgramOutput {
    /// The program.
    pub stream: Stream,
    /// The name of the file that holds what it prints.
    pub file_name: PathBuf,
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
