//! The page of a release in the ledger: made anew after every event.

use super::session::Session;
use super::signature;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::events::EventRecord;
use crate::model::release_id::ReleaseId;
use crate::report::html::{self, Page};
use jiff::Timestamp;

/// Writes the page of a release with all that happened to it, which it returns, oldest first.
///
/// # Errors
/// The store's own; `manifest-invalid` if the manifest or an event cannot be read.
pub fn write(session: &Session, ledger: &Ledger, id: &ReleaseId) -> Result<Vec<EventRecord>> {
    let stored = ledger.get(id.as_str())?;
    let events = ledger.events(id)?;
    let signature = signature::of_release(session, ledger, &stored)?;
    let page = Page { manifest: &stored.manifest, events: &events, as_of: Timestamp::now(), signature: &signature };
    ledger.write_page(id, &html::page(&page)?)?;
    Ok(events)
}
