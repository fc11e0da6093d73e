//! Variables whose names tell of a database, in the environment and in `.env` files.

use super::{Kind, read};
use std::path::{Path, PathBuf};

/// A variable that tells of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    /// Its name.
    pub name: String,
    /// The kind of database, if the name tells it.
    pub kind: Option<Kind>,
    /// Whether it holds a whole URL.
    pub is_url: bool,
}

/// Parts of names, and what they tell; the first that fits counts.
const KINDS: [(&str, Kind); 6] = [
    ("POSTGRES", Kind::Postgres),
    ("PG", Kind::Postgres),
    ("MYSQL", Kind::Mysql),
    ("MARIADB", Kind::Mysql),
    ("REDIS", Kind::Redis),
    ("MONGO", Kind::Mongodb),
];

/// Returns what the name of a variable tells of a database: `DATABASE_URL`, `SHOP_POSTGRES_HOST`, `PGHOST`, `MONGODB_URI`.
pub(super) fn classify(name: &str) -> Option<Variable> {
    let upper = name.to_ascii_uppercase();
    let words: Vec<&str> = upper.split('_').collect();
    let is_url = matches!(words.last(), Some(&"URL" | &"URI" | &"DSN"));
    let is_place = is_url || matches!(words.last(), Some(&"HOST" | &"HOSTNAME" | &"SERVER"));
    if upper == "PGHOST" || upper == "PGSERVICE" {
        return Some(Variable { name: name.to_owned(), kind: Some(Kind::Postgres), is_url: false });
    }
    let kind = words.iter().find_map(|word| {
        // `PG` alone is a word of its own; `MONGODB` and `POSTGRESQL` begin with theirs.
        KINDS.iter().find(|(part, _)| word == part || (part.len() > 2 && word.starts_with(part))).map(|(_, kind)| *kind)
    });
    let is_database = is_url && words.iter().any(|word| matches!(*word, "DATABASE" | "DB" | "JDBC" | "SQLALCHEMY"));
    ((kind.is_some() && is_place) || is_database).then(|| Variable { name: name.to_owned(), kind, is_url })
}

/// Returns the variables that files such as `.env` and `.env.example` at the top of a working tree name, with the file.
pub(super) fn in_files(top: &Path) -> Vec<(PathBuf, Variable)> {
    let Ok(entries) = std::fs::read_dir(top) else { return Vec::new() };
    let is_env = |name: &str| name == ".env" || name.starts_with(".env.") || name.ends_with(".env");
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.file_name().into()).collect();
    files.retain(|file| file.to_str().is_some_and(is_env));
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let Some(text) = read(top, &file) else { continue };
        let names = text.lines().filter_map(|line| {
            let line = line.trim_start();
            let line = line.strip_prefix("export ").unwrap_or(line);
            let (name, _) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
            classify(name.trim())
        });
        found.extend(names.map(|variable| (file.clone(), variable)));
    }
    found
}
