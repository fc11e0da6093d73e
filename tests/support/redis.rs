//! Throw-away Redis servers, each in a directory of its own on a free port of loopback.

use super::environment::command;
use super::wait;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{PipeReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A server; it is killed when dropped.
pub struct RedisServer {
    process: Child,
    port: u16,
    folder: TempDir,
    /// What `redis-cli` is given to be let in.
    access: Vec<String>,
}

impl RedisServer {
    /// Starts a server that keeps nothing on disk.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts a server with more options, such as `--requirepass`.
    pub fn with(options: &[&str]) -> Self {
        Self::start_as(options, &[])
    }

    /// Starts a server with more options; `access` is what `redis-cli` needs to be let in.
    pub fn start_as(options: &[&str], access: &[&str]) -> Self {
        let mut folder = TempDir::new().unwrap();
        let mut access: Vec<_> = access.iter().map(|&argument| argument.to_owned()).collect();
        loop {
            let port = free_port();
            let (process, said) = spawn(&folder, port, options);
            let server = Self { process, port, folder, access };
            if wait::for_words(said, &server.path("log"), "eady to accept connections") {
                return server;
            }
            // Another process was quicker to take the port.
            let log = std::fs::read_to_string(server.path("log")).unwrap_or_default();
            assert!(log.contains("Address already in use"), "redis-server did not start:\n{log}");
            (folder, access) = server.into_parts();
        }
    }

    fn into_parts(mut self) -> (TempDir, Vec<String>) {
        let folder = std::mem::replace(&mut self.folder, TempDir::new().unwrap());
        (folder, std::mem::take(&mut self.access))
    }

    /// Returns its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns its URL without a user.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Returns a path in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns `redis-cli` on the server's socket, which is not slowed by any proxy and needs no TLS.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut cli = command("redis-cli", self.folder.path());
        cli.arg("-s").arg(self.path("socket")).args(&self.access).args(arguments);
        cli
    }

    /// Gives one command, which the server must not refuse; returns what it answers.
    #[track_caller]
    pub fn ask(&self, words: &[&str]) -> String {
        let output = self.command(&[&["-e"], words].concat()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        assert!(output.status.success(), "{words:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// Gives commands, one on each line, quoted as `redis-cli` has it; none may be refused.
    #[track_caller]
    pub fn tell(&self, commands: &str) {
        let mut cli = self.command(&[]);
        let mut child = cli.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let text = commands.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let refused: Vec<_> =
            said.lines().filter(|line| line.starts_with("ERR") || line.starts_with("(error)")).collect();
        assert!(output.status.success() && refused.is_empty(), "{refused:?}");
    }

    /// Returns what sums up the content of every database, as the server computes it.
    pub fn digest(&self) -> String {
        self.ask(&["DEBUG", "DIGEST"])
    }

    /// Returns the names of the connections to the server, but for that of `redis-cli`.
    pub fn clients(&self) -> Vec<String> {
        let list = self.ask(&["CLIENT", "LIST"]);
        let others = list.lines().filter(|line| !line.contains("cmd=client|list"));
        others.map(str::to_owned).collect()
    }

    /// Sends the server a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Kills the server, and waits until it is gone.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // Both fail once it was waited for, and then nothing is left to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts a server; also returns what it says.
fn spawn(folder: &TempDir, port: u16, options: &[&str]) -> (Child, PipeReader) {
    let mut server = command("redis-server", folder.path());
    let (said, log) = std::io::pipe().unwrap();
    server.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--databases", "16"]);
    server.arg("--dir").arg(folder.path()).arg("--unixsocket").arg(folder.path().join("socket"));
    // A capture need not wait for other replicas to come.
    server.args(["--repl-diskless-sync-delay", "0", "--enable-debug-command", "yes"]).args(options);
    server.stdout(log.try_clone().unwrap()).stderr(log);
    // The ends that this process holds of the pipe go with the command.
    (server.spawn().expect("redis-server must be installed: scripts/test does that"), said)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
