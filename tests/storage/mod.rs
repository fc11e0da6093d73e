//! Storage drivers against real servers.

mod cache;
mod servers;
