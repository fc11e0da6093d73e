//! Databases as sources, each against real servers of its kind.

mod mongodb;
mod redis;
