//! The validated configuration: what the other rooms see.

use super::audit::AuditConfig;
use super::calendar::Calendar;
use super::overrides::OverrideConfig;
use super::policy::PolicyConfig;
use super::requirements::Requirement;
use super::retention::RetentionConfig;
use super::stores::StoreConfig;
use super::webhooks::WebhookConfig;
use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::{Purpose, VerifyMode};
use crate::model::version::Versioning;
use crate::model::way::WayKind;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A whole configuration; [`Config::default`] is the one of a run without a file.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The file it was read from.
    pub path: Option<PathBuf>,
    /// `sha256:` of the file's bytes; `None` without a file.
    pub digest: Option<String>,
    /// The application, if the file names it.
    pub application: Option<String>,
    /// How versions are read.
    pub versioning: Versioning,
    /// `[store]`.
    pub store: StoreConfig,
    /// `[gate]`.
    pub gate: GateConfig,
    /// `[[source]]`, in the order of the file; names are unique.
    pub sources: Vec<SourceConfig>,
    /// `[environment.NAME]`.
    pub environments: BTreeMap<String, EnvironmentConfig>,
    /// `[signing]`.
    pub signing: SigningConfig,
    /// `[[webhook]]`, in the order of the file; names are unique.
    pub webhooks: Vec<WebhookConfig>,
    /// `[[override]]`, in the order of the file.
    pub overrides: Vec<OverrideConfig>,
    /// `[policy]`.
    pub policy: PolicyConfig,
    /// `[audit]`.
    pub audit: AuditConfig,
    /// `[drill]`.
    pub drill: DrillConfig,
    /// `[retention]`.
    pub retention: RetentionConfig,
    /// `[discovery] ignore`: variables, services and folders that tell of databases which need no source.
    pub ignored_databases: Vec<String>,
}

impl Config {
    /// Returns the directory that relative paths count from: the file's, or the current one; not made absolute.
    pub fn directory(&self) -> PathBuf {
        match self.path.as_deref().and_then(Path::parent) {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        }
    }
}

/// A string of the configuration: written there, or named there and kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Text {
    /// The text itself.
    Plain(String),
    /// `{ env = "NAME" }`: the value of an environment variable; a secret.
    Env(String),
    /// `{ file = "PATH" }`: the content of a file without its final newline; a secret.
    File(PathBuf),
}

impl Text {
    /// Returns the text, read from where it is kept.
    ///
    /// # Errors
    /// `config`: the variable is not set, or the file cannot be read.
    pub fn resolve(&self) -> Result<String> {
        match self {
            Self::Plain(text) => Ok(text.clone()),
            Self::Env(name) => std::env::var(name).map_err(|_| {
                Error::new(ErrorCode::Config, format!("the environment variable {name} is not set"))
                    .hint(format!("the configuration takes a value from {name}: set it, or pass it to this step"))
            }),
            Self::File(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    Error::new(ErrorCode::Config, format!("cannot read {}", path.display())).caused_by(error)
                })?;
                Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
            }
        }
    }

    /// Says whether the text must not be shown.
    pub fn is_secret(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }
}

/// `[gate]`.
#[derive(Debug, Clone)]
pub struct GateConfig {
    /// The deadline of a whole run.
    pub timeout: Duration,
    /// What is read back.
    pub verify: VerifyMode,
    /// How often a transient failure is tried again.
    pub retry: Retry,
    /// How old a pass may be when the deploy step asks for it.
    pub pass_valid_for: Duration,
    /// How long a deploy may take before another one is admitted.
    pub claim_for: Duration,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(15 * 60),
            verify: VerifyMode::New,
            retry: Retry::default(),
            pass_valid_for: Duration::from_secs(60 * 60),
            claim_for: Duration::from_secs(2 * 60 * 60),
        }
    }
}

/// `[drill]`.
#[derive(Debug, Clone)]
pub struct DrillConfig {
    /// The deadline of a whole drill.
    pub timeout: Duration,
    /// `[[drill.check]]`, in the order of the file; names are unique.
    pub checks: Vec<DrillCheck>,
}

impl Default for DrillConfig {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(60 * 60), checks: Vec::new() }
    }
}

