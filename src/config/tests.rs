//! The configuration as its writers meet it: what is taken, and what each mistake gets.

use super::load::parse_with;
use super::*;
use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::{Severity, VerifyMode};
use crate::model::version::Versioning;
use crate::model::way::WayKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

mod hostile;
mod keys;
mod mistakes;
mod template;
mod windows;

const WHOLE: &str = include_str!("tests/whole.toml");

fn read(text: &str) -> Result<Config> {
    parse_with(text, Path::new("conf/holdpoint.toml"), &|name| (name == "TIER").then(|| "critical".to_owned()))
}

/// The mistakes of a text, as `line:column: message`.
fn mistakes(text: &str) -> Vec<String> {
    let error = read(text).expect_err(text);
    assert_eq!(error.code(), ErrorCode::Config);
    list(&error)
}

fn list(error: &Error) -> Vec<String> {
    let mistakes = std::error::Error::source(error).unwrap().downcast_ref::<Mistakes>().unwrap();
    mistakes.list.iter().map(|mistake| format!("{}:{}: {}", mistake.line, mistake.column, mistake.message)).collect()
}

#[test]
fn a_whole_file_is_read() {
    let config = read(WHOLE).unwrap();
    assert_eq!(config.application.as_deref(), Some("shop"));
    assert_eq!(config.versioning, Versioning::Opaque);
    assert_eq!(config.store.location, Some(Text::Env("STORE".to_owned())));
    assert_eq!(config.ignored_databases, ["cache", "DATABASE_URL"]);
    assert_eq!(config.gate.timeout, Duration::from_secs(5400));
    assert_eq!(config.gate.verify, VerifyMode::All);
    assert_eq!((config.gate.retry.attempts, config.gate.retry.backoff), (5, Duration::from_secs(1)));
    assert!(config.digest.unwrap().starts_with("sha256:"));

    let [uploads, orders, stock, servers @ ..] = config.sources.as_slice() else { panic!("three sources and more") };
    let SourceKind::Files(files) = &uploads.kind else { panic!("files") };
    assert_eq!(files.paths, [PathBuf::from("uploads"), PathBuf::from("../shared")]);
    assert_eq!(files.exclude, ["cache/**", "*.log"]);
    assert!(files.exclude_caches && files.git_ignore && !uploads.required);
    assert_eq!(files.exclude_larger_than, Some(1 << 30));
    assert_eq!((uploads.expect.min_bytes, uploads.expect.max_shrink), (1 << 20, 0.3));
    let SourceKind::Command(command) = &orders.kind else { panic!("command") };
    assert_eq!(command.command, ["pg_dump", ""]);
    assert_eq!(command.env["PGPASSWORD"], Text::File(PathBuf::from("conf/secret")));
    assert_eq!((orders.required, orders.expect.max_shrink), (true, 0.5));
    let SourceKind::Sqlite(sqlite) = &stock.kind else { panic!("sqlite") };
    assert_eq!(sqlite.path, PathBuf::from("stock.db"));
    assert_eq!(sqlite.schema_version_query.as_deref(), Some("SELECT max(version) FROM versions"));
    read_servers(servers);
    let [chat, duty, own] = config.webhooks.as_slice() else { panic!("three webhooks") };
    assert_eq!(
        (duty.format, duty.routing_key.is_some(), own.template.is_some()),
        (WebhookFormat::Pagerduty, true, true)
    );
    assert_eq!((chat.name.as_str(), &chat.url), ("chat", &Text::Env("CHAT_URL".to_owned())));
    assert_eq!((chat.format, chat.timeout), (WebhookFormat::Slack, Duration::from_secs(3)));
    assert_eq!(chat.events.iter().map(|event| event.as_str()).collect::<Vec<_>>(), ["rollback"]);

    let production = &config.environments["production"];
    assert_eq!(production.tier.as_deref(), Some("critical"));
    assert_eq!((production.rpo, production.rto), (Some(Duration::from_secs(3600)), Some(Duration::from_secs(1800))));
    let required: Vec<_> = production.require.iter().map(|requirement| requirement.as_str()).collect();
    assert_eq!(required, ["signed", "ticket", "approval"]);
    assert_eq!((production.drill_within, production.approvals), (Some(Duration::from_secs(30 * 86400)), Some(2)));
    assert_eq!(production.approvers.as_deref(), Some(Path::new("conf/approvers")));
    let pattern = production.ticket_pattern.as_ref().unwrap();
    assert!(pattern.is_match("OPS-7") && !pattern.is_match("OPS-7 or none"));
    let [rule] = config.overrides.as_slice() else { panic!("one override") };
    assert_eq!(rule.codes.iter().map(|code| code.as_str()).collect::<Vec<_>>(), ["size-shrank", "require-ticket"]);
    assert_eq!((rule.by.as_slice(), rule.signed), (&["ada@acme.example".to_owned()][..], true));
    assert_eq!((rule.environments.as_deref(), rule.valid_for.as_secs()), (Some(&["production".to_owned()][..]), 1200));
    let probe = production.deployed.as_ref().unwrap();
    assert_eq!(probe.timeout, Duration::from_secs(3));
    assert!(matches!(&probe.version, Selector::Pointer(pointer) if pointer == "/a~1b/0"));
    assert!(matches!(&probe.commit, Some(Selector::Header(name)) if name == "X-Commit"));
    assert_eq!(production.rollback.redeploy.as_deref(), Some(["./deploy.sh".to_owned()].as_slice()));
    assert_eq!(production.rollback.before.len(), 1);
    assert_eq!(production.rollback.down_migration.as_deref().map(<[String]>::len), Some(2));
    assert_eq!(production.rollback.prefer, [WayKind::DownMigration, WayKind::FullRestore]);
    assert_eq!(production.rollback.max_loss, Some(Duration::from_secs(600)));
    assert_eq!(production.rollback.max_duration, Some(Duration::from_secs(1200)));
    assert_eq!(production.rollback.accepts_schema["stock"], ["41", "42"]);
    let old = &config.environments["old"];
    assert_eq!((old.retired, old.archive.as_deref()), (true, Some("far")));
    assert_eq!((config.retention.keep_daily, config.retention.keep_targets), (Some(14), 4));
    let floor = Floor { releases: 2, age: Duration::from_secs(7 * 24 * 60 * 60) };
    assert_eq!(config.retention.floor, floor);
    let review = config.environments["review/x"].deployed.as_ref().unwrap();
    assert!(matches!(review.version, Selector::Whole));
    assert!(matches!(&review.target, ProbeTarget::File { path } if path == Path::new("conf/VERSION")));
    assert_eq!(review.timeout, Duration::from_secs(10));
    assert!(matches!(config.environments["staging"].deployed.as_ref().unwrap().version, Selector::Regex(_)));
}

