//! Taking an RDB file over the replication protocol: the server forks, and the child writes what it sees.

use super::connection::{Connection, encode};
use super::endpoint::Endpoint;
use super::info::Info;
use super::transport::Patience;
use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::Content;
use crate::source::{Context, StreamCapture};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The length of the mark that ends a file whose size the server does not know ahead.
const MARK: usize = 40;
/// How long the server may take to say why it broke off.
const TO_EXPLAIN: Duration = Duration::from_secs(2);

/// Where in the transfer a capture is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// The server prepares; it sends empty lines meanwhile.
    Waiting,
    /// So many bytes are still to come.
    Sized { left: u64 },
    /// The file ends where these bytes follow.
    Marked { mark: Vec<u8> },
    /// Everything came.
    Complete,
}

/// An RDB file that a server sends.
pub(super) struct RdbCapture {
    connection: Connection,
    stage: Stage,
    received: u64,
    file_name: PathBuf,
    content: Content,
    patience: Patience,
    endpoint: Endpoint,
    context: Context,
}

impl RdbCapture {
    /// Asks the server for its data set. `timeout` limits the conversation up to the request.
    ///
    /// # Errors
    /// `capture-failed`: the server is not reached or refuses; the reason of a cancellation.
    pub(super) fn start(endpoint: &Endpoint, file_name: PathBuf, context: &Context, timeout: Duration) -> Result<Self> {
        let patience = Patience::within(&context.cancel, timeout);
        let mut connection = endpoint.connect(&context.runtime, &patience)?;
        connection.text(&format!("CLIENT SETNAME {}", context.mark), &patience)?;
        let info = Info::ask(&mut connection, &patience)?;
        // With this a server that is set to (as is the default) sends what the child writes without a file of its own.
        connection.text("REPLCONF capa eof", &patience)?;
        // No replication is wanted after the file. Servers before 6.2 do not know that, and are hung up on.
        connection.ask(&[b"REPLCONF", b"rdb-only", b"1"], &patience)?;
        let mut request = Vec::new();
        encode(&[b"PSYNC", b"?", b"-1"], &mut request);
        connection.send(&request, &patience)?;
        let role = if info.get("role") == "slave" { "replica" } else { "master" };
        Ok(Self {
            connection,
            stage: Stage::Waiting,
            received: 0,
            file_name,
            content: [("role".to_owned(), role.into())].into_iter().collect(),
            patience: Patience::of_run(&context.cancel),
            endpoint: endpoint.clone(),
            context: context.clone(),
        })
    }

    /// Reads lines until the file begins.
    fn wait(&mut self) -> Result<Stage> {
        loop {
            let line = self.connection.line(&self.patience)?;
            if let Some(words) = line.strip_prefix('-') {
                return Err(self.connection.refused("PSYNC", words).hint(
                    "run `holdpoint doctor`; if it finds nothing, read the server's log: it may have no memory for a \
                     second process, or no room on its disk",
                ));
            } else if let Some(position) = line.strip_prefix("+FULLRESYNC ") {
                let (id, offset) = position.split_once(' ').unwrap_or((position, ""));
                self.content.insert("replication_id".to_owned(), id.into());
                self.content.insert("replication_offset".to_owned(), offset.parse::<u64>().ok().into());
            } else if let Some(mark) = line.strip_prefix("$EOF:").filter(|mark| mark.len() == MARK) {
                return Ok(Stage::Marked { mark: mark.as_bytes().to_vec() });
            } else if let Some(left) = line.strip_prefix('$').and_then(|length| length.parse().ok()) {
                return Ok(Stage::Sized { left });
            } else if !line.is_empty() {
                let message = format!("{} answers a request for its data set unexpectedly", self.connection.server());
                return Err(Error::new(ErrorCode::CaptureFailed, message));
            }
        }
    }

    /// Returns how many bytes of the file are there to be used, after waiting for some; 0 at its end.
    fn available(&mut self) -> Result<usize> {
        loop {
            let there = self.connection.received();
            let available = match &self.stage {
                Stage::Waiting => {
                    self.stage = self.wait()?;
                    continue;
                }
                Stage::Complete | Stage::Sized { left: 0 } => {
                    self.stage = Stage::Complete;
                    return Ok(0);
                }
                Stage::Sized { left } => usize::try_from(*left).map_or(there.len(), |left| there.len().min(left)),
                Stage::Marked { mark } if there == mark => {
                    self.stage = Stage::Complete;
                    return Ok(0);
                }
                // The last bytes may be the mark, or the beginning of it.
                Stage::Marked { .. } => there.len().saturating_sub(MARK),
            };
            if available > 0 {
                return Ok(available);
            }
            self.connection.receive(&self.patience)?;
        }
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.available()?.min(buffer.len());
        let (some, _) = self.connection.received().split_at_checked(count).unwrap_or_default();
        if let Some(target) = buffer.get_mut(..some.len()) {
            target.copy_from_slice(some);
        }
        self.connection.used(count);
        self.received += count as u64;
        if let Stage::Sized { left } = &mut self.stage {
            *left -= count as u64;
        }
        Ok(count)
    }

    /// Adds to the end of a connection what the server says of its cause.
    fn explain(&self, error: Error) -> Error {
        if error.is_cancelled() || self.stage == Stage::Waiting && !error.message().contains("closed") {
            return error;
        }
        let patience = Patience::within(&self.context.cancel, TO_EXPLAIN);
        let asked = self.endpoint.connect(&self.context.runtime, &patience);
        let info = asked.and_then(|mut connection| Info::ask(&mut connection, &patience));
        let (why, hint) = match info {
            Ok(info) if info.get("rdb_last_bgsave_status") == "err" => (
                ", and the server says that its background save failed",
                "read its log: it may have no memory for a second process (vm.overcommit_memory), or no room on its disk",
            ),
            Ok(_) => ("", "read the server's log; a slow store may outlast its repl-timeout"),
            Err(_) => ("", "see whether the server still runs"),
        };
        let message = format!("the transfer broke off after {} bytes{why}", self.received);
        Error::new(ErrorCode::CaptureFailed, message).caused_by(error).hint(hint)
    }
}

impl Read for RdbCapture {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.read_some(buffer).map_err(|error| std::io::Error::other(self.explain(error)))
    }
}

impl StreamCapture for RdbCapture {
    fn file_name(&self) -> &Path {
        &self.file_name
    }

    fn finish(self: Box<Self>) -> Result<Content> {
        match self.stage {
            Stage::Complete => Ok(self.content),
            _ => {
                let message = format!("{} did not send its whole data set", self.connection.server());
                Err(Error::new(ErrorCode::CaptureFailed, message))
            }
        }
    }
}
