//! Whether the user may see everything: what it may not see, a dump leaves out without a word.
//!
//! Where a question is answered in one way with a privilege on the whole database and in another without, that is asked.
//! Triggers and routines just do not show, so for them the grants are read.

use super::catalog::Database;
use super::product::Vendor;
use super::server::{NO_SUCH_TABLE, Server, literal, name};
use crate::cancel::Cancel;
use crate::error::Result;
use crate::model::finding::{Finding, FindingCode};

/// A table that nobody has.
const NO_TABLE: &str = "holdpoint_no_such_table";

/// Looks for each privilege that a dump of `databases` needs; each that is missing is a finding with its `GRANT`.
///
/// # Errors
/// The server does not say.
pub(super) fn missing(
    server: &Server,
    vendor: Vendor,
    databases: &[Database],
    has_log: bool,
    cancel: &Cancel,
) -> Result<Vec<Finding>> {
    let grants = read(server, vendor, cancel)?;
    let user = user(server, cancel)?;
    let finding = |privilege: &str, on: &str, what: &str| {
        let message = format!("the user may not see {what}: {privilege} on {on} is missing");
        Finding::refusal(FindingCode::PrivilegeMissing, message).hint(format!("GRANT {privilege} ON {on} TO {user};"))
    };
    let mut findings = Vec::new();
    for database in databases {
        let on = format!("{}.*", name(&database.name));
        let shown = |what: &str| format!("{what} of {}", database.name);
        // With SELECT on the database there is no such table; without it, the server does not even say that.
        let sql = format!("SELECT 1 FROM {}.{NO_TABLE} LIMIT 0", name(&database.name));
        match server.attempt(&sql, cancel) {
            Err(failure) if failure.number == NO_SUCH_TABLE => {}
            Err(failure) if failure.number == 0 => return Err(failure.error),
            _ => findings.push(finding("SELECT", &on, &shown("every table"))),
        }
        match server.attempt(&format!("SHOW EVENTS FROM {}", name(&database.name)), cancel) {
            Ok(_) => {}
            Err(failure) if failure.number == 0 => return Err(failure.error),
            Err(_) => findings.push(finding("EVENT", &on, &shown("the events"))),
        }
        for (privilege, what) in [("TRIGGER", "the triggers"), ("SHOW VIEW", "the definitions of the views")] {
            if !allows(&grants, privilege, &database.name) {
                findings.push(finding(privilege, &on, &shown(what)));
            }
        }
    }
    let of_each = |privilege: &str| databases.iter().all(|database| allows(&grants, privilege, &database.name));
    let routines = "procedures and functions";
    match vendor {
        Vendor::MariaDb if of_each("SHOW CREATE ROUTINE") => {}
        Vendor::MariaDb => match server.attempt("SELECT 1 FROM mysql.proc LIMIT 0", cancel) {
            Ok(_) => {}
            Err(failure) if failure.number == 0 => return Err(failure.error),
            Err(_) => findings.push(finding("SELECT", "mysql.proc", routines)),
        },
        Vendor::MySql => {
            let everywhere = |privilege: &str| grants.iter().any(|grant| grant.is_global() && grant.gives(privilege));
            if !everywhere("SHOW_ROUTINE") && !everywhere("SELECT") {
                findings.push(finding("SHOW_ROUTINE", "*.*", routines));
            }
            if has_log && !everywhere("REPLICATION CLIENT") {
                let mut finding = finding(
                    "REPLICATION CLIENT",
                    "*.*",
                    "the position of the binary log, which the manifest will not name",
                );
                finding.level = crate::model::finding::Level::Warning;
                findings.push(finding);
            }
        }
    }
    Ok(findings)
}

/// Returns the user that the server takes us for, as a statement names it.
fn user(server: &Server, cancel: &Cancel) -> Result<String> {
    let user = server.value("SELECT CURRENT_USER()", cancel)?;
    Ok(user.rsplit_once('@').map_or(user.clone(), |(user, host)| format!("{}@{}", literal(user), literal(host))))
}

