//! Storage drivers against real servers.

pub mod object_lock;
mod cache;
mod servers;
