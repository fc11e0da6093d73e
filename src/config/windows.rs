//! `[environment.NAME]`: its time zone, its change windows and its blackouts.

use super::calendar::{Annual, Blackout, Calendar, Closed, Open, Repeated, Window};
use super::keys::{Form, Key, Section, key, required};
use super::walk::{Table, Value};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::{Date, Time, Weekday, date};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use std::collections::HashSet;
use std::ops::RangeInclusive;
use toml::de::DeValue;

/// The names of the days, as the configuration writes them.
const DAYS: &[&str] = &["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

pub(super) const WINDOW: Section = Section {
    name: "a window",
    keys: &[&[
        required("name", Form::Name, "unique in the environment"),
        key("days", Form::List(&Form::Choice(DAYS), 1), "the days on which it opens; every day unless given"),
        key("from", Form::Text, "when it opens, such as \"09:00\""),
        key("to", Form::Text, "when it closes, such as \"16:30\"; on the next day if that is not after `from`"),
        CRON,
        LASTS,
    ]],
    later: &[],
};

pub(super) const BLACKOUT: Section = Section {
    name: "a blackout",
    keys: &[&[
        required("name", Form::Name, "unique in the environment"),
        key(
            "from",
            Form::Text,
            "when it begins, such as \"2026-12-24\", \"2026-12-24T18:00\", or \"12-24\" every year",
        ),
        key("to", Form::Text, "when it ends; a date without a time is still part of it"),
        CRON,
        LASTS,
        key("reason", Form::Text, "why, for whoever is refused"),
    ]],
    later: &[],
};

const CRON: Key =
    key("cron", Form::Text, "instead of `from` and `to`: when it begins, in the five fields of a crontab");
const LASTS: Key = key("lasts", Form::Duration, "with `cron`: how long it is each time");

/// Reads time zone, windows and blackouts of an environment.
pub(super) fn calendar(table: &Table<'_>) -> Calendar {
    let mut names = HashSet::new();
    let windows = items(table, "window").iter().filter_map(|item| window(item, &mut names)).collect();
    names.clear();
    let blackouts = items(table, "blackout").iter().filter_map(|item| blackout(item, &mut names)).collect();
    let zone = table.get("time_zone").and_then(|value| zone(&value)).unwrap_or(TimeZone::UTC);
    Calendar { zone, windows, blackouts }
}

fn items<'a>(table: &Table<'a>, name: &'static str) -> Vec<Value<'a>> {
    table.get(name).and_then(|value| value.full_list()).unwrap_or_default()
}

/// Reads the name of a time zone. The zones are those of this program: what a machine, or a variable of its environment, says
/// of them would move the windows.
fn zone(value: &Value<'_>) -> Option<TimeZone> {
    let name = value.string()?;
    let found = TimeZoneDatabase::bundled().get(&name);
    if found.is_err() {
        value.mistake(format!("`{}` must be a time zone such as \"Europe/Berlin\", not {name:?}", value.name));
    }
    found.ok()
}

fn window<'a>(value: &Value<'a>, names: &mut HashSet<&'a str>) -> Option<Window> {
    let table = value.table(&WINDOW)?;
    let name = unique(&table, "windows", names);
    let days = table.get("days").map(|value| {
        let words: Vec<_> = DAYS.iter().copied().zip(Weekday::Monday.cycle_forward()).collect();
        value.full_list().unwrap_or_default().iter().filter_map(|item| item.choice(&words)).collect::<Vec<_>>()
    });
    let from = table.get("from").map(|value| (value, time_of_day(&value)));
    let to = table.get("to").map(|value| (value, time_of_day(&value)));
    let when = match (from, to, repeated(&table)) {
        (Some((_, from)), Some((value, to)), Some(None)) => {
            let ((from, _), (to, is_end_of_day)) = (from?, to?);
            if from == to && !(is_end_of_day && from == Time::midnight()) {
                value.mistake("`to` is `from`: a whole day is from \"00:00\" to \"24:00\"");
            }
            let days = days.unwrap_or_else(|| Weekday::Monday.cycle_forward().take(7).collect());
            Open::Daily { days, from, to }
        }
        (None, None, Some(Some(repeated))) => {
            if days.is_some() {
                value.mistake("`days` goes with `from` and `to`; a crontab names its days itself");
            }
            Open::Cron(repeated?)
        }
        (_, _, None) => return None,
        _ => return either(value),
    };
    Some(Window { name: name?, when })
}

fn blackout<'a>(value: &Value<'a>, names: &mut HashSet<&'a str>) -> Option<Blackout> {
    let table = value.table(&BLACKOUT)?;
    let name = unique(&table, "blackouts", names);
    let reason = table.get("reason").and_then(|value| value.string());
    let from = table.get("from").map(|value| moment(&value));
    let to = table.get("to").map(|value| moment(&value));
    let when = match (from, to, repeated(&table)) {
        (Some(from), Some(to), Some(None)) => between(value, from?, to?)?,
        (None, None, Some(Some(repeated))) => Closed::Cron(repeated?),
        (_, _, None) => return None,
        _ => return either(value),
    };
    Some(Blackout { name: name?, when, reason })
}

fn either<T>(value: &Value<'_>) -> Option<T> {
    value.mistake("when is it? give `from` and `to`, or `cron` and `lasts`");
    None
}

