//! Putting an RDB file back into a running server: every key by `RESTORE`, every library by `FUNCTION LOAD`.

use super::connection::{Connection, Reply};
use super::endpoint::Endpoint;
use super::info::Info;
use super::pipeline::Pipeline;
use super::rdb::{Broken, Item, Parser, Problem};
use super::transport::Patience;
use crate::error::{Error, ErrorCode, Result};
use crate::source::write::failed;
use crate::source::{Context, Stored};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Since when a server has libraries of functions.
const FUNCTIONS_SINCE: u32 = 7;

/// Restores the only stream of a snapshot into the server, which must be empty unless `force`: then it is emptied first.
/// `timeout` limits how long the server may take before the first key.
///
/// # Errors
/// `restore-failed`: the file is not sound, which is seen before anything is changed; the server is not empty, or does
/// not take everything, and then the message says what it holds. The reason of a cancellation.
pub(super) fn restore(
    endpoint: &Endpoint,
    stored: &dyn Stored,
    context: &Context,
    timeout: Duration,
    force: bool,
) -> Result<()> {
    check(stored)?;
    let mut restore = Restore::prepare(endpoint, context, timeout, force).map_err(|error| explain(endpoint, error))?;
    let replayed = restore.replay(stored).and_then(|()| restore.compare());
    replayed.map_err(|error| match restore.sent {
        _ if error.is_cancelled() => error,
        0 => explain(endpoint, error),
        sent => explain(endpoint, error).hint(format!(
            "{endpoint} holds a part of the snapshot now, at most {sent} keys of it: restore again with --force, which \
             empties it first",
        )),
    })
}

fn explain(endpoint: &Endpoint, error: Error) -> Error {
    if error.is_cancelled() || error.code() == ErrorCode::RestoreFailed {
        return error;
    }
    let hints = error.hints().to_vec();
    let error = failed(format!("cannot restore into {endpoint}")).caused_by(error);
    hints.into_iter().fold(error, Error::hint)
}

/// Reads the whole file: nothing is emptied, and nothing begun, for one that is not sound.
fn check(stored: &dyn Stored) -> Result<()> {
    let mut parser = Parser::start(stored.open_only()?, false).map_err(unsound)?;
    while parser.next().map_err(unsound)?.is_some() {}
    Ok(())
}

fn unsound(broken: Broken) -> Error {
    match broken.problem {
        Problem::Unreadable(error) => error,
        _ => failed(broken.to_string()),
    }
}

/// A restore under way.
struct Restore {
    connection: Connection,
    patience: Patience,
    before: Info,
    /// The server's clock when it was asked, in milliseconds since 1970, and ours.
    clock: (u64, Instant),
    /// How many keys were sent, in all and to each database.
    sent: u64,
    by_database: BTreeMap<u64, u64>,
}

impl Restore {
    fn prepare(endpoint: &Endpoint, context: &Context, timeout: Duration, force: bool) -> Result<Self> {
        let patience = Patience::within(&context.cancel, timeout);
        let mut connection = endpoint.connect(&context.runtime, &patience)?;
        connection.text(&format!("CLIENT SETNAME {}", context.mark), &patience)?;
        let mut before = Info::ask(&mut connection, &patience)?;
        let keys: u64 = before.keys().values().sum();
        let has_functions = before.major() >= FUNCTIONS_SINCE
            && connection.ask(&[b"FUNCTION", b"LIST"], &patience).and_then(|reply| match reply {
                Reply::Refused(words) => Err(connection.refused("FUNCTION LIST", &words)),
                reply => Ok(reply != Reply::Many(0)),
            })?;
        if keys > 0 || has_functions {
            if !force {
                let what = if keys > 0 { format!("{keys} keys") } else { "libraries of functions".to_owned() };
                return Err(failed(format!("{endpoint} is not empty: it holds {what}"))
                    .hint("restore into an empty server, or delete what this one holds first with --force"));
            }
            // A list of libraries is many replies: it is simpler to ask anew than to read them.
            connection = endpoint.connect(&context.runtime, &patience)?;
            connection.text(&format!("CLIENT SETNAME {}", context.mark), &patience)?;
            let run = Patience::of_run(&context.cancel);
            connection.text("FLUSHALL", &run)?;
            if has_functions {
                connection.text("FUNCTION FLUSH", &run)?;
            }
            before = Info::ask(&mut connection, &run)?;
        }
        let clock = (server_time(&mut connection, &patience)?, Instant::now());
        let patience = Patience::of_run(&context.cancel);
        Ok(Self { connection, patience, before, clock, sent: 0, by_database: BTreeMap::new() })
    }

    fn replay(&mut self, stored: &dyn Stored) -> Result<()> {
        let mut parser = Parser::start(stored.open_only()?, true).map_err(unsound)?;
        let version = parser.version();
        let mut pipeline = Pipeline::new(&mut self.connection, &self.patience);
        while let Some(item) = parser.next().map_err(unsound)? {
            match item {
                Item::Fact { .. } | Item::ModuleData => {}
                Item::Function(code) => pipeline.load(code)?,
                Item::Key(key) => {
                    let (server, ours) = self.clock;
                    let now = server + u64::try_from(ours.elapsed().as_millis()).unwrap_or(u64::MAX / 2);
                    // The server it comes from would not have shown it to anybody, either.
                    if key.expires_at.is_some_and(|expires_at| expires_at <= now) {
                        continue;
                    }
                    self.sent += 1;
                    *self.by_database.entry(key.database).or_default() += 1;
                    pipeline.restore(&key, version)?;
                }
            }
        }
        pipeline.finish()
    }

    /// Compares the number of keys that the server holds with what was sent. Those that expired meanwhile may be gone.
    fn compare(&mut self) -> Result<()> {
        let after = Info::ask(&mut self.connection, &self.patience)?;
        let since = |name| after.number(name).saturating_sub(self.before.number(name));
        let held = after.keys();
        let missing = |(database, sent): (&u64, &u64)| sent.saturating_sub(held.get(database).copied().unwrap_or(0));
        let missing: u64 = self.by_database.iter().map(missing).sum();
        if missing > since("expired_keys") {
            let evicted = match since("evicted_keys") {
                0 => String::new(),
                evicted => format!("; the server evicted {evicted} keys for want of memory (maxmemory)"),
            };
            return Err(failed(format!(
                "{} holds {missing} keys less than the {} that it took{evicted}",
                self.connection.server(),
                self.sent
            )));
        }
        Ok(())
    }
}

/// Returns the server's clock, in milliseconds since 1970.
fn server_time(connection: &mut Connection, patience: &Patience) -> Result<u64> {
    let number = |reply: Reply| match reply {
        Reply::Bytes(Some(digits)) => std::str::from_utf8(&digits).ok()?.parse::<u64>().ok(),
        _ => None,
    };
    let time = match connection.ask(&[b"TIME"], patience)? {
        Reply::Many(2) => {
            let seconds = number(connection.reply(patience)?);
            let micros = number(connection.reply(patience)?);
            seconds.zip(micros).map(|(seconds, micros)| seconds * 1000 + micros / 1000)
        }
        Reply::Refused(words) => return Err(connection.refused("TIME", &words)),
        _ => None,
    };
    time.ok_or_else(|| failed(format!("{} does not tell the time", connection.server())))
}
