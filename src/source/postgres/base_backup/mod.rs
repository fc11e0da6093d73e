//! `method = "base-backup"`.

use super::Server;
use crate::error::{Error, ErrorCode, Result};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::Consistency;
use crate::source::{Capture, Context, Facts, Source, Stored, Target};

#[derive(Debug)]
pub(super) struct BaseBackupSource {
    server: Server,
}

impl BaseBackupSource {
    pub(super) fn new(server: Server) -> Self {
        Self { server }
    }
}

impl Source for BaseBackupSource {
    fn facts(&self) -> Facts {
        Facts {
            identity: None,
            is_bound: true,
            tool_version: None,
            server_version: None,
            method: "base-backup",
            consistency: Consistency::Transaction,
            estimated_bytes: None,
        }
    }

    fn preflight(&self, _: &Context) -> Vec<Finding> {
        vec![Finding::refusal(FindingCode::PreflightFailed, "this version cannot capture by method = \"base-backup\"")]
    }

    fn capture(&self, _: &Context) -> Result<Capture> {
        Err(Error::new(ErrorCode::CaptureFailed, "this version cannot capture by method = \"base-backup\""))
    }

    fn clean_up(&self, context: &Context) -> Result<Vec<String>> {
        self.server.clean_up(context)
    }

    fn restore(&self, _: &Context, _: &dyn Stored, _: &Target, _: bool) -> Result<()> {
        Err(Error::new(ErrorCode::RestoreFailed, "this version cannot restore by method = \"base-backup\""))
    }
}
