//! The map of the house in `src/lib.rs` is true: no file reaches into a room that its own room may not import.

mod lexer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Who may import whom: room → rooms.
type Map = BTreeMap<String, BTreeSet<String>>;

/// Reads the table of rooms in the documentation of `src/lib.rs`.
fn map_of(lib: &str) -> Map {
    let mut map = Map::new();
    let mut everywhere = BTreeSet::new();
    for line in lib.lines().filter_map(|line| line.strip_prefix("//! |")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [rooms, _, may, ..] = cells[..] else { continue };
        let rooms = in_backticks(rooms);
        let above: BTreeSet<String> = map.keys().cloned().collect();
        let mut may_import: BTreeSet<String> = match may {
            "all" | "all above" => above,
            "each other" => rooms.iter().cloned().collect(),
            _ => in_backticks(may).into_iter().collect(),
        };
        if may == "each other" {
            // The one such row is the vocabulary of the house, which every room may import.
            everywhere.clone_from(&may_import);
        }
        may_import.extend(everywhere.iter().cloned());
        map.extend(rooms.into_iter().map(|room| (room, may_import.clone())));
    }
    map
}

fn in_backticks(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Returns what one file imports that it may not, one sentence each.
fn forbidden(map: &Map, path: &Path, text: &str) -> Vec<String> {
    let module: Vec<_> = path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let module = module.strip_suffix(&["mod".to_owned()]).unwrap_or(&module);
    let Some(room) = module.first() else { return Vec::new() };
    let Some(may_import) = map.get(room) else {
        return vec![format!("src/{}: the room {room} is not in the table of src/lib.rs", path.display())];
    };
    let imported = lexer::paths_from_the_root(text, module.len());
    imported
        .into_iter()
        .filter(|(name, _)| name != room && !may_import.contains(name))
        .map(|(name, line)| format!("src/{}:{line}: {room} may not import {name}", path.display()))
        .collect()
}

/// Returns every Rust file below `src/` that is not a test, relative to it.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.file_stem().is_some_and(|stem| stem == "tests") {
                continue;
            } else if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn no_arrow_is_forbidden() {
    let map = map_of(&read("src/lib.rs"));
    let mut faults = Vec::new();
    for path in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        if path.as_os_str() != "lib.rs" && path.as_os_str() != "main.rs" {
            faults.extend(forbidden(&map, &path, &read(Path::new("src").join(&path))));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_room_is_in_the_table_and_every_row_is_a_room() {
    let lib = read("src/lib.rs");
    let modules: BTreeSet<_> =
        lib.lines().filter_map(|line| Some(line.strip_prefix("pub mod ")?.strip_suffix(';')?.to_owned())).collect();
    assert_eq!(map_of(&lib).into_keys().collect::<BTreeSet<_>>(), modules);
}

#[test]
fn the_table_is_read_as_it_is_meant() {
    let map = map_of(&read("src/lib.rs"));
    assert!(map["model"].contains("error") && !map["model"].contains("storage"));
    assert!(map["repository"].contains("storage") && !map["repository"].contains("gate"));
    assert!(!map["source"].contains("storage") && !map["source"].contains("repository"));
    assert!(map["gate"].contains("policy") && !map["gate"].contains("report"));
    assert!(map["cli"].contains("report") && map["cli"].contains("gate"));
    assert!(map["process"].contains("cancel") && !map["process"].contains("model"));
}

#[test]
fn a_planted_arrow_is_found() {
    let map = map_of(&read("src/lib.rs"));
    let found = |path: &str, text: &str| forbidden(&map, Path::new(path), text).len();
    assert_eq!(found("model/verdict.rs", "use crate::storage::Storage;"), 1);
    assert_eq!(found("model/verdict.rs", "use crate::{error::Error, storage::{local::Local, Storage}, gate};"), 2);
    assert_eq!(found("model/verdict.rs", "fn f() { crate::gate::run() }"), 1);
    assert_eq!(found("model/verdict.rs", "use super::super::gate::run;"), 1);
    assert_eq!(found("model/mod.rs", "use super::gate;"), 1);
    assert_eq!(found("model/verdict.rs", "use super::finding::Finding; use super::super::error::Error;"), 0);
    assert_eq!(found("model/verdict.rs", "use crate::*;"), 1);
    assert_eq!(found("model/verdict.rs", "use crate as c;"), 1);
    assert_eq!(found("cellar/mod.rs", ""), 1);
    assert_eq!(found("source/files.rs", "use crate :: \n repository::Id;"), 1);
    assert_eq!(found("source/files.rs", "pub(crate) fn f() { r#\"crate::gate\"#; \"crate::gate\"; 'a'; '\"'; }"), 0);
    assert_eq!(found("source/files.rs", "// crate::gate\n/* /* crate::gate */ crate::gate */ fn f<'a>() {}"), 0);
    let tests = "#[cfg(test)]\nmod tests { use crate::gate; fn f() { if true {} } }\nuse crate::report;";
    assert_eq!(found("source/files.rs", tests), 1);
    assert_eq!(found("source/files.rs", "#[cfg(test)] mod tests;\nuse crate::report;"), 1);
    assert_eq!(found("source/files.rs", "#[cfg(test)] use crate::gate;\nuse crate::report;"), 1);
}
