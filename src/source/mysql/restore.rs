//! A dump fed to the client program, and compared with what is there afterwards.
//!
//! Neither server can undo definitions, so a restore is not one step. It is never half-done unseen: from before the first
//! statement until the rows are counted, a table in the database says that it is incomplete. The preflight of a gate
//! refuses such a database, and another restore needs `--force`, because it is not empty.

use super::catalog::{Catalog, Database, Name, is_system};
use super::contents::Contents;
use super::server::{Server, literal, name};
use super::sessions::{Began, Work};
use super::{INCOMPLETE, MysqlSource};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::process::{feed, run_to_end};
use crate::source::write::{Staged, failed};
use crate::source::{Context, Stored, Target};
use std::collections::BTreeSet;
use std::io::{Cursor, Read};
use std::sync::Arc;
use std::time::Duration;

/// How long one statement may take: counting the rows of a large table takes minutes.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
/// How many tables are counted by one statement.
const COUNTED: usize = 200;
/// How much of a dump is looked at for the line that only newer client programs understand.
const HEAD: u64 = 64 * 1024;
/// The beginning of that line (MariaDB 10.5.25, 10.11.8, 11.4.2 and later).
const SANDBOX: &[u8] = b"/*M!999999\\-";

/// Restores a dump into a directory as a file, or into its database or another one.
///
/// # Errors
/// `restore-failed`: the snapshot is not a whole dump, the target is not empty, or the server refuses. The message says
/// what the target is then.
pub(super) fn restore(
    source: &MysqlSource,
    context: &Context,
    stored: &dyn Stored,
    target: &Target,
    force: bool,
) -> Result<()> {
    let url = match target {
        Target::Directory(directory) => {
            let path = directory.join(&source.file_name);
            return Staged::write(&mut *stored.open_only()?, &path, &context.cancel)?.publish(force);
        }
        Target::Url(url) => Some(url.as_str()),
        Target::Origin => None,
    };
    let server = Arc::new(source.server(url, context)?);
    // All of it is read before anything is touched.
    let contents = Contents::read(&mut *stored.open_only()?, &context.cancel)?;
    if contents.broken.is_some() || !contents.is_complete {
        return Err(failed("the snapshot is not a whole dump".to_owned()).hint("restore an earlier snapshot"));
    }
    let targets = targets(&server, &contents)?;
    if let Some(own) = targets.iter().find(|database| is_system(&database.name)) {
        return Err(
            failed(format!("{} is a database of the server itself", own.name)).hint("name another one by --target URL")
        );
    }
    let restore = Restore { server: &server, cancel: &context.cancel, contents: &contents, targets: &targets };
    server.check_tls(&context.cancel)?;
    let used = restore.used(force)?;
    // Only now: where nothing is touched, nobody's session is in the way.
    let names = targets.iter().map(|database| database.name.clone()).collect();
    source.learned().began = Some(Began::new(&server, Work::Restore(names), &context.cancel)?);
    restore.prepare(&used)?;
    restore.perform(stored).map_err(|error| restore.incomplete(&targets, &error))?;
    // Nothing of ours is left, and the application may be back.
    source.learned().began = None;
    Ok(())
}

/// Returns the databases to restore into: those of the dump, or the one that the URL names.
fn targets(server: &Server, contents: &Contents) -> Result<Vec<Database>> {
    match (&server.address.database, contents.databases.as_slice()) {
        (None, databases) if !databases.is_empty() => Ok(databases.to_vec()),
        (Some(name), [database]) if !contents.names_databases || database.name == *name => {
            Ok(vec![Database { name: name.clone(), ..database.clone() }])
        }
        (Some(_), _) => Err(failed("the snapshot holds databases by their own names".to_owned())
            .hint("leave the database out of the URL")),
        (None, _) => Err(failed("the snapshot does not say which databases it holds".to_owned())
            .hint("restore it into a directory with --target DIR")),
    }
}

