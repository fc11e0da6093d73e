//! `freeze` and `thaw`: nothing is deployed, or something may be again.

use super::audited;
use super::options::Format;
use super::output;
use super::page;
use super::session::{Session, variable};
use super::webhooks;
use crate::config::WebhookEvent;
use crate::error::{Error, ErrorCode, ExitCode, Result};
use crate::ledger::Ledger;
use crate::ledger::events::Event;
use crate::ledger::freeze::Freeze;
use crate::model::release_id::ReleaseId;
use crate::notify::{Notifier, Untold};
use crate::report::status;
use jiff::Timestamp;
use serde::Serialize;
use std::time::Duration;

/// Why, and until when.
#[derive(Debug, clap::Args)]
pub struct FreezeOptions {
    /// Why nothing may be deployed
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// End the freeze at TIME: 2027-01-02T08:00:00Z, or a duration from now such as 36h [default: by thaw]
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// Why.
#[derive(Debug, clap::Args)]
pub struct ThawOptions {
    /// Why deployments are safe again
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// The result as JSON.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema_version: u32,
    command: &'static str,
    exit_code: u8,
    environment: &'a str,
    freeze: Option<&'a Freeze>,
    /// What webhooks were not told.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    untold: &'a [Untold],
}

/// Runs `freeze`.
pub fn freeze(session: &Session, options: &FreezeOptions) -> anyhow::Result<ExitCode> {
    let environment = session.environment()?;
    let reason = reason(&options.reason)?;
    let now = Timestamp::now();
    let until = options.until.as_deref().map(|text| time(text, now)).transpose()?;
    let freeze = Freeze { reason: reason.clone(), by: who(session), at: now, until, release: None };
    let ledger = session.ledger()?;
    if let Some(other) = ledger.freeze(&freeze)? {
        return Err(Error::new(ErrorCode::Busy, format!("{environment} is {other}"))
            .hint("the freeze that is there stays; to replace it, thaw first")
            .into());
    }
    let event = Event::Frozen { at: now, by: freeze.by.clone(), reason, until };
    let exit = record(session, &ledger, &event, None)?;
    let untold = announce(session, &ledger, &freeze, None)?;
    tell(session, ("freeze", exit, &untold), &environment, Some(&freeze), &format!("{environment} is {freeze}\n"))
}

/// Runs `thaw`.
pub fn thaw(session: &Session, options: &ThawOptions) -> anyhow::Result<ExitCode> {
    let environment = session.environment()?;
    let reason = reason(&options.reason)?;
    let ledger = session.ledger()?;
    let Some(freeze) = ledger.thaw()? else {
        return tell(
            session,
            ("thaw", ExitCode::Pass, &[]),
            &environment,
            None,
            &format!("{environment} was not frozen\n"),
        );
    };
    let by = who(session);
    let event = Event::Thawed { at: Timestamp::now(), by: by.clone(), reason: reason.clone() };
    let exit = record(session, &ledger, &event, freeze.release.as_ref())?;
    let untold = announce(session, &ledger, &freeze, Some((&by, &reason)))?;
    tell(
        session,
        ("thaw", exit, &untold),
        &environment,
        Some(&freeze),
        &format!("{environment} is thawed; it was {freeze}\n"),
    )
}

fn tell(
    session: &Session,
    (command, exit, untold): (&'static str, ExitCode, &[Untold]),
    environment: &str,
    freeze: Option<&Freeze>,
    text: &str,
) -> anyhow::Result<ExitCode> {
    match session.format() {
        Format::Text => output::print(text)?,
        Format::Json => {
            let exit_code = exit.number();
            output::print_json(&Document { schema_version: 1, command, exit_code, environment, freeze, untold })?;
        }
    }
    output::close(exit, session.closing(command));
    Ok(exit)
}

/// Writes the line of the audit, then the event beside the newest release, if there is one, and beside that which was undone
/// under the freeze. The freeze itself counts, whatever becomes of this; a line that nobody took is told by the exit code.
fn record(session: &Session, ledger: &Ledger, event: &Event, undone: Option<&ReleaseId>) -> Result<ExitCode> {
    let write = |id: &ReleaseId| -> Result<()> {
        ledger.record_event(id, event)?;
        page::write(session, ledger, id).map(drop)
    };
    let newest = ledger.previous().map(|newest| newest.map(|newest| newest.id));
    let about = undone.or(newest.as_ref().ok().and_then(Option::as_ref));
    let exit =
        audited::exit(ExitCode::Pass, session.auditor(&session.environment()?)?.write_event(ledger, about, event));
    let other = undone.filter(|id| !matches!(&newest, Ok(Some(newest)) if newest == *id));
    let results = [other.map_or(Ok(()), write), newest.and_then(|newest| newest.as_ref().map_or(Ok(()), write))];
    for error in results.into_iter().filter_map(Result::err) {
        output::note(&format!("warning: {}", error.chain()));
    }
    Ok(exit)
}

/// Tells the webhooks of a freeze, or of its end; what they were not told is a warning, and recorded beside the newest
/// release.
fn announce(session: &Session, ledger: &Ledger, freeze: &Freeze, thawed: Option<(&str, &str)>) -> Result<Vec<Untold>> {
    let environment = session.environment()?;
    let notifier = Notifier::new(&session.config.webhooks, WebhookEvent::Freeze);
    let run_url = session.ci.as_ref().and_then(|ci| ci.pipeline.run_url.as_deref());
    notifier.tell(status::freeze((&session.application()?, &environment), freeze, thawed, run_url));
    // It is only looked for where it will be needed.
    let newest = if notifier.is_empty() { None } else { ledger.previous().ok().flatten() };
    let record = newest.as_ref().map(|newest| (ledger, &newest.id));
    Ok(webhooks::finish(session, notifier, if thawed.is_some() { "thaw" } else { "freeze" }, record))
}

pub(super) fn reason(text: &str) -> Result<String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(
            Error::new(ErrorCode::Usage, "--reason is empty").hint("say why, for whoever wants to deploy meanwhile")
        );
    }
    Ok(text.to_owned())
}

