//! Throw-away servers: programs that drills start in a private directory, on a socket there and nowhere else, and that are
//! gone with the drill, or with the next run if this one is killed.
//!
//! - [`Home`]: the directory, and the account that owns what the server writes: database servers do not run as root.
//! - [`Launch`] and [`OwnServer`]: the server in the foreground, until it is stopped.
//! - [`end_abandoned`]: what a run that was killed has left.

mod abandoned;
mod home;
mod places;
mod processes;
mod server;

pub use abandoned::end_abandoned;
pub(super) use home::Home;
pub use places::{is_abandoned, own_prefix, prefix, scratch_places};
pub(super) use server::{Launch, OwnServer};

#[cfg(test)]
mod tests;
