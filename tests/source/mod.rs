//! Databases as sources, each against real servers of its kind.

mod bank;
mod postgres;
mod postgres_base_backup;
mod postgres_restore_point;
