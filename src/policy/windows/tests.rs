//! Windows and blackouts across the changes of clocks, leap days and the ends of years, east and west, north and south.

use super::*;
use crate::config::parse;
use crate::model::manifest::{Manifest, State};
use jiff::SignedDuration;
use proptest::prelude::*;
use std::path::Path;

/// Reads a calendar as the configuration writes it.
fn calendar(text: &str) -> Calendar {
    let config = parse(&format!("[environment.e]\n{text}"), Path::new("holdpoint.toml")).unwrap();
    config.environments["e"].calendar.clone()
}

fn in_zone(zone: &str, rules: &str) -> Calendar {
    calendar(&format!("time_zone = \"{zone}\"\n{rules}"))
}

/// One window by times of the day; `days` are its days, every day if there are none.
fn window(name: &str, days: &str, from: &str, to: &str) -> String {
    let days = if days.is_empty() { String::new() } else { format!("days = [{days}]\n") };
    format!("[[environment.e.window]]\nname = \"{name}\"\n{days}from = \"{from}\"\nto = \"{to}\"\n")
}

fn cron_window(name: &str, cron: &str, lasts: &str) -> String {
    format!("[[environment.e.window]]\nname = \"{name}\"\ncron = \"{cron}\"\nlasts = \"{lasts}\"\n")
}

fn blackout(name: &str, from: &str, to: &str) -> String {
    format!("[[environment.e.blackout]]\nname = \"{name}\"\nfrom = \"{from}\"\nto = \"{to}\"\n")
}

