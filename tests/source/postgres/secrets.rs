//! No password is where others can see it.

use super::{restore, shop_with};
use crate::support::postgres::{PASSWORD, Postgres, programs_15};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Puts scripts in front of every program that is used, which note their arguments in `log`.
fn recorders(directory: &Path, log: &Path) {
    fs::create_dir_all(directory).unwrap();
    for program in ["pg_dump", "pg_dumpall", "pg_restore"] {
        let real = programs_15().join(program);
        let path = directory.join(program);
        let script = format!("#!/bin/sh\necho \"$0 $*\" >> {}\nexec {} \"$@\"\n", log.display(), real.display());
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Returns the command lines of all processes of this machine.
fn command_lines() -> Vec<u8> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes.flat_map(|process| fs::read(process.path().join("cmdline")).unwrap_or_default()).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Returns the files below a directory that hold a text.
fn files_with(directory: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_with(&path, text));
        } else if holds(&fs::read(&path).unwrap(), text) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn no_password_shows_in_arguments_or_anything_written() {
    let server = Postgres::start();
    server.create("shop", "CREATE TABLE orders AS SELECT generate_series(1, 100000) AS id");
    let log = tempfile::NamedTempFile::new().unwrap();
    let programs = tempfile::TempDir::new().unwrap();
    recorders(programs.path(), log.path());
    let shop = shop_with(&server.url("shop"), programs.path(), "");
    let done = AtomicBool::new(false);
    let (seen, outputs) = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut seen = false;
            while !done.load(Ordering::SeqCst) {
                seen |= holds(&command_lines(), PASSWORD);
            }
            seen
        });
        let mut outputs = vec![shop.gate(&["--html-out", "page.html"]).expect(0)];
        server.psql("shop", "DROP TABLE orders");
        outputs.push(restore(&shop, &[]).expect(0));
        // One that fails has more to say.
        server.psql("postgres", &format!("ALTER ROLE postgres PASSWORD 'x{PASSWORD}'"));
        outputs.push(shop.gate(&["-v", "--html-out", "failed.html"]).expect(10));
        done.store(true, Ordering::SeqCst);
        (sampler.join().unwrap(), outputs)
    });
    assert!(!seen, "the password was in a command line");
    let arguments = fs::read_to_string(log.path()).unwrap();
    for program in ["pg_dump ", "pg_dumpall ", "pg_restore "] {
        assert!(arguments.contains(program), "{program} did not run: {arguments}");
    }
    assert!(!arguments.contains(PASSWORD), "{arguments}");
    for output in outputs {
        assert!(!output.stderr.contains(PASSWORD) && !output.stdout.contains(PASSWORD), "{output:?}");
    }
    assert_eq!(files_with(&shop.path(""), PASSWORD), [""; 0]);
}
