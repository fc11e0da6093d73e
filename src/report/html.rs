//! The page of a release for people: one self-contained file without scripts or anything to fetch.

use super::view::View;
use crate::error::{Error, ErrorCode, Result};
use crate::ledger::events::EventRecord;
use crate::ledger::freeze::Freeze;
use crate::model::manifest::Manifest;
use handlebars::Handlebars;
use jiff::Timestamp;

/// What is said of a manifest without a signature.
pub const UNSIGNED: &str = "unsigned";

/// What a page is made of.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// The manifest.
    pub manifest: &'a Manifest,
    /// What happened since, oldest first.
    pub events: &'a [EventRecord],
    /// When the page is made; it says so.
    pub as_of: Timestamp,
    /// What is known of its signature, such as who made it.
    pub signature: &'a str,
    /// Whether the environment is frozen.
    pub standing: Standing<'a>,
}

/// Whether an environment is frozen.
#[derive(Debug, Clone, Copy)]
pub enum Standing<'a> {
    /// Nobody looked.
    Unknown,
    /// It is not.
    Free,
    /// It is.
    Frozen(&'a Freeze),
}

impl<'a> From<Option<&'a Freeze>> for Standing<'a> {
    fn from(freeze: Option<&'a Freeze>) -> Self {
        freeze.map_or(Self::Free, Self::Frozen)
    }
}

/// Renders the page. Every text from the manifest is escaped.
///
/// # Errors
/// `internal` if the template does not fit the view.
pub fn page(page: &Page<'_>) -> Result<String> {
    let mut handlebars = Handlebars::new();
    handlebars.set_strict_mode(true);
    handlebars
        .render_template(include_str!("manifest.hbs"), &View::new(page))
        .map_err(|error| Error::new(ErrorCode::Internal, "cannot render the manifest's page").caused_by(error))
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::ledger::events::Event;
    use crate::model::reconciliation::{Outcome, Side};

    fn render(manifest: &Manifest, events: &[EventRecord]) -> String {
        under(Standing::Unknown, manifest, events)
    }

    fn under(standing: Standing<'_>, manifest: &Manifest, events: &[EventRecord]) -> String {
        let as_of = "2026-11-20T22:15:00Z".parse().unwrap();
        page(&Page { manifest, events, as_of, signature: "unsigned", standing }).unwrap()
    }

    fn frozen(at: &str) -> Freeze {
        let reason = "rollback of 1.4.0 (release 20261120T213000Z-1.4.0-3f9c2ab1)".to_owned();
        Freeze { reason, by: "ada".to_owned(), at: at.parse().unwrap(), until: None, release: None }
    }

    /// The release was drilled, and is being rolled back, or was tried to.
    fn undone(failed: bool) -> String {
        let freeze = frozen("2026-11-20T22:10:00Z");
        let events = [sample::drilled(!failed), sample::rolling_back(failed)].concat();
        under(Standing::Frozen(&freeze), &sample::passed(), &events)
    }

    /// The text of a page without its tags and style, one line for each line with words.
    fn words(html: &str) -> String {
        let body = html.split_once("</head>").unwrap().1;
        let text = regex::Regex::new("<[^>]*>").unwrap().replace_all(body, " ");
        let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_page_of_a_pass_answers_every_question() {
        let event = sample::reconciled("2026-11-20T21:45:00Z", Side::To, Outcome::Matched);
        insta::assert_snapshot!(words(&render(&sample::passed(), &[event])));
    }

    #[test]
    fn the_page_of_a_refusal_says_that_nothing_was_captured() {
        insta::assert_snapshot!(words(&render(&sample::refused(), &[])));
    }

    #[test]
    fn the_page_of_a_rollback_that_runs_says_how_far_it_is_and_how_to_go_on() {
        insta::assert_snapshot!(words(&undone(false)));
    }

    #[test]
    fn a_failed_drill_and_a_failed_step_are_loud() {
        let text = words(&undone(true));
        for loud in [
            "Not surely, to 1.3.0",
            "The last drill of this very release, on 2026-11-20 22:05:00 UTC, FAILED: orders: the check",
            "Stopped at step 2 of 3: it failed\nFailed on 2026-11-20 22:10:40 UTC: orders: the server does not answer",
            "FAILED on 2026-11-20 22:05:00 UTC",
            "failed check paid orders in 0.2 s orders: expected at least 1, answered 0",
            "31 min 58 s, MORE than the 10 min this environment allows",
        ] {
            assert!(text.contains(loud), "{loud} in\n{text}");
        }
    }

    #[test]
    fn a_rollback_is_gone_on_with_only_under_its_own_freeze() {
        let (manifest, mut events) = (sample::passed(), sample::rolling_back(false));
        let goes_on = |html: &str| html.contains("Go on where it is");
        let other = frozen("2026-11-20T22:12:00Z");
        assert!(goes_on(&under(Standing::Unknown, &manifest, &events)));
        for standing in [Standing::Free, Standing::Frozen(&other)] {
            let html = under(standing, &manifest, &events);
            assert!(!goes_on(&html) && html.contains("a rollback begins anew"), "{standing:?}");
        }
        let at = "2026-11-20T22:13:00Z".parse().unwrap();
        let done = Event::RolledBack { at, by: "ada".to_owned(), explanation: "1.3.0 runs again".to_owned() };
        events.push(EventRecord { name: "rolled-back-x".to_owned(), event: done });
        for standing in [Standing::Free, Standing::Unknown, Standing::Frozen(&other)] {
            let html = under(standing, &manifest, &events);
            assert!(!goes_on(&html) && html.contains("Rolled back on 2026-11-20 22:13:00 UTC: 1.3.0 runs again"));
        }
    }

    /// Writes pages to look at: `HOLDPOINT_PAGES=DIR cargo test --lib report::html`.
    #[test]
    fn pages_can_be_looked_at() {
        let Some(directory) = std::env::var_os("HOLDPOINT_PAGES").map(std::path::PathBuf::from) else { return };
        let event = sample::reconciled("2026-11-20T21:45:00Z", Side::To, Outcome::Matched);
        std::fs::write(directory.join("passed.html"), render(&sample::passed(), &[event])).unwrap();
        std::fs::write(directory.join("refused.html"), render(&sample::refused(), &[])).unwrap();
        std::fs::write(directory.join("running.html"), undone(false)).unwrap();
        std::fs::write(directory.join("failed.html"), undone(true)).unwrap();
        std::fs::write(directory.join("hostile.html"), render(&sample::hostile(), &[])).unwrap();
    }

    #[test]
    fn nothing_is_fetched_and_nothing_runs() {
        for manifest in [sample::passed(), sample::hostile()] {
            let html = render(&manifest, &[]).to_lowercase();
            for forbidden in ["<script", "<link", "<img", "<iframe", "url(", "@import", "src=", "href=\"javascript"] {
                assert!(!html.contains(forbidden), "{forbidden}");
            }
        }
    }

    #[test]
    fn hostile_names_are_shown_as_they_are() {
        let html = render(&sample::hostile(), &[]);
        assert!(html.contains("&lt;script&gt;alert("));
        assert!(html.contains("{{application}}"), "a text must not be read as a template");
        assert!(html.contains("javascript:alert(1)"), "shown, not linked");
    }
}