fn cron_blackout(name: &str, cron: &str, lasts: &str) -> String {
    format!("[[environment.e.blackout]]\nname = \"{name}\"\ncron = \"{cron}\"\nlasts = \"{lasts}\"\n")
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Says in one line how a calendar stands.
fn says(calendar: &Calendar, now: &str) -> String {
    let now = at(now);
    let next = |after| match next_opening(calendar, after) {
        Some(Opening { at, window: Some(window) }) => format!("{} {at}", window.name),
        Some(Opening { at, window: None }) => at.to_string(),
        None => "never".to_owned(),
    };
    match standing(calendar, now) {
        Standing::Open { closes: None, .. } => "open".to_owned(),
        Standing::Open { closes: Some(Closing { at, by }), .. } => {
            let by = by.map(|blackout| format!(" by {}", blackout.name)).unwrap_or_default();
            format!("open until {at}{by}")
        }
        Standing::Outside => format!("outside until {}", next(now)),
        Standing::Blackout { blackout, ends } => format!("{} until {ends}, next {}", blackout.name, next(ends)),
    }
}

#[track_caller]
fn hold(calendar: &Calendar, moments: &[(&str, &str)]) {
    for (now, expected) in moments {
        assert_eq!(says(calendar, now), *expected, "at {now}");
    }
}

const WEEK: &str = "\"mon\", \"tue\", \"wed\", \"thu\", \"fri\"";

#[test]
fn a_window_opens_at_its_first_moment_and_closes_at_its_last() {
    let office = in_zone("Europe/Berlin", &window("office", WEEK, "09:00", "16:30"));
    hold(
        &office,
        &[
            ("2026-01-14T07:59:59Z", "outside until office 2026-01-14T08:00:00Z"),
            ("2026-01-14T08:00:00Z", "open until 2026-01-14T15:30:00Z"),
            ("2026-01-14T15:29:59.999Z", "open until 2026-01-14T15:30:00Z"),
            ("2026-01-14T15:30:00Z", "outside until office 2026-01-15T08:00:00Z"),
            // Over a weekend; over one in which the clock is set forward, and back.
            ("2026-01-16T15:30:00Z", "outside until office 2026-01-19T08:00:00Z"),
            ("2026-03-27T16:00:00Z", "outside until office 2026-03-30T07:00:00Z"),
            ("2026-10-23T15:00:00Z", "outside until office 2026-10-26T08:00:00Z"),
        ],
    );
}

#[test]
fn an_hour_that_the_clock_jumps_over_is_the_moment_of_the_jump() {
    let berlin = |rules: &str| in_zone("Europe/Berlin", rules);
    hold(
        &berlin(&window("w", "", "02:00", "04:00")),
        &[
            ("2026-03-29T00:59:59Z", "outside until w 2026-03-29T01:00:00Z"),
            ("2026-03-29T01:00:00Z", "open until 2026-03-29T02:00:00Z"),
        ],
    );
    // It begins before the jump and would end within: it is over when the clock jumps.
    hold(&berlin(&window("w", "", "01:30", "02:30")), &[("2026-03-29T00:30:00Z", "open until 2026-03-29T01:00:00Z")]);
    // All of it is jumped over: there is none that night.
    hold(
        &berlin(&window("w", "", "02:10", "02:50")),
        &[("2026-03-29T00:30:00Z", "outside until w 2026-03-30T00:10:00Z")],
    );
    // A crontab is not passed over, and lasts as long as in any other night.
    hold(
        &berlin(&cron_window("w", "30 2 * * *", "1h")),
        &[
            ("2026-03-29T00:45:00Z", "outside until w 2026-03-29T01:00:00Z"),
            ("2026-03-29T01:59:59Z", "open until 2026-03-29T02:00:00Z"),
            ("2026-03-29T02:00:00Z", "outside until w 2026-03-30T00:30:00Z"),
        ],
    );
    hold(
        &berlin(&cron_blackout("b", "30 2 * * *", "1h")),
        &[("2026-03-29T01:30:00Z", "b until 2026-03-29T02:00:00Z, next 2026-03-29T02:00:00Z")],
    );
}

#[test]
fn an_hour_that_comes_twice_makes_no_window_longer_and_no_blackout_shorter() {
    let berlin = |rules: &str| in_zone("Europe/Berlin", rules);
    hold(
        &berlin(&window("w", "", "02:00", "02:45")),
        &[
            ("2026-10-25T00:00:00Z", "open until 2026-10-25T00:45:00Z"),
            // 02:10 for the second time.
            ("2026-10-25T01:10:00Z", "outside until w 2026-10-26T01:00:00Z"),
        ],
    );
    hold(
        &berlin(&blackout("b", "2026-10-25T02:00", "2026-10-25T02:30")),
        &[
            ("2026-10-24T23:59:59Z", "open until 2026-10-25T00:00:00Z by b"),
            ("2026-10-25T00:45:00Z", "b until 2026-10-25T01:30:00Z, next 2026-10-25T01:30:00Z"),
            ("2026-10-25T01:30:00Z", "open"),
        ],
    );
    hold(
        &berlin(&cron_window("w", "30 2 * * *", "1h")),
        &[
            ("2026-10-25T00:29:59Z", "outside until w 2026-10-25T00:30:00Z"),
            // It is 02:10, and it began at 02:30.
            ("2026-10-25T01:10:00Z", "open until 2026-10-25T01:30:00Z"),
            ("2026-10-25T01:40:00Z", "outside until w 2026-10-26T01:30:00Z"),
        ],
    );
    hold(
        &berlin(&cron_blackout("b", "30 2 * * *", "1h")),
        &[
            ("2026-10-25T00:30:00Z", "b until 2026-10-25T02:30:00Z, next 2026-10-25T02:30:00Z"),
            ("2026-10-25T02:29:59Z", "b until 2026-10-25T02:30:00Z, next 2026-10-25T02:30:00Z"),
        ],
    );
}

#[test]
fn a_window_over_midnight_belongs_to_the_day_on_which_it_opens() {
    let night = in_zone("Europe/Berlin", &window("night", "\"sat\"", "22:00", "03:00"));
    hold(
        &night,
        &[
            ("2026-07-04T19:59:00Z", "outside until night 2026-07-04T20:00:00Z"),
            ("2026-07-04T23:30:00Z", "open until 2026-07-05T01:00:00Z"),
            // Sunday evening is none, though Saturday's window ended on Sunday.
            ("2026-07-05T20:30:00Z", "outside until night 2026-07-11T20:00:00Z"),
            // An hour more in the night in which the clock is set back, and one less in the other.
            ("2026-10-24T20:00:00Z", "open until 2026-10-25T02:00:00Z"),
            ("2026-03-28T21:00:00Z", "open until 2026-03-29T01:00:00Z"),
        ],
    );
    let until_midnight = in_zone("UTC", &window("w", "\"thu\"", "22:00", "00:00"));
    hold(&until_midnight, &[("2026-12-31T23:59:59Z", "open until 2027-01-01T00:00:00Z")]);
    let all_day = in_zone("UTC", &window("w", "\"sat\", \"sun\"", "00:00", "24:00"));
    hold(
        &all_day,
        &[
            ("2026-01-09T23:59:59Z", "outside until w 2026-01-10T00:00:00Z"),
            ("2026-01-10T12:00:00Z", "open until 2026-01-12T00:00:00Z"),
        ],
    );
}

#[test]
fn leap_days_are_days() {
    hold(
        &in_zone("UTC", &window("w", "", "09:00", "10:00")),
        &[
            ("2028-02-28T20:00:00Z", "outside until w 2028-02-29T09:00:00Z"),
            ("2028-02-29T20:00:00Z", "outside until w 2028-03-01T09:00:00Z"),
            ("2027-02-28T20:00:00Z", "outside until w 2027-03-01T09:00:00Z"),
        ],
    );
    hold(
        &in_zone("UTC", &cron_window("w", "0 9 29 2 *", "8h")),
        &[
            ("2026-06-01T00:00:00Z", "outside until w 2028-02-29T09:00:00Z"),
            ("2028-02-29T10:00:00Z", "open until 2028-02-29T17:00:00Z"),
            // 2100 is no leap year.
            ("2096-03-01T00:00:00Z", "outside until w 2104-02-29T09:00:00Z"),
        ],
    );
    hold(
        &in_zone("UTC", &blackout("b", "02-29", "02-29")),
        &[
            ("2028-02-29T12:00:00Z", "b until 2028-03-01T00:00:00Z, next 2028-03-01T00:00:00Z"),
            ("2027-02-28T12:00:00Z", "open until 2028-02-29T00:00:00Z by b"),
            ("2027-03-01T00:00:00Z", "open until 2028-02-29T00:00:00Z by b"),
        ],
    );
    hold(
        &in_zone("UTC", &blackout("b", "02-20", "02-29")),
        &[
            ("2027-02-28T23:00:00Z", "b until 2027-03-01T00:00:00Z, next 2027-03-01T00:00:00Z"),
            ("2028-02-28T23:00:00Z", "b until 2028-03-01T00:00:00Z, next 2028-03-01T00:00:00Z"),
        ],
    );
    let hours = in_zone("UTC", &blackout("b", "02-29T10:00", "02-29T12:00"));
    hold(
        &hours,
        &[
            ("2028-02-29T11:00:00Z", "b until 2028-02-29T12:00:00Z, next 2028-02-29T12:00:00Z"),
            ("2027-03-01T00:00:00Z", "open until 2028-02-29T10:00:00Z by b"),
        ],
    );
}

#[test]
fn years_end_within_blackouts_and_windows() {
    hold(
        &in_zone("Europe/Berlin", &blackout("b", "12-20", "01-02")),
        &[
            ("2026-12-19T22:59:59Z", "open until 2026-12-19T23:00:00Z by b"),
            ("2026-12-19T23:00:00Z", "b until 2027-01-02T23:00:00Z, next 2027-01-02T23:00:00Z"),
            ("2026-12-31T23:30:00Z", "b until 2027-01-02T23:00:00Z, next 2027-01-02T23:00:00Z"),
            ("2027-01-02T23:00:00Z", "open until 2027-12-19T23:00:00Z by b"),
        ],
    );
    hold(
        &in_zone("Pacific/Auckland", &blackout("b", "2026-12-24T18:00", "2026-12-31")),
        // Noon on the 31st in Auckland is the 30th elsewhere.
        &[("2026-12-30T23:00:00Z", "b until 2026-12-31T11:00:00Z, next 2026-12-31T11:00:00Z")],
    );
    hold(
        &in_zone("UTC", &window("w", "\"thu\"", "22:00", "02:00")),
        &[("2026-12-31T23:30:00Z", "open until 2027-01-01T02:00:00Z")],
    );
    // The last day of a month, and the last Friday of it, in December, too.
    hold(
        &in_zone("UTC", &cron_window("w", "0 22 L * *", "4h")),
        &[
            ("2026-12-31T22:30:00Z", "open until 2027-01-01T02:00:00Z"),
            ("2027-01-01T02:00:00Z", "outside until w 2027-01-31T22:00:00Z"),
        ],
    );
    hold(
        &in_zone("UTC", &cron_blackout("b", "0 9 * * FRIL", "8h")),
        &[("2026-12-25T10:00:00Z", "b until 2026-12-25T17:00:00Z, next 2026-12-25T17:00:00Z")],
    );
}

#[test]
fn every_zone_has_its_own_clock() {
    let monday = window("w", "\"mon\"", "09:00", "17:00");
    for (zone, now, expected) in [
        ("Pacific/Auckland", "2026-01-11T20:30:00Z", "open until 2026-01-12T04:00:00Z"),
        ("Pacific/Honolulu", "2026-01-13T01:00:00Z", "open until 2026-01-13T03:00:00Z"),
        ("Pacific/Kiritimati", "2026-01-11T19:00:00Z", "open until 2026-01-12T03:00:00Z"),
        ("Asia/Kathmandu", "2026-01-12T03:14:59Z", "outside until w 2026-01-12T03:15:00Z"),
    ] {
        hold(&in_zone(zone, &monday), &[(now, expected)]);
    }
    hold(
        &in_zone("America/New_York", &window("w", "", "01:30", "02:30")),
        &[
            ("2026-03-08T06:45:00Z", "open until 2026-03-08T07:00:00Z"),
            ("2026-11-01T05:30:00Z", "open until 2026-11-01T07:30:00Z"),
        ],
    );
    // In the south the clock is set back in April and forward in October.
    hold(
        &in_zone("Australia/Sydney", &window("w", "", "02:00", "02:45")),
        &[
            ("2026-04-04T15:00:00Z", "open until 2026-04-04T15:45:00Z"),
            ("2026-04-04T16:10:00Z", "outside until w 2026-04-05T16:00:00Z"),
            ("2026-10-03T15:59:59Z", "outside until w 2026-10-04T15:00:00Z"),
        ],
    );
    // By half an hour, and at midnight.
    hold(
        &in_zone("Australia/Lord_Howe", &window("w", "", "02:15", "03:00")),
        &[
            ("2026-10-03T15:29:59Z", "outside until w 2026-10-03T15:30:00Z"),
            ("2026-10-03T15:30:00Z", "open until 2026-10-03T16:00:00Z"),
        ],
    );
    hold(
        &in_zone("America/Santiago", &window("w", "\"sun\"", "00:00", "02:00")),
        &[
            ("2026-09-06T03:59:59Z", "outside until w 2026-09-06T04:00:00Z"),
            ("2026-09-06T04:00:00Z", "open until 2026-09-06T05:00:00Z"),
        ],
    );
}

#[test]
fn windows_go_on_and_blackouts_cut_them() {
    let two = [window("am", "", "09:00", "12:00"), window("pm", "", "12:00", "15:00")].concat();
    hold(&in_zone("UTC", &two), &[("2026-05-01T09:00:00Z", "open until 2026-05-01T15:00:00Z")]);
    let cut = [two.as_str(), &blackout("b", "2026-05-01T10:00", "2026-05-01T11:00")].concat();
    hold(
        &in_zone("UTC", &cut),
        &[
            ("2026-05-01T09:30:00Z", "open until 2026-05-01T10:00:00Z by b"),
            ("2026-05-01T10:30:00Z", "b until 2026-05-01T11:00:00Z, next am 2026-05-01T11:00:00Z"),
            ("2026-05-01T08:00:00Z", "outside until am 2026-05-01T09:00:00Z"),
        ],
    );
    let over = [
        two.as_str(),
        &blackout("b", "2026-05-01", "2026-05-03"),
        &blackout("c", "2026-05-03T20:00", "2026-05-04T13:00"),
    ];
    hold(
        &in_zone("UTC", &over.concat()),
        &[("2026-05-02T10:00:00Z", "b until 2026-05-04T00:00:00Z, next pm 2026-05-04T13:00:00Z")],
    );
    let never = [window("w", "", "09:00", "12:00"), cron_blackout("b", "0 0 * * *", "24h")].concat();
    hold(&in_zone("UTC", &never), &[("2026-05-01T10:00:00Z", "b until 2026-05-02T00:00:00Z, next never")]);
    let always = cron_window("w", "* * * * *", "8h");
    assert!(says(&in_zone("UTC", &always), "2026-05-01T10:00:00Z").starts_with("open until"));
    hold(&calendar(""), &[("2026-05-01T10:00:00Z", "open")]);
}

fn minutes(minutes: u64) -> Option<Duration> {
    Some(Duration::from_secs(minutes * 60))
}

#[test]
fn the_gate_and_the_deploy_must_fit() {
    let rules = [
        window("office", WEEK, "09:00", "16:30"),
        cron_window("night", "0 22 * * FRI", "8h"),
        blackout("audit", "2026-11-26T12:00", "2026-11-26T13:00"),
    ];
    let calendar = in_zone("Europe/Berlin", &rules.concat());
    let judged = |now: &str, gate, deploy| {
        let asked = Asked { environment: "production", calendar: &calendar, now: at(now), gate, deploy };
        let (finding, mut rules) = judge(&asked);
        let rule = rules.pop().unwrap();
        assert_eq!(
            rule.outcome,
            finding.as_ref().map_or_else(|| rule.outcome.clone(), |finding| finding.message.clone())
        );
        (finding.map(|finding| (finding.code, finding.message)), rule.name)
    };
    // Monday, 16:10.
    let late = "2026-11-23T15:10:00Z";
    assert_eq!(judged(late, None, None), (None, "environment.production.window.office".to_owned()));
    assert_eq!(judged(late, minutes(5), minutes(15)).0, None);
    let too_short = |message: &str| Some((FindingCode::WindowTooShort, message.to_owned()));
    assert_eq!(
        judged(late, minutes(6), minutes(15)).0,
        too_short(
            "the window \"office\" closes at Mon 2026-11-23 16:30 CET, in 20m, and the gate takes 6m, the deploy takes 15m; \
             the next window, \"office\", opens at Tue 2026-11-24 09:00 CET (Europe/Berlin)"
        )
    );
    // No day is long enough, but Friday's night is.
    assert_eq!(
        judged(late, None, minutes(480)).0,
        too_short(
            "the window \"office\" closes at Mon 2026-11-23 16:30 CET, in 20m, and the deploy takes 8h; \
             the next window, \"night\", opens at Fri 2026-11-27 22:00 CET (Europe/Berlin)"
        )
    );
    assert_eq!(
        judged(late, minutes(481), None).0,
        too_short(
            "the window \"office\" closes at Mon 2026-11-23 16:30 CET, in 20m, and the gate takes 8h 1m; \
             no later window is long enough, or none opens any more"
        )
    );
    assert_eq!(
        judged("2026-11-26T10:50:00Z", minutes(11), None).0,
        too_short(
            "the blackout \"audit\" begins at Thu 2026-11-26 12:00 CET, in 10m, and the gate takes 11m; \
             the next window, \"office\", opens at Thu 2026-11-26 13:00 CET (Europe/Berlin)"
        )
    );
    let (finding, rule) = judged("2026-11-26T11:00:00Z", None, None);
    let message = "production is closed by the blackout \"audit\" until Thu 2026-11-26 13:00 CET; \
                   the next window, \"office\", opens at Thu 2026-11-26 13:00 CET (Europe/Berlin)";
    assert_eq!(
        (finding, rule.as_str()),
        (Some((FindingCode::Blackout, message.to_owned())), "environment.production.blackout.audit")
    );
    let message = "production has no open change window at Sun 2026-11-22 00:30 CET; \
                   the next window, \"office\", opens at Mon 2026-11-23 09:00 CET (Europe/Berlin)";
    assert_eq!(judged("2026-11-21T23:30:00Z", None, None).0, Some((FindingCode::OutsideWindow, message.to_owned())));
}

#[test]
fn the_time_of_a_gate_is_a_median_of_comparable_ones() {
    let seconds = Duration::from_secs;
    let took_all = |all: &[u64]| {
        all.iter().map(|work| Took { work: seconds(*work), whole: seconds(work + 2) }).collect::<Vec<_>>()
    };
    assert_eq!(expect(&[]), None);
    let of = |all: &[u64]| expect(&took_all(all)).unwrap();
    assert_eq!(of(&[7]), Expected { work: seconds(7), whole: seconds(9), gates: 1 });
    assert_eq!(of(&[600, 7, 8]).work, seconds(8));
    assert_eq!((of(&[7, 9]).work, of(&[9, 7, 600, 1]).work), (seconds(9), seconds(9)));

    let left = |left| judge_deadline(of(&[30, 40, 50]), seconds(left)).map(|finding| (finding.code, finding.message));
    assert_eq!(left(40), None);
    let message = "capturing and reading back take 40s by the median of the last 3 releases, and 39s are left before the deadline";
    assert_eq!(left(39), Some((FindingCode::DeadlineTooShort, message.to_owned())));
    assert_eq!(FindingCode::DeadlineTooShort.exit().number(), 13);
}

#[test]
fn what_an_earlier_gate_took_is_read_from_its_record() {
    let mut release: Manifest = crate::ledger::sample::passed("20261120T213000Z-1.3.0-00000000");
    release.created_at = at("2026-11-20T21:30:42Z");
    (release.measured.capture_seconds, release.measured.verify_seconds) = (30.0, 5.5);
    let told = Took { work: Duration::from_millis(35_500), whole: Duration::from_secs(42) };
    assert_eq!(took(&release), Some(told));
    // A clock that was set back meanwhile does not make a gate faster than its work.
    let set_back = Manifest { created_at: at("2026-11-20T21:29:00Z"), ..release.clone() };
    assert_eq!(took(&set_back).unwrap().whole, told.work);
    assert_eq!(took(&Manifest { state: State::Refused, ..release.clone() }), None);
    release.measured.capture_seconds = f64::NAN;
    assert_eq!(took(&release), None);
}

/// Says whether may be deployed.
fn is_open(calendar: &Calendar, at: Timestamp) -> bool {
    matches!(standing(calendar, at), Standing::Open { .. })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// Whatever the zone and the moment: what is said of the next change is so, to the nanosecond.
    #[test]
    fn the_next_change_comes_when_it_is_said(
        zone in prop::sample::select(vec![
            "Europe/Berlin", "America/New_York", "Australia/Sydney", "Australia/Lord_Howe", "America/Santiago",
            "Asia/Kathmandu", "Pacific/Apia", "Africa/Casablanca", "Antarctica/Troll", "UTC",
        ]),
        second in 1_767_225_600_i64..1_861_920_000,
        near_change in any::<bool>(),
        rules in prop::sample::select(vec![
            (0, "01:30", "03:15"), (1, "22:30", "02:30"), (2, "02:30", "02:00"), (3, "30 2 * * *", "45m"), (4, "*/20 1,2,3 * * *", "10m"),
        ]),
        blackouts in any::<bool>(),
    ) {
        let (kind, one, two) = rules;
        let windows = if kind < 3 { window("w", "", one, two) } else { cron_window("w", one, two) };
        let closed = [blackout("b", "02-27", "03-31"), cron_blackout("c", "10 2 * * SUN", "1h")].concat();
        let calendar = in_zone(zone, &[windows, if blackouts { closed } else { String::new() }].concat());
        let mut now = Timestamp::from_second(second).unwrap();
        if near_change && let Some(change) = calendar.zone.following(now).next() {
            now = change.timestamp() + SignedDuration::from_secs(second % 14_400 - 7_200);
        }
        let instant = SignedDuration::from_nanos(1);
        match standing(&calendar, now) {
            Standing::Open { closes: Some(closing), .. } => {
                prop_assert!(closing.at > now);
                prop_assert!(is_open(&calendar, closing.at - instant), "open until {}", closing.at);
                prop_assert!(!is_open(&calendar, closing.at), "closed at {}", closing.at);
            }
            Standing::Open { .. } => {}
            Standing::Outside | Standing::Blackout { .. } => {
                let opening = next_opening(&calendar, now).unwrap();
                prop_assert!(opening.at > now);
                prop_assert!(is_open(&calendar, opening.at), "open at {}", opening.at);
                prop_assert!(!is_open(&calendar, opening.at - instant), "closed until {}", opening.at);
                // Nor is it open in between.
                let step = (opening.at.duration_since(now) / 97).max(instant);
                prop_assert!((0..97).all(|steps| !is_open(&calendar, now + step * steps)));
            }
        }
    }
}
