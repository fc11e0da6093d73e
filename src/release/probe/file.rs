//! Asks a file.

use super::answer::Answer;
use super::{Answered, LARGEST_ANSWER, blocking};
use crate::cancel::Cancel;
use crate::error::Result;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// Reads a file whose content is the answer.
///
/// # Errors
/// The run was cancelled.
pub(super) async fn ask(path: &Path, timeout: Duration, cancel: &Cancel) -> Result<Answered> {
    let name = path.display().to_string();
    let path = path.to_owned();
    // A file on a dead network drive can hang for hours.
    let answer = tokio::select! {
        answer = blocking(move || read(&path)) => answer?,
        () = tokio::time::sleep(timeout) => Err(format!("could not be read within {}", humantime::format_duration(timeout))),
        _ = cancel.cancelled() => { cancel.check()?; Err("was not read".to_owned()) }
    };
    Ok((name, answer))
}

fn read(path: &Path) -> Result<Answer, String> {
    let failed = |error: std::io::Error| format!("cannot be read: {error}");
    // Looked at before it is opened, as opening a FIFO would wait for its writer.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut body = Vec::new();
    file.take(LARGEST_ANSWER as u64 + 1).read_to_end(&mut body).map_err(failed)?;
    if body.len() > LARGEST_ANSWER {
        return Err("is larger than 1 MiB".to_owned());
    }
    Ok(Answer::of_text(body))
}
