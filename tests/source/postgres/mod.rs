//! `kind = "postgres"`, `method = "dump"`, against real servers.

mod access;
mod content;
mod drill;
mod failures;
mod load;
mod look;
mod restore;
mod secrets;

use crate::gate::shop::Shop;
use crate::support::holdpoint::Output;
use crate::support::postgres::{Postgres, programs_15};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Some of everything that a dump must bring back.
const SCHEMA: &str = r#"
CREATE SCHEMA "Lager Süd";
CREATE EXTENSION hstore;
CREATE EXTENSION pgcrypto;
CREATE TYPE state AS ENUM ('offen', 'bezahlt', 'storniert');
CREATE DOMAIN cents AS bigint CHECK (VALUE >= 0);
CREATE TABLE customers (id serial PRIMARY KEY, name text NOT NULL UNIQUE, tags hstore, login bytea);
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer int NOT NULL REFERENCES customers ON DELETE CASCADE,
    state state NOT NULL DEFAULT 'offen', net cents NOT NULL,
    gross numeric GENERATED ALWAYS AS (net * 1.19) STORED,
    note text);
CREATE INDEX ON orders (state) WHERE state <> 'storniert';
CREATE TABLE "Lager Süd"."Regal.ä" (nr int, "Länge in cm" numeric, PRIMARY KEY (nr));
CREATE TABLE events (at timestamptz, what jsonb) PARTITION BY RANGE (at);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
CREATE VIEW unpaid AS SELECT c.name, sum(o.gross) FROM orders o JOIN customers c ON c.id = o.customer GROUP BY 1;
CREATE MATERIALIZED VIEW totals AS SELECT state, count(*) FROM orders GROUP BY 1;
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.note := coalesce(NEW.note, ''neu''); RETURN NEW; END';
CREATE TRIGGER stamp BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION stamp();
INSERT INTO customers (name, tags, login)
    SELECT 'Kundin ' || i || E'\täöü\n\\.', hstore('n', i::text), digest(i::text, 'sha256') FROM generate_series(1, 500) i;
INSERT INTO orders (customer, net, state) SELECT 1 + i % 500, i, (enum_range(NULL::state))[1 + i % 3] FROM generate_series(1, 3000) i;
INSERT INTO "Lager Süd"."Regal.ä" SELECT i, i / 7.0 FROM generate_series(1, 50) i;
INSERT INTO events SELECT '2026-02-01'::timestamptz + i * interval '1 hour', jsonb_build_object('n', i) FROM generate_series(1, 100) i;
INSERT INTO alembic_version VALUES ('ae1027a6acf');
REFRESH MATERIALIZED VIEW totals;
SELECT lo_from_bytea(0, convert_to('Rechnung', 'UTF8')), lo_from_bytea(0, sha256(generate_series::text::bytea)) FROM generate_series(1, 3);
SELECT nextval('customers_id_seq');
"#;

/// What a server says of every table, sequence, large object and definition of a database.
const EVERYTHING: &str = "
SELECT 'rows', format('%I.%I', n.nspname, c.relname),
       (xpath('//md5/text()', query_to_xml(format('SELECT md5(string_agg(t::text, E''\\n'' ORDER BY t::text)) FROM %I.%I t',
                                                  n.nspname, c.relname), false, true, '')))[1]::text
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'm', 'v') AND n.nspname !~ '^(pg_|information_schema)'
UNION ALL SELECT 'sequence', format('%I.%I', schemaname, sequencename), last_value::text FROM pg_sequences
UNION ALL SELECT 'large object', oid::text, md5(lo_get(oid)) FROM pg_largeobject_metadata
UNION ALL SELECT 'column', attrelid::regclass || '.' || attname, concat(format_type(atttypid, atttypmod), attgenerated, attidentity)
  FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
 WHERE attnum > 0 AND relkind IN ('r', 'p', 'm', 'v') AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
UNION ALL SELECT 'constraint', conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid) FROM pg_constraint
 WHERE connamespace::regnamespace::text !~ '^(pg_|information_schema)'
UNION ALL SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
 JOIN pg_class ON oid = indexrelid WHERE relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'function', p.oid::regprocedure::text, md5(prosrc) FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT 'enum', enumtypid::regtype || ' ' || enumlabel, enumsortorder::text FROM pg_enum
UNION ALL SELECT 'extension', extname, extversion FROM pg_extension
ORDER BY 1, 2";

/// Returns everything about a database, as its server says it.
fn everything(server: &Postgres, database: &str) -> Vec<String> {
    server.psql(database, EVERYTHING).lines().map(str::to_owned).collect()
}

/// Makes a working tree whose only source is the database at a URL, which is given as a secret.
fn shop(url: &str, settings: &str) -> Shop {
    shop_with(url, &programs_15(), settings)
}

/// As [`shop`], with client programs of a directory.
fn shop_with(url: &str, programs: &Path, settings: &str) -> Shop {
    Shop::with(&format!(
        "[gate]\nretry = {{ attempts = 1 }}\n\n[[source]]\nname = \"orders\"\nkind = \"postgres\"\n\
         url = {{ env = \"DATABASE_URL\" }}\nprograms = \"{}\"\n{settings}\n",
        programs.display()
    ))
    .env("DATABASE_URL", url)
}

/// Runs `restore` of the source.
fn restore(shop: &Shop, more: &[&str]) -> Output {
    let arguments = ["restore", "orders", "--environment", "staging"];
    shop.holdpoint.run(arguments.iter().chain(more))
}

/// Fills a directory with scripts in front of the programs of version 15; `pg_dump` does what `script` says, in which
/// `$BIN` is the directory of the real ones.
fn wrappers(directory: &Path, script: &str) {
    fs::create_dir_all(directory).unwrap();
    for program in ["pg_dump", "pg_dumpall", "pg_restore"] {
        let bin = programs_15().display().to_string();
        let script = if program == "pg_dump" { script } else { "exec \"$BIN/${0##*/}\" \"$@\"" };
        let version = "case $1 in --version) exec \"$BIN/${0##*/}\" --version;; esac";
        let path = directory.join(program);
        fs::write(&path, format!("#!/bin/sh\nBIN={bin}\n{version}\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}
