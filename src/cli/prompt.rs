//! Asks whoever sits at the terminal for the name of what is about to be overwritten or emptied.

use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use std::io::Write;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// How long a signal may go unnoticed.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks for the name of the environment before `what` is done to it, such as "roll it back".
///
/// # Errors
/// `usage`: another name was given, or none; the reason of a cancellation, such as Ctrl-C; `io`: nobody can be asked.
pub(super) fn ask(environment: &str, what: &str, cancel: &Cancel) -> Result<()> {
    let cannot = |error| Error::new(ErrorCode::Io, "cannot ask on the terminal").caused_by(error);
    let mut out = std::io::stderr().lock();
    write!(out, "type the name of the environment to {what}: ").and_then(|()| out.flush()).map_err(cannot)?;
    drop(out);
    // A signal does not end a read: whoever waits for it must be another thread than the one that reads.
    let (answer, answered) = channel();
    let read = move || {
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line).map(|length| (length > 0).then_some(line));
        // Nobody listens any more once the run was cancelled.
        let _ = answer.send(read);
    };
    std::thread::Builder::new()
        .name("prompt".to_owned())
        .spawn(read)
        .map_err(|error| Error::new(ErrorCode::Internal, "cannot start a thread").caused_by(error))?;
    let line = loop {
        cancel.check()?;
        match answered.recv_timeout(PAUSE) {
            Ok(read) => break read.map_err(cannot)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::new(ErrorCode::Internal, "whoever read the answer is gone"));
            }
        }
    };
    // What was typed before Ctrl-C is no answer.
    cancel.check()?;
    match line {
        Some(line) => check(line.trim(), environment),
        None => Err(Error::new(ErrorCode::Usage, "nobody answered: nothing was changed")
            .hint(format!("say --yes {environment} where nobody can be asked"))),
    }
}

/// Compares the name that was given with that of the environment.
///
/// # Errors
/// `usage`: it is another one.
pub(super) fn check(named: &str, environment: &str) -> Result<()> {
    if named == environment {
        return Ok(());
    }
    let message = format!("the environment is {environment}, and {named:?} was named: nothing was changed");
    Err(Error::new(ErrorCode::Usage, message).hint(format!("say --yes {environment} if that is the one")))
}
