//! The ways back for people: what each takes and loses, and which one is recommended.

use super::units::{count, counted, duration, plain, time};
use crate::model::way::{Loss, SourceLoss, TableLoss, Way};
use std::fmt::Write;

/// How many tables of a source are named.
const NAMED: usize = 5;

/// Renders what restoring each source loses, one line each.
pub(super) fn lost(lost: &[SourceLoss]) -> Vec<String> {
    lost.iter().map(of_source).collect()
}

fn of_source(loss: &SourceLoss) -> String {
    let mut parts = Vec::new();
    if let Some(seconds) = loss.seconds {
        parts.push(format!("captured {} ago", duration(seconds)));
    }
    if let Some(rows) = loss.more_rows {
        parts.push(match rows {
            0 => "no more rows now than at the gate (rows that were changed are not counted)".to_owned(),
            rows => format!("{} now than at the gate (rows that were changed are not counted)", more_rows(rows)),
        });
    }
    if let Some(files) = loss.files_differ {
        parts.push(match files {
            0 => "every file of the gate is as it was (new ones are not counted)".to_owned(),
            files => format!("{} not as at the gate (new ones are not counted)", counted(files, "file")),
        });
    }
    if !loss.tables.is_empty() {
        let named: Vec<_> = loss.tables.iter().take(NAMED).map(table).collect();
        let more = loss.tables.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        parts.push(format!("{}{more}", named.join(", ")));
    }
    if let Some(why) = &loss.not_counted {
        parts.push(format!("not counted: {}", plain(why)));
    }
    format!("{}: {}", plain(&loss.source), parts.join("; "))
}

fn more_rows(rows: u64) -> String {
    format!("{} more row{}", count(rows), if rows == 1 { "" } else { "s" })
}

fn table(loss: &TableLoss) -> String {
    let name = plain(&loss.table);
    match (loss.then, loss.now) {
        (Some(then), Some(now)) => format!("{name} {} → {}", count(then), count(now)),
        (None, Some(now)) => format!("{name} is new with {}", counted(now, "row")),
        (then, None) => format!("{name} is gone, and had {}", counted(then.unwrap_or(0), "row")),
    }
}

/// Renders the ways, weighed.
pub(super) fn ways(ways: &[Way]) -> String {
    let mut text = "\nways back\n".to_owned();
    for way in ways {
        let mark = match (way.recommended, way.possible) {
            (true, _) => "   recommended",
            (false, true) => "",
            (false, false) => "   cannot be gone",
        };
        let _ = writeln!(text, "   {}{mark}", way.way);
        let mut line = |label: &str, value: &str| {
            let _ = writeln!(text, "      {label:<10}{}", plain(value));
        };
        for why in &way.why_not {
            line("why not", why);
        }
        if !way.possible {
            continue;
        }
        for reason in &way.reasons {
            line("because", reason);
        }
        line("loses", &loses(way.loses.as_ref()));
        let takes = way.seconds.map(|seconds| format!("about {}: ", duration(seconds))).unwrap_or_default();
        line("takes", &format!("{takes}{}", way.takes));
        for left in &way.leaves_behind {
            line("leaves", left);
        }
        for step in &way.by_hand {
            line("by hand", step);
        }
        if let Some(command) = &way.command {
            line("command", command);
        }
    }
    text
}

fn loses(loss: Option<&Loss>) -> String {
    let Some(loss) = loss else { return "nothing that was written since".to_owned() };
    if loss.dropped {
        return "what the migration drops; nobody knows how much".to_owned();
    }
    let Some(since) = loss.since else { return "what was written since a moment that nobody knows".to_owned() };
    let ago = loss.seconds.map(|seconds| format!(", {}", duration(seconds))).unwrap_or_default();
    let rows = loss
        .rows
        .filter(|rows| *rows > 0)
        .map(|rows| format!(", at least {} (changed rows are not counted)", more_rows(rows)));
    let rows = rows.unwrap_or_default();
    format!("what was written since {}{ago}{rows}", time(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_way_loses_never_looks_like_less() {
        let since = Some("2026-11-21T10:00:00Z".parse().unwrap());
        let of = |rows| Loss { since, seconds: Some(60.0), rows, dropped: false };
        let rows = |count| loses(Some(&of(count)));
        assert!(rows(Some(3)).ends_with(", at least 3 more rows (changed rows are not counted)"), "{}", rows(Some(3)));
        assert_eq!(rows(Some(0)), rows(None));
        assert!(!rows(None).contains("row"));
        let dropped = Loss { dropped: true, ..Loss::default() };
        assert_eq!(loses(Some(&dropped)), "what the migration drops; nobody knows how much");
        assert_eq!(loses(None), "nothing that was written since");
    }

    #[test]
    fn what_a_restore_loses_is_told_in_words() {
        let loss = SourceLoss {
            source: "orders".to_owned(),
            since: None,
            seconds: Some(7200.0),
            tables: vec![
                TableLoss { table: "sales".to_owned(), then: Some(3), now: Some(1207) },
                TableLoss { table: "new".to_owned(), then: None, now: Some(1) },
                TableLoss { table: "old".to_owned(), then: Some(2), now: None },
            ],
            more_rows: Some(1205),
            files_differ: None,
            not_counted: None,
        };
        assert_eq!(
            lost(std::slice::from_ref(&loss)),
            [
                "orders: captured 2 h ago; 1,205 more rows now than at the gate (rows that were changed are not counted); \
              sales 3 → 1,207, new is new with 1 row, old is gone, and had 2 rows"
            ]
        );
        let unknown =
            SourceLoss { tables: Vec::new(), more_rows: None, not_counted: Some("it\u{1b}is".to_owned()), ..loss };
        assert_eq!(lost(&[unknown]), ["orders: captured 2 h ago; not counted: it\\u{1b}is"]);
    }
}
