//! What a person says of a deploy: the ticket, and an override with who answers for it.

use super::session::Session;
use crate::error::{Error, ErrorCode, IoContext, Result};
use crate::gate::approval::Release;
use crate::gate::glass::{Glass, Law, Words};
use crate::gate::request::Request;
use std::path::PathBuf;

/// The ticket and the override.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// The change ticket [default: HOLDPOINT_TICKET]
    #[arg(long, value_name = "TICKET")]
    pub ticket: Option<String>,
    /// Go on in spite of refusals that [[override]] lets WHO set aside, and say why
    #[arg(long = "override", value_name = "REASON", requires = "approved_by")]
    pub reason: Option<String>,
    /// Who answers for the override
    #[arg(long, value_name = "WHO", requires = "reason")]
    pub approved_by: Option<String>,
    /// WHO's signature for the override, as `holdpoint approve --override` makes it
    #[arg(long, value_name = "FILE", requires = "reason")]
    pub approval: Option<PathBuf>,
}

impl Options {
    /// Adds it to a request.
    ///
    /// # Errors
    /// `usage`: something is empty; `io`: the signature cannot be read.
    pub fn add_to(&self, session: &Session, request: Request) -> Result<Request> {
        let ticket = session.ticket(self.ticket.as_deref())?;
        let Some((reason, who)) = self.reason.as_deref().zip(self.approved_by.as_deref()) else {
            return Ok(Request { ticket, ..request });
        };
        let words = words(reason, who, ticket.clone())?;
        let signature = self
            .approval
            .as_ref()
            .map(|path| std::fs::read(path).io_context(|| format!("cannot read the signature {}", path.display())));
        let signature = signature.transpose()?;
        let release = Release {
            application: &request.application,
            environment: &request.environment,
            version: &request.target.version,
            commit: &request.target.commit,
        };
        let law = Law { rules: &request.config.overrides, approvers: request.approvers.as_ref() };
        let glass = Glass::new(release, words, signature.as_deref(), law)?;
        Ok(Request { ticket, glass: Some(glass), ..request })
    }
}

/// Checks what somebody says who asks for an override.
///
/// # Errors
/// `usage`: something is empty, or has control characters.
pub fn words(reason: &str, who: &str, ticket: Option<String>) -> Result<Words> {
    let text = |name: &str, text: &str| {
        let text = text.trim();
        if text.is_empty() || text.contains(char::is_control) {
            let message = format!("{name} is empty or has control characters");
            return Err(Error::new(ErrorCode::Usage, message)
                .hint("say why the release cannot wait, in one line, and who answers for it"));
        }
        Ok(text.to_owned())
    };
    Ok(Words { reason: text("--override", reason)?, approved_by: text("--approved-by", who)?, ticket })
}
