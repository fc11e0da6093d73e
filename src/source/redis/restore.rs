//! Putting an RDB file back into a running server: every key by `RESTORE`, every library by `FUNCTION LOAD`.
//!
//! That is not one step. It is never half-done unseen: from before the first key until all are counted, a key says that the
//! server is incomplete. A gate refuses what holds it, and another restore needs `--force`, because it is not empty.

use super::INCOMPLETE;
use super::connection::{Connection, Reply};
use super::endpoint::Endpoint;
use super::info::Info;
use super::look::FUNCTIONS_SINCE;
use super::pipeline::Pipeline;
use super::rdb::{Broken, Item, Parser, Problem};
use super::transport::Patience;
use crate::error::{Error, ErrorCode, Result};
use crate::source::write::failed;
use crate::source::{Context, Stored};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A key that is never there.
const PROBE: &str = "holdpoint:restore-probe";

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
    let mut done = Done::default();
    replace(endpoint, stored, context, timeout, force, &mut done)
        .map_err(|error| done.tell(endpoint, explain(endpoint, error)))
}

fn replace(
    endpoint: &Endpoint,
    stored: &dyn Stored,
    context: &Context,
    timeout: Duration,
    force: bool,
    done: &mut Done,
) -> Result<()> {
    let mut restore = Restore::prepare(endpoint, context, timeout, force, done)?;
    restore.mark()?;
    restore.replay(stored)?;
    restore.compare()?;
    restore.unmark()
}

/// What was done to a server, whatever came of it.
#[derive(Debug, Default)]
struct Done {
    /// Whether it was told to delete what it held, and did not refuse.
    emptied: bool,
    /// Whether it has the key that says that it is incomplete.
    marked: bool,
    /// How many keys and libraries it was sent.
    keys: u64,
    libraries: u64,
}

impl Done {
    /// Says in an error, also of a cancellation, what the server holds now, if that is not what it held before.
    fn tell(&self, endpoint: &Endpoint, error: Error) -> Error {
        let holds = match (self.emptied, self.keys, self.libraries) {
            (false, 0, 0) if !self.marked => return error,
            (false, 0, 0) => format!("holds nothing but {INCOMPLETE}"),
            (true, 0, 0) => "was told to delete what it held, and has nothing of the snapshot yet".to_owned(),
            (_, 0, _) => "holds no key, and libraries of the snapshot at most".to_owned(),
            (_, keys, _) => format!("holds a part of the snapshot now, at most {keys} keys of it"),
        };
        error.hint(format!("{endpoint} {holds}: restore again with --force, which empties it first"))
    }
}

fn explain(endpoint: &Endpoint, error: Error) -> Error {
    if error.is_cancelled() || error.code() == ErrorCode::RestoreFailed {
        return error;
    }
    error.under(ErrorCode::RestoreFailed, format!("cannot restore into {endpoint}"))
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
struct Restore<'d> {
    connection: Connection,
    patience: Patience,
    before: Info,
    /// The server's clock when it was asked, in milliseconds since 1970, and ours.
    clock: (u64, Instant),
    done: &'d mut Done,
    /// How many keys were sent to each database.
    by_database: BTreeMap<u64, u64>,
    can_be_marked: bool,
}

impl<'d> Restore<'d> {
    fn prepare(
        endpoint: &Endpoint,
        context: &Context,
        timeout: Duration,
        force: bool,
        done: &'d mut Done,
    ) -> Result<Self> {
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
        let is_empty = keys == 0 && !has_functions;
        if !is_empty {
            if !force {
                let what = match keys {
                    0 => "is not empty: it holds libraries of functions".to_owned(),
                    _ if is_marked(&mut connection, &patience)? => {
                        "holds a restore that did not come to its end".to_owned()
                    }
                    keys => format!("is not empty: it holds {keys} keys"),
                };
                return Err(failed(format!("{endpoint} {what}"))
                    .hint("restore into an empty server, or delete what this one holds first with --force"));
            }
            // A list of libraries is many replies: it is simpler to ask anew than to read them.
            connection = endpoint.connect(&context.runtime, &patience)?;
            connection.text(&format!("CLIENT SETNAME {}", context.mark), &patience)?;
        }
        // Before anything is deleted: a server may refuse to tell, or to be marked.
        let can_be_marked = before.get("cluster_enabled") != "1";
        if can_be_marked {
            // Neither has an effect: there is no such key.
            for command in [["SET", PROBE, "1", "XX"].as_slice(), &["DEL", PROBE]] {
                tell(&mut connection, command, &patience)?;
            }
        }
        let clock = (server_time(&mut connection, &patience)?, Instant::now());
        let patience = Patience::of_run(&context.cancel);
        if !is_empty {
            empty(&mut connection, "FLUSHALL", &patience, done)?;
            if has_functions {
                empty(&mut connection, "FUNCTION FLUSH", &patience, done)?;
            }
            before = Info::ask(&mut connection, &patience)?;
        }
        Ok(Self { connection, patience, before, clock, done, can_be_marked, by_database: BTreeMap::new() })
    }

