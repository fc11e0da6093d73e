//! Can the server of now take what was dumped from the server of then? An older one cannot know all that is in it.

use crate::model::finding::{Finding, FindingCode};

/// The newest format of RDB files that each series reads, as their sources define it (`RDB_VERSION` in `rdb.h`), and as long as
/// only their product and series are known.
const RDB: [(&str, (u32, u32), u32); 11] = [
    ("Redis", (4, 0), 8),
    ("Redis", (5, 0), 9),
    ("Redis", (6, 0), 9),
    ("Redis", (6, 2), 9),
    ("Redis", (7, 0), 10),
    ("Redis", (7, 2), 11),
    ("Redis", (7, 4), 12),
    ("Redis", (8, 0), 12),
    ("Valkey", (7, 2), 11),
    ("Valkey", (8, 0), 11),
    ("Valkey", (8, 1), 11),
];

/// Compares the server of now with the one that was dumped, by what each said of itself; `kind` is that of the source.
///
/// Sources without a server have nothing to compare.
pub fn judge(kind: &str, then: Option<&str>, now: Option<&str>) -> Option<Finding> {
    let order = match kind {
        "postgres" => postgres,
        "mysql" | "mariadb" => mysql,
        "redis" => redis,
        "mongodb" => mongodb,
        _ => return None,
    };
    let unknown = |what: &str| {
        let message = format!("{what}: whether it is older than the dump nobody compared");
        Some(
            Finding::warning(FindingCode::ServerVersionUnknown, message)
                .hint("ask the server for its version yourself"),
        )
    };
    let (then, now) = match (then, now) {
        (Some(then), Some(now)) => (then, now),
        (Some(then), None) => {
            return unknown(&format!("the server does not tell its version, and the dump is of {then}"));
        }
        (None, None) => return unknown("the server does not tell its version"),
        (None, Some(_)) => return unknown("the manifest tells no version of the server"),
    };
    match order(then, now) {
        Some(Order::Takes) => None,
        Some(Order::Refuses(what)) => Some(
            Finding::refusal(FindingCode::ServerOlder, format!("{what}: the server is {now}, and the dump is of {then}"))
                .hint(format!("restore into a server like {then} or newer of the same product: `holdpoint restore SOURCE --target URL`")),
        ),
        None => unknown(&format!("the versions {now} (now) and {then} (dumped) cannot be compared")),
    }
}

