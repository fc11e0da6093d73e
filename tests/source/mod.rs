//! Databases as sources, each against real servers of its kind.

mod postgres;
mod postgres_cluster;