/// One `[[drill.check]]`: a question to the restored data, and the right answer.
#[derive(Debug, Clone)]
pub struct DrillCheck {
    /// Its name.
    pub name: String,
    /// The source that it looks at; `None` for one that looks at all of them.
    pub source: Option<String>,
    /// What is asked.
    pub question: Question,
    /// What is the right answer.
    pub expectation: Expectation,
    /// How long it may take.
    pub timeout: Duration,
    /// The environments whose drills ask; all of them if `None`.
    pub environments: Option<Vec<String>>,
}

/// What a check of a drill asks.
#[derive(Debug, Clone)]
pub enum Question {
    /// A query, asked of the restored database.
    Sql(String),
    /// A program, which is told by variables where the restored data is; what it prints is the answer.
    Command(Vec<String>),
}

/// The right answer to a check of a drill.
#[derive(Debug, Clone)]
pub enum Expectation {
    /// The program exits 0, whatever it prints.
    Success,
    /// This text, without white space around it.
    Exactly(String),
    /// A text in which this regular expression is found.
    Matches(regex::Regex),
    /// A number from `min` to `max`.
    Between {
        /// The least.
        min: Option<u32>,
        /// The most.
        max: Option<u32>,
    },
}

/// `[signing]`.
#[derive(Debug, Clone, Default)]
pub struct SigningConfig {
    /// The key that signs: the path of its file, or, where it is kept elsewhere, its path or its text.
    pub key_file: Option<Text>,
    /// The file of the keys that may have signed.
    pub allowed_signers: Option<PathBuf>,
}

/// `retry = { attempts = 3, backoff = "5s" }`.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// Tries in all, at least 1.
    pub attempts: u32,
    /// The pause before the second try; doubled before each later one.
    pub backoff: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 3, backoff: Duration::from_secs(5) }
    }
}

/// One `[[source]]`.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Its name, unique in the configuration.
    pub name: String,
    /// What it is.
    pub kind: SourceKind,
    /// Whether its failure refuses; true unless the file says otherwise.
    pub required: bool,
    /// In which runs it is captured.
    pub capture: CaptureIn,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Its place in the order of a restore.
    pub restore_order: Option<u32>,
    /// What its snapshot must look like.
    pub expect: Expect,
    /// The paths whose change makes `scope = "changed"` capture it, as lines of a `.gitignore`; always captured if `None`.
    pub when_changed: Option<Vec<String>>,
    /// The server on which a drill may make a database; without one it starts a server of its own.
    pub drill_server: Option<Text>,
}

/// `capture = "always"`: in which runs a source is captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureIn {
    /// `always`: by `holdpoint gate` and by `holdpoint snapshot`.
    Every,
    /// `gate`: before a deploy only, as a restore point unless the file says otherwise.
    Gate,
    /// `snapshot`: outside of a deploy only, such as a base backup that restore points lean on.
    Snapshot,
}

impl CaptureIn {
    /// Says whether a run for `purpose` captures the source.
    pub fn is_in(self, purpose: Purpose) -> bool {
        match self {
            Self::Every => true,
            Self::Gate => purpose == Purpose::Gate,
            Self::Snapshot => purpose == Purpose::Snapshot,
        }
    }
}

/// `expect = { min_bytes = "1MiB", max_shrink = "30%", min_rows = { orders = 1 } }`.
#[derive(Debug, Clone, Serialize)]
pub struct Expect {
    /// The least size in bytes.
    pub min_bytes: u64,
    /// How much smaller than the last comparable snapshot it may be, from 0 to 1; 0.5 unless the file says otherwise.
    pub max_shrink: f64,
    /// The least number of tables of a database; 1 unless the file says otherwise.
    pub min_tables: u64,
    /// The least number of rows by table, `schema.table` or a name that only one schema has.
    pub min_rows: BTreeMap<String, u64>,
    /// What the server must say of itself.
    pub identity: Option<String>,
}

impl Default for Expect {
    fn default() -> Self {
        Self { min_bytes: 0, max_shrink: 0.5, min_tables: 1, min_rows: BTreeMap::new(), identity: None }
    }
}

