//! The page of a release for people: one self-contained file without scripts or anything to fetch.

use super::view::View;
use crate::error::{Error, ErrorCode, Result};
use crate::ledger::events::EventRecord;
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
    use crate::model::reconciliation::{Outcome, Side};

    fn render(manifest: &Manifest, events: &[EventRecord]) -> String {
        let as_of = "2026-11-20T22:15:00Z".parse().unwrap();
        page(&Page { manifest, events, as_of, signature: "unsigned" }).unwrap()
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

    /// Writes pages to look at: `HOLDPOINT_PAGES=DIR cargo test --lib report::html`.
    #[test]
    fn pages_can_be_looked_at() {
        let Some(directory) = std::env::var_os("HOLDPOINT_PAGES").map(std::path::PathBuf::from) else { return };
        let event = sample::reconciled("2026-11-20T21:45:00Z", Side::To, Outcome::Matched);
        std::fs::write(directory.join("passed.html"), render(&sample::passed(), &[event])).unwrap();
        std::fs::write(directory.join("refused.html"), render(&sample::refused(), &[])).unwrap();
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
