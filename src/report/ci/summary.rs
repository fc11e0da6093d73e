//! The job summary of GitHub: the manifest's page as Markdown.

use super::super::html::{Page, UNSIGNED};
use super::super::markdown::{open_fence, render};
use super::super::view::{FindingView, View};
use super::CiReport;
use crate::error::Result;
use jiff::Timestamp;
use serde::Serialize;

/// The most that GitHub takes as the summary of one step, in bytes; of a larger one it shows nothing.
pub const SUMMARY_LIMIT: usize = 1 << 20;

/// What stands where the rest did not fit.
const CUT: &str = "\n\n**Cut here: GitHub takes no more than 1 MiB. `holdpoint show` has it all.**\n";

#[derive(Serialize)]
struct Document<'a> {
    command: &'a str,
    headline: String,
    explanation: Option<&'a str>,
    /// The error, and what to do next.
    error: Vec<String>,
    findings: Vec<FindingView>,
    page: Option<View>,
}

/// Returns the summary in at most `room` bytes; what does not fit is cut, with a note. `at` is when the command ended.
///
/// # Errors
/// `internal` if the template does not fit what it shows.
pub fn summary(report: &CiReport<'_>, at: Timestamp, room: usize) -> Result<String> {
    let page = |manifest| Page {
        manifest,
        events: report.events,
        as_of: at,
        signature: report.signature.unwrap_or(UNSIGNED),
        standing: report.standing,
    };
    let document = Document {
        command: report.command,
        headline: report.headline(),
        explanation: report.explanation,
        error: report.error.map(|error| [vec![error.chain()], error.hints().to_vec()].concat()).unwrap_or_default(),
        findings: report.findings.iter().map(FindingView::new).collect(),
        page: report.manifest.map(|manifest| View::new(&page(manifest))),
    };
    let text = render(include_str!("summary.hbs"), &document, "the job summary")?;
    Ok(cut(text, room))
}

/// Cuts a text at the end of a line so that it fits, and says so.
fn cut(text: String, room: usize) -> String {
    if text.len() <= room {
        return text;
    }
    let upto = |room: usize| {
        let end = text.floor_char_boundary(room);
        text[..end].rfind('\n').map_or("", |end| &text[..end])
    };
    let Some(keep) = room.checked_sub(CUT.len()) else {
        return String::new();
    };
    let mut kept = upto(keep);
    // A block of code is closed, for which there must be room.
    let mut closing = open_fence(kept).map(|ticks| format!("\n{ticks}")).unwrap_or_default();
    if kept.len() + closing.len() > keep {
        kept = upto(keep.saturating_sub(closing.len()));
        closing = open_fence(kept).map(|ticks| format!("\n{ticks}")).unwrap_or_default();
    }
    format!("{kept}{closing}{CUT}")
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;
    use crate::error::{Error, ErrorCode, ExitCode};
    use crate::model::manifest::Manifest;
    use crate::model::reconciliation::{Outcome, Side};

    fn render(report: &CiReport<'_>, room: usize) -> String {
        summary(report, "2026-11-20T22:15:00Z".parse().unwrap(), room).unwrap()
    }

    fn of_gate(manifest: &Manifest, exit: ExitCode, room: usize) -> String {
        let findings = &manifest.decision.findings;
        render(&CiReport { manifest: Some(manifest), findings, ..CiReport::new("gate", exit) }, room)
    }

    #[test]
    fn the_summary_of_a_pass_answers_every_question() {
        let event = [sample::reconciled("2026-11-20T21:45:00Z", Side::To, Outcome::Matched)];
        let manifest = sample::passed();
        let findings = &manifest.decision.findings;
        let report = CiReport {
            manifest: Some(&manifest),
            findings,
            events: &event,
            signature: Some("signed by ci@acme.example"),
            ..CiReport::new("gate", ExitCode::Pass)
        };
        insta::assert_snapshot!(render(&report, SUMMARY_LIMIT));
    }

    #[test]
    fn the_summary_of_a_refusal_says_why() {
        insta::assert_snapshot!(of_gate(&sample::refused(), ExitCode::SnapshotFailed, SUMMARY_LIMIT));
    }

    #[test]
    fn an_error_has_a_summary_too() {
        let error = Error::new(ErrorCode::Usage, "no <environment> is named").hint("name it by --environment NAME");
        assert_eq!(
            render(&CiReport::of_error("gate", &error), SUMMARY_LIMIT),
            "**holdpoint gate: refused: no verdict: no &lt;environment&gt; is named; do not deploy**\n\n\
             no &lt;environment&gt; is named\n\nNext: name it by --environment NAME\n\n"
        );
    }

    #[test]
    fn what_is_longer_than_github_takes_is_cut_with_a_note() {
        let mut manifest = sample::passed();
        let step = manifest.rollback.steps[1].clone();
        manifest.rollback.steps = (0..8000).map(|_| step.clone()).collect();
        let whole = of_gate(&manifest, ExitCode::Pass, usize::MAX);
        assert!(whole.len() > SUMMARY_LIMIT);
        let text = of_gate(&manifest, ExitCode::Pass, SUMMARY_LIMIT);
        assert!(text.len() <= SUMMARY_LIMIT && text.len() > SUMMARY_LIMIT - 1000, "{}", text.len());
        assert!(text.ends_with(CUT));
        assert_eq!(open_fence(&text), None);
        // Wherever it is cut, also inside of a command and of a character.
        let whole = "ab\n````sh\nö\nö\n````\n\n".repeat(20);
        for room in CUT.len()..whole.len() {
            let text = cut(whole.clone(), room);
            assert!(text.len() <= room, "{room}");
            assert_eq!(open_fence(&text), None, "{room}: {text}");
            assert!(text.ends_with(CUT), "{room}: {text}");
        }
        assert_eq!(cut(whole.clone(), 10), "");
        assert_eq!(cut(whole.clone(), whole.len()), whole);
    }
}
