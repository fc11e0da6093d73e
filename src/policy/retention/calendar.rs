//! Days, weeks, months and years, as a time zone has them.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A part of the calendar.
#[derive(Debug, Clone, Copy)]
pub(super) enum Period {
    Day,
    /// From Monday to Sunday (ISO 8601), also over the end of a year.
    Week,
    Month,
    Year,
}

impl Period {
    /// Returns the first day of the period in which a moment is: two moments are in one period if that is the same.
    pub(super) fn of(self, at: Timestamp, zone: &TimeZone) -> Date {
        let date = zone.to_datetime(at).date();
        let first = match self {
            Self::Day => Ok(date),
            Self::Week => date.iso_week_date().first_of_week().map(Date::from),
            Self::Month => Ok(date.first_of_month()),
            Self::Year => Ok(date.first_of_year()),
        };
        // Before the first week that the calendar knows, each day is one of its own.
        first.unwrap_or(date)
    }
}