struct Restore<'a> {
    server: &'a Server,
    cancel: &'a Cancel,
    contents: &'a Contents,
    targets: &'a [Database],
}

impl Restore<'_> {
    fn ask(&self, sql: &str) -> Result<Vec<Vec<String>>> {
        self.server.ask_in(None, sql, PATIENCE, self.cancel)
    }

    fn catalog(&self) -> Result<Catalog> {
        Catalog::read(self.server, self.targets, self.cancel)
    }

    /// Says that databases are not to be used, because of an error after something was changed in them.
    fn incomplete(&self, databases: &[Database], error: &Error) -> Error {
        let names = databases.iter().map(|database| database.name.as_str()).collect::<Vec<_>>().join(", ");
        let code = if error.is_cancelled() { error.code() } else { ErrorCode::RestoreFailed };
        let (verb, them) = if databases.len() == 1 { ("is", "it") } else { ("are", "them") };
        Error::new(code, format!("{names} on {} {verb} incomplete", self.server.shown()))
            .caused_by(error.chain())
            .hint(format!("do not use {them}; once the cause is gone, run the restore again with --force"))
    }

    /// Returns which of the databases hold anything, by their names; without `force`, none may.
    fn used(&self, force: bool) -> Result<BTreeSet<String>> {
        let there = self
            .catalog()
            .map_err(|error| failed(format!("cannot look at {}", self.server.shown())).caused_by(error.chain()))?;
        let names = self.targets.iter().map(|database| &database.name);
        let used: BTreeSet<_> = names.filter(|name| there.is_used(name)).cloned().collect();
        if let (Some(name), false) = (used.first(), force) {
            let is_incomplete = there.tables.contains(&(name.clone(), INCOMPLETE.to_owned()));
            let what = if is_incomplete { "holds a restore that did not come to its end" } else { "is not empty" };
            return Err(failed(format!("the database {name} on {} {what}", self.server.shown()))
                .hint("stop the application, then restore with --force, which drops what is there; or name an empty database by --target URL"));
        }
        Ok(used)
    }

    /// Makes the databases, empty but for the table that says that they are incomplete; drops those that are `used`.
    fn prepare(&self, used: &BTreeSet<String>) -> Result<()> {
        let mut begun = 0;
        for (at, database) in self.targets.iter().enumerate() {
            let own = name(&database.name);
            let sets =
                format!("CHARACTER SET {} COLLATE {}", literal(&database.character_set), literal(&database.collation));
            let drop = used.contains(&database.name).then(|| format!("DROP DATABASE {own}"));
            if drop.is_some() {
                // One that fails may have dropped a part.
                begun = at + 1;
            }
            let statements = [
                drop,
                Some(format!("CREATE DATABASE IF NOT EXISTS {own} {sets}")),
                Some(format!("ALTER DATABASE {own} {sets}")),
                Some(format!(
                    "CREATE TABLE {own}.{INCOMPLETE} (since timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP) ENGINE=InnoDB"
                )),
            ];
            for sql in statements.into_iter().flatten() {
                self.ask(&sql).map_err(|error| self.not_made(database, self.targets.get(..begun), &error))?;
                begun = at + 1;
            }
        }
        Ok(())
    }

    /// Says that a database cannot be made, and that those that were begun before are incomplete.
    fn not_made(&self, database: &Database, begun: Option<&[Database]>, error: &Error) -> Error {
        let code = if error.is_cancelled() { error.code() } else { ErrorCode::RestoreFailed };
        let error = Error::new(code, format!("cannot make the database {} on {}", database.name, self.server.shown()))
            .caused_by(error.chain())
            .hint("the user of a restore needs all privileges on the database");
        match begun {
            Some(begun @ [_, ..]) => self.incomplete(begun, &error),
            _ => error,
        }
    }

    /// Feeds the dump to the server, compares, and takes the table away that says that the database is incomplete.
    fn perform(&self, stored: &dyn Stored) -> Result<()> {
        // Otherwise the program would change the ends of lines in routines.
        let mut arguments = vec!["--batch", "--binary-mode"];
        // Also where the dump names databases: by its own, a session is known as ours from its beginning.
        let database = self.targets.first().map(|database| format!("--database={}", database.name));
        arguments.extend(database.as_deref());
        let mut stream = stored.open_only()?;
        let mut head = Vec::new();
        stream.by_ref().take(HEAD).read_to_end(&mut head).map_err(|error| failed(error.to_string()))?;
        if !self.knows_sandbox()? {
            remove_sandbox(&mut head);
        }
        feed(&self.server.client(arguments), &mut Cursor::new(head).chain(stream), self.cancel)?;
        self.compare()?;
        for database in self.targets {
            self.ask(&format!("DROP TABLE {}.{INCOMPLETE}", name(&database.name)))?;
        }
        Ok(())
    }

    fn knows_sandbox(&self) -> Result<bool> {
        let program = self.server.client(["--help"]);
        let help = run_to_end(&program, Duration::from_secs(10), self.cancel, 1 << 20)?.into_stdout()?;
        Ok(String::from_utf8_lossy(&help).contains("--sandbox"))
    }

    /// Compares what is there now with what the dump holds.
    fn compare(&self) -> Result<()> {
        let contents = self.contents;
        let there = self.catalog()?;
        for (what, found, expected) in [
            ("views", there.views.len() as u64, contents.views.len() as u64),
            ("sequences", there.sequences.len() as u64, contents.sequences.len() as u64),
            ("triggers", there.triggers, contents.triggers),
            ("routines", there.routines, contents.routines),
            ("events", there.events, contents.events),
        ] {
            if found != expected {
                return Err(failed(format!("the dump holds {expected} {what}, and there are {found} now")));
            }
        }
        let tables: Vec<_> = contents.tables.iter().map(|(name, rows)| (self.restored(name), *rows)).collect();
        for tables in tables.chunks(COUNTED) {
            let of = |((database, table), _): &(Name, u64)| {
                format!("SELECT COUNT(*) FROM {}.{}", name(database), name(table))
            };
            let sql = tables.iter().map(of).collect::<Vec<_>>().join(" UNION ALL ");
            let counts = self.ask(&sql)?;
            for (((_, table), expected), row) in tables.iter().zip(&counts) {
                let found = row.first().map_or("nothing", String::as_str);
                if found != expected.to_string() {
                    return Err(failed(format!(
                        "the dump holds {expected} rows of {table}, and there are {found} now"
                    )));
                }
            }
            if counts.len() != tables.len() {
                return Err(failed("the server did not count the rows of every table".to_owned()));
            }
        }
        Ok(())
    }

    /// Returns where a table of the dump is now.
    fn restored(&self, (database, table): &Name) -> Name {
        let target = self.targets.first().map_or(database, |target| &target.name);
        (if self.contents.names_databases { database } else { target }.clone(), table.clone())
    }
}

/// Takes the line out that only newer client programs understand.
fn remove_sandbox(head: &mut Vec<u8>) {
    let Some(at) = memchr::memmem::find(head, SANDBOX) else { return };
    let rest = head.get(at..).unwrap_or_default();
    let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
    // It stands at the beginning of a line near the beginning, before any row.
    if head.get(..at).is_some_and(|before| {
        before.split(|byte| *byte == b'\n').all(|line| line.is_empty() || line.starts_with(b"--"))
    }) {
        head.drain(at..at + length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_for_newer_programs_is_taken_out() {
        let mut head = b"-- holdpoint\n/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump\n".to_vec();
        remove_sandbox(&mut head);
        assert_eq!(head, b"-- holdpoint\n-- MariaDB dump\n");
        let data = b"INSERT INTO `a` VALUES ('\n/*M!999999\\- x\n');".to_vec();
        let mut head = data.clone();
        remove_sandbox(&mut head);
        assert_eq!(head, data);
    }
}
