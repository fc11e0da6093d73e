//! Storage drivers against real servers.

mod cache;
pub mod object_lock;
mod servers;
