//! A PostgreSQL server of a drill's own: on a socket in a private directory, and nowhere else.

use super::super::connect::{Connection, Why};
use super::super::endpoint::Endpoint;
use crate::error::{ErrorCode, Result};
use crate::process::{Program, run_to_end};
use crate::source::Context;
use crate::source::throwaway::{Home, Launch, OwnServer};
use crate::source::write::failed;
use percent_encoding::utf8_percent_encode;
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The accounts that the server runs as if this process is root's.
pub(super) const ACCOUNTS: [&str; 1] = ["postgres"];
/// The superuser of a cluster that is made for a drill.
pub(super) const SUPERUSER: &str = "holdpoint";
/// The number in the name of the socket; no port is listened on.
const PORT: u16 = 5432;
/// How long it may take to make an empty cluster.
const INIT_WITHIN: Duration = Duration::from_secs(600);
/// The most that is read of what `initdb` prints, in bytes.
const MOST: u64 = 1 << 20;
/// How long the server may take to let somebody in who knocks.
const KNOCK: Duration = Duration::from_secs(10);
/// At once (PostgreSQL's documentation, "Shutting Down the Server"): what is thrown away needs no checkpoint, and a run
/// that is cancelled has no time for one.
const STOP: &[(Signal, Duration)] = &[(Signal::QUIT, Duration::from_secs(2))];

/// What every server of ours has, whatever its own configuration says.
const SETTINGS: [&str; 24] = [
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "port=5432",
    "ssl=off",
    // It is thrown away: nothing need outlast a crash.
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    // Nothing goes out: no log, no replication, no work of its own.
    "archive_mode=off",
    "archive_command=",
    "primary_conninfo=",
    "recovery_end_command=",
    "archive_cleanup_command=",
    "max_logical_replication_workers=0",
    "hot_standby=off",
    "autovacuum=off",
    "shared_preload_libraries=",
    "session_preload_libraries=",
    "local_preload_libraries=",
    // A machine for drills need not be set up as the origin is.
    "huge_pages=off",
    // As many as any server may have had.
    "max_prepared_transactions=10000",
    // What it says is kept by whoever started it.
    "logging_collector=off",
    "log_destination=stderr",
    "lc_messages=C",
    "external_pid_file=",
];

/// Where a server of ours has its files.
#[derive(Debug)]
pub(super) struct Place {
    pub home: Home,
    /// The data directory, empty at first.
    pub data: PathBuf,
    /// The directory of the socket and of the configuration.
    run: PathBuf,
    socket: PathBuf,
}

impl Place {
    /// Makes the directories in a private one.
    ///
    /// # Errors
    /// `restore-failed`: there is no account to run as, or the path is too long for a socket.
    pub(super) fn new(directory: &Path) -> Result<Self> {
        let home = Home::new(directory, &ACCOUNTS)?;
        let run = home.folder("run")?;
        let socket = home.socket(&run, &format!(".s.PGSQL.{PORT}"))?;
        let data = home.folder("data")?;
        for (name, content) in
            [("postgresql.conf", ""), ("pg_hba.conf", "local all all trust\n"), ("pg_ident.conf", "")]
        {
            let path = run.join(name);
            std::fs::write(&path, content)
                .and_then(|()| home.give(&path))
                .map_err(|error| failed(format!("cannot write {}", path.display())).caused_by(error))?;
        }
        Ok(Self { home, data, run, socket })
    }

    /// Makes an empty cluster with the programs in `programs`.
    ///
    /// # Errors
    /// `restore-failed`, with what `initdb` said; the reason of a cancellation.
    pub(super) fn init(&self, programs: &Path, context: &Context) -> Result<()> {
        let user = format!("--username={SUPERUSER}");
        let data = format!("--pgdata={}", self.data.display());
        let initdb = programs.join("initdb").display().to_string();
        let arguments = ["--encoding=UTF8", "--no-locale", "--no-sync", "--auth=trust", &user, &data];
        let mut program = Program::new([initdb.as_str()].into_iter().chain(arguments));
        program.directory = Some(self.data.clone());
        program.env.insert("LC_ALL".to_owned(), "C".to_owned());
        let program = self.home.run_as_account(program);
        let done = run_to_end(&program, INIT_WITHIN, &context.cancel, MOST).and_then(|output| output.into_stdout());
        done.map(drop).map_err(|error| match error.is_cancelled() {
            true => error,
            false => error.under(ErrorCode::RestoreFailed, "no cluster can be made for a throw-away server"),
        })
    }

    /// Returns the URL of a database for a user, by the socket.
    pub(super) fn url(&self, user: &str, database: &str) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, super::ESCAPED).to_string();
        let socket = encoded(&self.run.display().to_string());
        format!("postgresql://{}@{socket}:{PORT}/{}", encoded(user), encoded(database))
    }

    /// Starts the server program `postgres` on the data directory, and waits until it lets one of `users` in; returns the
    /// endpoint of that user, too.
    ///
    /// # Errors
    /// `restore-failed`: it does not start, or knows none of them; the reason of a cancellation.
    pub(super) fn start(
        &self,
        what: &str,
        postgres: &Path,
        users: &[String],
        context: &Context,
    ) -> Result<(OwnServer, String)> {
        let mut program =
            Program::new([postgres.display().to_string(), "-D".to_owned(), self.data.display().to_string()]);
        let file = |name: &str| self.run.join(name).display().to_string();
        let own = [
            format!("config_file={}", file("postgresql.conf")),
            format!("hba_file={}", file("pg_hba.conf")),
            format!("ident_file={}", file("pg_ident.conf")),
            format!("unix_socket_directories={}", self.run.display()),
        ];
        let settings = SETTINGS.iter().map(|setting| (*setting).to_owned()).chain(own);
        program.argv.extend(settings.flat_map(|setting| ["-c".to_owned(), setting]));
        program.directory = Some(self.data.clone());
        program.env.insert("LC_ALL".to_owned(), "C".to_owned());
        let user = std::cell::RefCell::new(None);
        let is_ready = || {
            for one in users {
                let endpoint = Endpoint::parse(&self.url(one, super::super::endpoint::MAINTENANCE), KNOCK)?;
                match Connection::open_within(&endpoint, context, &context.cancel, KNOCK) {
                    Ok(_) => {
                        *user.borrow_mut() = Some(one.clone());
                        return Ok(true);
                    }
                    Err(refusal) if matches!(refusal.why, Why::NobodyThere | Why::NotNow) => return Ok(false),
                    Err(refusal) if refusal.error.is_cancelled() => return Err(refusal.error),
                    Err(_) => {}
                }
            }
            Err(failed(format!("{what} knows none of the users {}", users.join(", "))))
        };
        let launch =
            Launch { what: what.to_owned(), program, socket: self.socket.clone(), stop: STOP, is_ready: &is_ready };
        let server = OwnServer::start(&self.home, launch, context)?;
        Ok((server, user.into_inner().unwrap_or_default()))
    }
}
