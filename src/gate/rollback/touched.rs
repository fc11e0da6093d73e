//! How many files are not as they were at the gate.

use super::super::restore::{Restore, find_recorded};
use super::Request;
use crate::cancel::{Cancel, Reason};
use crate::error::{Error, Result};
use crate::model::manifest::SourceRecord;
use crate::model::progress::Silent;
use crate::repository::restore::check_in_place;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// How long the plan compares files: it is to be shown soon, and every byte is read.
const COMPARED_WITHIN: Duration = Duration::from_secs(10);

/// What the files of a source are now.
#[derive(Debug)]
pub(super) struct Touched {
    /// How many are otherwise than in the snapshot, or are not there; why nobody knows, if it takes too long or cannot be
    /// done. New files are not counted: they may be ones that the source leaves out.
    pub(super) count: std::result::Result<u64, String>,
    /// Why this user cannot restore them, if there may be something to restore.
    pub(super) barred: Option<Error>,
}

/// Looks at the files of a source.
///
/// # Errors
/// A cancellation.
pub(super) fn touched(
    request: &Request<'_>,
    record: &SourceRecord,
    cancel: &Cancel,
    runtime: &Handle,
) -> Result<Touched> {
    let limited = cancel.child();
    let timer = limited.after(COMPARED_WITHIN, Reason::Deadline)?;
    let mut barred = None;
    let counted = count(request, record, (&limited, runtime), &mut barred);
    drop(timer);
    cancel.check()?;
    let count = counted.map_err(|error| match limited.is_cancelled() {
        true => format!("comparing took longer than {} s", COMPARED_WITHIN.as_secs()),
        false => error.chain(),
    });
    Ok(Touched { count, barred })
}

fn count(
    request: &Request<'_>,
    record: &SourceRecord,
    (cancel, runtime): (&Cancel, &Handle),
    barred: &mut Option<Error>,
) -> Result<u64> {
    // Nothing is locked: what somebody removes meanwhile is an error, and the plan says so.
    let indexed = Arc::new(request.run.place.open()?.index(cancel)?);
    let (_, snapshot) = find_recorded(&indexed, record)?;
    *barred = snapshot.paths.iter().find_map(|path| check_in_place(Path::new(path)).err());
    let restore = Restore { indexed: &indexed, observer: &Silent, cancel, runtime, force: false };
    let (mut of_substance, mut total) = (0, 0);
    for path in &snapshot.paths {
        let found = restore.compare_in_place(&record.name, snapshot.tree, Path::new(path), false)?;
        of_substance += found.of_substance();
        total += found.total();
    }
    if total == 0 {
        // Nothing will be written.
        *barred = None;
    }
    Ok(of_substance)
}
