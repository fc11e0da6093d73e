//! A conversation with a Redis server: commands and replies (RESP, version 2).

use super::transport::{Patience, Transport};
use crate::error::{Error, ErrorCode, Result};

/// How much is read at once.
const PIECE: usize = 256 * 1024;
/// The longest line, and the longest other reply, that a server may send in answer to a command of ours.
const LONGEST_LINE: usize = 64 * 1024;
const LARGEST_REPLY: usize = 64 * 1024 * 1024;

/// What a server replies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// A short text, such as `OK`, or a number.
    Line(String),
    /// Bytes; none for what is not there.
    Bytes(Option<Vec<u8>>),
    /// How many replies follow.
    Many(usize),
    /// What the server refuses: a code and words.
    Refused(String),
}

/// A connection to a server that is not in a transaction and does not subscribe to anything.
pub(super) struct Connection {
    transport: Transport,
    /// Where the server is, as it may be shown.
    server: String,
    /// What was received and not yet used is from `start` to `end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Connection {
    pub(super) fn new(transport: Transport, server: String) -> Self {
        Self { transport, server, buffer: vec![0; PIECE], start: 0, end: 0 }
    }

    /// Returns where the server is, as it may be shown.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Tells the server who asks. Nothing of the password is in an error: of the server's words only the code is.
    pub(super) fn authenticate(&mut self, user: Option<&str>, password: &str, patience: &Patience) -> Result<()> {
        let mut command: Vec<&[u8]> = vec![b"AUTH"];
        command.extend(user.map(str::as_bytes));
        command.push(password.as_bytes());
        let Reply::Refused(words) = self.ask(&command, patience)? else { return Ok(()) };
        let server = &self.server;
        let error = |message: String| Error::new(ErrorCode::CaptureFailed, message);
        Err(match words.split(' ').next().unwrap_or_default() {
            "WRONGPASS" => error(format!("{server} refuses the user or the password (WRONGPASS)"))
                .hint("check user and password in `url`; characters such as / @ : must be percent-encoded"),
            "NOPERM" | "NOAUTH" | "DENIED" => error(format!("{server} does not let the user in ({words})")),
            _ if words.contains("without any password configured") || words.contains("no password is set") => {
                error(format!("{server} has no password, but `url` gives one"))
                    .hint("see that `url` names the right server; if it does, leave the password out")
            }
            _ => error(format!("{server} does not let the user in")),
        })
    }

    /// Sends a command, and returns the reply.
    pub(super) fn ask(&mut self, command: &[&[u8]], patience: &Patience) -> Result<Reply> {
        let mut bytes = Vec::new();
        encode(command, &mut bytes);
        self.send(&bytes, patience)?;
        self.reply(patience)
    }

    /// Sends a command written as words, and returns the text that is the reply.
    ///
    /// # Errors
    /// `capture-failed`, with the server's words.
    pub(super) fn text(&mut self, command: &str, patience: &Patience) -> Result<String> {
        let words: Vec<_> = command.split(' ').map(str::as_bytes).collect();
        match self.ask(&words, patience)? {
            Reply::Line(line) => Ok(line),
            Reply::Bytes(bytes) => Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()),
            Reply::Many(_) => Err(self.nonsense()),
            Reply::Refused(words) => Err(self.refused(command, &words)),
        }
    }

    /// Returns the error of a command that the server refuses.
    pub(super) fn refused(&self, command: &str, words: &str) -> Error {
        Error::new(ErrorCode::CaptureFailed, format!("{} refuses {command}: {words}", self.server))
    }

    /// Sends commands that [`encode`] made.
    pub(super) fn send(&mut self, commands: &[u8], patience: &Patience) -> Result<()> {
        self.transport.write_all(commands, patience).map_err(|error| self.explain(error))
    }

    /// Reads one reply.
    pub(super) fn reply(&mut self, patience: &Patience) -> Result<Reply> {
        let line = self.line(patience)?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| self.nonsense())?;
        let count = || rest.parse::<i64>().ok();
        match (kind, count()) {
            ("+", _) | (":", Some(_)) => Ok(Reply::Line(rest.to_owned())),
            ("-", _) => Ok(Reply::Refused(rest.to_owned())),
            ("$", Some(-1)) => Ok(Reply::Bytes(None)),
            ("*", Some(-1)) => Ok(Reply::Many(0)),
            ("*", Some(count)) => usize::try_from(count).map(Reply::Many).map_err(|_| self.nonsense()),
            ("$", Some(count)) => {
                let length = usize::try_from(count).ok().filter(|length| *length <= LARGEST_REPLY);
                let length = length.ok_or_else(|| self.nonsense())?;
                let mut bytes = Vec::new();
                while bytes.len() < length + 2 {
                    if self.received().is_empty() {
                        self.receive(patience)?;
                    }
                    let some = self.received();
                    let some = some.get(..some.len().min(length + 2 - bytes.len())).unwrap_or_default();
                    bytes.extend_from_slice(some);
                    let used = some.len();
                    self.used(used);
                }
                bytes.truncate(length);
                Ok(Reply::Bytes(Some(bytes)))
            }
            _ => Err(self.nonsense()),
        }
    }

    /// Reads one line, without its end.
    pub(super) fn line(&mut self, patience: &Patience) -> Result<String> {
        loop {
            let received = self.received();
            if let Some(length) = memchr::memchr(b'\n', received) {
                let line = received.get(..length).unwrap_or_default();
                let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
                self.used(length + 1);
                return Ok(line);
            }
            if received.len() > LONGEST_LINE {
                return Err(self.nonsense());
            }
            self.receive(patience)?;
        }
    }

    /// Returns what was received and is not used.
    pub(super) fn received(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Drops the first `count` bytes of what was received.
    pub(super) fn used(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Waits for more bytes.
    ///
    /// # Errors
    /// `capture-failed`: the server ended the connection, or it broke.
    pub(super) fn receive(&mut self, patience: &Patience) -> Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let free = self.buffer.get_mut(self.end..).unwrap_or_default();
        match self.transport.read(free, patience).map_err(|error| self.explain(error))? {
            0 => Err(Error::new(ErrorCode::CaptureFailed, format!("{} closed the connection", self.server))),
            count => {
                self.end += count;
                Ok(())
            }
        }
    }

    fn explain(&self, error: Error) -> Error {
        if error.is_cancelled() {
            return error;
        }
        error.under(ErrorCode::CaptureFailed, self.server.clone())
    }

    fn nonsense(&self) -> Error {
        Error::new(ErrorCode::CaptureFailed, format!("{} answers as no Redis server does", self.server))
            .hint("see that `url` names the server's own port, and rediss:// only if it speaks TLS there")
    }
}

/// Appends a command with its arguments to `target`, as it is sent.
pub(super) fn encode(command: &[&[u8]], target: &mut Vec<u8>) {
    target.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
    for argument in command {
        target.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        target.extend_from_slice(argument);
        target.extend_from_slice(b"\r\n");
    }
}