/// The kinds of sources and their settings.
#[derive(Debug, Clone, Serialize)]
pub enum SourceKind {
    /// Files and directories.
    Files(FilesConfig),
    /// The standard output of a program.
    Command(CommandConfig),
    /// SQLite databases.
    Sqlite(SqliteConfig),
    /// A PostgreSQL database or cluster.
    Postgres(PostgresConfig),
    /// A MySQL or MariaDB database.
    Mysql(MysqlConfig),
    /// A Redis server.
    Redis(RedisConfig),
    /// A MongoDB database or server.
    Mongodb(MongodbConfig),
}

impl SourceKind {
    /// Returns the name of the kind, as in `kind = "files"`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Files(_) => "files",
            Self::Command(_) => "command",
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
            Self::Mysql(mysql) => mysql.kind,
            Self::Redis(_) => "redis",
            Self::Mongodb(_) => "mongodb",
        }
    }
}

/// `kind = "files"`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FilesConfig {
    /// What to capture; relative paths count from the configuration's directory.
    pub paths: Vec<PathBuf>,
    /// Globs of what to leave out, with the meaning of a `.gitignore` line.
    pub exclude: Vec<String>,
    /// Leave out the content of directories with a valid `CACHEDIR.TAG`.
    pub exclude_caches: bool,
    /// Leave out files larger than this many bytes.
    pub exclude_larger_than: Option<u64>,
    /// Leave out what `.gitignore` files leave out.
    pub git_ignore: bool,
}

/// `kind = "command"`.
#[derive(Debug, Clone, Serialize)]
pub struct CommandConfig {
    /// The program and its arguments; its standard output is the snapshot.
    pub command: Vec<String>,
    /// The program that takes the snapshot on standard input to restore it.
    pub restore: Option<Vec<String>>,
    /// Variables that the programs get beside the scrubbed environment.
    pub env: BTreeMap<String, Text>,
    /// The working directory; the configuration's unless the file says otherwise.
    pub directory: Option<PathBuf>,
}

/// `kind = "sqlite"`.
#[derive(Debug, Clone, Serialize)]
pub struct SqliteConfig {
    /// The database file, or a glob of several.
    pub path: PathBuf,
    /// A query whose first value is the version of the schema.
    pub schema_version_query: Option<String>,
}

/// How long a server may take to answer before a capture, unless the file says otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How a server is reached, and by which programs.
#[derive(Debug, Clone, Serialize)]
pub struct ServerConfig {
    /// Its URL, with user and password.
    pub url: Text,
    /// The directory of the client programs; `PATH` is searched without it.
    pub programs: Option<PathBuf>,
    /// How long it may take to answer before a capture.
    pub connect_timeout: Duration,
    /// A query whose first value is the version of the schema.
    pub schema_version_query: Option<String>,
}

/// `kind = "postgres"`.
#[derive(Debug, Clone, Serialize)]
pub struct PostgresConfig {
    /// The server and database.
    pub server: ServerConfig,
    /// How it is captured.
    pub method: PostgresMethod,
}

/// How a PostgreSQL database is captured.
#[derive(Debug, Clone, Serialize)]
pub enum PostgresMethod {
    /// `dump`: one database, logically.
    Dump {
        /// How many tables are dumped at once; more than one needs scratch space for the whole dump.
        jobs: u32,
        /// Whether roles and other objects of the whole cluster are dumped, too.
        globals: bool,
    },
    /// `base-backup`: the files of the whole cluster.
    BaseBackup,
    /// `restore-point`: a named point in the log of a cluster that is archived anyway.
    RestorePoint(RestorePointConfig),
}

/// `method = "restore-point"`.
#[derive(Debug, Clone, Serialize)]
pub struct RestorePointConfig {
    /// The program and arguments that bring a segment of the log from the archive: `%f` is its name, `%p` where it goes.
    pub restore_command: Vec<String>,
    /// Where the base backup is.
    pub base_backup: BaseBackup,
    /// How old the base backup may be.
    pub base_backup_within: Duration,
}

/// The base backup that a restore point counts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum BaseBackup {
    /// The newest verified snapshot of another source, of the method `base-backup`.
    Source(String),
    /// The newest one of a pgBackRest stanza.
    PgBackRest(String),
    /// The newest one of a Barman server.
    Barman(String),
}

/// `kind = "mysql"` or `kind = "mariadb"`.
#[derive(Debug, Clone, Serialize)]
pub struct MysqlConfig {
    /// The kind as it was written.
    pub kind: &'static str,
    /// The server and database.
    pub server: ServerConfig,
}

