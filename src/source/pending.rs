//! A kind of source that cannot be captured yet: it refuses.

use super::{Capture, Context, Facts, Source, Stored, Target};
use crate::error::{Error, ErrorCode, Result};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::Consistency;

#[derive(Debug)]
pub(super) struct PendingSource;

impl Source for PendingSource {
    fn facts(&self) -> Facts {
        Facts {
            identity: None,
            is_bound: false,
            tool_version: None,
            server_version: None,
            method: "none",
            consistency: Consistency::Program,
            estimated_bytes: None,
        }
    }

    fn preflight(&self, _: &Context) -> Vec<Finding> {
        vec![Finding::refusal(FindingCode::PreflightFailed, "this version cannot capture this kind of source")]
    }

    fn capture(&self, _: &Context) -> Result<Capture> {
        Err(Error::new(ErrorCode::CaptureFailed, "this version cannot capture this kind of source"))
    }

    fn restore(&self, _: &Context, _: &dyn Stored, _: &Target, _: bool) -> Result<()> {
        Err(Error::new(ErrorCode::RestoreFailed, "this version cannot restore this kind of source"))
    }
}
