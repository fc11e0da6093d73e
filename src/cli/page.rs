//! The page of a release in the ledger: made anew after every event.

use super::session::Session;
use super::signature;
use crate::cancel::Reason;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::events::EventRecord;
use crate::model::manifest::Manifest;
use crate::model::release_id::ReleaseId;
use crate::report::html::{self, Page};
use crossbeam_channel::{Receiver, Sender, bounded};
use jiff::Timestamp;
use std::time::Duration;

/// How long the stores may take for the page of a release.
const TIME_FOR_PAGES: Duration = Duration::from_secs(10);
/// How long the page that is being made is waited for in the end.
const TIME_FOR_THE_LAST: Duration = Duration::from_secs(5);
/// The same, if the run was cancelled.
const TIME_AFTER_A_SIGNAL: Duration = Duration::from_secs(1);

/// Gives the stores a while for the pages of what is done: none that hangs may keep the outcome from the caller.
pub fn limit(session: &Session) {
    let cancel = session.cancel.clone();
    session.runtime.spawn(async move {
        tokio::time::sleep(TIME_FOR_PAGES).await;
        cancel.cancel(Reason::Abandoned);
    });
}

/// Keeps the page of a release up to date while it is worked on, beside the work.
pub struct Live {
    changed: Option<Sender<()>>,
    /// Ends with the thread that makes the pages.
    ended: Option<Receiver<()>>,
}

impl Live {
    /// Gets ready to make the page of `id`. What keeps it from that is left to [`write`], which says so.
    pub fn start(session: &Session, ledger: &Ledger, id: &ReleaseId) -> Self {
        let known = || -> Result<(Manifest, String)> {
            let stored = ledger.get(id.as_str())?;
            let signature = signature::of_release(session, ledger, &stored)?;
            Ok((stored.manifest, signature))
        };
        let Ok((manifest, signature)) = known() else { return Self { changed: None, ended: None } };
        // Of several changes that wait, one page tells.
        let (changed, heard) = bounded(1);
        let ledger = ledger.clone();
        let (alive, ended) = bounded::<()>(0);
        let make = move || {
            let _alive = alive;
            while heard.recv().is_ok() {
                let events = ledger.events(&manifest.id);
                // The next one may be written again, and the last one is written by whoever tells of the outcome.
                let _ = events.and_then(|events| render(&ledger, &manifest, &events, &signature));
            }
        };
        let started = std::thread::Builder::new().name("page".to_owned()).spawn(make);
        Self { changed: Some(changed), ended: started.ok().map(|_| ended) }
    }

    /// Says that something happened to the release, and does not wait for its page.
    pub fn changed(&self) {
        if let Some(changed) = &self.changed {
            let _ = changed.try_send(());
        }
    }

    /// Ends it, once the page that is being made is written. A store that hangs is not waited for: what is left of the work
    /// ends with the process.
    pub fn stop(self, session: &Session) {
        drop(self.changed);
        let limit = if session.cancel.is_cancelled() { TIME_AFTER_A_SIGNAL } else { TIME_FOR_THE_LAST };
        if let Some(ended) = self.ended {
            // Nothing is ever sent: it hears the end.
            let _ = ended.recv_timeout(limit);
        }
    }
}

/// Makes the page of a release as of now, and writes it.
///
/// # Errors
/// The store's own; `manifest-invalid` if the freeze cannot be read.
pub(super) fn render(ledger: &Ledger, manifest: &Manifest, events: &[EventRecord], signature: &str) -> Result<()> {
    let as_of = Timestamp::now();
    let freeze = ledger.freeze_at(as_of)?;
    let page = Page { manifest, events, as_of, signature, standing: freeze.as_ref().into() };
    ledger.write_page(&manifest.id, &html::page(&page)?)
}

/// Writes the page of a release with all that happened to it, which it returns, oldest first.
///
/// # Errors
/// The store's own; `manifest-invalid` if the manifest or an event cannot be read.
pub fn write(session: &Session, ledger: &Ledger, id: &ReleaseId) -> Result<Vec<EventRecord>> {
    let stored = ledger.get(id.as_str())?;
    let events = ledger.events(id)?;
    let signature = signature::of_release(session, ledger, &stored)?;
    render(ledger, &stored.manifest, &events, &signature)?;
    Ok(events)
}
