//! Databases that leave traces: variables of the environment, compose files, `.env` files, folders of migrations.
//!
//! Only names are looked at, and of a variable in the environment the address that its URL holds; nothing is connected to.

mod compose;
mod migrations;
mod sqlite;
mod variables;

use super::address::Address;
use crate::config::{SourceConfig, SourceKind};
use crate::model::finding::{Finding, FindingCode};
use std::path::{Path, PathBuf};
use variables::Variable;

pub use sqlite::sqlite_databases;

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// PostgreSQL.
    Postgres,
    /// MySQL or MariaDB.
    Mysql,
    /// Redis, or what speaks its protocol.
    Redis,
    /// MongoDB.
    Mongodb,
}

impl Kind {
    /// Returns the kind as the configuration names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
            Self::Mongodb => "mongodb",
        }
    }

    /// Returns the kind that a URL of this scheme names.
    fn of_scheme(scheme: &str) -> Option<Self> {
        match scheme {
            "postgres" | "postgresql" => Some(Self::Postgres),
            "mysql" | "mysql2" | "mariadb" => Some(Self::Mysql),
            "redis" | "rediss" => Some(Self::Redis),
            "mongodb" | "mongodb+srv" => Some(Self::Mongodb),
            _ => None,
        }
    }
}

/// Something that tells of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// What it is called by `[discovery] ignore`: a variable, a service, a folder.
    pub name: String,
    /// Where it was seen, in words.
    pub seen: String,
    /// The kind, where it can be told.
    pub kind: Option<Kind>,
    /// The variable that holds the URL, if one does.
    pub variable: Option<String>,
    /// Where the server is, if the variable is set.
    address: Option<Address>,
}

/// Looks for traces in a working tree and among the variables of this process; sorted by name, each name once.
pub fn discover(top: &Path) -> Vec<Trace> {
    // Variables whose name or value is not UTF-8 are no URLs.
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    discover_among(top, variables)
}

/// [`discover`] with variables of one's own.
fn discover_among(top: &Path, environment: impl Iterator<Item = (String, String)>) -> Vec<Trace> {
    let mut traces: Vec<Trace> = environment.filter_map(|(name, value)| of_environment(name, &value)).collect();
    traces.extend(variables::in_files(top).into_iter().map(|(file, variable)| of_file(&file, variable)));
    traces.extend(compose::services(top).into_iter().map(|service| Trace {
        seen: format!("the service {} in {} (image {})", service.name, service.file.display(), service.image),
        kind: Some(service.kind),
        name: service.name,
        variable: None,
        address: None,
    }));
    traces.extend(migrations::folders(top).into_iter().map(|folder| Trace {
        seen: format!("the migrations in {}", folder.display()),
        name: folder.display().to_string(),
        kind: None,
        variable: None,
        address: None,
    }));
    // What the environment says comes first: it knows more than a file that names the same variable.
    traces.sort_by(|one, two| one.name.cmp(&two.name));
    traces.dedup_by(|later, earlier| later.name == earlier.name);
    traces
}

fn of_environment(name: String, value: &str) -> Option<Trace> {
    let variable = variables::classify(&name)?;
    let scheme = value.split_once("://").map(|(scheme, _)| scheme);
    let kind = variable.kind.or_else(|| scheme.and_then(Kind::of_scheme))?;
    let address = scheme.and_then(|scheme| Address::parse(value, &[scheme]).ok());
    Some(Trace {
        seen: format!("the environment variable {name}"),
        kind: Some(kind),
        variable: scheme.map(|_| name.clone()),
        name,
        address,
    })
}

fn of_file(file: &Path, variable: Variable) -> Trace {
    Trace {
        seen: format!("{} in {}", variable.name, file.display()),
        kind: variable.kind,
        variable: variable.is_url.then(|| variable.name.clone()),
        name: variable.name,
        address: None,
    }
}

