//! PostgreSQL's write-ahead log, as far as it must be read to know that a recovery can: positions, segments, records.
//!
//! The format is that of `access/xlog_internal.h`, `access/xlogrecord.h` and `access/xlogreader.c` of the server. It is
//! in the byte order of the server's machine, here little-endian.

mod page;
mod position;
mod records;

pub(super) use position::{Lsn, SegmentName};
pub(super) use records::Records;

#[cfg(test)]
pub(super) mod sample;
