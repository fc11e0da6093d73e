//! Databases as sources, each against real servers of its kind.

mod mysql;
mod postgres;
mod postgres_cluster;
mod redis;
