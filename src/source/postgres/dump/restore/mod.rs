//! A dump back into a database: all of it, or nothing changes.
//!
//! - Into an empty database in one transaction.
//! - In place of a database that is there, or where there is none: into a new database, which gets its name in one step
//!   once it is complete.

mod contents;
mod database;
mod properties;

use super::archive::{Archive, Failure, Format};
use super::globals::GLOBALS_FILE;
use super::inspect::{dump_name, read_archive};
use super::preflight::named;
use super::{DumpSource, database_argument};
use crate::error::{ErrorCode, IoContext, Result};
use crate::process::{Stream, feed};
use crate::source::postgres::connect::{Connection, Why, identifier};
use crate::source::postgres::endpoint::{Endpoint, MAINTENANCE};
use crate::source::postgres::facts::ServerFacts;
use crate::source::postgres::isolated::Owners;
use crate::source::postgres::programs::{self, Major};
use crate::source::write::{Staged, failed};
use crate::source::{Context, Stored, Target};
use database::Fresh;
use std::path::Path;

/// What a restore works with.
struct Restore<'a> {
    source: &'a DumpSource,
    context: &'a Context,
    stored: &'a dyn Stored,
    archive: &'a Archive,
    owners: Owners,
}

/// Puts a dump into the database that `target` names, or its files into a directory.
pub(super) fn restore(
    source: &DumpSource,
    context: &Context,
    stored: &dyn Stored,
    target: &Target,
    force: bool,
) -> Result<()> {
    let endpoint = match target {
        Target::Directory(directory) => return write_files(context, stored, directory, force),
        Target::Url(url) => source.server.endpoint_of(url)?,
        Target::Origin => source.server.endpoint()?,
    };
    // All of it is read before anything is changed, so that a damaged snapshot does no harm.
    let archive = read_archive(context, stored).map_err(|failure| match failure {
        Failure::Content(what) => failed(format!("the snapshot cannot be restored: {what}")),
        Failure::Read(error) => error,
    })?;
    let owners = source.server.owners_at(&endpoint);
    let restore = Restore { source, context, stored, archive: &archive, owners };
    restore.check_program()?;
    restore.fill_database(&endpoint, force).map_err(|error| match error.code() {
        ErrorCode::ProcessFailed | ErrorCode::CaptureFailed => {
            let text = format!("{} could not be restored to {}", endpoint.database, endpoint.server());
            error.under(ErrorCode::RestoreFailed, text)
        }
        _ => error,
    })
}

/// Writes the files of a snapshot.
fn write_files(context: &Context, stored: &dyn Stored, directory: &Path, force: bool) -> Result<()> {
    let staged: Vec<Staged> = stored
        .names()
        .iter()
        .map(|name| Staged::write(&mut stored.open(name)?, &directory.join(name), &context.cancel))
        .collect::<Result<_>>()?;
    staged.into_iter().try_for_each(|file| file.publish(force))
}