/// `kind = "redis"`.
#[derive(Debug, Clone, Serialize)]
pub struct RedisConfig {
    /// The server, with the user of its access list and password.
    pub url: Text,
    /// How long it may take to answer before a capture.
    pub connect_timeout: Duration,
    /// The certificates that a server's may be signed by; the system's without it.
    pub ca_file: Option<PathBuf>,
}

/// `kind = "mongodb"`.
#[derive(Debug, Clone, Serialize)]
pub struct MongodbConfig {
    /// The server, replica set or database.
    pub server: ServerConfig,
    /// Whether what is written during the dump is captured, too, so that it is of one moment; only replica sets can.
    pub oplog: bool,
}

/// One `[environment.NAME]`.
#[derive(Debug, Clone, Default)]
pub struct EnvironmentConfig {
    /// Its tier, such as `critical`.
    pub tier: Option<String>,
    /// How old the data may be after a restore.
    pub rpo: Option<Duration>,
    /// How long a restore may take.
    pub rto: Option<Duration>,
    /// How the deployed version is observed.
    pub deployed: Option<ProbeConfig>,
    /// What a rollback runs.
    pub rollback: RollbackConfig,
    /// Whether nothing is deployed there any more.
    pub retired: bool,
    /// The copy that holds what a retired environment had.
    pub archive: Option<String>,
    /// When may be deployed into it, and by which clock.
    pub calendar: Calendar,
    /// How long a deploy takes, if the file says it.
    pub deploy_takes: Option<Duration>,
    /// What every release must have.
    pub require: BTreeSet<Requirement>,
    /// How old the last drill that passed may be.
    pub drill_within: Option<Duration>,
    /// The file of the keys that may approve.
    pub approvers: Option<PathBuf>,
    /// How many persons must approve; 1 unless the file says otherwise.
    pub approvals: Option<u32>,
    /// What the whole name of a ticket must match.
    pub ticket_pattern: Option<regex::Regex>,
}

/// `[environment.NAME.rollback]`: argument lists, run without a shell.
#[derive(Debug, Clone, Default)]
pub struct RollbackConfig {
    /// What stops the application.
    pub before: Vec<Vec<String>>,
    /// What deploys the older version.
    pub redeploy: Option<Vec<String>>,
    /// What starts the application.
    pub after: Vec<Vec<String>>,
    /// What takes the schema back to the older version's.
    pub down_migration: Option<Vec<String>>,
    /// Which way back is preferred, the first one most; empty: the usual order.
    pub prefer: Vec<WayKind>,
    /// How much the way that is recommended may lose, as the time in which it was written.
    pub max_loss: Option<Duration>,
    /// How long the way that is recommended may take.
    pub max_duration: Option<Duration>,
    /// On which versions of its schema, besides the snapshot's, the older version runs; by source.
    pub accepts_schema: BTreeMap<String, Vec<String>>,
}

/// `[environment.NAME.deployed]`.
#[derive(Debug, Clone)]
pub struct ProbeConfig {
    /// What is asked.
    pub target: ProbeTarget,
    /// Where in the answer the version is.
    pub version: Selector,
    /// Where in the answer the commit is, if it is there.
    pub commit: Option<Selector>,
    /// How long one instance may take to answer.
    pub timeout: Duration,
}

/// What a probe asks.
#[derive(Debug, Clone)]
pub enum ProbeTarget {
    /// `kind = "http"`: every URL is one instance.
    Http {
        /// The URLs.
        urls: Vec<Text>,
        /// Headers to send, such as a token.
        headers: BTreeMap<String, Text>,
    },
    /// `kind = "command"`: a program that prints the answer.
    Command {
        /// The program and its arguments.
        command: Vec<String>,
        /// Variables that it gets beside the scrubbed environment.
        env: BTreeMap<String, Text>,
    },
    /// `kind = "file"`: a file that holds the answer.
    File {
        /// The file.
        path: PathBuf,
    },
}

/// Where in an answer a value is.
#[derive(Debug, Clone)]
pub enum Selector {
    /// The whole answer, without white space around it.
    Whole,
    /// A JSON pointer (RFC 6901) into the body.
    Pointer(String),
    /// An HTTP response header.
    Header(String),
    /// The first capture group of a regular expression, or its whole match.
    Regex(regex::Regex),
}
