//! What keeps a command from reaching a verdict, and the exit codes of everything.
//!
//! An [`Error`] means that there is *no* verdict; a [`crate::model::finding::Finding`] feeds one. The two are never
//! mixed. Every [`ErrorCode`] has a heading in `docs/errors.md` and one exit code.

use std::fmt;

/// The exit codes of the program: a contract with pipelines. Every code but 0 means: do not deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// The gate passed, or the command did what was asked.
    Pass = 0,
    /// No verdict: an internal or unforeseen error.
    Internal = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// A snapshot failed: preflight, capture, or its retries were used up.
    SnapshotFailed = 10,
    /// The deadline passed.
    DeadlinePassed = 11,
    /// What was written could not be verified.
    Unverified = 12,
    /// Policy refuses.
    PolicyRefused = 13,
    /// Frozen, claimed, or another run holds the lease or an exclusive lock.
    Busy = 14,
    /// The deployed version does not match, or could not be observed.
    DeployedMismatch = 15,
    /// The manifest or the pass is invalid.
    ManifestInvalid = 16,
    /// A restore or a rollback failed.
    RestoreFailed = 17,
    /// A drill failed.
    DrillFailed = 18,
    /// The command that `guard` ran failed.
    CommandFailed = 20,
    /// Cancelled by SIGINT.
    Interrupted = 130,
    /// Cancelled by SIGTERM.
    Terminated = 143,
}

impl ExitCode {
    /// Of several codes, the one that stands first here is the program's.
    const PRECEDENCE: [Self; 15] = [
        Self::Interrupted,
        Self::Terminated,
        Self::DeadlinePassed,
        Self::Busy,
        Self::ManifestInvalid,
        Self::SnapshotFailed,
        Self::Unverified,
        Self::DeployedMismatch,
        Self::PolicyRefused,
        Self::RestoreFailed,
        Self::DrillFailed,
        Self::CommandFailed,
        Self::Usage,
        Self::Internal,
        Self::Pass,
    ];

    /// Returns the code that wins among `codes`; [`ExitCode::Pass`] if there is none.
    pub fn first_of(codes: impl IntoIterator<Item = Self>) -> Self {
        let rank = |code: &Self| Self::PRECEDENCE.iter().position(|other| other == code);
        codes.into_iter().min_by_key(rank).unwrap_or(Self::Pass)
    }

    /// Returns the number that the process exits with.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// Declares the error codes once: variant, stable text, exit code and description.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal => $exit:ident;)*) => {
        /// A stable name for one kind of error; see `docs/errors.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $variant,)* }

        impl ErrorCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the stable text, such as `wrong-password`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Returns the exit code of a command that ends with this error.
            pub fn exit(self) -> ExitCode {
                match self { $(Self::$variant => ExitCode::$exit,)* }
            }
        }
    };
}

error_codes! {
    /// A fault in holdpoint itself.
    Internal = "internal" => Internal;
    /// The operating system refused something that no other code names.
    Io = "io" => Internal;
    /// The command line asks for something impossible, or leaves out something needed.
    Usage = "usage" => Usage;
    /// The configuration has one or more mistakes.
    Config = "config" => Usage;
    /// A path, snapshot, release or source that was named does not exist.
    NotFound = "not-found" => Usage;
    /// The version to deploy is unknown or is not a version.
    ReleaseUnknown = "release-unknown" => Usage;
    /// The commit to deploy is unknown to git, or git could not be asked.
    CommitUnknown = "commit-unknown" => Usage;
    /// The key that signs cannot be read, or is not an ed25519 key without a passphrase.
    SigningKey = "signing-key" => Usage;
    /// The file of the allowed signers cannot be read, or a line of it is not understood.
    AllowedSigners = "allowed-signers" => Usage;
    /// The store cannot be reached, read or written.
    StoreUnavailable = "store-unavailable" => SnapshotFailed;
    /// The store answered, and refused: credentials, rights, no such bucket, another region.
    StoreRefused = "store-refused" => SnapshotFailed;
    /// The store overwrites what must be created only once, so it cannot keep two runs apart.
    StoreUnsafe = "store-unsafe" => SnapshotFailed;
    /// The store has no room left.
    StoreFull = "store-full" => SnapshotFailed;
    /// The audit did not take a line of what was done.
    AuditFailed = "audit-failed" => SnapshotFailed;
    /// The password does not open the repository, or none was given.
    WrongPassword = "wrong-password" => SnapshotFailed;
    /// There is no repository at the location.
    NoRepository = "no-repository" => SnapshotFailed;
    /// The repository is of a format or version that this program does not know.
    ForeignRepository = "foreign-repository" => Unverified;
    /// Something in the repository is missing or is not what its name says.
    Damaged = "damaged" => Unverified;
    /// An object lies in a storage class that cannot be read at once.
    ObjectCold = "object-cold" => Unverified;
    /// A copy holds something else than what is to be copied to it.
    CopyConflict = "copy-conflict" => Unverified;
    /// A source could not be captured.
    CaptureFailed = "capture-failed" => SnapshotFailed;
    /// A program that was run failed, could not be started, or was killed.
    ProcessFailed = "process-failed" => SnapshotFailed;
    /// The policy of the environment forbids it now.
    PolicyRefused = "policy-refused" => PolicyRefused;
    /// Another run holds the lease or an exclusive lock.
    Busy = "busy" => Busy;
    /// The lease or lock of this run was lost while it worked.
    LeaseLost = "lease-lost" => Busy;
    /// The deployed version could not be observed.
    ProbeFailed = "probe-failed" => DeployedMismatch;
    /// The manifest is missing, truncated, of a newer schema, or for something else.
    ManifestInvalid = "manifest-invalid" => ManifestInvalid;
    /// The restore could not be done, or what it wrote could not be verified.
    RestoreFailed = "restore-failed" => RestoreFailed;
    /// The deadline passed.
    DeadlinePassed = "deadline-passed" => DeadlinePassed;
    /// The run was cancelled by SIGINT.
    Interrupted = "interrupted" => Interrupted;
    /// The run was cancelled by SIGTERM.
    Terminated = "terminated" => Terminated;
}