/// Returns who asks: the CI system's actor, or the user of this machine.
pub fn who(session: &Session) -> String {
    let actor = session.ci.as_ref().and_then(|ci| ci.pipeline.actor.clone());
    let user = || ["USER", "LOGNAME"].into_iter().filter_map(variable).find(|name| !name.trim().is_empty());
    actor.or_else(user).unwrap_or_else(|| format!("user {}", rustix::process::getuid().as_raw()))
}

/// Reads a moment in the future, or a duration from now.
pub(super) fn time(text: &str, now: Timestamp) -> Result<Timestamp> {
    let wrong = |what: &str| {
        Error::new(ErrorCode::Usage, format!("--until {text}: {what}"))
            .hint("give a time such as 2027-01-02T08:00:00Z, or a duration such as 36h")
    };
    let until = match text.trim().parse::<Timestamp>() {
        Ok(time) => time,
        Err(_) => {
            let duration: Duration =
                humantime::parse_duration(text.trim()).map_err(|_| wrong("is neither a time nor a duration"))?;
            now.checked_add(duration).map_err(|_| wrong("is too far away"))?
        }
    };
    if until <= now { Err(wrong("is over already")) } else { Ok(until) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_ends_at_a_time_or_after_a_while() {
        let now: Timestamp = "2026-12-24T12:00:00Z".parse().unwrap();
        let read =
            |text: &str| time(text, now).map(|time| time.to_string()).map_err(|error| error.message().to_owned());
        assert_eq!(read("2027-01-02T08:00:00+01:00").unwrap(), "2027-01-02T07:00:00Z");
        assert_eq!(read("36h").unwrap(), "2026-12-26T00:00:00Z");
        assert!(read("2026-12-24T11:59:59Z").unwrap_err().contains("is over already"));
        assert!(read("0s").unwrap_err().contains("is over already"));
        assert!(read("soon").unwrap_err().contains("neither"));
        assert!(read("99999999 years").unwrap_err().contains("too far"));
    }
}