impl Restore<'_> {
    fn check_program(&self) -> Result<()> {
        let (text, major) = programs::version(&self.source.server.clients, "pg_restore", &self.context.cancel)?;
        let written_by = &self.archive.toc.tool_version;
        match (major, Major::of_text(written_by)) {
            (Some(major), Some(needed)) if major < needed => {
                let text = format!("pg_restore is older than the dump: {text}, and pg_dump {written_by} wrote it");
                Err(failed(text).hint(format!("name the directory of pg_restore {needed} or newer in `programs`")))
            }
            _ => Ok(()),
        }
    }

    fn check_server(&self, connection: &Connection, endpoint: &Endpoint) -> Result<()> {
        let facts = ServerFacts::ask(connection)?;
        let dumped = &self.archive.toc.server_version;
        if let Some(needed) = Major::of_text(dumped)
            && facts.major() < needed
        {
            let text = format!(
                "{} is older than the server that was dumped: {}, and the dump is from {dumped}",
                endpoint.server(),
                facts.version
            );
            return Err(failed(text).hint(format!("restore into a server of PostgreSQL {needed} or newer")));
        }
        self.check_extensions(connection, endpoint, &facts)?;
        if self.owners == Owners::LeftOut {
            return Ok(());
        }
        let known = connection.rows("ask for roles", "SELECT rolname FROM pg_catalog.pg_roles")?;
        let known: std::collections::BTreeSet<_> = known.into_iter().flatten().flatten().collect();
        let toc = &self.archive.toc;
        if self.owners == Owners::Made {
            let wanted = toc.owners.union(&toc.named_roles).filter(|role| !known.contains(*role));
            return make_roles(connection, wanted);
        }
        let missing: Vec<String> = toc.owners.difference(&known).cloned().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let text = format!("{} lacks roles that own parts of the database: {}", endpoint.server(), named(&missing));
        Err(failed(text).hint(roles_hint()))
    }

    /// Names extensions that the server has not, before anything is made.
    fn check_extensions(&self, connection: &Connection, endpoint: &Endpoint, facts: &ServerFacts) -> Result<()> {
        let sql = "SELECT name FROM pg_catalog.pg_available_extensions";
        let there = connection.rows("ask for extensions", sql)?;
        let there: std::collections::BTreeSet<_> = there.into_iter().flatten().flatten().collect();
        let missing: Vec<String> = self.archive.toc.extensions.difference(&there).cloned().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let (named, major) = (named(&missing), facts.major());
        let text = format!("{} lacks extensions that the database has: {named}", endpoint.server());
        Err(failed(text).hint(format!(
            "install them for PostgreSQL {major} (Debian: postgresql-{major}-NAME), or restore elsewhere"
        )))
    }

    fn fill_database(&self, endpoint: &Endpoint, force: bool) -> Result<()> {
        let server = &self.source.server;
        let connection = match server.connect(endpoint, self.context) {
            Ok(connection) => connection,
            Err(refusal) if refusal.why == Why::NoDatabase => {
                let fresh = self.make_fresh(endpoint)?;
                return fresh.take_name(&endpoint.database);
            }
            Err(refusal) => return Err(refusal.error),
        };
        self.check_server(&connection, endpoint)?;
        let contents = contents::found(&connection)?;
        drop(connection);
        if contents.is_empty() {
            self.run(endpoint, true)?;
            return self.compare(endpoint);
        }
        if !force {
            let text = format!(
                "the database {} at {} is not empty: {}",
                endpoint.database,
                endpoint.server(),
                named(&contents)
            );
            return Err(failed(text).hint("restore into another database (--target URL), or replace it with --force"));
        }
        self.make_fresh(endpoint)?.replace(&endpoint.database)
    }

    /// Restores into a new database of the same server; it is dropped again if that fails.
    fn make_fresh(&self, endpoint: &Endpoint) -> Result<Fresh> {
        // Not the one that is to be replaced: a session there would be in the way.
        let maintenance = if endpoint.database == MAINTENANCE { "template1" } else { MAINTENANCE };
        let maintenance = endpoint.with_database(maintenance);
        let connection = self.source.server.connect(&maintenance, self.context).map_err(|refusal| refusal.error)?;
        self.check_server(&connection, endpoint)?;
        let options = self.archive.toc.database_options.as_deref().unwrap_or("WITH TEMPLATE template0");
        let fresh = Fresh::create(connection, maintenance, options, self.context)?;
        let filled = self.run(&fresh.endpoint(), false).and_then(|()| self.compare(&fresh.endpoint()));
        match filled {
            Ok(()) => Ok(fresh),
            Err(error) => Err(fresh.give_up(error)),
        }
    }

    /// Runs pg_restore.
    fn run(&self, endpoint: &Endpoint, in_one_transaction: bool) -> Result<()> {
        let mut arguments = vec!["--exit-on-error".to_owned(), "--no-password".to_owned()];
        arguments.push(database_argument("--dbname", &endpoint.database));
        if in_one_transaction {
            arguments.push("--single-transaction".to_owned());
        }
        if self.owners == Owners::LeftOut {
            arguments.extend(["--no-owner", "--no-privileges"].map(str::to_owned));
        }
        if self.owners != Owners::Kept {
            // A drill's database must not begin to follow the origin, and one that does cannot be dropped.
            arguments.extend(["--no-subscriptions", "--no-publications"].map(str::to_owned));
        }
        let cancel = &self.context.cancel;
        let program = |arguments| self.source.server.program("pg_restore", arguments, endpoint, self.context);
        let result = if self.archive.format == Format::Custom {
            arguments.push("--format=custom".to_owned());
            let name = dump_name(self.stored).ok_or_else(|| failed("the snapshot has no archive".to_owned()))?;
            feed(&program(arguments), &mut self.stored.open(name)?, cancel)
        } else {
            let directory = tempfile::Builder::new()
                .prefix("postgres-")
                .tempdir_in(&self.context.scratch)
                .io_context(|| format!("cannot make a directory in {}", self.context.scratch.display()))?;
            write_files(self.context, self.stored, directory.path(), false)?;
            arguments.push("--format=directory".to_owned());
            if !in_one_transaction {
                arguments.push(format!("--jobs={}", self.source.jobs));
            }
            arguments.push(directory.path().display().to_string());
            let mut stream = Stream::start_watched(&program(arguments), cancel)?;
            std::io::copy(&mut stream, &mut std::io::sink())
                .io_context(|| "cannot wait for pg_restore".to_owned())
                .and_then(|_| stream.finish())
        };
        result.map_err(|error| {
            let chain = error.chain();
            let lacks_role = chain.contains("role \"") && chain.contains("does not exist");
            if lacks_role { error.hint(roles_hint()) } else { error }
        })
    }

    /// Compares what the server has now with what the archive holds: the rows of each table.
    fn compare(&self, endpoint: &Endpoint) -> Result<()> {
        let connection = Connection::open(endpoint, self.context).map_err(|refusal| refusal.error)?.without_limit();
        let differences = contents::differences(&connection, &self.archive.rows)?;
        if differences.is_empty() {
            return Ok(());
        }
        Err(failed(format!("what was restored differs from the snapshot: {}", named(&differences)))
            .hint("do not use the database; see the server's log and its triggers and policies"))
    }
}

/// Makes roles on a server of a drill, with every right: who may do what is not what a drill is about. Names of the
/// server's own cannot be made.
fn make_roles<'r>(connection: &Connection, names: impl Iterator<Item = &'r String>) -> Result<()> {
    names.filter(|name| !name.starts_with("pg_")).try_for_each(|name| {
        connection.rows("make a role", &format!("CREATE ROLE {} SUPERUSER NOLOGIN", identifier(name))).map(drop)
    })
}

fn roles_hint() -> String {
    format!(
        "roles belong to the whole server and are not restored with a database: write the files of the snapshot with \
         `holdpoint restore SOURCE --target DIR`, then run `psql --file DIR/{GLOBALS_FILE}` as a superuser, or create the \
         roles by hand"
    )
}
