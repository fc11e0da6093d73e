//! Work that begins before its turn, on a thread of its own.

use crate::error::{Error, ErrorCode, Result};
use std::thread::JoinHandle;

/// Something that will be had; dropped, nobody waits for it.
#[derive(Debug)]
pub struct Ahead<T>(JoinHandle<Result<T>>);

impl<T: Send + 'static> Ahead<T> {
    /// Begins.
    ///
    /// # Errors
    /// `internal`: no thread to be had.
    pub fn start(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<Self> {
        let thread = std::thread::Builder::new().name("ahead".to_owned()).spawn(work);
        thread.map(Self).map_err(|error| Error::new(ErrorCode::Internal, "cannot start a thread").caused_by(error))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// What the work fails with; `internal` if it panicked.
    pub fn wait(self) -> Result<T> {
        let panicked = |_| Err(Error::new(ErrorCode::Internal, "a thread of the run panicked"));
        self.0.join().unwrap_or_else(panicked)
    }
}
