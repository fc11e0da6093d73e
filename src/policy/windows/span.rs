//! When a window is open or a blackout is on: the stretches of time near a moment.

use super::local::{Twice, moment};
use crate::config::{Annual, Closed, Open, Repeated};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span as Days, Timestamp};

/// How far a clock may be set back: for so long it may show again what it showed before.
const SET_BACK: SignedDuration = SignedDuration::from_hours(4);
/// How many begins of a crontab are looked at near one moment; there is one a minute at most.
const BEGINS: usize = 1_000;

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// When it begins.
    pub start: Timestamp,
    /// When it is over: the first moment that is not part of it.
    pub end: Timestamp,
}

/// What the configuration says of a window or a blackout. In doubt a window is shorter and a blackout longer: where the clock
/// shows a time twice, both begin at the first, a window ends at the first, too, and a blackout at the second.
#[derive(Debug, Clone, Copy)]
pub enum When<'c> {
    /// Of a window.
    Open(&'c Open),
    /// Of a blackout.
    Closed(&'c Closed),
}

impl When<'_> {
    /// Returns the stretch that `at` is in; of several the one that ends last.
    pub fn covering(self, zone: &TimeZone, at: Timestamp) -> Option<Span> {
        if let Some((repeated, twice)) = self.repeated() {
            return repeated_covering(repeated, twice, zone, at);
        }
        let covers = |span: &Span| span.start <= at && at < span.end;
        self.near(zone, at).into_iter().filter(covers).max_by_key(|span| span.end)
    }

    /// Returns when the next stretch after `at` begins.
    pub fn next_start(self, zone: &TimeZone, at: Timestamp) -> Option<Timestamp> {
        if let Some((repeated, _)) = self.repeated() {
            return repeated_next(repeated, zone, at);
        }
        self.near(zone, at).into_iter().map(|span| span.start).filter(|start| *start > at).min()
    }

    fn repeated(&self) -> Option<(&Repeated, Twice)> {
        match self {
            Self::Open(Open::Cron(repeated)) => Some((repeated, Twice::First)),
            Self::Closed(Closed::Cron(repeated)) => Some((repeated, Twice::Second)),
            _ => None,
        }
    }

    /// Returns all stretches by dates that a moment can be in, and the next one after it.
    fn near(self, zone: &TimeZone, at: Timestamp) -> Vec<Span> {
        let today = at.to_zoned(zone.clone()).date();
        let (locals, twice) = match self {
            Self::Open(Open::Daily { days, from, to }) => {
                // Yesterday's may go on today; the one of next week may be the next, or the week after if the clock jumps
                // over all of it.
                let dates = (-2..=15).filter_map(|days| today.checked_add(Days::new().days(days)).ok());
                let opens = dates.filter(|date| days.contains(&date.weekday()));
                (opens.filter_map(|date| day(date, *from, *to)).collect(), Twice::First)
            }
            Self::Closed(Closed::Once { from, to }) => (vec![(*from, *to)], Twice::Second),
            Self::Closed(Closed::Yearly { from, to }) => {
                let years = (-2..=8).filter_map(|years| today.year().checked_add(years));
                (years.filter_map(|year| yearly(year, *from, *to)).collect(), Twice::Second)
            }
            Self::Open(Open::Cron(_)) | Self::Closed(Closed::Cron(_)) => (Vec::new(), Twice::First),
        };
        let span = |(from, to): (DateTime, DateTime)| {
            let (start, end) = (moment(zone, from, Twice::First)?, moment(zone, to, twice)?);
            // The clock may jump over a short one.
            (start < end).then_some(Span { start, end })
        };
        locals.into_iter().filter_map(span).collect()
    }
}

fn day(date: Date, from: Time, to: Time) -> Option<(DateTime, DateTime)> {
    let last = if to <= from { date.tomorrow().ok()? } else { date };
    Some((date.to_datetime(from), last.to_datetime(to)))
}

fn yearly(year: i16, from: Annual, to: Annual) -> Option<(DateTime, DateTime)> {
    let place =
        |at: Annual, whole_day| (at.month, at.day, at.time.map_or(whole_day, |time| (time.hour(), time.minute())));
    let is_over_the_end = place(to, (24, 0)) <= place(from, (0, 0));
    let last = if is_over_the_end { year.checked_add(1)? } else { year };
    Some((annual(year, from, false)?, annual(last, to, true)?))
}

/// Returns a day of this year: its first moment, or the one after its last. What is on the 29th of February alone is nothing in a
/// year that has none.
fn annual(year: i16, Annual { month, day, time }: Annual, is_end: bool) -> Option<DateTime> {
    let Ok(date) = Date::new(year, month, day) else {
        // The 29th of February would be here.
        return Some(Date::new(year, 3, 1).ok()?.to_datetime(Time::midnight()));
    };
    match time {
        Some(time) => Some(date.to_datetime(time)),
        None if is_end => Some(date.tomorrow().ok()?.to_datetime(Time::midnight())),
        None => Some(date.to_datetime(Time::midnight())),
    }
}

/// Crontabs are asked for times of the clock, never for moments: so every rule meets a change of the clock in one way.
fn repeated_covering(repeated: &Repeated, twice: Twice, zone: &TimeZone, at: Timestamp) -> Option<Span> {
    let changed = zone.preceding(at.checked_add(SignedDuration::from_secs(1)).ok()?).next();
    let set_back = changed.is_some_and(|change| at.duration_since(change.timestamp()) < SET_BACK);
    // What the clock will show once more has begun already when it showed it first.
    let ahead = if set_back { SET_BACK } else { SignedDuration::ZERO };
    let local = at.to_zoned(zone.clone()).datetime().checked_add(ahead).ok()?;
    let mut begin = repeated.cron.find_previous_occurrence(&local, true).ok()?;
    for _ in 0..BEGINS {
        let start = moment(zone, begin, Twice::First)?;
        if start <= at {
            let end = moment(zone, begin, twice)?.checked_add(repeated.lasts).ok()?;
            return (at < end).then_some(Span { start, end });
        }
        begin = repeated.cron.find_previous_occurrence(&begin, false).ok()?;
    }
    None
}

fn repeated_next(repeated: &Repeated, zone: &TimeZone, at: Timestamp) -> Option<Timestamp> {
    let local = at.to_zoned(zone.clone()).datetime();
    let mut begin = repeated.cron.find_next_occurrence(&local, true).ok()?;
    for _ in 0..BEGINS {
        let start = moment(zone, begin, Twice::First)?;
        if start > at {
            return Some(start);
        }
        begin = repeated.cron.find_next_occurrence(&begin, false).ok()?;
    }
    None
}
