//! SQLite databases among the files of a working tree.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// How deep databases are looked for.
const DEPTH: usize = 3;
/// Directories whose content is made by a build.
const SKIPPED: [&str; 3] = ["target", "node_modules", "vendor"];

/// Finds SQLite databases by their first bytes, sorted, relative to `top`; what cannot be read is passed over: this is a
/// look around, not a capture.
pub fn sqlite_databases(top: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    look(top, Path::new(""), DEPTH, &mut found);
    found.sort();
    found
}

fn look(top: &Path, below: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(top.join(below)) else { return };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let name = entry.file_name();
        let path = below.join(&name);
        let hidden = name.to_string_lossy().starts_with('.');
        if kind.is_dir() && depth > 1 && !hidden && !SKIPPED.iter().any(|skip| name == *skip) {
            look(top, &path, depth - 1, found);
        } else if kind.is_file() && is_sqlite(&top.join(&path)) {
            found.push(path);
        }
    }
}

fn is_sqlite(path: &Path) -> bool {
    let mut header = [0; 16];
    File::open(path).and_then(|mut file| file.read_exact(&mut header)).is_ok() && &header == b"SQLite format 3\0"
}