#[test]
fn the_policy_is_read() {
    let config = read(WHOLE).unwrap();
    assert_eq!(
        config.sources[0].when_changed.as_deref(),
        Some(["uploads/**".to_owned(), "*.css".to_owned()].as_slice())
    );
    assert_eq!(config.sources[1].when_changed, None);
    let policy = &config.policy;
    let days = |days: u64| Some(Duration::from_secs(days * 86_400));
    let patch = &policy.severities[&Severity::Patch];
    assert_eq!(
        (&patch.rules.scope, patch.rules.reuse_within),
        (&Some(Scope::Changed), Some(Duration::from_secs(3600)))
    );
    assert_eq!((patch.rules.keep_for, &patch.rules.require), (None, &None));
    assert_eq!(patch.tiers["critical"], PolicyRules { scope: Some(Scope::Full), ..PolicyRules::default() });
    let major = &policy.severities[&Severity::Major].rules;
    assert_eq!((major.keep_for, major.drill_within), (days(400), days(30)));
    assert_eq!(major.require, Some([Requirement::Signed, Requirement::Approval].into()));
    let only = Scope::Only(["uploads".to_owned()].into());
    assert_eq!(policy.severities[&Severity::PreRelease].rules.scope, Some(only));
    assert_eq!(policy.severities.len(), 8);
    let raise = RaiseConfig { name: "proto".to_owned(), paths: vec!["api/*.proto".to_owned()], to: Severity::Minor };
    assert_eq!((policy.raises.as_slice(), policy.builtin_raise), ([raise].as_slice(), false));
    assert!(read("").unwrap().policy.builtin_raise);
}

#[test]
fn the_checks_of_drills_are_read() {
    let config = read(WHOLE).unwrap();
    assert_eq!(config.drill.timeout, Duration::from_secs(1800));
    let [orders, newest, version, smoke] = config.drill.checks.as_slice() else { panic!("four checks") };
    assert_eq!((orders.name.as_str(), orders.source.as_deref()), ("orders are there", Some("customers")));
    assert!(matches!(&orders.question, Question::Sql(sql) if sql == "SELECT count(*) FROM orders"));
    assert!(matches!(orders.expectation, Expectation::Between { min: Some(1), max: Some(1_000_000) }));
    assert_eq!((orders.timeout, &orders.environments), (Duration::from_secs(60), &None));
    assert!(matches!(&newest.expectation, Expectation::Matches(regex) if regex.is_match("2026-11-20")));
    assert!(matches!(&version.expectation, Expectation::Exactly(text) if text.is_empty()));
    assert!(matches!(&smoke.question, Question::Command(argv) if argv == &["./smoke.sh", "--read-only"]));
    assert!(matches!(smoke.expectation, Expectation::Success) && smoke.source.is_none());
    assert_eq!(smoke.environments.as_deref(), Some(["production".to_owned()].as_slice()));
    assert_eq!(smoke.timeout, Duration::from_secs(300));
    let server = |name: &str| config.sources.iter().find(|source| source.name == name).unwrap().drill_server.clone();
    assert_eq!(server("customers"), Some(Text::Env("DRILL_URL".to_owned())));
    assert_eq!(server("ledger"), None);
}

