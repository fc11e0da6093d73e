//! `[[source]]` of the kinds that are servers.

use super::keys::BASE_BACKUP;
use super::types::{
    BaseBackup, CONNECT_TIMEOUT, MongodbConfig, MysqlConfig, PostgresConfig, PostgresMethod, RedisConfig,
    RestorePointConfig, ServerConfig, SourceKind,
};
use super::walk::{Table, Value};
use std::time::Duration;

/// How old a base backup may be unless the file says otherwise: a day, and an hour for the run that makes the next.
const BASE_BACKUP_WITHIN: Duration = Duration::from_secs(25 * 60 * 60);

/// Keys of `kind = "postgres"` that belong to one method only.
const OF_METHODS: [(&str, &str); 5] = [
    ("jobs", "dump"),
    ("globals", "dump"),
    ("restore_command", "restore-point"),
    ("base_backup", "restore-point"),
    ("base_backup_within", "restore-point"),
];

/// Reads a source of one of the kinds that are servers.
pub(super) fn server(kind: &str, table: &Table<'_>) -> Option<SourceKind> {
    match kind {
        "postgres" => postgres(table).map(SourceKind::Postgres),
        "mysql" => Some(SourceKind::Mysql(MysqlConfig { kind: "mysql", server: with_programs(table)? })),
        "mariadb" => Some(SourceKind::Mysql(MysqlConfig { kind: "mariadb", server: with_programs(table)? })),
        "redis" => redis(table).map(SourceKind::Redis),
        _ => mongodb(table).map(SourceKind::Mongodb),
    }
}

fn with_programs(table: &Table<'_>) -> Option<ServerConfig> {
    let programs = table.get("programs").and_then(|value| value.path());
    let connect_timeout = connect_timeout(table);
    let schema_version_query = table.get("schema_version_query").and_then(|value| value.string());
    let url = table.get("url")?.text()?;
    Some(ServerConfig { url, programs, connect_timeout, schema_version_query })
}

fn connect_timeout(table: &Table<'_>) -> Duration {
    table.get("connect_timeout").and_then(|value| value.some_duration()).unwrap_or(CONNECT_TIMEOUT)
}

fn postgres(table: &Table<'_>) -> Option<PostgresConfig> {
    let server = with_programs(table);
    let methods = [("dump", "dump"), ("base-backup", "base-backup"), ("restore-point", "restore-point")];
    let method = match table.get("method") {
        None => "dump",
        Some(value) => value.choice(&methods)?,
    };
    for (name, of) in OF_METHODS {
        if let Some(value) = table.get(name).filter(|_| of != method) {
            value.mistake(format!("`{name}` belongs to method = \"{of}\", not to \"{method}\""));
        }
    }
    let method = match method {
        "dump" => PostgresMethod::Dump {
            jobs: table.get("jobs").and_then(|value| value.integer(1, 1024)).unwrap_or(1),
            globals: table.get("globals").and_then(|value| value.boolean()).unwrap_or(true),
        },
        "base-backup" => PostgresMethod::BaseBackup,
        _ => PostgresMethod::RestorePoint(restore_point(table)?),
    };
    Some(PostgresConfig { server: server?, method })
}

fn restore_point(table: &Table<'_>) -> Option<RestorePointConfig> {
    let base_backup_within =
        table.get("base_backup_within").and_then(|value| value.some_duration()).unwrap_or(BASE_BACKUP_WITHIN);
    let base_backup = needed(table, "base_backup").and_then(|value| base_backup(&value));
    let restore_command = needed(table, "restore_command").and_then(|value| {
        let command = value.arguments()?;
        let holds = |place: &str| command.iter().any(|argument| argument.contains(place));
        if !(holds("%f") && holds("%p")) {
            value.mistake("`restore_command` must hold %f, the name of a segment, and %p, where it goes");
        }
        Some(command)
    });
    Some(RestorePointConfig { restore_command: restore_command?, base_backup: base_backup?, base_backup_within })
}

/// Returns a key that a method cannot do without; its absence is noted.
fn needed<'a>(table: &Table<'a>, name: &'static str) -> Option<Value<'a>> {
    let value = table.get(name);
    if value.is_none() {
        table.walk.mistake(&table.at, format!("`{name}` is missing: method = \"restore-point\" needs it"));
    }
    value
}

fn base_backup(value: &Value<'_>) -> Option<BaseBackup> {
    let table = value.table(&BASE_BACKUP)?;
    let name = |key| table.get(key).and_then(|value| value.name()).map(str::to_owned);
    let given = [
        name("source").map(BaseBackup::Source),
        name("pgbackrest").map(BaseBackup::PgBackRest),
        name("barman").map(BaseBackup::Barman),
    ];
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(only), None) => Some(only),
        _ => {
            value.mistake("`base_backup` must have one of `source`, `pgbackrest` and `barman`");
            None
        }
    }
}

fn redis(table: &Table<'_>) -> Option<RedisConfig> {
    let connect_timeout = connect_timeout(table);
    let ca_file = table.get("ca_file").and_then(|value| value.path());
    Some(RedisConfig { url: table.get("url")?.text()?, connect_timeout, ca_file })
}

fn mongodb(table: &Table<'_>) -> Option<MongodbConfig> {
    let oplog = table.get("oplog").and_then(|value| value.boolean()).unwrap_or(false);
    Some(MongodbConfig { server: with_programs(table)?, oplog })
}
