//! moto, which plays AWS: for what only AWS has.

use crate::support::environment::command;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;
use std::time::Duration;
use tempfile::TempDir;

/// Where `scripts/test` installs it.
const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/test-tools/moto");

/// A running moto; killed when dropped.
pub(super) struct Process {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Process {
    pub(super) fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = File::create(folder.path().join("log")).unwrap();
        let mut server = command("python3", folder.path());
        if Path::new(PACKAGES).exists() {
            server.env("PYTHONPATH", PACKAGES);
        }
        server.args(["-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", &port.to_string()]);
        let process = server.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut server = Self { process, port, folder };
        if server.answers() {
            return server;
        }
        let log = std::fs::read_to_string(server.folder.path().join("log")).unwrap();
        // Another process may have been quicker to take the port.
        assert!(log.contains("in use"), "moto did not start:\n{log}");
        Self::start()
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Waits until the server answers; returns false if it ended, as when another process was quicker to take the port.
    fn answers(&mut self) -> bool {
        while self.process.try_wait().unwrap().is_none() {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail once it was waited for, and then nothing is left to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
