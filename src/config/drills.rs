//! `[drill]`: how long a drill may take, and what the restored data must answer.

use super::environments::regular_expression;
use super::keys::{CHECK, DRILL};
use super::types::{DrillCheck, DrillConfig, Expectation, Question, SourceConfig, SourceKind};
use super::walk::{Table, Value};
use std::collections::HashSet;
use std::time::Duration;

/// How long one check may take, unless the file says otherwise.
const CHECK_TIMEOUT: Duration = Duration::from_secs(60);

/// Reads the settings of drills; checks name sources among `sources`.
pub(super) fn drill(value: &Value<'_>, sources: &[SourceConfig]) -> DrillConfig {
    let default = DrillConfig::default();
    let Some(table) = value.table(&DRILL) else {
        return default;
    };
    let mut names = HashSet::new();
    let items = table.get("check").and_then(|value| value.list()).unwrap_or_default();
    let checks = items.iter().filter_map(|item| check(item, sources, &mut names)).collect();
    DrillConfig {
        timeout: table.get("timeout").and_then(|value| value.some_duration()).unwrap_or(default.timeout),
        checks,
    }
}

fn check<'a>(value: &Value<'a>, sources: &[SourceConfig], names: &mut HashSet<&'a str>) -> Option<DrillCheck> {
    let table = value.table(&CHECK)?;
    let name = table.get("name").and_then(|value| {
        let name = value.name()?;
        if !names.insert(name) {
            value.mistake(format!("two checks are named \"{name}\""));
        }
        Some(name.to_owned())
    });
    let of = table.get("source").map(|value| (value, value.name()));
    let source = of.as_ref().and_then(|(_, name)| *name);
    let found = sources.iter().find(|config| Some(config.name.as_str()) == source);
    if let (Some((value, _)), Some(source), None) = (&of, source, found) {
        value.mistake(format!("there is no source \"{source}\""));
    }
    let question = question(value, &table, of.is_some(), found);
    let is_sql = matches!(question, Some(Question::Sql(_)));
    let expectation = expectation(&table, is_sql);
    let timeout = table.get("timeout").map_or(Some(CHECK_TIMEOUT), |value| value.some_duration());
    let environments = table.get("environments").map(|value| {
        let items = value.full_list().unwrap_or_default();
        items.iter().filter_map(|item| item.string()).collect()
    });
    Some(DrillCheck {
        name: name?,
        source: source.map(str::to_owned),
        question: question?,
        expectation: expectation?,
        timeout: timeout?,
        environments,
    })
}

/// Reads what is asked: the one of `sql` and `command` that is there.
fn question(value: &Value<'_>, table: &Table<'_>, has_source: bool, source: Option<&SourceConfig>) -> Option<Question> {
    match (table.get("sql"), table.get("command")) {
        (Some(sql), None) => {
            let answers = |source: &SourceConfig| !matches!(source.kind, SourceKind::Files(_) | SourceKind::Command(_));
            if !has_source {
                sql.mistake("`sql` is asked of one `source`, which is missing");
            } else if source.is_some_and(|source| !answers(source)) {
                sql.mistake("the source is no database, which alone answers `sql`: give a `command`");
            }
            sql.string().map(Question::Sql)
        }
        (None, Some(command)) => command.arguments().map(Question::Command),
        (Some(_), Some(command)) => {
            command.mistake("`sql` and `command` exclude each other: give one");
            None
        }
        (None, None) => {
            value.mistake("a check asks something: give `sql` or `command`");
            None
        }
    }
}

fn expectation(table: &Table<'_>, is_sql: bool) -> Option<Expectation> {
    let whole = |name| table.get(name).map(|value| value.integer(0, u32::MAX));
    let (min, max) = (whole("min"), whole("max"));
    let others = ["expect", "matches"].map(|name| table.get(name));
    if let [Some(_), Some(second)] = &others {
        second.mistake("`expect` and `matches` exclude each other: give one");
    }
    if let (Some(text), true) = (others.iter().flatten().next(), min.is_some() || max.is_some()) {
        text.mistake(format!("`{}` and a number to compare with exclude each other: give one", text.name));
    }
    let [expect, matches] = others;
    if let Some(value) = expect {
        // An answer of nothing is one that can be expected.
        return value.text_or_nothing().map(Expectation::Exactly);
    }
    if let Some(value) = matches {
        return regular_expression(&value).map(Expectation::Matches);
    }
    match (min, max) {
        (None, None) if is_sql => {
            let message = "what is the right answer? give `expect`, `matches`, `min` or `max`";
            table.walk.mistake(&table.at, message);
            None
        }
        (None, None) => Some(Expectation::Success),
        (Some(None), _) | (_, Some(None)) => None,
        (Some(Some(min)), Some(Some(max))) if min > max => {
            table.walk.mistake(&table.at, format!("`min`, {min}, is more than `max`, {max}"));
            None
        }
        (min, max) => Some(Expectation::Between { min: min.flatten(), max: max.flatten() }),
    }
}
