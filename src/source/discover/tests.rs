use super::*;
use crate::config::parse;
use std::fs;
use tempfile::TempDir;

fn tree(files: &[(&str, &str)]) -> TempDir {
    let top = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = top.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    top
}

fn environment<'a>(variables: &'a [(&str, &str)]) -> impl Iterator<Item = (String, String)> + 'a {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
}

fn seen(traces: &[Trace]) -> Vec<String> {
    traces.iter().map(|trace| format!("{} {}", trace.name, trace.kind.map_or("?", Kind::name))).collect()
}

/// The names of traces that a configuration does not account for.
fn missing(traces: &[Trace], configuration: &str, ignore: &[&str]) -> Vec<String> {
    let config = parse(configuration, Path::new("holdpoint.toml")).unwrap();
    let ignore: Vec<String> = ignore.iter().map(|&name| name.to_owned()).collect();
    let messages = undeclared(traces, &config.sources, &ignore).into_iter().map(|finding| finding.message);
    messages.map(|message| message.split(" tells of ").next().unwrap().to_owned()).collect()
}

#[test]
fn variables_tell_by_their_names() {
    for (name, expected) in [
        ("DATABASE_URL", Some((None, true))),
        ("SHOP_DB_URL", Some((None, true))),
        ("POSTGRES_HOST", Some((Some(Kind::Postgres), false))),
        ("POSTGRESQL_URI", Some((Some(Kind::Postgres), true))),
        ("PGHOST", Some((Some(Kind::Postgres), false))),
        ("PG_URL", Some((Some(Kind::Postgres), true))),
        ("MYSQL_SERVER", Some((Some(Kind::Mysql), false))),
        ("CACHE_REDIS_URL", Some((Some(Kind::Redis), true))),
        ("MONGODB_URI", Some((Some(Kind::Mongodb), true))),
        ("SENTRY_DSN", None),
        ("SHOP_URL", None),
        ("PGPASSWORD", None),
        ("POSTGRES_PASSWORD", None),
        ("UPGRADE_URL", None),
        ("DB_POOL", None),
    ] {
        let found = variables::classify(name).map(|variable| (variable.kind, variable.is_url));
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn traces_are_found_wherever_they_are() {
    let top = tree(&[
        (".env.example", "# DATABASE_URL=x\nexport ORDERS_DATABASE_URL=\nSECRET=hunter2\nREDIS_HOST=localhost\n"),
        (
            "compose.yml",
            "services:\n  web:\n    image: shop:1\n  db:\n    environment:\n      A: b\n    image: \"docker.io/library/postgres:16-alpine\" # the orders\n  cache:\n    image: redis\n",
        ),
        ("db/migrate/001_orders.rb", ""),
        ("migrations/.keep", ""),
    ]);
    fs::create_dir_all(top.path().join("alembic/versions")).unwrap();
    let variables =
        [("DATABASE_URL", "mysql://shop:hunter2@db/shop"), ("OTHER_DATABASE_URL", "sqlite:x"), ("HOME", "/")];
    let traces = discover_among(top.path(), environment(&variables));
    assert_eq!(
        seen(&traces),
        [
            "DATABASE_URL mysql",
            "ORDERS_DATABASE_URL ?",
            "REDIS_HOST redis",
            "cache redis",
            "db postgres",
            "db/migrate ?",
            "migrations ?"
        ]
    );
    assert!(!format!("{traces:?}").contains("hunter2"));
}

#[test]
fn only_what_no_source_captures_is_told() {
    let top = tree(&[("compose.yml", "services:\n  cache:\n    image: redis:7\n"), ("migrations/1.sql", "")]);
    let variables =
        [("DATABASE_URL", "postgres://u:p@db/shop"), ("REPORTS_DATABASE_URL", "postgres://other:hunter2@db2/reports")];
    let traces = discover_among(top.path(), environment(&variables));
    let all = [
        "the environment variable DATABASE_URL",
        "the environment variable REPORTS_DATABASE_URL",
        "the service cache in compose.yml (image redis:7)",
        "the migrations in migrations",
    ];
    assert_eq!(missing(&traces, "", &[]), all);

    let source = |kind: &str, rest: &str| format!("[[source]]\nname = \"{kind}\"\nkind = \"{kind}\"\n{rest}\n");
    let postgres = source("postgres", "url = \"postgres://someone@db/shop\"");
    assert_eq!(missing(&traces, &postgres, &[]), all[1..3]);
    assert_eq!(missing(&traces, &postgres, &["cache", "REPORTS_DATABASE_URL"]), [""; 0]);
    let redis = source("redis", "url = { env = \"NOT_SET_HERE\" }");
    assert_eq!(missing(&traces, &(postgres + &redis), &[]), all[1..2]);
    let program = source("command", "command = [\"/usr/bin/pg_dump\", \"shop\"]");
    assert_eq!(missing(&traces, &program, &[]), all[2..3]);
    assert_eq!(missing(&traces, &source("files", "paths = [\"a\"]"), &[]), all);
}
