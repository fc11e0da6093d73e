//! Facts that speak for or against going on.

use crate::error::{Error, ErrorCode, ExitCode};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth knowing.
    Info,
    /// Shown to everyone, does not block.
    Warning,
    /// Blocks the deploy.
    Refusal,
}

/// Declares the finding codes once: variant, stable text, exit code when it refuses, and description.
macro_rules! finding_codes {
    ($($(#[doc = $doc:literal])* $variant:ident = $text:literal => $exit:ident;)*) => {
        /// A stable name for one kind of finding; see `docs/findings.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        pub enum FindingCode { $($(#[doc = $doc])* #[serde(rename = $text)] $variant,)* }

        impl FindingCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the stable text, such as `size-shrank`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Returns one sentence on what was found.
            pub fn description(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc,)*).trim_ascii(),)* }
            }

            /// Returns the exit code of a refusal for this reason.
            pub fn exit(self) -> ExitCode {
                match self { $(Self::$variant => ExitCode::$exit,)* }
            }
        }
    };
}

finding_codes! {
    /// A program, credential or privilege that a source needs is not there.
    PreflightFailed = "preflight-failed" => SnapshotFailed;
    /// A path of a source does not exist.
    PathMissing = "path-missing" => SnapshotFailed;
    /// A file or directory of a source could not be read.
    SourceUnreadable = "source-unreadable" => SnapshotFailed;
    /// A source could not be captured, and its retries are used up.
    SourceFailed = "source-failed" => SnapshotFailed;
    /// Something of this run was left on a server, or the server does not say.
    SessionLeft = "session-left" => SnapshotFailed;
    /// Something of this run was left on a server, and was ended there.
    SessionEnded = "session-ended" => SnapshotFailed;
    /// The program that would capture a source is older than its server, or cannot work with it.
    VersionMismatch = "version-mismatch" => SnapshotFailed;
    /// The user of a source may not read everything that a capture needs.
    PrivilegeMissing = "privilege-missing" => SnapshotFailed;
    /// The server of a source does not answer, or does not let its user in.
    ServerUnreachable = "server-unreachable" => SnapshotFailed;
    /// Tables are of a kind that no transaction covers: they may change while they are captured.
    NotTransactional = "not-transactional" => SnapshotFailed;
    /// There is no base backup that a restore point could count from.
    BaseBackupMissing = "base-backup-missing" => SnapshotFailed;
    /// The newest base backup is older than the configuration allows, or of another server or timeline.
    BaseBackupOld = "base-backup-old" => SnapshotFailed;
    /// A source is left to `holdpoint snapshot`: this run does not capture it.
    LeftToSnapshot = "left-to-snapshot" => SnapshotFailed;
    /// A database was found that no source captures.
    DatabaseUndeclared = "database-undeclared" => SnapshotFailed;
    /// The time that is left before the deadline may be too short for what there is to capture.
    MayNotFit = "may-not-fit" => SnapshotFailed;
    /// The older snapshot that stands in for a source is from before the last deploy.
    StandInBeforeDeploy = "stand-in-before-deploy" => PolicyRefused;
    /// No source has a snapshot: there would be nothing to go back to.
    NothingCaptured = "nothing-captured" => SnapshotFailed;
    /// A file changed while it was read, twice; its snapshot may hold a mixture.
    FileChanged = "file-changed" => SnapshotFailed;
    /// A file vanished between listing and reading.
    FileVanished = "file-vanished" => SnapshotFailed;
    /// The store cannot be reached, written, or has no room left.
    StoreFailed = "store-failed" => SnapshotFailed;
    /// What the snapshots need could not be kept from being deleted for as long as it has to be.
    LockFailed = "lock-failed" => SnapshotFailed;
    /// The store does not keep what is locked, although the configuration demands it.
    StoreNotImmutable = "store-not-immutable" => SnapshotFailed;
    /// The bucket locks by itself what has to be replaced and deleted all the time.
    StoreLocksEverything = "store-locks-everything" => SnapshotFailed;
    /// These credentials may lift locks of the mode governance.
    LockCanBeLifted = "lock-can-be-lifted" => SnapshotFailed;
    /// A copy could not be brought up to date.
    CopyFailed = "copy-failed" => SnapshotFailed;
    /// A copy would be lost together with the store.
    CopySameFailureDomain = "copy-same-failure-domain" => SnapshotFailed;
    /// The manifest or another record could not be written to the ledger.
    RecordFailed = "record-failed" => SnapshotFailed;
    /// The audit, or somebody who is to get its lines, did not take one.
    AuditFailed = "audit-failed" => SnapshotFailed;
    /// A webhook was not told what it should have been.
    WebhookFailed = "webhook-failed" => SnapshotFailed;
    /// A clock is wrong: this machine's, or the one that wrote the newest record.
    ClockSkew = "clock-skew" => SnapshotFailed;
    /// The deadline passed before the gate had its verdict.
    TimedOut = "timed-out" => DeadlinePassed;
    /// The run was cancelled by SIGINT.
    Interrupted = "interrupted" => Interrupted;
    /// The run was cancelled by SIGTERM.
    Terminated = "terminated" => Terminated;
    /// What was stored could not be read back, or is not what was written.
    ReadBackFailed = "read-back-failed" => Unverified;
    /// The repository is damaged: something that is needed is missing or altered.
    RepositoryDamaged = "repository-damaged" => Unverified;
    /// What is in a copy, or is to be copied, is not what it should be.
    CopyUnverified = "copy-unverified" => Unverified;
    /// The source's own integrity check refuses the copy.
    IntegrityFailed = "integrity-failed" => Unverified;
    /// The server is not the one that the last snapshot came from, or not the one that is expected.
    IdentityChanged = "identity-changed" => Unverified;
    /// The database has fewer tables than `expect.min_tables`, which is 1 unless given.
    BelowMinTables = "below-min-tables" => Unverified;
    /// A table has fewer rows than `expect.min_rows`, or is not in the snapshot.
    BelowMinRows = "below-min-rows" => Unverified;
    /// A table that had rows in the last comparable snapshot has none.
    TableEmptied = "table-emptied" => Unverified;
    /// The content of a dump is not what the server said, or its end is missing.
    ContentIncomplete = "content-incomplete" => Unverified;
    /// A stream ended without a single byte.
    StreamEmpty = "stream-empty" => Unverified;
    /// No file matched: the snapshot would hold nothing.
    NoFilesMatched = "no-files-matched" => Unverified;
    /// The snapshot is smaller than `expect.min_bytes`.
    BelowMinBytes = "below-min-bytes" => Unverified;
    /// The snapshot shrank by more than `expect.max_shrink` against the last comparable one.
    SizeShrank = "size-shrank" => Unverified;
    /// Reading back was switched off by the configuration.
    VerificationOff = "verification-off" => Unverified;
    /// Another run holds the lease of this environment.
    LeaseHeld = "lease-held" => Busy;
    /// The lease was lost to another run, or could not be renewed in time.
    LeaseLost = "lease-lost" => Busy;
    /// The lease of a dead run was taken over.
    LeaseTakenOver = "lease-taken-over" => Busy;
    /// The lock of a dead client was removed from the repository.
    StaleLockRemoved = "stale-lock-removed" => Busy;
    /// Another client holds an exclusive lock on the repository.
    RepositoryLocked = "repository-locked" => Busy;
    /// The configured probe gave no version.
    ProbeFailed = "probe-failed" => DeployedMismatch;
    /// No probe is configured and no version was given, so what is deployed is unknown.
    ProbeMissing = "probe-missing" => DeployedMismatch;
    /// The instances of the application do not agree on a version.
    InstancesDisagree = "instances-disagree" => DeployedMismatch;
    /// The version given by `--from` is not the one that the probe observed.
    FromMismatch = "from-mismatch" => DeployedMismatch;
    /// What is deployed is not what the ledger says was deployed last.
    DeployedUnrecorded = "deployed-unrecorded" => DeployedMismatch;
    /// The commit that the CI system names is not the HEAD of the working tree.
    CommitNotHead = "commit-not-head" => PolicyRefused;
    /// What changed between the deployed commit and the one to deploy is not all known.
    ChangesUnknown = "changes-unknown" => PolicyRefused;
    /// The bucket is in a region that `allowed_regions` does not name, or does not say in which.
    RegionNotAllowed = "region-not-allowed" => PolicyRefused;
    /// The version to deploy is the one that is deployed already.
    SameVersion = "same-version" => PolicyRefused;
    /// No signing key is configured, so the manifest is not signed.
    Unsigned = "unsigned" => PolicyRefused;
    /// No change window of the environment is open.
    OutsideWindow = "outside-window" => PolicyRefused;
    /// A blackout of the environment is on.
    Blackout = "blackout" => PolicyRefused;
    /// The gate and the deploy would not be done before the change window closes.
    WindowTooShort = "window-too-short" => PolicyRefused;
    /// There is less time before the deadline than the gate takes, by what it took before.
    DeadlineTooShort = "deadline-too-short" => PolicyRefused;
    /// The manifest must be signed, and no key signs it.
    RequireSigned = "require-signed" => PolicyRefused;
    /// A second, verified copy in another store is required, and there is none.
    RequireCopy = "require-copy" => PolicyRefused;
    /// What the snapshots need must be kept from being deleted, and is not.
    RequireImmutable = "require-immutable" => PolicyRefused;
    /// Every source must say who answers for it, and one does not.
    RequireOwner = "require-owner" => PolicyRefused;
    /// No database may be without a source, and one is.
    RequireCoverage = "require-coverage" => PolicyRefused;
    /// The working tree must be what the commit is, and differs from it.
    RequireCleanTree = "require-clean-tree" => PolicyRefused;
    /// The version's tag must be signed by a known key, and is not.
    RequireSignedTag = "require-signed-tag" => PolicyRefused;
    /// A change ticket must be named, and none is, or none of the form that is demanded.
    RequireTicket = "require-ticket" => PolicyRefused;
    /// Somebody other than who started the pipeline must approve, and nobody has yet.
    RequireApproval = "require-approval" => PolicyRefused;
    /// A drill must have passed not too long ago and in time, and none has.
    RequireDrill = "require-drill" => PolicyRefused;
    /// Somebody took it upon themselves to go on although something refused.
    Overridden = "overridden" => PolicyRefused;
    /// An override was asked for that the configuration does not allow.
    OverrideRefused = "override-refused" => PolicyRefused;
    /// The command that `guard` ran failed.
    CommandFailed = "command-failed" => CommandFailed;
    /// The environment is frozen.
    Frozen = "frozen" => Busy;
    /// A release was admitted, and nobody has yet said what became of its deployment.
    Claimed = "claimed" => Busy;
    /// Nothing is deployed into the environment any more.
    EnvironmentRetired = "environment-retired" => PolicyRefused;
    /// What is deployed is not what the gate observed, so the pass is about another state.
    FromChanged = "from-changed" => DeployedMismatch;
    /// The gate did not judge this commit and version in this environment.
    PassMissing = "pass-missing" => ManifestInvalid;
    /// The gate judged this release, and refused it.
    PassRefused = "pass-refused" => ManifestInvalid;
    /// The pass is for another commit.
    PassCommit = "pass-commit" => ManifestInvalid;
    /// The pass is for another version.
    PassVersion = "pass-version" => ManifestInvalid;
    /// The pass is for another environment or application.
    PassEnvironment = "pass-environment" => ManifestInvalid;
    /// The pass was made in another store than the one that is asked.
    PassStore = "pass-store" => ManifestInvalid;
    /// The pass has no signature.
    PassUnsigned = "pass-unsigned" => ManifestInvalid;
    /// The signature is not over these bytes: the manifest or the signature was altered.
    SignatureInvalid = "signature-invalid" => ManifestInvalid;
    /// The key that signed is not one that may.
    SignerUnknown = "signer-unknown" => ManifestInvalid;
    /// The allowed signers come from the checkout, which whoever is deployed can edit.
    SignersInCheckout = "signers-in-checkout" => ManifestInvalid;
    /// The pass is older than `pass_valid_for`.
    PassExpired = "pass-expired" => ManifestInvalid;
    /// The pass was made in the future of this machine's clock.
    PassFromFuture = "pass-from-future" => ManifestInvalid;
    /// The pass was used already.
    PassUsed = "pass-used" => ManifestInvalid;
    /// Another release was admitted since the pass was made.
    PassOvertaken = "pass-overtaken" => ManifestInvalid;
    /// A snapshot that the pass rests on is not in the store any more, or not whole.
    SnapshotGone = "snapshot-gone" => ManifestInvalid;
    /// The configuration is not the one that the gate ran with, or cannot be compared with it.
    ConfigChanged = "config-changed" => ManifestInvalid;
    /// What is deployed is not what the manifest of a rollback describes.
    DeployedMismatch = "deployed-mismatch" => DeployedMismatch;
    /// Nothing is configured that deploys the older version again.
    RedeployMissing = "redeploy-missing" => DeployedMismatch;
    /// No allowed signers are named, so nobody checked the signature of the manifest.
    SignatureUnchecked = "signature-unchecked" => ManifestInvalid;
    /// A rollback goes on without a snapshot of the present state.
    SafetySkipped = "safety-skipped" => PolicyRefused;
    /// A rollback issues no pass, so a deploy step that asks will be refused.
    RollbackPassMissing = "rollback-pass-missing" => ManifestInvalid;
    /// A source would be restored to something else than what was captured, or to nothing known.
    WrongTarget = "wrong-target" => RestoreFailed;
    /// A source cannot be restored by a rollback; a person has to.
    RestoreByHand = "restore-by-hand" => RestoreFailed;
    /// The server of a source is older than the one that was dumped, or of another product.
    ServerOlder = "server-older" => RestoreFailed;
    /// Nobody knows whether the server of a source is older than the one that was dumped.
    ServerVersionUnknown = "server-version-unknown" => RestoreFailed;
    /// The schema that the older application would find is not one that it runs on.
    SchemaNotAccepted = "schema-not-accepted" => RestoreFailed;
    /// Nobody knows whether the older application runs on the schema that it would find.
    SchemaUnknown = "schema-unknown" => RestoreFailed;
    /// A migration of a database broke off half-way.
    MigrationUnfinished = "migration-unfinished" => RestoreFailed;
    /// The way back that was asked for cannot be gone.
    WayImpossible = "way-impossible" => RestoreFailed;
    /// A source could not be restored in a drill, or not looked at afterwards.
    DrillRestoreFailed = "drill-restore-failed" => DrillFailed;
    /// What was restored in a drill is not what the manifest says of the snapshot.
    DrillContentDiffers = "drill-content-differs" => DrillFailed;
    /// A check of the configuration did not get the right answer from the restored data.
    DrillCheckFailed = "drill-check-failed" => DrillFailed;
    /// The restore and its checks took longer than the environment's `rto`.
    DrillRtoMissed = "drill-rto-missed" => DrillFailed;
    /// The restored data was older than the environment's `rpo` allows.
    DrillRpoMissed = "drill-rpo-missed" => DrillFailed;
    /// The place of a drill may be, or lead to, where the data came from.
    DrillNotIsolated = "drill-not-isolated" => DrillFailed;
    /// Something of a drill could not be removed, or had to be ended.
    DrillLeftBehind = "drill-left-behind" => DrillFailed;
    /// The password that was given to a drill does not open the repository.
    DrillPassword = "drill-password" => DrillFailed;
    /// The record that the ledger's newest release should be cannot be read.
    LedgerDamaged = "ledger-damaged" => ManifestInvalid;
    /// A line of the audit, or a record that it tells of, was removed or altered.
    AuditBroken = "audit-broken" => ManifestInvalid;
    /// The search for an earlier release ended before the oldest one, and what it looked for was not found.
    HistoryCut = "history-cut" => Unverified;
    /// Holdpoint failed in a way that nobody foresaw.
    InternalError = "internal-error" => Internal;
}

