//! What the audit says of a restore: that it began, before anything is handed out, and how it ended. Neither keeps anybody
//! from restoring: after a disaster the store may take nothing any more.

use super::super::audited;
use super::super::session::Session;
use super::{Options, shown_target, target};
use crate::error::{Error, ExitCode, Result};
use crate::gate::audit::Auditor;
use crate::ledger::Ledger;
use crate::model::audit::{Action, AuditLine, Outcome};
use crate::model::manifest::Manifest;
use std::cell::OnceCell;

/// The trail of one restore; empty as long as no release is restored.
#[derive(Default)]
pub(super) struct Trail {
    began: OnceCell<Began>,
}

struct Began {
    auditor: Auditor,
    ledger: Ledger,
    line: AuditLine,
}

impl Trail {
    /// Says that a source of a release is restored now.
    ///
    /// # Errors
    /// `usage`: nothing names the application, or the target is empty.
    pub(super) fn begin(
        &self,
        session: &Session,
        options: &Options,
        ledger: &Ledger,
        manifest: &Manifest,
    ) -> Result<()> {
        let auditor = session.auditor(&manifest.environment.name)?;
        let target = match options.target.as_deref() {
            Some("-") => "standard output".to_owned(),
            _ => target(options)?.as_ref().map_or_else(|| "where it came from".to_owned(), shown_target),
        };
        let line = auditor
            .line(Action::Restore, Outcome::Began)
            .of(&manifest.id)
            .detail("source", options.source.as_deref().unwrap_or_default())
            .detail("target", target);
        let to = &manifest.release.to;
        let line = AuditLine { version: Some(to.version.clone()), commit: Some(to.commit.clone()), ..line };
        audited::warn(&auditor.note(ledger, &line));
        let _ = self.began.set(Began { auditor, ledger: ledger.clone(), line });
        Ok(())
    }

    /// Says how it ended, if it began.
    pub(super) fn end(&self, ended: &anyhow::Result<ExitCode>) {
        let Some(Began { auditor, ledger, line: began }) = self.began.get() else { return };
        let line = match ended {
            Ok(exit) => auditor.line(Action::Restore, Outcome::Done).exits(exit.number()),
            Err(error) => match error.downcast_ref::<Error>() {
                Some(error) => auditor.failed(Action::Restore, error),
                None => auditor.line(Action::Restore, Outcome::Failed).exits(ExitCode::Internal.number()),
            },
        };
        let AuditLine { release, version, commit, details, .. } = began.clone();
        audited::warn(&auditor.note(ledger, &AuditLine { release, version, commit, details, ..line }));
    }
}
