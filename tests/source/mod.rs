//! Sources end to end, against real servers.

mod mysql;
