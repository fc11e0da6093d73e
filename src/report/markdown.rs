//! The page of a release as Markdown: the same answers in the same order, for job summaries, issues and terminals.

use super::html::Page;
use super::view::View;
use crate::error::{Error, ErrorCode, Result};
use handlebars::Handlebars;
use serde::Serialize;

/// The name of the template of the page, for templates that have it as a part.
pub(super) const PAGE: &str = "page";

/// What the template calls, where the macro's public types are nobody's.
mod helpers {
    use super::{fence, html};
    use handlebars::handlebars_helper;

    handlebars_helper!(fenced: |text: str| fence(text));
    handlebars_helper!(link: |address: str| html(address).replace('|', "%7C").replace(' ', "%20"));
}

/// Renders the page, with its own heading.
///
/// # Errors
/// `internal` if the template does not fit the view.
pub fn page(page: &Page<'_>) -> Result<String> {
    let heading = "## {{application}} {{version}} to {{environment}}\n\n{{> page}}\n";
    render(heading, &View::new(page), "the manifest's page as Markdown")
}

/// Renders a template in which `{{> page}}` stands for the page. Every text in it is escaped, so that nothing from outside
/// is Markdown or HTML.
///
/// # Errors
/// `internal`: cannot render `what`.
pub(super) fn render(template: &str, document: &impl Serialize, what: &str) -> Result<String> {
    let cannot = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(ErrorCode::Internal, format!("cannot render {what}")).caused_by(error)
    };
    let mut handlebars = Handlebars::new();
    handlebars.set_strict_mode(true);
    handlebars.register_escape_fn(markdown);
    handlebars.register_helper("fenced", Box::new(helpers::fenced));
    handlebars.register_helper("link", Box::new(helpers::link));
    handlebars.register_partial(PAGE, include_str!("markdown.hbs")).map_err(|error| cannot(error.into()))?;
    handlebars.render_template(template, document).map_err(|error| cannot(error.into()))
}

/// Writes a text so that HTML takes nothing in it for markup; `other` writes every other character.
pub(super) fn without_markup(text: &str, other: impl Fn(&mut String, char)) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            _ => other(&mut escaped, c),
        }
    }
    escaped
}

/// Writes a text so that Markdown, and the HTML in it, shows it as it is, in one line.
fn markdown(text: &str) -> String {
    without_markup(text, |escaped, c| match c {
        '\\' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '|' | '~' | '$' | '#' | '@' | '!' => escaped.extend(['\\', c]),
        '\n' => escaped.push(' '),
        _ if c.is_control() => escaped.extend(c.escape_default()),
        _ => escaped.push(c),
    })
}

/// Writes a text for an address.
fn html(text: &str) -> String {
    without_markup(text, |escaped, c| match c {
        _ if c.is_control() && c != '\n' => escaped.extend(c.escape_default()),
        _ => escaped.push(c),
    })
}

/// Writes a command as a block of code, which ends at no backtick of the command's own.
fn fence(command: &str) -> String {
    let longest = command.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let ticks = "`".repeat((longest + 1).max(3));
    let mut lines = String::with_capacity(command.len());
    for c in command.chars() {
        match c {
            _ if c.is_control() && c != '\n' => lines.extend(c.escape_default()),
            _ => lines.push(c),
        }
    }
    format!("{ticks}sh\n{lines}\n{ticks}")
}

/// Returns what closes the block of code that a text breaks off in, if it does.
pub(super) fn open_fence(text: &str) -> Option<&str> {
    let mut open = None;
    for line in text.lines() {
        let ticks = line.trim_end_matches(|c| c != '`');
        let is_fence = ticks.len() >= 3 && ticks.bytes().all(|byte| byte == b'`');
        open = match open {
            None if is_fence => Some(ticks),
            Some(ticks) if line == ticks => None,
            other => other,
        };
    }
    open
}

#[cfg(test)]
mod tests {
    use super::super::html::Standing;
    use super::super::sample;
    use super::*;
    use crate::ledger::events::EventRecord;
    use crate::model::manifest::Manifest;

    fn render(manifest: &Manifest, events: &[EventRecord]) -> String {
        let as_of = "2026-11-20T22:15:00Z".parse().unwrap();
        page(&Page { manifest, events, as_of, signature: "unsigned", standing: Standing::Unknown }).unwrap()
    }

    /// Returns a text without its blocks of code.
    fn prose(text: &str) -> String {
        let (mut prose, mut so_far) = (String::new(), String::new());
        for line in text.lines() {
            let was_open = open_fence(&so_far).is_some();
            so_far += &format!("{line}\n");
            if !was_open && open_fence(&so_far).is_none() {
                prose += &format!("{line}\n");
            }
        }
        prose
    }

    #[test]
    fn a_rollback_that_stopped_and_a_drill_that_failed_are_told() {
        insta::assert_snapshot!(render(
            &sample::passed(),
            &[sample::drilled(false), sample::rolling_back(true)].concat()
        ));
    }

    #[test]
    fn texts_of_others_are_neither_markdown_nor_html() {
        assert_eq!(
            markdown("<a|b>*_`[x](y)~$#@!\\\n&\u{1b}{{x}}"),
            r"&lt;a\|b&gt;\*\_\`\[x\]\(y\)\~\$\#\@\!\\ &amp;\u{1b}{{x}}"
        );
        let text = render(&sample::hostile(), &[]);
        assert!(!prose(&text).contains("<script") && !text.contains('\u{1b}'), "{text}");
        assert!(text.contains("{{application}}"), "a text must not be read as a template");
        assert!(!text.contains("<javascript:"), "shown, not linked");
    }

    #[test]
    fn no_command_ends_its_own_block() {
        for command in ["a", "echo `date`", "```", "````sh\n```\nrm -rf /", "a\r```\u{1b}"] {
            let text = fence(command);
            assert_eq!(open_fence(&text), None, "{text}");
            let (first, rest) = text.split_once('\n').unwrap();
            let ticks = first.strip_suffix("sh").unwrap();
            assert_eq!(rest.lines().position(|line| line.trim() == ticks), Some(rest.lines().count() - 1), "{text}");
            assert!(!text.contains(['\r', '\u{1b}']), "{text}");
            assert_eq!(open_fence(text.rsplit_once('\n').unwrap().0), Some(ticks), "{text}");
        }
    }
}