/// Returns a warning for every trace that no source accounts for and that `ignore` does not name.
pub fn undeclared(traces: &[Trace], sources: &[SourceConfig], ignore: &[String]) -> Vec<Finding> {
    let declared: Vec<_> = sources.iter().filter_map(Declared::of).collect();
    let missing = traces.iter().filter(|trace| !ignore.contains(&trace.name));
    let missing = missing.filter(|trace| !declared.iter().any(|source| source.accounts_for(trace)));
    let finding = |trace: &Trace| {
        let what = trace.kind.map_or("a database", Kind::name);
        Finding::warning(
            FindingCode::DatabaseUndeclared,
            format!("{} tells of {what}, which no source captures", trace.seen),
        )
        .hint(format!(
            "declare a [[source]] for it, or say that it needs none: [discovery] ignore = [{:?}]",
            trace.name
        ))
    };
    missing.map(finding).collect()
}

/// What a configured source captures, as far as it is a database.
struct Declared {
    /// `None`: a database of a kind that leaves no traces of its own, such as SQLite.
    kind: Option<Kind>,
    variable: Option<String>,
    address: Option<Address>,
}

impl Declared {
    fn of(source: &SourceConfig) -> Option<Self> {
        use crate::config::Text;
        let (kind, url) = match &source.kind {
            SourceKind::Postgres(postgres) => (Kind::Postgres, &postgres.server.url),
            SourceKind::Mysql(mysql) => (Kind::Mysql, &mysql.server.url),
            SourceKind::Redis(redis) => (Kind::Redis, &redis.url),
            SourceKind::Mongodb(mongodb) => (Kind::Mongodb, &mongodb.server.url),
            SourceKind::Command(command) => {
                let kind = command.command.iter().find_map(|argument| of_program(argument))?;
                return Some(Self { kind: Some(kind), variable: None, address: None });
            }
            SourceKind::Sqlite(_) => return Some(Self { kind: None, variable: None, address: None }),
            SourceKind::Files(_) => return None,
        };
        let variable = match url {
            Text::Env(name) => Some(name.clone()),
            Text::Plain(_) | Text::File(_) => None,
        };
        let resolved = url.resolve().ok();
        let address = resolved.and_then(|text| {
            let scheme = text.split_once("://")?.0.to_owned();
            Address::parse(&text, &[&scheme]).ok()
        });
        Some(Self { kind: Some(kind), variable, address })
    }

    fn accounts_for(&self, trace: &Trace) -> bool {
        if self.variable.is_some() && self.variable == trace.variable {
            return true;
        }
        match (trace.kind, &trace.address, &self.address) {
            // Migrations are of some database, and this is one.
            (None, _, _) => true,
            (kind, _, _) if kind != self.kind => false,
            // Two addresses can be compared; whatever else is of the kind is given the benefit of the doubt.
            (_, Some(trace), Some(own)) => {
                (&trace.host, trace.port, &trace.database) == (&own.host, own.port, &own.database)
            }
            _ => true,
        }
    }
}

/// Returns the kind of database that a program dumps.
fn of_program(argument: &str) -> Option<Kind> {
    match Path::new(argument).file_name()?.to_str()? {
        "pg_dump" | "pg_dumpall" | "pg_basebackup" => Some(Kind::Postgres),
        "mysqldump" | "mariadb-dump" | "mariabackup" | "mariadb-backup" | "xtrabackup" => Some(Kind::Mysql),
        "redis-cli" => Some(Kind::Redis),
        "mongodump" => Some(Kind::Mongodb),
        _ => None,
    }
}

/// Reads a small text file below `top`; nothing if it is not there or not such a file.
fn read(top: &Path, path: &Path) -> Option<String> {
    const LARGEST: u64 = 1 << 20;
    let path: PathBuf = top.join(path);
    let small = path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= LARGEST);
    small.then(|| std::fs::read_to_string(path).ok()).flatten()
}

#[cfg(test)]
mod tests;
