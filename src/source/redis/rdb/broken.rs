//! What can be wrong with an RDB file.

use crate::error::Error;
use std::fmt;

/// Something is wrong with the file.
#[derive(Debug)]
pub(in super::super) struct Broken {
    pub problem: Problem,
    /// Where the file was read to when it was seen, in bytes.
    pub offset: u64,
}

/// What is wrong.
#[derive(Debug)]
pub(in super::super) enum Problem {
    /// It ends too early.
    Truncated,
    /// It is not as the format has it.
    Malformed(String),
    /// It has something that this program does not know, so that what follows cannot be read.
    Unknown(String),
    /// Its checksum is that of other bytes.
    Checksum,
    /// The store does not give it.
    Unreadable(Error),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = self.offset;
        match &self.problem {
            Problem::Truncated => write!(f, "the RDB file ends at byte {offset}, before its end marker"),
            Problem::Malformed(what) => write!(f, "the RDB file is damaged at byte {offset}: {what}"),
            Problem::Unknown(what) => {
                write!(f, "the RDB file has {what} at byte {offset}, which this version of holdpoint cannot check")
            }
            Problem::Checksum => write!(f, "the checksum of the RDB file ({offset} bytes) is not that of its bytes"),
            Problem::Unreadable(error) => error.fmt(f),
        }
    }
}