fn read(server: &Server, vendor: Vendor, cancel: &Cancel) -> Result<Vec<Grant>> {
    // MySQL shows what roles give only if they are named.
    let roles = match vendor {
        Vendor::MySql => server.value("SELECT CURRENT_ROLE()", cancel).ok().filter(|roles| roles.contains('`')),
        Vendor::MariaDb => None,
    };
    let sql = match roles {
        Some(roles) => format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}"),
        None => "SHOW GRANTS".to_owned(),
    };
    let rows = server.ask(&sql, cancel)?;
    Ok(rows.iter().flatten().filter_map(|line| Grant::read(line)).collect())
}

/// Privileges on a database, or on all.
#[derive(Debug, PartialEq, Eq)]
struct Grant {
    privileges: Vec<String>,
    /// The database as a pattern of `LIKE`; `None`: all of them.
    database: Option<String>,
}

impl Grant {
    /// Reads `GRANT SELECT, SHOW VIEW ON `shop`.* TO …`; `None` for roles, single tables and everything else.
    fn read(line: &str) -> Option<Self> {
        let (privileges, rest) = line.strip_prefix("GRANT ")?.split_once(" ON ")?;
        let (target, _) = rest.split_once(" TO ")?;
        let database = target.strip_suffix(".*")?;
        let quoted = |quote: char| database.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        let pattern = quoted('`').map(|name| name.replace("``", "`")).or_else(|| quoted('"').map(str::to_owned));
        let privileges = privileges.split(", ").map(|privilege| privilege.trim().to_ascii_uppercase()).collect();
        Some(Self { privileges, database: (database != "*").then(|| pattern.unwrap_or_else(|| database.to_owned())) })
    }

    fn is_global(&self) -> bool {
        self.database.is_none()
    }

    fn gives(&self, privilege: &str) -> bool {
        self.privileges.iter().any(|own| own == privilege || own == "ALL PRIVILEGES" || own == "ALL")
    }
}

fn allows(grants: &[Grant], privilege: &str, database: &str) -> bool {
    grants.iter().any(|grant| {
        let covers = grant.database.as_deref().is_none_or(|pattern| is_like(pattern.as_bytes(), database.as_bytes()));
        covers && grant.gives(privilege)
    })
}

/// Compares as `LIKE` does: `%` is anything, `_` any byte, a backslash takes the meaning from the next.
fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'%', rest @ ..], _) => (0..=text.len()).any(|skip| is_like(rest, text.get(skip..).unwrap_or_default())),
        ([b'_', rest @ ..], [_, text @ ..]) => is_like(rest, text),
        ([b'\\', c, rest @ ..], [first, text @ ..]) | ([c, rest @ ..], [first, text @ ..]) => {
            c == first && is_like(rest, text)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read() {
        let grants: Vec<_> = [
            "GRANT USAGE ON *.* TO `dump`@`%` IDENTIFIED BY PASSWORD '*ON x.* TO'",
            "GRANT SELECT, SHOW VIEW ON `shop\\_%`.* TO `dump`@`%`",
            "GRANT TRIGGER ON `shop_a`.`orders` TO `dump`@`%`",
            "GRANT `reader` TO `dump`@`%`",
        ]
        .iter()
        .filter_map(|line| Grant::read(line))
        .collect();
        assert_eq!(grants.len(), 2);
        assert!(allows(&grants, "SHOW VIEW", "shop_a") && !allows(&grants, "SHOW VIEW", "shopXa"));
        assert!(!allows(&grants, "TRIGGER", "shop_a") && !allows(&grants, "SELECT", "other"));
        let all = [Grant::read("GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION").unwrap()];
        assert!(all[0].is_global() && allows(&all, "TRIGGER", "any"));
    }
}
