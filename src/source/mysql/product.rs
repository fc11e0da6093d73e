//! Which product a server or a client program is, and whether the one can dump the other.

use crate::model::finding::{Finding, FindingCode};
use std::fmt;

/// Who makes a server or a program: the two have grown apart since MySQL 5.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vendor {
    MariaDb,
    /// MySQL, and what follows it closely, such as Percona Server.
    MySql,
}

/// A product and its series, such as MariaDB 10.11.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Product {
    pub vendor: Vendor,
    pub series: (u32, u32),
}

impl Product {
    /// Reads what a server says (`10.11.6-MariaDB-log`, `8.0.36`).
    pub(super) fn of_server(version: &str) -> Option<Self> {
        Some(Self { vendor: vendor(version), series: series(version)? })
    }

    /// Reads what a client program says. Several wrote the version of the program before that of the product:
    ///
    /// - `mysqldump  Ver 10.19 Distrib 10.11.6-MariaDB, for debian-linux-gnu (x86_64)`
    /// - `mariadb-dump from 11.4.2-MariaDB, client 10.19 for Linux (x86_64)`
    /// - `mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)`
    pub(super) fn of_program(line: &str) -> Option<Self> {
        let words: Vec<_> = line.split_whitespace().collect();
        let after = |name: &str| words.iter().skip_while(|word| **word != name).nth(1).copied();
        let version = after("Distrib").or_else(|| after("from")).or_else(|| after("Ver"))?;
        Some(Self { vendor: vendor(line), series: series(version)? })
    }

    /// Says whether a program of this product dumps everything of a server of that one.
    pub(super) fn judge_dump_of(self, server: Self) -> Option<Finding> {
        let (code, hint) = (
            FindingCode::VersionMismatch,
            format!("install the client programs of {server} and name their directory in `programs`"),
        );
        match (self.vendor, server.vendor) {
            (Vendor::MySql, Vendor::MariaDb) => Some(Finding::refusal(
                code,
                format!("the dump program is of {self} and the server is {server}: it would leave out packages and sequences"),
            )),
            (Vendor::MariaDb, Vendor::MySql) => Some(Finding::warning(
                code,
                format!("the dump program is of {self} and the server is {server}: it may not know all that the server has"),
            )),
            _ if self.series < server.series => Some(Finding::refusal(
                code,
                format!("the dump program is of {self}, which is older than the server, {server}: it cannot know all that the server has"),
            )),
            _ => None,
        }
        .map(|finding| finding.hint(hint))
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.vendor {
            Vendor::MariaDb => "MariaDB",
            Vendor::MySql => "MySQL",
        };
        write!(f, "{name} {}.{}", self.series.0, self.series.1)
    }
}

fn vendor(text: &str) -> Vendor {
    if text.contains("MariaDB") { Vendor::MariaDb } else { Vendor::MySql }
}

fn series(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARIADB_10_11: &str = "mysqldump  Ver 10.19 Distrib 10.11.6-MariaDB, for debian-linux-gnu (x86_64)";
    const MARIADB_11_4: &str = "mariadb-dump from 11.4.2-MariaDB, client 10.19 for Linux (x86_64)";
    const MYSQL_8_0: &str = "mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)";
    const MYSQL_5_7: &str = "mysqldump  Ver 10.13 Distrib 5.7.44, for Linux (x86_64)";

    #[test]
    fn programs_and_servers_tell_their_product() {
        for (line, shown) in [
            (MARIADB_10_11, "MariaDB 10.11"),
            (MARIADB_11_4, "MariaDB 11.4"),
            (MYSQL_8_0, "MySQL 8.0"),
            (MYSQL_5_7, "MySQL 5.7"),
        ] {
            assert_eq!(Product::of_program(line).unwrap().to_string(), shown);
        }
        assert_eq!(Product::of_server("10.11.19-MariaDB-0+deb12u1-log").unwrap().to_string(), "MariaDB 10.11");
        assert_eq!(Product::of_server("8.4.3").unwrap().to_string(), "MySQL 8.4");
        assert_eq!((Product::of_program("no version"), Product::of_server("?")), (None, None));
    }

    #[test]
    fn an_older_or_foreign_program_is_told() {
        use crate::model::finding::Level;
        let level = |program: &str, server: &str| {
            let finding = Product::of_program(program).unwrap().judge_dump_of(Product::of_server(server).unwrap());
            finding.map(|finding| finding.level)
        };
        assert_eq!(level(MARIADB_10_11, "10.11.19-MariaDB"), None);
        assert_eq!(level(MARIADB_11_4, "10.5.1-MariaDB"), None);
        assert_eq!(level(MARIADB_10_11, "11.4.1-MariaDB"), Some(Level::Refusal));
        assert_eq!(level(MYSQL_5_7, "8.0.36"), Some(Level::Refusal));
        assert_eq!(level(MYSQL_8_0, "10.11.6-MariaDB"), Some(Level::Refusal));
        assert_eq!(level(MARIADB_11_4, "8.0.36"), Some(Level::Warning));
    }
}
