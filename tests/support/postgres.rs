//! PostgreSQL servers on free ports of loopback, in a directory of their own; gone when dropped, or when the tests die.

use super::environment::must;
use super::wait;
use std::fs;
use std::io::{BufRead, BufReader, Seek, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use tempfile::TempDir;

/// The superuser's password, which it needs over TCP; on the socket nobody needs one.
pub const PASSWORD: &str = "s3cret-of-postgres";

/// Where Debian has the programs of version 15.
const DEBIAN: &str = "/usr/lib/postgresql/15/bin";
/// What a server must be like to be quick, and to be asked anything by the tests.
const SETTINGS: [&str; 5] = [
    "fsync=off",
    "shared_buffers=32MB",
    "max_connections=40",
    "listen_addresses=127.0.0.1",
    "log_min_messages=warning",
];

/// What runs of holdpoint may leave: sessions of a database, and replication slots.
const LEFT: &str = "SELECT datname, pid, state, query FROM pg_stat_activity WHERE application_name LIKE 'holdpoint-%' \
    UNION ALL SELECT 'slot', active_pid, slot_type, slot_name FROM pg_replication_slots";

/// Holds a server as long as somebody holds its standard input, so that none outlives a test that is killed.
const KEEPER: &str = r#"
start() { "$BIN/postgres" -D "$FOLDER/data" "$@" >>"$FOLDER/log" 2>&1 & server=$!; }
end() { kill -"$1" $server; wait $server; }
start "$@"
while read -r word; do
    case $word in
        start) start "$@" ;;
        *) end "$word" ;;
    esac
    echo done
done
end QUIT
rm -rf "$FOLDER"
"#;

/// A server.
pub struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    keeper: Child,
    pipes: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
}

impl Postgres {
    /// Starts a server of version 15.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server of version 15 with more settings (`name=value`).
    pub fn start_with(settings: &[&str]) -> Self {
        Self::start_from(programs_15(), settings)
    }

    /// Starts a server of version 16.
    pub fn start_16() -> Self {
        Self::start_from(programs_16(), &[])
    }

    /// Returns a server of version 15 that the tests of this process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a server of version 15 on a data directory, which is moved away, with more settings.
    pub fn of(data: &Path, settings: &[&str]) -> Self {
        let folder = folder();
        fs::rename(data, folder.join("data")).unwrap();
        Self::serve(programs_15(), folder, settings)
    }

    fn start_from(programs: PathBuf, settings: &[&str]) -> Self {
        let folder = folder();
        fs::write(folder.join("password"), PASSWORD).unwrap();
        let data = folder.join("data");
        let mut initdb = as_server_user(programs.join("initdb"));
        initdb.args(["--no-sync", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=trust"]);
        initdb.arg("--pwfile").arg(folder.join("password")).arg("--pgdata").arg(&data);
        must(initdb.current_dir(&folder));
        let access = "local all all trust\nlocal replication all trust\n\
            host all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n";
        fs::write(data.join("pg_hba.conf"), access).unwrap();
        Self::serve(programs, folder, settings)
    }

    fn serve(programs: PathBuf, folder: PathBuf, settings: &[&str]) -> Self {
        let port = free_port();
        let mut keeper = as_server_user("sh");
        keeper.args(["-c", KEEPER, "sh", "-p", &port.to_string(), "-k"]).arg(&folder);
        keeper.args(SETTINGS.iter().chain(settings).flat_map(|setting| ["-c", setting]));
        keeper.env("BIN", &programs).env("FOLDER", &folder).current_dir(&folder);
        let mut keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let pipes = (keeper.stdin.take().unwrap(), BufReader::new(keeper.stdout.take().unwrap()));
        let server = Self { programs, folder, port, keeper, pipes: Mutex::new(Some(pipes)) };
        server.wait_until_ready();
        server
    }

    /// Returns the URL of a database for the superuser.
    pub fn url(&self, database: &str) -> String {
        self.url_of("postgres", PASSWORD, database)
    }

    /// Returns the URL of a database for a user, over TCP.
    pub fn url_of(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Returns the URL of a database for the superuser by the socket, without a password.
    pub fn socket_url(&self, database: &str) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{folder}:{}/{database}", self.port)
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the directory of the programs of this version.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// Returns the directory of the cluster, which belongs to the server's user.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Returns a client program of the server's version that talks to a database as the superuser, by the socket.
    pub fn client(&self, program: &str, database: &str) -> Command {
        let mut command = clean(self.programs.join(program));
        command.env("PGHOST", &self.folder).env("PGPORT", self.port.to_string());
        command.env("PGUSER", "postgres").env("PGDATABASE", database).current_dir("/");
        command
    }

    /// Runs a client program of the server's version with nothing but these variables; returns what it prints.
    #[track_caller]
    pub fn outside(&self, program: &str, variables: &[(String, String)], arguments: &[&str]) -> String {
        let mut command = clean(self.programs.join(program));
        must(command.current_dir("/").envs(variables.iter().cloned()).args(arguments)).trim_end().to_owned()
    }

    /// Holds a session in a database until it is dropped.
    pub fn hold(&self, database: &str) -> Session {
        let mut psql = self.client("psql", database);
        let mut child = psql.arg("-XAtq").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        writeln!(child.stdin.as_mut().unwrap(), "SELECT 'in';").unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "in\n");
        Session(child)
    }

    /// Returns a program that runs beside the server, as the server's user.
    pub fn beside(&self, program: &str) -> Command {
        let mut command = as_server_user(program);
        command.current_dir(&self.folder);
        command
    }

    /// Runs SQL as the superuser; returns the values, separated by `|`, a line for each row.
    #[track_caller]
    pub fn psql(&self, database: &str, sql: &str) -> String {
        // By standard input: others see arguments, and some tests look for passwords there.
        let mut input = tempfile::tempfile().unwrap();
        input.write_all(sql.as_bytes()).unwrap();
        input.rewind().unwrap();
        let mut psql = self.client("psql", database);
        must(psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "-"]).stdin(input)).trim_end().to_owned()
    }

