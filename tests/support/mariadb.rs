//! A MariaDB server of a test's own, and a proxy in front of it that cuts connections.

use super::environment::{command, must};
use super::wait;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// Who dumps and restores in tests; the password would break out of every quotation that is done wrong.
pub const USER: &str = "holdpoint";
const PASSWORD: &str = "s3cr3t\"'\\ #";
const PASSWORD_IN_URL: &str = "s3cr3t%22%27%5C%20%23";
/// What of the password must not be seen anywhere, however it is quoted.
pub const TELLTALE: &str = "s3cr3t";

/// A server on a free port; killed when dropped.
pub struct MariaDb {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl MariaDb {
    /// Starts an empty server with a binary log. Its user may do everything until grants are taken away.
    pub fn start() -> Self {
        let folder = TempDir::new().unwrap();
        for name in ["data", "tmp"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { folder, port, child: None };
        let mut install = server.program("mariadb-install-db", &["--no-defaults"]);
        install.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=8M"]);
        // Several at once would use the same names in a common directory.
        install.env("TMPDIR", server.folder.path().join("tmp"));
        must(install.arg(server.option("datadir", "data")).args(as_root()));
        server.run();
        server
            .sql(&format!("CREATE USER {USER}@'%' IDENTIFIED BY {}; GRANT ALL ON *.* TO {USER}@'%'", quoted(PASSWORD)));
        server
    }

    /// Starts the server, again if need be, and waits until it answers.
    pub fn run(&mut self) {
        let mut command = self.program("mariadbd", &["--no-defaults"]);
        command.args(as_root()).arg(format!("--port={}", self.port));
        for (name, file) in [("datadir", "data"), ("tmpdir", "tmp"), ("socket", "s"), ("pid-file", "pid")] {
            command.arg(self.option(name, file));
        }
        command.args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--log-bin=bin", "--server-id=1"]);
        command.args([
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=16M",
            "--innodb-log-file-size=8M",
        ]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let (said, log) = (child.stderr.take().unwrap(), self.folder.path().join("log"));
        self.child = Some(child);
        let is_ready = wait::for_words(said, &log, "ready for connections");
        assert!(is_ready, "mariadbd ended:\n{}", std::fs::read_to_string(&log).unwrap_or_default());
    }

    /// Kills the server at once.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Returns the URL of a database for the user of the tests.
    pub fn url(&self, database: &str) -> String {
        self.url_at(self.port, database)
    }

    /// Returns the same by way of another port.
    pub fn url_at(&self, port: u16, database: &str) -> String {
        format!("mariadb://{USER}:{PASSWORD_IN_URL}@127.0.0.1:{port}/{database}")
    }

    /// Returns the path of its socket, by which root gets in.
    pub fn socket(&self) -> String {
        self.folder.path().join("s").display().to_string()
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Runs statements as root and returns what they print: rows by lines, columns by tabs.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        must(&mut self.client(&["--batch", "--skip-column-names", "--binary-mode", &format!("--execute={sql}")]))
    }

    /// Gives the user of the tests these privileges and no others.
    pub fn only(&self, grants: &[&str]) {
        let user = format!("{USER}@'%'");
        let mut sql = format!("CREATE OR REPLACE USER {user} IDENTIFIED BY {}", quoted(PASSWORD));
        for grant in grants {
            sql += &format!("; GRANT {grant} TO {user}");
        }
        self.sql(&sql);
    }

    /// Runs a script as root, which may change the delimiter.
    #[track_caller]
    pub fn feed(&self, script: &str) {
        let mut child = self.client(&["--batch"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "the script failed");
    }

    /// Opens a session of root's that runs what it is fed.
    pub fn session(&self, database: &str) -> Session {
        let mut command = self.client(&["--batch", "--skip-column-names", "--unbuffered", "--database", database]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Session { child, input: Some(input), output }
    }

    /// Returns the sessions of the user of the tests: id, state and statement of each.
    pub fn sessions(&self) -> Vec<String> {
        let sql = format!("SELECT id, state, info FROM information_schema.processlist WHERE user = '{USER}'");
        self.sql(&sql).lines().map(str::to_owned).collect()
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = self.program("mariadb", &["--no-defaults", "--user=root", "--default-character-set=utf8mb4"]);
        command.arg(self.option("socket", "s")).args(arguments);
        command
    }

    fn program(&self, name: &str, arguments: &[&str]) -> Command {
        let path = find(name);
        let mut command = command(path, self.folder.path());
        command.args(arguments);
        command
    }

    fn option(&self, name: &str, file: &str) -> String {
        format!("--{name}={}", self.folder.path().join(file).display())
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A session that runs statements one after another; ended when dropped.
pub struct Session {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Session {
    /// Runs statements without waiting for them.
    pub fn send(&mut self, sql: &str) {
        writeln!(self.input.as_mut().unwrap(), "{sql};").unwrap();
    }

    /// Runs statements that print one line, and waits for it.
    pub fn ask(&mut self, sql: &str) -> String {
        self.send(sql);
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.input.take());
        // Both fail only once it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes connections on to a server, and cuts them when told to.
pub struct Proxy {
    address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    /// Listens on a free port.
    pub fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::<Mutex<Vec<TcpStream>>>::default();
        let kept = Arc::clone(&open);
        // Ends with the process: it holds nothing but the port.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(server)) else { continue };
                kept.lock().unwrap().push(client.try_clone().unwrap());
                pass_on(client.try_clone().unwrap(), server.try_clone().unwrap());
                pass_on(server, client);
            }
        });
        Self { address, open }
    }

    /// Returns its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Cuts every connection to the client's side only: the server learns of it when it next has something to say.
    pub fn cut(&self) {
        for client in self.open.lock().unwrap().drain(..) {
            // One that is closed already is cut.
            let _ = client.shutdown(Shutdown::Both);
        }
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

/// Writes a program `name` into `directory` that runs a shell script; `$REAL` is the real program.
pub fn wrap(directory: &Path, name: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(directory).unwrap();
    let path = directory.join(name);
    std::fs::write(&path, format!("#!/bin/sh\nREAL={}\n{script}\n", find(name).display())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Kills the processes of a run that run a program of this name.
pub fn kill_children(name: &str, processes: &[String]) {
    for line in processes.iter().filter(|line| line.contains(name)) {
        let pid = line.trim_start_matches("/proc/").split(':').next().unwrap().parse().unwrap();
        // It may have ended meanwhile.
        let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
    }
}

fn find(name: &str) -> PathBuf {
    let places = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];
    let found = places.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is not installed: scripts/test installs it"))
}

/// Returns the option that the server needs to run as root, who runs tests in containers.
fn as_root() -> Option<&'static str> {
    rustix::process::geteuid().is_root().then_some("--user=root")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
