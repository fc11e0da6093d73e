//! Child processes: own process groups, scrubbed environment, no shell, cancelled as one.
//!
//! Everything here blocks and may be called from any thread. A program gets an argument list, never a shell line; it
//! leads a process group of its own, and nothing of that group outlives the call: background processes that a program
//! leaves behind are ended when it exits, as they are when it is cancelled or dropped. Only a process that starts a
//! session of its own (`setsid`) escapes.

mod attend;
mod group;
mod identity;
mod limit;
mod program;
mod run;
mod secret_file;
mod service;
mod status;
mod stream;
mod tail;
mod watch;

pub use attend::{Attended, attend};
pub use identity::{Identity, Seen, is_nowhere};
pub use program::Program;
pub use run::{Output, feed, run_shown, run_to_end};
pub use secret_file::SecretFile;
pub use service::Service;
pub use status::in_words;
pub use stream::Stream;
pub use tail::Tail;
pub use watch::watch_if_asked;

#[cfg(test)]
mod tests;