enum Order {
    Takes,
    Refuses(&'static str),
}

const OLDER: &str = "the server is older than the one that was dumped";
const OTHER: &str = "the server is of another product than the one that was dumped";

fn older(is_older: bool) -> Order {
    if is_older { Order::Refuses(OLDER) } else { Order::Takes }
}

/// `15.18 (Debian 15.18-0+deb12u1)`: since 10 the first number is the major version, before that the first two.
fn postgres(then: &str, now: &str) -> Option<Order> {
    let major = |text| numbers(text).map(|(first, second)| if first < 10 { (first, second) } else { (first, 0) });
    Some(older(major(now)? < major(then)?))
}

/// `10.11.6-MariaDB-log`, `8.0.36`: the two products have grown apart, and each adds things in a series, not in a patch.
fn mysql(then: &str, now: &str) -> Option<Order> {
    let is_mariadb = |text: &str| text.contains("MariaDB");
    if is_mariadb(then) != is_mariadb(now) {
        return Some(Order::Refuses(OTHER));
    }
    Some(older(numbers(now)? < numbers(then)?))
}

/// `Redis 7.0.15`, `Valkey 8.0.1`: a dump is as old as the format of its RDB file; of unknown series the numbers tell.
fn redis(then: &str, now: &str) -> Option<Order> {
    let read = |text: &str| {
        let (product, version) = text.split_once(' ')?;
        Some((product.to_owned(), numbers(version)?))
    };
    let ((product_then, then), (product_now, now)) = (read(then)?, read(now)?);
    let format = |product: &str, series: (u32, u32)| {
        RDB.iter().find(|(name, of, _)| *name == product && *of == series).map(|(_, _, format)| *format)
    };
    match (format(&product_then, then), format(&product_now, now)) {
        (Some(then), Some(now)) => Some(older(now < then)),
        _ if product_then != product_now => None,
        _ => Some(older(now < then)),
    }
}

/// `7.0.14`: each series adds what an older one does not know.
fn mongodb(then: &str, now: &str) -> Option<Order> {
    Some(older(numbers(now)? < numbers(then)?))
}

/// Returns the first two numbers of a version.
fn numbers(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(|c: char| !c.is_ascii_digit());
    let first = parts.next()?.parse().ok()?;
    Some((first, parts.next().and_then(|part| part.parse().ok()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_server_refuses_and_an_unknown_one_warns() {
        let debian = "15.18 (Debian 15.18-0+deb12u1)";
        for (kind, then, now, expected) in [
            ("postgres", Some(debian), Some("15.2"), ""),
            ("postgres", Some("15.2"), Some("16.0"), ""),
            ("postgres", Some("16.0"), Some(debian), "server-older"),
            ("postgres", Some("17beta1"), Some("16.9"), "server-older"),
            ("postgres", Some("9.6.24"), Some("9.5.25"), "server-older"),
            ("postgres", Some("9.6.24"), Some("9.6.1"), ""),
            ("postgres", Some("10.1"), Some("9.6.24"), "server-older"),
            ("postgres", Some("devel"), Some("16.1"), "server-version-unknown"),
            ("postgres", None, Some("16.1"), "server-version-unknown"),
            ("postgres", Some("16.1"), None, "server-version-unknown"),
            ("mariadb", Some("10.11.6-MariaDB"), Some("10.11.2-MariaDB"), ""),
            ("mariadb", Some("10.11.6-MariaDB"), Some("11.4.2-MariaDB"), ""),
            ("mariadb", Some("10.11.6-MariaDB"), Some("10.6.21-MariaDB"), "server-older"),
            ("mysql", Some("8.4.1"), Some("8.0.36"), "server-older"),
            ("mysql", Some("8.0.36"), Some("8.0.11"), ""),
            ("mysql", Some("8.0.36"), Some("10.11.6-MariaDB"), "server-older"),
            ("mysql", Some("10.11.6-MariaDB"), Some("8.0.36"), "server-older"),
            ("redis", Some("Redis 7.0.15"), Some("Redis 7.0.2"), ""),
            ("redis", Some("Redis 7.2.4"), Some("Redis 7.0.15"), "server-older"),
            ("redis", Some("Redis 6.2.1"), Some("Redis 6.0.9"), ""),
            ("redis", Some("Redis 7.2.4"), Some("Valkey 8.0.1"), ""),
            ("redis", Some("Redis 7.4.0"), Some("Valkey 8.0.1"), "server-older"),
            ("redis", Some("Redis 9.1.0"), Some("Redis 9.0.3"), "server-older"),
            ("redis", Some("Redis 9.1.0"), Some("Valkey 9.0.0"), "server-version-unknown"),
            ("redis", Some("7"), Some("Redis 7.0.1"), "server-version-unknown"),
            ("mongodb", Some("7.0.14"), Some("7.0.2"), ""),
            ("mongodb", Some("7.0.14"), Some("6.0.19"), "server-older"),
            ("mongodb", Some("7.0.14"), None, "server-version-unknown"),
            ("mongodb", None, None, "server-version-unknown"),
            ("sqlite", Some("a"), Some("b"), ""),
            ("files", None, None, ""),
        ] {
            let found = judge(kind, then, now);
            let code = found.as_ref().map_or("", |finding| finding.code.as_str());
            assert_eq!(code, expected, "{kind} {then:?} {now:?}");
        }
    }

    #[test]
    fn the_message_names_both() {
        let found = judge("postgres", Some("16.0"), Some("15.2")).unwrap();
        assert_eq!(
            found.message,
            "the server is older than the one that was dumped: the server is 15.2, and the dump is of 16.0"
        );
    }
}
