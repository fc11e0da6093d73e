//! The mark that a copy was whole: written last, so that whatever is younger may never have been read back.
//!
//! Should one run write the mark while another, killed later, was still copying, what that one wrote before the mark is
//! trusted by its size; `holdpoint copy --verify all` reads it.

use crate::error::{Error, ErrorCode, Result};
use crate::storage::{Class, PutMode, Storage};
use jiff::Timestamp;
use serde::Serialize;

/// The folder of the mark, and of what no copy has from the store: listings tell when an object was written, and only listings do.
const FOLDER: &str = "copy";
const MARK: &str = "copy/completed.json";

#[derive(Serialize)]
struct Mark<'a> {
    schema_version: u32,
    /// The store that it is a copy of.
    of: &'a str,
    at: Timestamp,
    tool: &'a str,
}

/// Returns when a copy was last whole, by the clock of its storage; `None` if it never was.
///
/// # Errors
/// The storage's own.
pub(super) fn read(copy: &dyn Storage) -> Result<Option<Timestamp>> {
    let entries = copy.list(FOLDER)?;
    Ok(entries.into_iter().find(|entry| entry.key == MARK).map(|entry| entry.modified))
}

/// Says that a copy of the store at `of` is whole now.
///
/// # Errors
/// The storage's own.
pub(super) fn write(copy: &dyn Storage, of: &str) -> Result<()> {
    let mark = Mark { schema_version: 1, of, at: Timestamp::now(), tool: env!("CARGO_PKG_VERSION") };
    let json = serde_json::to_vec_pretty(&mark)
        .map_err(|error| Error::new(ErrorCode::Internal, "cannot write the mark of a copy").caused_by(error))?;
    copy.put(MARK, &json.into(), PutMode::Overwrite, Class::Transient).map(drop)
}

/// Says that a copy is not whole: nothing in it is trusted before it was read back.
///
/// # Errors
/// The storage's own.
pub(super) fn remove(copy: &dyn Storage) -> Result<()> {
    copy.delete(MARK)
}
