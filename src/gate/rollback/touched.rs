//! How many files are not as they were at the gate.

use super::super::restore::{Restore, find_recorded};
use super::Request;
use crate::cancel::{Cancel, Reason};
use crate::error::Result;
use crate::model::manifest::SourceRecord;
use crate::model::progress::Silent;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// How long the plan compares files: it is to be shown soon, and every byte is read.
const COMPARED_WITHIN: Duration = Duration::from_secs(10);

/// Counts the files of a source that are otherwise than in its snapshot, or are not there; why nobody knows, if it takes too
/// long or cannot be done. New files are not counted: they may be ones that the source leaves out.
///
/// # Errors
/// A cancellation.
pub(super) fn touched(
    request: &Request<'_>,
    record: &SourceRecord,
    cancel: &Cancel,
    runtime: &Handle,
) -> Result<std::result::Result<u64, String>> {
    let limited = cancel.child();
    let timer = limited.after(COMPARED_WITHIN, Reason::Deadline)?;
    let counted = count(request, record, &limited, runtime);
    drop(timer);
    cancel.check()?;
    Ok(match counted {
        Ok(count) => Ok(count),
        Err(_) if limited.is_cancelled() => Err(format!("comparing took longer than {} s", COMPARED_WITHIN.as_secs())),
        Err(error) => Err(error.chain()),
    })
}

fn count(request: &Request<'_>, record: &SourceRecord, cancel: &Cancel, runtime: &Handle) -> Result<u64> {
    // Nothing is locked: what somebody removes meanwhile is an error, and the plan says so.
    let indexed = Arc::new(request.run.place.open()?.index(cancel)?);
    let (_, snapshot) = find_recorded(&indexed, record)?;
    let restore = Restore { indexed: &indexed, observer: &Silent, cancel, runtime, force: false };
    let differ = |path: &String| -> Result<u64> {
        let found = restore.compare_in_place(&record.name, snapshot.tree, Path::new(path), false)?;
        Ok(found.of_substance())
    };
    snapshot.paths.iter().map(differ).sum()
}