#[test]
fn what_is_wrong_with_a_check_is_said() {
    let sources = "[[source]]\nname = \"f\"\nkind = \"files\"\npaths = [\"f\"]\n[[source]]\nname = \"d\"\n\
                   kind = \"sqlite\"\npath = \"d\"\n";
    for (check, expected) in [
        ("sql = \"q\"\nexpect = \"1\"", "`sql` is asked of one `source`, which is missing"),
        ("source = \"x\"\nsql = \"q\"\nexpect = \"1\"", "there is no source \"x\""),
        ("source = \"f\"\nsql = \"q\"\nmin = 1", "the source is no database"),
        ("source = \"d\"\nsql = \"q\"", "what is the right answer?"),
        ("source = \"d\"", "a check asks something"),
        ("source = \"d\"\nsql = \"q\"\ncommand = [\"c\"]\nmin = 1", "exclude each other"),
        ("command = [\"c\"]\nexpect = \"1\"\nmatches = \"1\"", "exclude each other"),
        ("command = [\"c\"]\nexpect = \"1\"\nmax = 1", "exclude each other"),
        ("command = [\"c\"]\nmin = 3\nmax = 2", "`min`, 3, is more than `max`, 2"),
        ("command = [\"c\"]\nmatches = \"(\"", "is not a regular expression"),
        ("command = [\"c\"]\nenvironments = []", "`environments` is empty"),
    ] {
        let found = mistakes(&format!("{sources}[[drill.check]]\nname = \"c\"\n{check}\n"));
        assert!(matches!(found.as_slice(), [only] if only.contains(expected)), "{check}: {found:?}");
    }
    let twice = "[[drill.check]]\nname = \"c\"\ncommand = [\"c\"]\n".repeat(2);
    assert_eq!(mistakes(&twice), ["5:8: two checks are named \"c\""]);
}

fn read_servers(servers: &[SourceConfig]) {
    let [customers, ledger, base, elsewhere, third, shelf, sessions, events] = servers else { panic!("eight servers") };
    let SourceKind::Postgres(postgres) = &customers.kind else { panic!("postgres") };
    assert_eq!(postgres.server.url, Text::Env("DATABASE_URL".to_owned()));
    assert_eq!(postgres.server.connect_timeout, Duration::from_secs(3));
    assert!(matches!(postgres.method, PostgresMethod::Dump { jobs: 4, globals: false }));
    assert_eq!((customers.expect.min_tables, customers.expect.min_rows["public.orders"]), (3, 1));
    assert_eq!(customers.expect.identity.as_deref(), Some("postgres 7/shop"));
    let point = |source: &SourceConfig| match &source.kind {
        SourceKind::Postgres(PostgresConfig { method: PostgresMethod::RestorePoint(point), .. }) => point.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(point(ledger).base_backup, BaseBackup::Source("ledger-base".to_owned()));
    assert_eq!(point(ledger).base_backup_within, Duration::from_secs(2 * 86400));
    let captures = [customers, ledger, base].map(|source| source.capture);
    assert_eq!(captures, [CaptureIn::Every, CaptureIn::Gate, CaptureIn::Snapshot]);
    assert_eq!(point(elsewhere).base_backup, BaseBackup::PgBackRest("main".to_owned()));
    assert_eq!(point(third).base_backup, BaseBackup::Barman("main".to_owned()));
    assert_eq!((shelf.kind.name(), shelf.expect.min_tables), ("mariadb", 1));
    let SourceKind::Redis(redis) = &sessions.kind else { panic!("redis") };
    assert_eq!(redis.connect_timeout, CONNECT_TIMEOUT);
    assert!(matches!(&events.kind, SourceKind::Mongodb(MongodbConfig { oplog: true, .. })));
}

#[test]
fn an_empty_file_is_the_default() {
    let config = read("# nothing\r\n").unwrap();
    assert_eq!(config.gate.timeout, Duration::from_secs(900));
    assert!(config.sources.is_empty() && config.environments.is_empty());
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing.toml");
    let error = load(Some(&missing)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Config);
    assert!(error.message().contains("missing.toml"));
    let path = directory.path().join("holdpoint.toml");
    std::fs::write(&path, b"# \xe4\napplication = \"a\xff\"").unwrap();
    assert_eq!(list(&load(Some(&path)).unwrap_err()), ["1:3: the file is not UTF-8 from here on"]);
    std::fs::write(&path, "application = { file = \"name\" }\n").unwrap();
    std::fs::write(directory.path().join("name"), "shop\n").unwrap();
    assert_eq!(load(Some(&path)).unwrap().application.as_deref(), Some("shop"));
}
