//! The end of telling webhooks: what they were not told is said, and recorded.

use super::output;
use super::session::Session;
use crate::ledger::Ledger;
use crate::ledger::events::Event;
use crate::model::release_id::ReleaseId;
use crate::notify::{Notifier, Untold};
use crate::report::happened::happened;
use jiff::Timestamp;
use std::time::Duration;

/// How long webhooks may keep a command from its end.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long they may keep one that was cancelled: whoever cancelled it waits.
const PATIENCE_CANCELLED: Duration = Duration::from_secs(1);

/// Waits for the last lines about `about`, for a few seconds at most; warns of what was not delivered, and records it
/// beside the release. Nothing of it fails.
pub fn finish(
    session: &Session,
    notifier: Notifier,
    about: &str,
    record: Option<(&Ledger, &ReleaseId)>,
) -> Vec<Untold> {
    let patience = if session.cancel.check().is_err() { PATIENCE_CANCELLED } else { PATIENCE };
    let untold = notifier.finish(patience);
    for Untold { webhook, lines, why } in &untold {
        let event = Event::NotTold {
            at: Timestamp::now(),
            webhook: webhook.clone(),
            about: about.to_owned(),
            lines: *lines,
            why: why.clone(),
        };
        output::note(&format!("warning: {}", happened(&event)));
        if let Some((ledger, id)) = record {
            // It was said; the record is for those who come later.
            let _ = ledger.record_event(id, &event);
        }
    }
    untold
}
