//! Ceph's gateway, started by `scripts/ceph-rgw`.

use crate::support::environment::command;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use tempfile::TempDir;

/// The daemons of one gateway.
pub(super) struct Daemons {
    script: Child,
    folder: TempDir,
}

/// Starts a gateway; returns its endpoint, and what keeps it running.
pub(super) fn start() -> (String, Option<Daemons>) {
    let folder = TempDir::new().unwrap();
    let mut script = command(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/ceph-rgw"), folder.path());
    // The script ends its daemons as soon as nobody holds the other end of this pipe.
    script.arg(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut script = script.spawn().unwrap();
    let mut endpoint = String::new();
    BufReader::new(script.stdout.take().unwrap()).read_line(&mut endpoint).unwrap();
    let daemons = Daemons { script, folder };
    assert!(!endpoint.is_empty(), "scripts/ceph-rgw did not start:\n{}", daemons.output());
    (endpoint.trim_end().to_owned(), Some(daemons))
}

impl Daemons {
    fn output(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("output")).unwrap_or_default()
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        // Its directory may be removed only once nobody writes there.
        let _ = self.script.wait();
    }
}
