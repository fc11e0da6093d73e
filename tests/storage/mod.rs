//! Storage drivers against real servers.

mod servers;
