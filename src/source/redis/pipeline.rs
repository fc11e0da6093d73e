//! Commands that restore keys, sent in batches: a server far away is not waited for after each.

use super::connection::{Connection, Reply, encode};
use super::rdb::{CRC64, Key};
use super::transport::Patience;
use crate::error::{Error, Result};
use crate::source::write::failed;

/// How large a batch grows, in bytes and in commands. A value that is larger is a batch by itself.
const BATCH: usize = 1024 * 1024;
const COMMANDS: usize = 1000;

/// What a command does that was sent.
#[derive(Debug, Clone, Copy)]
enum Command {
    Select(u64),
    Load,
    Restore { database: u64, kind: &'static str },
}

/// Commands on their way to a server.
pub(super) struct Pipeline<'c> {
    connection: &'c mut Connection,
    patience: &'c Patience,
    batch: Vec<u8>,
    commands: Vec<Command>,
    /// The database that the commands are for.
    database: u64,
}

impl<'c> Pipeline<'c> {
    /// Begins on a connection that has chosen no database.
    pub(super) fn new(connection: &'c mut Connection, patience: &'c Patience) -> Self {
        Self { connection, patience, batch: Vec::new(), commands: Vec::new(), database: 0 }
    }

    /// Loads a library of functions.
    pub(super) fn load(&mut self, code: &[u8]) -> Result<()> {
        self.add(Command::Load, &[b"FUNCTION", b"LOAD", code])
    }

    /// Restores a key of a file of the RDB version `version`.
    pub(super) fn restore(&mut self, key: &Key<'_>, version: u16) -> Result<()> {
        let database = key.database;
        if database != self.database {
            self.database = database;
            self.add(Command::Select(database), &[b"SELECT", database.to_string().as_bytes()])?;
        }
        // As DUMP makes it: type and value as in the file, the version, and the checksum of all that.
        let mut payload = Vec::with_capacity(key.value.len() + 11);
        payload.push(key.type_byte);
        payload.extend_from_slice(key.value);
        payload.extend_from_slice(&version.to_le_bytes());
        payload.extend_from_slice(&CRC64.checksum(&payload).to_le_bytes());
        let expires = key.expires_at.unwrap_or(0).to_string();
        let command = Command::Restore { database, kind: key.kind };
        self.add(command, &[b"RESTORE", key.name, expires.as_bytes(), &payload, b"ABSTTL"])
    }

    /// Sends what is left.
    pub(super) fn finish(mut self) -> Result<()> {
        self.send()
    }

    fn add(&mut self, command: Command, words: &[&[u8]]) -> Result<()> {
        encode(words, &mut self.batch);
        self.commands.push(command);
        if self.batch.len() >= BATCH || self.commands.len() >= COMMANDS {
            self.send()?;
        }
        Ok(())
    }

    /// Sends the batch, and reads what the server says of each of its commands.
    fn send(&mut self) -> Result<()> {
        let sent = self.connection.send(&self.batch, self.patience);
        self.batch.clear();
        // One large value must not cost its size until the end.
        self.batch.shrink_to(2 * BATCH);
        if matches!(&sent, Err(error) if error.is_cancelled()) {
            return sent;
        }
        // A server that hangs up in the middle of a command has said why before that.
        for command in self.commands.drain(..) {
            match self.connection.reply(self.patience) {
                Ok(Reply::Refused(words)) => return Err(refused(self.connection.server(), command, &words)),
                Ok(_) => {}
                Err(error) if error.is_cancelled() => return Err(error),
                Err(error) => return sent.and(Err(error)),
            }
        }
        sent
    }
}

/// Says what a server refuses. Keys are not named: some are secrets, such as those of sessions.
fn refused(server: &str, command: Command, words: &str) -> Error {
    let (what, hint) = match command {
        Command::Select(database) => (
            format!("database {database}"),
            "the server has fewer databases: raise `databases` in its configuration, or see whether it is a cluster",
        ),
        Command::Load => ("a library of functions".to_owned(), "only Redis 7 and later have functions"),
        Command::Restore { database, kind } => {
            let hint = if words.contains("version or checksum") {
                "the server is older than the one of the snapshot: restore into one of the same version"
            } else if words.contains("bulk length") {
                "a value is larger than proto-max-bulk-len of the server: raise that"
            } else if words.starts_with("BUSYKEY") {
                "somebody else writes to the server: stop the application first"
            } else {
                "correct what the server says, and restore again"
            };
            (format!("a key (db{database}, {kind})"), hint)
        }
    };
    failed(format!("{server} does not take {what}: {words}")).hint(hint)
}
