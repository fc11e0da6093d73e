//! Time zones, change windows and blackouts: what is taken, and what each mistake gets.

use super::*;
use jiff::civil::{Weekday, time};

#[test]
fn time_zones_windows_and_blackouts_are_read() {
    let config = read(WHOLE).unwrap();
    let production = &config.environments["production"];
    let Calendar { zone, windows, blackouts } = &production.calendar;
    assert_eq!((zone.iana_name(), production.deploy_takes), (Some("Europe/Berlin"), Some(Duration::from_secs(1200))));
    let [office, night] = windows.as_slice() else { panic!("two windows") };
    let Open::Daily { days, from, to } = &office.when else { panic!("by times of the day") };
    assert_eq!(days, &[Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday]);
    assert_eq!((*from, *to), (time(9, 0, 0, 0), time(16, 30, 0, 0)));
    assert!(matches!(&night.when, Open::Cron(repeated) if repeated.lasts == Duration::from_secs(8 * 3600)));
    let [christmas] = blackouts.as_slice() else { panic!("one blackout") };
    assert_eq!((christmas.name.as_str(), christmas.reason.as_deref()), ("christmas", Some("the shop earns its year")));
    let annual = |month, day| Annual { month, day, time: None };
    assert!(matches!(christmas.when, Closed::Yearly { from, to } if from == annual(12, 20) && to == annual(1, 2)));
    let staging = &config.environments["staging"].calendar;
    assert_eq!(staging.zone.iana_name(), Some("UTC"));
    assert!(staging.windows.is_empty() && staging.blackouts.is_empty());
    let every_day = read("[[environment.e.window]]\nname = \"w\"\nfrom = \"22:00\"\nto = \"24:00\"\n").unwrap();
    let Open::Daily { days, to, .. } = &every_day.environments["e"].calendar.windows[0].when else { panic!("daily") };
    assert_eq!((days.len(), *to), (7, time(0, 0, 0, 0)));
}

#[test]
fn what_is_wrong_with_a_window_or_a_blackout_is_said() {
    let which = "when is it? give `from` and `to`, or `cron` and `lasts`";
    for (kind, text, expected) in [
        (
            "window",
            "from = \"9:00\"\nto = \"10:00\"",
            "`from` must be a time of the day such as \"09:00\", not \"9:00\"",
        ),
        ("window", "from = \"24:00\"\nto = \"10:00\"", "`from` must be a time of the day"),
        ("window", "from = \"09:00\"\nto = \"25:00\"", "`to` must be a time of the day"),
        ("window", "from = \"09:00\"\nto = \"09:00\"", "`to` is `from`: a whole day is from \"00:00\" to \"24:00\""),
        ("window", "from = \"09:00\"", which),
        ("window", "days = [\"mon\"]", which),
        ("window", "from = \"09:00\"\nto = \"10:00\"\ncron = \"0 9 * * *\"\nlasts = \"1h\"", which),
        ("window", "cron = \"0 9 * * *\"", "`cron` says when it begins: give `lasts`, too"),
        ("window", "lasts = \"1h\"", "`lasts` goes with `cron`, which is missing"),
        ("window", "cron = \"0 9 * * *\"\nlasts = \"0s\"", "`lasts` must be longer than zero"),
        ("window", "cron = \"0 9 * *\"\nlasts = \"1h\"", "`cron` is not a crontab"),
        ("window", "cron = \"0 0 9 * * *\"\nlasts = \"1h\"", "`cron` is not a crontab"),
        ("window", "cron = \"0 24 * * *\"\nlasts = \"1h\"", "`cron` is not a crontab"),
        ("window", "cron = \"0 9 30 2 *\"\nlasts = \"1h\"", "`cron` names a day that never comes"),
        ("window", "days = [\"mon\"]\ncron = \"0 9 * * *\"\nlasts = \"1h\"", "`days` goes with `from` and `to`"),
        ("window", "days = [\"monday\"]\nfrom = \"09:00\"\nto = \"10:00\"", "`days` must be \"mon\" or \"tue\""),
        ("window", "days = []\nfrom = \"09:00\"\nto = \"10:00\"", "`days` is empty"),
        ("blackout", "from = \"2026-12-24\"", which),
        ("blackout", "from = \"2026-02-29\"\nto = \"2026-03-01\"", "`from` must be a date such as \"2026-12-24\""),
        ("blackout", "from = \"02-30\"\nto = \"03-01\"", "`from` must be a date"),
        ("blackout", "from = \"2026-12-24T18:00Z\"\nto = \"2026-12-25\"", "by the clock of the environment, not"),
        ("blackout", "from = \"9999-12-31\"\nto = \"9999-12-31\"", "`from` must be a date"),
        ("blackout", "from = \"2026-12-24\"\nto = \"2026-12-23\"", "`to` is not after `from`"),
        ("blackout", "from = \"12-24T10:00\"\nto = \"12-24T10:00\"", "`to` is not after `from`"),
        ("blackout", "from = \"2026-12-24\"\nto = \"12-26\"", "`from` and `to` must both have a year, or neither"),
    ] {
        let found = mistakes(&format!("[[environment.e.{kind}]]\nname = \"n\"\n{text}\n"));
        assert!(found.first().is_some_and(|first| first.contains(expected)), "{text}: {found:?}");
    }
    let zone = |name: &str| mistakes(&format!("[environment.e]\ntime_zone = \"{name}\"\n"));
    for name in ["Berlin", "Europe/Berlin/", "../../etc/localtime", "+02:00"] {
        let message = format!("2:13: `time_zone` must be a time zone such as \"Europe/Berlin\", not \"{name}\"");
        assert_eq!(zone(name), [message]);
    }
    let twice = "[[environment.e.window]]\nname = \"n\"\nfrom = \"09:00\"\nto = \"10:00\"\n".repeat(2);
    assert_eq!(mistakes(&twice), ["6:8: two windows of the environment are named \"n\""]);
    assert_eq!(mistakes("[environment.e]\nwindow = []\nblackout = []\n").len(), 2);
}