/// The error of every room: what happened, why, and what to do next, as data.
///
/// Only `cli` prints it. Texts hold no secret: URLs are shown without user information.
#[derive(Debug)]
pub struct Error {
    code: ErrorCode,
    message: String,
    hints: Vec<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of everything that can fail without a verdict.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Creates an error from its code and a message that says what happened to what.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hints: Vec::new(), source: None }
    }

    /// Adds the cause, which is printed after the message.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds what to do next; printed as `hint: …`.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Returns an error that says what this one, its cause, kept from being done; the hints stay.
    #[must_use]
    pub fn under(self, code: ErrorCode, message: impl Into<String>) -> Self {
        Self { hints: self.hints.clone(), ..Self::new(code, message).caused_by(self) }
    }

    /// Returns an error of the same code that says what this one, its cause, kept from being done; the hints stay.
    #[must_use]
    pub fn under_same_code(self, message: impl Into<String>) -> Self {
        let code = self.code;
        self.under(code, message)
    }

    /// Returns the code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// Returns the message without causes or hints.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns what to do next, one sentence each.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// Returns the message and every cause behind it, joined by `: `.
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let part = error.to_string();
            // Libraries often repeat the cause in their own message; once is enough for a reader.
            if !text.ends_with(&part) {
                text.push_str(": ");
                text.push_str(&part);
            }
            cause = error.source();
        }
        text
    }

    /// Returns the same error for another caller: code and hints, with all causes in the message.
    #[must_use]
    pub fn replica(&self) -> Self {
        Self { code: self.code, message: self.chain(), hints: self.hints.clone(), source: None }
    }

    /// Says whether the run was cancelled: by the deadline or by a signal.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.code, ErrorCode::DeadlinePassed | ErrorCode::Interrupted | ErrorCode::Terminated)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Returns the text of the cause that no other lies behind: what libraries put around it often says little.
pub fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source()).last().map(ToString::to_string).unwrap_or_default()
}

/// Adds what was being done to an error of the operating system.
pub trait IoContext<T> {
    /// Turns the error into an [`Error`] with `message` and a code that fits the cause.
    ///
    /// # Errors
    /// The error that was there before, explained.
    fn io_context(self, message: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> IoContext<T> for std::result::Result<T, E> {
    fn io_context(self, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| {
            let error = error.into();
            // A reader of ours passes its own error through the system's type: its code and hints stay.
            if let Some(own) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
                let hints = own.hints().to_vec();
                return Error { hints, ..Error::new(own.code(), message()).caused_by(error) };
            }
            let code = match error.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorCode::StoreFull,
                _ => ErrorCode::Io,
            };
            Error::new(code, message()).caused_by(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_several_codes_follows_the_contract() {
        use ExitCode::*;
        let order = [Interrupted, DeadlinePassed, Busy, ManifestInvalid, SnapshotFailed, Unverified, DeployedMismatch];
        for (rank, winner) in order.iter().enumerate() {
            assert_eq!(ExitCode::first_of(order[rank..].iter().rev().copied()), *winner);
        }
        assert_eq!(ExitCode::first_of([PolicyRefused, DeployedMismatch]), DeployedMismatch);
        assert_eq!(ExitCode::first_of([]), Pass);
    }

    #[test]
    fn codes_are_unique() {
        let texts: std::collections::HashSet<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), ErrorCode::ALL.len());
    }
}
