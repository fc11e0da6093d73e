//! moto, which plays AWS: for what only AWS has.

use crate::support::environment::command;
use crate::support::wait;
use std::net::TcpListener;
use std::path::Path;
use std::process::Child;
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
        let (said, output) = std::io::pipe().unwrap();
        let mut server = command("python3", folder.path());
        if Path::new(PACKAGES).exists() {
            server.env("PYTHONPATH", PACKAGES);
        }
        server.args(["-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", &port.to_string()]);
        let process = server.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        // It holds our ends of the pipe.
        drop(server);
        let server = Self { process, port, folder };
        let log = server.folder.path().join("log");
        if wait::for_words(said, &log, "Running on") {
            return server;
        }
        let log = std::fs::read_to_string(log).unwrap();
        // Another process may have been quicker to take the port.
        assert!(log.contains("in use"), "moto did not start:\n{log}");
        Self::start()
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail once it was waited for, and then nothing is left to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
