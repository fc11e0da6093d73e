//! `[retention]`: which releases keep their snapshots, and for how long.

use super::keys::{Form, Section, key};
use super::walk::Value;
use std::time::Duration;

/// The most that a rule may count; what is larger is a slip.
const MOST: u32 = 1_000_000;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) const RETENTION: Section = Section {
    name: "[retention]",
    keys: &[&[
        key("keep_last", Form::Integer(1), "how many of the newest releases that passed keep their snapshots"),
        key("keep_within", Form::Duration, "every release that passed and is not older keeps them"),
        key("keep_daily", Form::Integer(1), "on how many days the newest of the day keeps them"),
        key("keep_weekly", Form::Integer(1), "in how many weeks the newest of the week keeps them"),
        key("keep_monthly", Form::Integer(1), "in how many months the newest of the month keeps them"),
        key("keep_yearly", Form::Integer(1), "in how many years the newest of the year keeps them"),
        key("keep_targets", Form::Integer(1), "how many deployments can be rolled back at least; 3 unless given"),
        key("floor", Form::Table(&FLOOR), "what is kept whatever the other rules say"),
    ]],
    later: &[],
};

pub(super) const FLOOR: Section = Section {
    name: "floor",
    keys: &[&[
        key("releases", Form::Integer(1), "so many of the newest releases that passed; 3 unless given"),
        key("age", Form::Duration, "whatever is younger; 14d unless given"),
    ]],
    later: &[],
};

/// `[retention]`: a release keeps its snapshots as long as one rule says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionConfig {
    /// So many of the newest that passed.
    pub keep_last: Option<u32>,
    /// Every one that passed and is not older.
    pub keep_within: Option<Duration>,
    /// The newest of each of so many days on which one passed.
    pub keep_daily: Option<u32>,
    /// The newest of each of so many weeks, which begin on Monday.
    pub keep_weekly: Option<u32>,
    /// The newest of each of so many months.
    pub keep_monthly: Option<u32>,
    /// The newest of each of so many years.
    pub keep_yearly: Option<u32>,
    /// So many of the newest deployments can be rolled back.
    pub keep_targets: u32,
    /// What no rule takes away.
    pub floor: Floor,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            keep_last: None,
            keep_within: None,
            keep_daily: None,
            keep_weekly: None,
            keep_monthly: None,
            keep_yearly: None,
            keep_targets: 3,
            floor: Floor { releases: 3, age: DAY * 14 },
        }
    }
}

impl RetentionConfig {
    /// Says whether a rule says what is kept; without one, nothing is ever let go.
    pub fn has_rule(&self) -> bool {
        let counts = [self.keep_last, self.keep_daily, self.keep_weekly, self.keep_monthly, self.keep_yearly];
        self.keep_within.is_some() || counts.iter().any(Option::is_some)
    }
}

/// `floor = { releases = 3, age = "14d" }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    /// So many of the newest releases that passed are kept.
    pub releases: u32,
    /// Whatever is younger is kept, passed or not.
    pub age: Duration,
}

/// Reads `[retention]`.
pub(super) fn retention(value: &Value<'_>) -> RetentionConfig {
    let default = RetentionConfig::default();
    let Some(table) = value.table(&RETENTION) else { return default };
    let count = |name| table.get(name).and_then(|value| value.integer(1, MOST));
    RetentionConfig {
        keep_last: count("keep_last"),
        keep_within: table.get("keep_within").and_then(|value| value.some_duration()),
        keep_daily: count("keep_daily"),
        keep_weekly: count("keep_weekly"),
        keep_monthly: count("keep_monthly"),
        keep_yearly: count("keep_yearly"),
        keep_targets: count("keep_targets").unwrap_or(default.keep_targets),
        floor: table.get("floor").map_or(default.floor, |value| floor(&value, default.floor)),
    }
}

fn floor(value: &Value<'_>, default: Floor) -> Floor {
    let Some(table) = value.table(&FLOOR) else { return default };
    Floor {
        releases: table.get("releases").and_then(|value| value.integer(1, MOST)).unwrap_or(default.releases),
        age: table.get("age").and_then(|value| value.duration()).unwrap_or(default.age),
    }
}
