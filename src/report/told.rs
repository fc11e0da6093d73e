//! A verdict, a look at what runs, and a drill in status lines: for people who are not where it was run.

use super::status::{bare, short};
use super::units::{duration, plain};
use crate::error::{Error, ExitCode};
use crate::ledger::events::Event;
use crate::model::drill::{Drill, DrillResult};
use crate::model::finding::{Finding, Level};
use crate::model::manifest::{Manifest, Purpose};
use crate::model::reconciliation::Outcome;
use crate::model::status::{Status, StatusLine};
use crate::model::version::Version;

/// What every line has in common: who asked, in which run of a pipeline.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// Who.
    pub by: &'a str,
    /// The run of the pipeline.
    pub run_url: Option<&'a str>,
}

impl Asker<'_> {
    /// A run of the gate ended with this verdict.
    pub fn judged(&self, manifest: &Manifest, exit: ExitCode) -> StatusLine {
        let place = (manifest.application.as_str(), manifest.environment.name.as_str());
        let version = &manifest.release.to.version;
        let id = &manifest.id;
        let what = match manifest.purpose {
            Purpose::Gate => format!("{version} "),
            Purpose::Snapshot | Purpose::Safety => "a snapshot ".to_owned(),
        };
        if exit == ExitCode::Pass {
            let from = manifest.release.from.version.as_ref().map(|from| format!(", over {from}")).unwrap_or_default();
            let text = format!("{} {}: {what}may be deployed{from} (release {id})", place.0, place.1);
            return self.of(manifest, bare("passed", Status::Passed, place, &text));
        }
        let (reason, codes) = refused(&manifest.decision.findings);
        let number = exit.number();
        let text =
            format!("{} {}: {what}is refused ({number}): {reason}; do not deploy (release {id})", place.0, place.1);
        let line = self.of(manifest, bare("refused", Status::Refused, place, &text));
        StatusLine { reason: Some(reason), codes, exit_code: Some(number), ..line }
    }

    /// A person took it upon themselves that a release may be deployed; `None` if nobody did.
    pub fn overridden(&self, manifest: &Manifest) -> Option<StatusLine> {
        let overridden = manifest.decision.overridden.as_ref()?;
        let place = (manifest.application.as_str(), manifest.environment.name.as_str());
        let ticket = overridden.ticket.as_ref().map(|ticket| format!(", ticket {ticket}")).unwrap_or_default();
        let text = format!(
            "{} {}: refusals of {} are OVERRIDDEN, approved by {}{ticket}: {} (release {})",
            place.0, place.1, manifest.release.to.version, overridden.approved_by, overridden.reason, manifest.id
        );
        let line = self.of(manifest, bare("overridden", Status::Overridden, place, &text));
        Some(StatusLine { reason: Some(plain(&overridden.reason)), ..line })
    }

    /// A deploy step was not admitted, for a reason and its codes.
    pub fn not_admitted(
        &self,
        place: (&str, &str),
        version: &Version,
        pass: Option<&Manifest>,
        (exit, (reason, codes)): (ExitCode, (String, Vec<&'static str>)),
    ) -> StatusLine {
        let number = exit.number();
        let text = format!("{} {}: {version} is not admitted ({number}): {reason}; do not deploy", place.0, place.1);
        StatusLine {
            release: pass.map(|pass| pass.id.clone()),
            version: Some(version.clone()),
            reason: Some(reason),
            codes,
            exit_code: Some(number),
            ..self.line(bare("refused", Status::Refused, place, &text))
        }
    }

    /// What runs was compared with a manifest; `None` of another event.
    pub fn reconciled(&self, manifest: &Manifest, event: &Event) -> Option<StatusLine> {
        let Event::Reconciled { outcome, explanation, .. } = event else { return None };
        let place = (manifest.application.as_str(), manifest.environment.name.as_str());
        let (status, words) = match outcome {
            Outcome::Matched => (Status::Matched, "runs what it should"),
            _ => (Status::Drifted, "does not run what it should"),
        };
        let reason = short(plain(explanation));
        let text = format!("{} {} {words}: {reason} (release {})", place.0, place.1, manifest.id);
        let line = self.of(manifest, bare("drifted", status, place, &text));
        Some(StatusLine { reason: Some(reason), ..line })
    }

    /// A restore was practised.
    pub fn drilled(&self, drill: &Drill, exit: ExitCode) -> StatusLine {
        let place = (drill.application.as_str(), drill.environment.as_str());
        let took = duration(drill.seconds);
        let release = Some(drill.release.clone());
        if drill.result == DrillResult::Passed {
            let text = format!("{} {}: the drill of {} passed in {took}", place.0, place.1, drill.release);
            return StatusLine { release, ..self.line(bare("drilled", Status::Done, place, &text)) };
        }
        let (reason, codes) = refused(&drill.findings);
        let number = exit.number();
        let text = format!("{} {}: the drill of {} failed ({number}): {reason}", place.0, place.1, drill.release);
        let line = self.line(bare("drilled", Status::Failed, place, &text));
        StatusLine { release, reason: Some(reason), codes, exit_code: Some(number), ..line }
    }

    fn of(&self, manifest: &Manifest, line: StatusLine) -> StatusLine {
        StatusLine {
            release: Some(manifest.id.clone()),
            version: Some(manifest.release.to.version.clone()),
            ..self.line(line)
        }
    }

    fn line(&self, line: StatusLine) -> StatusLine {
        StatusLine { by: Some(plain(self.by)), run_url: self.run_url.map(str::to_owned), ..line }
    }
}

/// Returns why something was refused, in short, and every code. What a program of the configuration said is not passed on:
/// it may hold secrets.
pub fn refused(findings: &[Finding]) -> (String, Vec<&'static str>) {
    let refusals = || findings.iter().filter(|finding| finding.level == Level::Refusal);
    let mut codes: Vec<_> = refusals().map(|finding| finding.code.as_str()).collect();
    codes.dedup();
    let Some(first) = refusals().next() else { return ("no reason was recorded".to_owned(), codes) };
    let mut reason = first.without_quotes();
    let more = refusals().count() - 1;
    if more > 0 {
        reason = format!("{reason}; and {more} more");
    }
    (short(plain(&reason)), codes)
}

/// Returns why an error refused something, in short, and its code.
pub fn refused_by(error: &Error) -> (String, Vec<&'static str>) {
    (short(plain(error.message())), vec![error.code().as_str()])
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::model::finding::FindingCode;

    const ASKER: Asker<'static> = Asker { by: "ada", run_url: Some("https://ci.example/1") };

    #[test]
    fn a_verdict_says_what_may_happen_now() {
        let passed = ASKER.judged(&sample::passed(), ExitCode::Pass);
        assert_eq!((passed.event, passed.status), ("passed", Status::Passed));
        assert!(passed.text.contains("may be deployed") && passed.codes.is_empty(), "{}", passed.text);
        let manifest = sample::refused();
        let refused = ASKER.judged(&manifest, ExitCode::SnapshotFailed);
        assert_eq!((refused.event, refused.status, refused.exit_code), ("refused", Status::Refused, Some(10)));
        assert!(refused.text.contains("is refused (10)") && refused.text.contains("do not deploy"), "{}", refused.text);
        assert!(!refused.codes.is_empty());
        assert!(ASKER.overridden(&manifest).is_none());
    }

    #[test]
    fn what_a_program_said_stays_here() {
        let said =
            Finding::refusal(FindingCode::SourceFailed, "pg_dump: password hunter2 is wrong").of_source("orders");
        let other = Finding::refusal(FindingCode::SizeShrank, "shrank by 40 %").of_source("uploads");
        let (reason, codes) = refused(&[said, other.clone()]);
        assert!(
            !reason.contains("hunter2") && reason.starts_with("orders: ") && reason.ends_with("; and 1 more"),
            "{reason}"
        );
        assert_eq!(codes, ["source-failed", "size-shrank"]);
        assert_eq!(refused(&[other]).0, "uploads: shrank by 40 %");
    }
}
