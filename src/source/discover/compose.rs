//! Services of compose files whose images are databases.

use super::{Kind, read};
use regex::Regex;
use std::path::{Path, PathBuf};

/// Where compose files are.
const FILES: [&str; 7] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
    "docker-compose.prod.yml",
    "docker/docker-compose.yml",
    ".devcontainer/docker-compose.yml",
];

/// The last part of an image's name, without its tag, and the database in it.
const IMAGES: [(&str, Kind); 14] = [
    ("postgres", Kind::Postgres),
    ("postgresql", Kind::Postgres),
    ("postgis", Kind::Postgres),
    ("pgvector", Kind::Postgres),
    ("timescaledb", Kind::Postgres),
    ("mysql", Kind::Mysql),
    ("mysql-server", Kind::Mysql),
    ("mariadb", Kind::Mysql),
    ("percona", Kind::Mysql),
    ("redis", Kind::Redis),
    ("redis-stack-server", Kind::Redis),
    ("valkey", Kind::Redis),
    ("mongo", Kind::Mongodb),
    ("mongodb", Kind::Mongodb),
];

/// A service that is a database.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// The file it is in.
    pub file: PathBuf,
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// The database in the image.
    pub kind: Kind,
}

/// Finds the services of the compose files of a working tree.
///
/// Lines are looked at, not the YAML: anchors and merges change what a service gets, hardly ever which image it runs.
pub(super) fn services(top: &Path) -> Vec<Service> {
    FILES
        .iter()
        .flat_map(|file| read(top, Path::new(file)).map(|text| in_text(file, &text)).unwrap_or_default())
        .collect()
}

fn in_text(file: &str, text: &str) -> Vec<Service> {
    let (Ok(key), Ok(image)) =
        (Regex::new(r#"^( *)["']?([\w.-]+)["']?:\s*(#.*)?$"#), Regex::new(r#"^( *)image:\s*["']?([^"'\s#]+)"#))
    else {
        return Vec::new();
    };
    let mut above: Vec<(usize, String)> = Vec::new();
    let mut services = Vec::new();
    for line in text.lines() {
        if let Some(found) = key.captures(line) {
            let depth = found[1].len();
            above.retain(|(other, _)| *other < depth);
            above.push((depth, found[2].to_owned()));
        } else if let Some(found) = image.captures(line)
            && let Some(kind) = of_image(&found[2])
            && let Some((_, name)) = above.iter().rev().find(|(depth, _)| *depth < found[1].len())
        {
            services.push(Service { file: file.into(), name: name.clone(), image: found[2].to_owned(), kind });
        }
    }
    services
}

fn of_image(image: &str) -> Option<Kind> {
    let last = image.rsplit('/').next()?.split([':', '@']).next()?;
    IMAGES.iter().find(|(name, _)| *name == last).map(|(_, kind)| *kind)
}