fn unique<'a>(table: &Table<'a>, what: &str, names: &mut HashSet<&'a str>) -> Option<String> {
    let value = table.get("name")?;
    let name = value.name()?;
    if !names.insert(name) {
        value.mistake(format!("two {what} of the environment are named \"{name}\""));
    }
    Some(name.to_owned())
}

/// Reads `cron` and `lasts`: `Some(None)` if neither is there, `None` if only one is, which is noted; inside of it `None` if
/// what is there is wrong, which is noted, too.
fn repeated(table: &Table<'_>) -> Option<Option<Option<Repeated>>> {
    let cron = table.get("cron").map(|value| (value, crontab(&value)));
    let lasts = table.get("lasts").map(|value| (value, value.some_duration()));
    match (cron, lasts) {
        (None, None) => Some(None),
        (Some((_, cron)), Some((_, lasts))) => {
            Some(Some(cron.zip(lasts).map(|(cron, lasts)| Repeated { cron: Box::new(cron), lasts })))
        }
        (Some((value, _)), None) => {
            value.mistake("`cron` says when it begins: give `lasts`, too");
            None
        }
        (None, Some((value, _))) => {
            value.mistake("`lasts` goes with `cron`, which is missing");
            None
        }
    }
}

fn crontab(value: &Value<'_>) -> Option<Cron> {
    let text = text_of(value, "a crontab such as \"0 22 * * FRI\"")?;
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = match parser.parse(&text) {
        Ok(cron) => cron,
        Err(error) => {
            value.mistake(format!("`{}` is not a crontab such as \"0 22 * * FRI\": {error}", value.name));
            return None;
        }
    };
    if cron.find_next_occurrence(&date(2024, 1, 1).at(0, 0, 0, 0), true).is_err() {
        value.mistake(format!("`{}` names a day that never comes", value.name));
        return None;
    }
    Some(cron)
}

/// Reads a time of the day; says whether it is `24:00`, the midnight at the day's end.
fn time_of_day(value: &Value<'_>) -> Option<(Time, bool)> {
    let form = "a time of the day such as \"09:00\"";
    let text = text_of(value, form)?;
    if text == "24:00" && value.name == "to" {
        return Some((Time::midnight(), true));
    }
    let time = clock(&text);
    if time.is_none() {
        value.mistake(format!("`{}` must be {form}, not {text:?}", value.name));
    }
    Some((time?, false))
}

fn clock(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    Time::new(number(hour, 2)?, number(minute, 2)?, 0, 0).ok()
}

/// Reads a number of exactly so many digits.
fn number(text: &str, digits: usize) -> Option<i8> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// The years that a blackout may be in; what is not among them is a slip.
const YEARS: RangeInclusive<i16> = 2000..=9000;

/// One end of a blackout.
#[derive(Clone, Copy)]
enum Moment {
    Once(Date, Option<Time>),
    Yearly(Annual),
}

fn moment(value: &Value<'_>) -> Option<Moment> {
    let form = "a date such as \"2026-12-24\", \"2026-12-24T18:00\" or, every year, \"12-24\"";
    let text = text_of(value, form)?;
    let read = || {
        let (day, time) = match text.split_once(['T', ' ']) {
            Some((day, time)) => (day, Some(clock(time)?)),
            None => (text.as_str(), None),
        };
        let parts: Vec<_> = day.split('-').collect();
        match parts.as_slice() {
            // In a leap year every day is there.
            [month, day] => {
                let date = Date::new(2024, number(month, 2)?, number(day, 2)?).ok()?;
                Some(Moment::Yearly(Annual { month: date.month(), day: date.day(), time }))
            }
            [year, month, day] if year.len() == 4 => {
                let date = Date::new(year.parse().ok()?, number(month, 2)?, number(day, 2)?).ok()?;
                // So that there is a day after it.
                YEARS.contains(&date.year()).then_some(Moment::Once(date, time))
            }
            _ => None,
        }
    };
    let moment = read();
    if moment.is_none() {
        value.mistake(format!("`{}` must be {form}, by the clock of the environment, not {text:?}", value.name));
    }
    moment
}

fn between(value: &Value<'_>, from: Moment, to: Moment) -> Option<Closed> {
    match (from, to) {
        (Moment::Once(from, at), Moment::Once(to, until)) => {
            let from = from.to_datetime(at.unwrap_or_default());
            let to = match until {
                Some(until) => to.to_datetime(until),
                None => to.tomorrow().ok()?.to_datetime(Time::midnight()),
            };
            if from >= to {
                value.mistake("`to` is not after `from`");
            }
            Some(Closed::Once { from, to })
        }
        (Moment::Yearly(from), Moment::Yearly(to)) => {
            if from == to && from.time.is_some() {
                value.mistake("`to` is not after `from`");
            }
            Some(Closed::Yearly { from, to })
        }
        _ => {
            value.mistake("`from` and `to` must both have a year, or neither");
            None
        }
    }
}

/// Reads a string that is to be `form`.
fn text_of(value: &Value<'_>, form: &str) -> Option<String> {
    match value.raw() {
        DeValue::String(_) | DeValue::Table(_) => value.string(),
        _ => value.must_be(&format!("{form}, in quotes")),
    }
}
