//! The audit as text.

use super::table::{Align, Table};
use super::units::{counted, plain};
use crate::error::Error;
use crate::ledger::audit::{Audit, ReadLine};
use crate::model::audit::AuditLine;

/// How many characters of a reason a row of the table has.
const SHOWN: usize = 80;

/// Returns the lines as a table, in their order.
pub fn lines(lines: &[ReadLine]) -> String {
    if lines.is_empty() {
        return "the audit has no line yet\n".to_owned();
    }
    let mut table = Table::new(&[
        ("line", Align::Right),
        ("when", Align::Left),
        ("who", Align::Left),
        ("what", Align::Left),
        ("outcome", Align::Left),
        ("exit", Align::Right),
        ("release", Align::Left),
        ("why", Align::Left),
    ]);
    for read in lines {
        table.row(match &read.line {
            Ok(line) => row(read.number, line),
            Err(error) => unreadable(read.number, error),
        });
    }
    table.lines().join("\n") + "\n"
}

fn row(number: u64, line: &AuditLine) -> Vec<String> {
    let version = line.version.as_ref().map(|version| version.as_str().to_owned());
    vec![
        number.to_string(),
        line.at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        plain(&line.by),
        line.action.as_str().to_owned(),
        line.outcome.as_str().to_owned(),
        line.exit_code.map(|code| code.to_string()).unwrap_or_default(),
        line.release.as_ref().map(ToString::to_string).or(version).map(|name| plain(&name)).unwrap_or_default(),
        line.why.as_deref().map(short).unwrap_or_default(),
    ]
}

fn unreadable(number: u64, error: &Error) -> Vec<String> {
    let mut cells = vec![String::new(); 8];
    if let Some(cell) = cells.first_mut() {
        *cell = number.to_string();
    }
    if let Some(cell) = cells.last_mut() {
        *cell = short(&error.chain());
    }
    cells
}

fn short(text: &str) -> String {
    let text = plain(text);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Returns what was looked at.
pub fn verified(audit: &Audit) -> String {
    let (lines, manifests, events) =
        (counted(audit.lines, "line"), counted(audit.manifests, "manifest"), counted(audit.events, "event"));
    let end = match &audit.end.digest {
        Some(digest) => format!("the newest is line {}, {digest}\n", audit.end.number),
        None => String::new(),
    };
    let result = if audit.problems.is_empty() { "no problem was found\n" } else { "" };
    format!("{lines}, compared with {manifests} and {events}\n{end}{result}")
}