impl FindingCode {
    /// Says whether a message of this code may repeat what a program printed.
    fn quotes_a_program(self) -> bool {
        matches!(
            self,
            Self::PreflightFailed
                | Self::SourceFailed
                | Self::CommandFailed
                | Self::ProbeFailed
                | Self::IntegrityFailed
                | Self::DrillRestoreFailed
                | Self::DrillCheckFailed
                | Self::InternalError
        )
    }
}

impl fmt::Display for FindingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One fact that speaks for or against going on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Finding {
    /// The stable code.
    pub code: FindingCode,
    /// How much it weighs.
    pub level: Level,
    /// The source it is about, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What was found, in one sentence.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Finding {
    /// Creates a finding that blocks the deploy.
    pub fn refusal(code: FindingCode, message: impl Into<String>) -> Self {
        Self { code, level: Level::Refusal, source: None, message: message.into(), hint: None }
    }

    /// Creates a finding that is shown and does not block.
    pub fn warning(code: FindingCode, message: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::refusal(code, message) }
    }

    /// Creates a finding that is only worth knowing.
    pub fn info(code: FindingCode, message: impl Into<String>) -> Self {
        Self { level: Level::Info, ..Self::refusal(code, message) }
    }

    /// Names the source that the finding is about.
    #[must_use]
    pub fn of_source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns what was found, with the source that it is about.
    pub fn in_words(&self) -> String {
        match &self.source {
            Some(source) => format!("{source}: {}", self.message),
            None => self.message.clone(),
        }
    }

    /// Returns what was found without what a program printed, which may hold secrets: for those who are told elsewhere.
    pub fn without_quotes(&self) -> String {
        if !self.code.quotes_a_program() {
            return self.in_words();
        }
        let of = self.source.as_ref().map(|source| format!("{source}: ")).unwrap_or_default();
        format!("{of}{} (the log of the run says more)", self.code.description().trim_end_matches('.'))
    }

    /// Turns a refusal into a warning, for a source that is not required.
    #[must_use]
    pub fn softened(mut self) -> Self {
        self.level = self.level.min(Level::Warning);
        self
    }

    /// Turns an error that stopped one part of the gate into the refusal that it means for the verdict.
    ///
    /// `fallback` is the code for errors that name nothing more precise.
    pub fn from_error(error: &Error, fallback: FindingCode) -> Self {
        let code = match error.code() {
            ErrorCode::DeadlinePassed => FindingCode::TimedOut,
            ErrorCode::Interrupted => FindingCode::Interrupted,
            ErrorCode::Terminated => FindingCode::Terminated,
            ErrorCode::LeaseLost => FindingCode::LeaseLost,
            ErrorCode::Damaged | ErrorCode::ForeignRepository => FindingCode::RepositoryDamaged,
            ErrorCode::StoreFull | ErrorCode::StoreUnavailable | ErrorCode::NoRepository | ErrorCode::WrongPassword => {
                FindingCode::StoreFailed
            }
            ErrorCode::ObjectCold => FindingCode::ReadBackFailed,
            ErrorCode::ProbeFailed => FindingCode::ProbeFailed,
            ErrorCode::Internal => FindingCode::InternalError,
            _ => fallback,
        };
        let finding = Self::refusal(code, error.chain());
        match error.hints().first() {
            Some(hint) => finding.hint(hint.clone()),
            None => finding,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_described() {
        let texts: std::collections::HashSet<_> = FindingCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), FindingCode::ALL.len());
        for code in FindingCode::ALL {
            assert!(code.description().ends_with('.'), "{code}");
            assert_ne!(code.exit(), ExitCode::Pass, "{code}");
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }

    #[test]
    fn a_softened_refusal_does_not_block() {
        assert_eq!(Finding::refusal(FindingCode::SourceFailed, "x").softened().level, Level::Warning);
        assert_eq!(Finding::info(FindingCode::Unsigned, "x").softened().level, Level::Info);
    }
}
