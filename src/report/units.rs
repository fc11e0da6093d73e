//! Quantities as people write them, and texts made safe for a terminal.

use jiff::Timestamp;

/// Formats bytes in binary units: `10 B`, `1.2 GiB`.
pub fn bytes(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).display().iec().to_string()
}

/// Formats seconds: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".to_owned();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    // Past here a second more or less says nothing, and the cast saturates.
    let whole = seconds.round() as u64;
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big} {big_unit}"),
        small => format!("{big} {big_unit} {small} {small_unit}"),
    };
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => two(whole / 60, "min", whole % 60, "s"),
        3600..86400 => two(whole / 3600, "h", whole % 3600 / 60, "min"),
        _ => two(whole / 86400, "d", whole % 86400 / 3600, "h"),
    }
}

/// Formats a count of things: `1 file`, `65,164 files`; the plural of the noun must end in `s`.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Formats a count with thousands separators: `65,164`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a time to the second: `2026-11-20 21:30:00 UTC`.
pub fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Formats a change of size: `+3.1 %`, `−12.0 %`, `unchanged`.
pub(super) fn change(ratio: f64) -> String {
    let percent = (ratio - 1.0) * 100.0;
    if ratio == 1.0 {
        "unchanged".to_owned()
    } else if percent.abs() < 0.05 {
        "±0.0 %".to_owned()
    } else if percent < 0.0 {
        format!("−{:.1} %", percent.abs())
    } else {
        format!("+{percent:.1} %")
    }
}

/// Shortens an id of hexadecimal digits to the eight that restic shows.
pub(super) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// Writes control characters as escapes, so that a name from outside cannot steer the terminal.
pub(super) fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_well() {
        assert_eq!([0, 1023, 1024, 1_300_000_000].map(bytes), ["0 B", "1023 B", "1.0 KiB", "1.2 GiB"]);
        let seconds = [0.0, 0.44, 12.4, 59.7, 200.0, 7500.0, 7200.0, 273_600.0, f64::NAN];
        let texts = ["0.0 s", "0.4 s", "12 s", "1 min", "3 min 20 s", "2 h 5 min", "2 h", "3 d 4 h", "unknown"];
        assert_eq!(seconds.map(duration), texts);
        assert_eq!([0, 999, 1000, 65_164, 1_234_567].map(count), ["0", "999", "1,000", "65,164", "1,234,567"]);
        assert_eq!([1.0, 1.0001, 1.031, 0.5].map(change), ["unchanged", "±0.0 %", "+3.1 %", "−50.0 %"]);
        assert_eq!(plain("a\u{1b}[31mb\n"), "a\\u{1b}[31mb\\n");
    }
}