    /// Says in the server that it is incomplete. Not in a node of a cluster, which takes only the keys of its own slots.
    fn mark(&mut self) -> Result<()> {
        if self.can_be_marked {
            tell(&mut self.connection, &["SET", INCOMPLETE, "1"], &self.patience)?;
            self.done.marked = true;
            *self.by_database.entry(0).or_default() += 1;
        }
        Ok(())
    }

    fn unmark(&mut self) -> Result<()> {
        if self.can_be_marked {
            tell(&mut self.connection, &["SELECT", "0"], &self.patience)?;
            tell(&mut self.connection, &["DEL", INCOMPLETE], &self.patience)?;
        }
        Ok(())
    }

    fn replay(&mut self, stored: &dyn Stored) -> Result<()> {
        let mut parser = Parser::start(stored.open_only()?, true).map_err(unsound)?;
        let version = parser.version();
        let mut pipeline = Pipeline::new(&mut self.connection, &self.patience);
        while let Some(item) = parser.next().map_err(unsound)? {
            match item {
                Item::Fact { .. } | Item::ModuleData => {}
                Item::Function(code) => {
                    self.done.libraries += 1;
                    pipeline.load(code)?;
                }
                Item::Key(key) => {
                    let (server, ours) = self.clock;
                    let now = server + u64::try_from(ours.elapsed().as_millis()).unwrap_or(u64::MAX / 2);
                    // The server it comes from would not have shown it to anybody, either.
                    if key.expires_at.is_some_and(|expires_at| expires_at <= now) {
                        continue;
                    }
                    self.done.keys += 1;
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
                self.done.keys
            )));
        }
        Ok(())
    }
}

/// Sends a command that deletes. Without an answer it has to be taken for done.
fn empty(connection: &mut Connection, command: &str, patience: &Patience, done: &mut Done) -> Result<()> {
    let words: Vec<_> = command.split(' ').map(str::as_bytes).collect();
    match connection.ask(&words, patience) {
        Ok(Reply::Refused(words)) => Err(connection.refused(command, &words)),
        answered => {
            done.emptied = true;
            answered.map(drop)
        }
    }
}

/// Gives a command whose answer tells nothing but whether the server took it.
fn tell(connection: &mut Connection, command: &[&str], patience: &Patience) -> Result<()> {
    let words: Vec<_> = command.iter().map(|word| word.as_bytes()).collect();
    match connection.ask(&words, patience)? {
        Reply::Refused(words) => Err(connection.refused(command.first().unwrap_or(&""), &words)),
        _ => Ok(()),
    }
}

/// Says whether a restore was begun in the server and not ended; a server that does not tell is as any other.
fn is_marked(connection: &mut Connection, patience: &Patience) -> Result<bool> {
    Ok(connection.ask(&[b"EXISTS", INCOMPLETE.as_bytes()], patience)? == Reply::Line("1".to_owned()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_ends_a_restore_it_says_what_it_did() {
        let endpoint = Endpoint::parse("redis://h:1", None).unwrap();
        let hints = |emptied, keys, libraries, code| {
            let done = Done { emptied, marked: keys > 0, keys, libraries };
            done.tell(&endpoint, Error::new(code, "")).hints().join(" ")
        };
        for code in [ErrorCode::RestoreFailed, ErrorCode::Interrupted, ErrorCode::DeadlinePassed] {
            assert_eq!(hints(false, 0, 0, code), "");
            assert!(hints(true, 0, 0, code).contains("was told to delete what it held"));
            assert!(hints(false, 7, 1, code).contains("at most 7 keys of it: restore again with --force"));
            assert!(hints(true, 0, 1, code).contains("holds no key"));
        }
    }
}
