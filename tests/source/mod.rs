//! Databases as sources, each against real servers of its kind.

mod interrupted;
mod mongodb;
mod mysql;
mod postgres;
mod postgres_cluster;
mod redis;
