//! When may be deployed into an environment: windows and blackouts, by its own clock.

use croner::Cron;
use jiff::civil::{DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use std::time::Duration;

/// When may be deployed into an environment, and by which clock.
#[derive(Debug, Clone)]
pub struct Calendar {
    /// The time zone of the environment; UTC unless the file says otherwise.
    pub zone: TimeZone,
    /// `[[environment.NAME.window]]`: when may be deployed; always if there is none. Names are unique.
    pub windows: Vec<Window>,
    /// `[[environment.NAME.blackout]]`: when may not be deployed, whatever the windows say. Names are unique.
    pub blackouts: Vec<Blackout>,
}

impl Default for Calendar {
    fn default() -> Self {
        Self { zone: TimeZone::UTC, windows: Vec::new(), blackouts: Vec::new() }
    }
}

/// One `[[environment.NAME.window]]`.
#[derive(Debug, Clone)]
pub struct Window {
    /// Its name.
    pub name: String,
    /// When it is open.
    pub when: Open,
}

/// When a window is open, by the clock of the environment.
#[derive(Debug, Clone)]
pub enum Open {
    /// On some days, from one time of the day to another.
    Daily {
        /// The days on which it opens; never empty.
        days: Vec<Weekday>,
        /// When it opens.
        from: Time,
        /// When it closes; on the next day if that is not after `from`.
        to: Time,
    },
    /// By a crontab.
    Cron(Repeated),
}

/// One `[[environment.NAME.blackout]]`.
#[derive(Debug, Clone)]
pub struct Blackout {
    /// Its name.
    pub name: String,
    /// When it is.
    pub when: Closed,
    /// Why.
    pub reason: Option<String>,
}

/// When a blackout is, by the clock of the environment.
#[derive(Debug, Clone)]
pub enum Closed {
    /// Once.
    Once {
        /// When it begins.
        from: DateTime,
        /// When it ends; later than `from`.
        to: DateTime,
    },
    /// Every year; over its end if `to` is before `from`.
    Yearly {
        /// When it begins.
        from: Annual,
        /// When it ends.
        to: Annual,
    },
    /// By a crontab.
    Cron(Repeated),
}

/// A day of every year; the 29th of February is left out where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Annual {
    /// The month, from 1.
    pub month: i8,
    /// The day, from 1.
    pub day: i8,
    /// The time of the day; `None` for the whole day.
    pub time: Option<Time>,
}

/// What begins by a crontab, and lasts as long each time.
#[derive(Debug, Clone)]
pub struct Repeated {
    /// When it begins; it does begin some time.
    pub cron: Box<Cron>,
    /// How long it is, as time passes: a clock that is changed meanwhile does not matter.
    pub lasts: Duration,
}