    /// Creates a database and runs SQL in it.
    #[track_caller]
    pub fn create(&self, database: &str, sql: &str) -> &Self {
        self.psql("postgres", &format!("CREATE DATABASE \"{database}\""));
        self.psql(database, sql);
        self
    }

    /// Fills a database with pgbench's tables.
    pub fn pgbench(&self, database: &str, scale: u32) -> &Self {
        let mut pgbench = self.client("pgbench", database);
        must(pgbench.args(["--initialize", "--quiet", "--scale", &scale.to_string()]));
        self
    }

    /// Returns what runs of holdpoint have left: sessions and replication slots.
    pub fn left(&self) -> String {
        self.psql("postgres", LEFT)
    }

    /// Returns the sessions that runs of holdpoint have left in one database of a server that tests share.
    pub fn left_in(&self, database: &str) -> String {
        let left = self.psql("postgres", LEFT);
        left.lines().filter(|line| line.starts_with(&format!("{database}|"))).collect::<Vec<_>>().join("\n")
    }

    /// Makes a file private to the user of the servers.
    pub fn give_to_server(path: &Path) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        if let Some(user) = server_user() {
            chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        }
    }

    /// Stops the server as a crash would: no session is told, nothing is written any more.
    pub fn stop(&self) {
        self.tell("QUIT");
    }

    /// Starts a stopped server again.
    pub fn restart(&mut self) {
        // What it said before is not about this start.
        fs::write(self.folder.join("log"), "").unwrap();
        self.tell("start");
        self.wait_until_ready();
    }

    fn tell(&self, word: &str) {
        let mut pipes = self.pipes.lock().unwrap();
        let (stdin, stdout) = pipes.as_mut().unwrap();
        writeln!(stdin, "{word}").unwrap();
        stdout.read_line(&mut String::new()).unwrap();
    }

    /// Waits until the server says in its lock file that it is ready; the format is that of PostgreSQL's `pidfile.h`.
    fn wait_until_ready(&self) {
        let is_ready = || {
            let text = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
            text.lines().nth(7).is_some_and(|line| line.trim() == "ready")
        };
        let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let happened = || is_ready() || log().contains("FATAL");
        let has_happened = wait::for_change(&[&self.folder, &self.data()], self.keeper.id(), happened);
        assert!(has_happened && is_ready(), "the server does not start:\n{}", log());
    }
}

/// A session that is ended when dropped.
pub struct Session(Child);

impl Drop for Session {
    fn drop(&mut self) {
        // Both fail only once it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The keeper ends the server at the end of its input, and removes the directory.
        drop(self.pipes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
        let _ = self.keeper.wait();
    }
}

/// Returns the directory of the programs of version 15.
#[track_caller]
pub fn programs_15() -> PathBuf {
    let programs = PathBuf::from(DEBIAN);
    assert!(programs.join("postgres").is_file(), "there is no PostgreSQL 15 in {DEBIAN}: scripts/test installs it");
    programs
}

/// Returns the directory of the programs of version 16.
#[track_caller]
pub fn programs_16() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-tools/postgres16/pgserver/pginstall/bin");
    let programs = std::env::var_os("HOLDPOINT_TEST_POSTGRES16").map_or_else(default, PathBuf::from);
    let shown = programs.display();
    assert!(programs.join("postgres").is_file(), "there is no PostgreSQL 16 in {shown}: scripts/test installs it");
    programs
}

/// Makes the directory of a server, which belongs to its user.
fn folder() -> PathBuf {
    let folder = TempDir::new().unwrap().keep();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    if let Some(user) = server_user() {
        chown(&folder, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    }
    folder
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Returns the user that servers run as if the tests run as root, which PostgreSQL refuses; `None` if they do not.
fn server_user() -> Option<nix::unistd::User> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let find = |name| nix::unistd::User::from_name(name).unwrap();
    Some(find("postgres").or_else(|| find("nobody")).expect("a user for servers"))
}

fn as_server_user(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let Some(user) = server_user() else { return clean(program) };
    let mut command = clean("setpriv");
    command.args(["--reuid", &user.name, "--regid", &user.gid.to_string(), "--clear-groups", "--"]);
    command.arg(program);
    command
}

/// Returns a program with nothing of the caller's environment but `PATH`.
fn clean(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LANG", "C.UTF-8").env("TZ", "UTC").stdin(Stdio::null());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

#[test]
fn a_server_is_stopped_and_started_and_leaves_nothing() {
    let mut server = Postgres::start();
    server.create("shop", "CREATE TABLE orders AS SELECT generate_series(1, 10) AS id");
    server.stop();
    server.restart();
    assert_eq!(server.psql("shop", "SELECT count(*) FROM orders"), "10");
    assert_eq!(server.left(), "");
    let folder = server.folder.clone();
    drop(server);
    assert!(!folder.exists());
}
