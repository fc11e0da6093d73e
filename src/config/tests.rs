//! The configuration as its writers meet it: what is taken, and what each mistake gets.

use super::audit::AUDIT;
use super::keys::{
    BASE_BACKUP, CHECK, DISCOVERY, DRILL, ENVIRONMENT, EXPECT, Form, GATE, PROBES, RETRY, ROLLBACK, ROOT, SOURCES,
    Section,
};
use super::load::parse_with;
use super::overrides::OVERRIDE;
use super::policy::{POLICY, RAISE, SEVERITY_POLICY, TIER_POLICY};
use super::retention::{FLOOR, RETENTION};
use super::stores::{CACHE, COPY, OBJECT_LOCK, STORE};
use super::webhooks::WEBHOOK;
use super::windows::{BLACKOUT, WINDOW};
use super::*;
use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::{Severity, VerifyMode};
use crate::model::version::Versioning;
use crate::model::way::WayKind;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
fn five_mistakes_are_shown_at_once() {
    let text = "aplication = \"shop\"\n\n[gate]\ntimeout = \"soon\"\n\n[[source]]\nname = \"a\"\nkind = \"files\"\n\
                paths = []\n\n[[source]]\nname = \"a\"\nkind = \"etcd\"\n\n[environment.production]\nrpo = 5\n";
    let error = read(text).unwrap_err();
    assert_eq!(
        error.message(),
        "conf/holdpoint.toml has 5 mistakes\n\
         conf/holdpoint.toml:1:1: unknown key `aplication` in the file; did you mean `application`?\n\
         conf/holdpoint.toml:4:11: `timeout` must be a duration such as \"15m\" or \"1h 30m\", not \"soon\"\n\
         conf/holdpoint.toml:9:9: `paths` is empty\n\
         conf/holdpoint.toml:13:8: kind \"etcd\" is not supported by this version\n\
         conf/holdpoint.toml:16:7: `rpo` must be a duration such as \"15m\", not an integer"
    );
}

#[test]
fn each_mistake_has_its_words() {
    let files = "[[source]]\nname = \"a\"\nkind = \"files\"\npaths = [\"p\"]\n";
    let postgres = "[[source]]\nname = \"a\"\nkind = \"postgres\"\nurl = \"postgres://h/d\"\n";
    let http = "[environment.e.deployed]\nkind = \"http\"\nurls = [\"https://h/\"]\n";
    let of_files = |line: &str| format!("{files}{line}");
    let of_rollback = |line: &str| format!("[environment.e.rollback]\n{line}");
    let of_http = |line: &str| format!("{http}version = \"/v\"\n{line}");
    let cases = [
        (
            "application = 3".to_owned(),
            "1:15: `application` must be a string, { env = \"NAME\" } or { file = \"PATH\" }, not an integer",
        ),
        ("application = \" \"".to_owned(), "1:15: `application` is empty"),
        ("application = \"a\\u0000\"".to_owned(), "1:15: `application` has control characters"),
        (
            "application = { env = \"NOT_THERE\" }".to_owned(),
            "1:15: `application` cannot be read: the environment variable NOT_THERE is not set",
        ),
        (
            "application = { evn = \"X\" }".to_owned(),
            "1:15: `application` must be a string, { env = \"NAME\" } or { file = \"PATH\" }",
        ),
        ("versioning = \"calver\"".to_owned(), "1:14: `versioning` must be \"semver\" or \"opaque\", not \"calver\""),
        ("store = \"x\"".to_owned(), "1:9: `store` must be a table, not a string"),
        (
            "[environment.x]\nwindows = []".to_owned(),
            "2:1: unknown key `windows` in an environment; did you mean `window`?",
        ),
        ("[store]\nkms_key = \"x\"".to_owned(), "2:11: `kms_key` belongs to sse = \"aws:kms\""),
        (
            "[store]\nobject_lock = { mode = \"governance\", retain = \"1s\" }".to_owned(),
            "2:47: `retain` must be at least a minute",
        ),
        (
            "[store]\nstorage_class = \"GLACIER\"".to_owned(),
            "2:17: GLACIER cannot be read back at once, which every pass rests on: use STANDARD_IA or GLACIER_IR, or set \
             verify = \"none\" in [gate]",
        ),
        ("[store.copies.far]\nregion = \"x\"".to_owned(), "1:1: `location` is missing from [store.copies.NAME]"),
        ("[gate]\ntimeout = \"0s\"".to_owned(), "2:11: `timeout` must be longer than zero"),
        ("[gate]\ntimeout = \"99999999999 years\"".to_owned(), "2:11: `timeout` is longer than ten years"),
        ("[gate]\ntimeout = \"11 years\"".to_owned(), "2:11: `timeout` is longer than ten years"),
        ("[gate]\nretry = { attempts = 0 }".to_owned(), "2:22: `attempts` must be from 1 to 100, not 0"),
        ("[gate]\npass_valid_for = \"0s\"".to_owned(), "2:18: `pass_valid_for` must be longer than zero"),
        ("source = 1".to_owned(), "1:10: `source` must be a list, not an integer"),
        ("[source]\nname = \"a\"".to_owned(), "1:1: `source` must be a list, not a table"),
        (
            "[[source]]\nkind = \"sqlite\"\npath = \"p\"".to_owned(),
            "1:1: `name` is missing from a source of kind \"sqlite\"",
        ),
        (
            "[[source]]\nname = \"a\"".to_owned(),
            "1:1: `kind` is missing: one of \"files\", \"command\", \"sqlite\", \"postgres\", \"mysql\", \"mariadb\", \"redis\", \"mongodb\"",
        ),
        (
            "[[source]]\nname = \"a\"\nkind = \"file\"".to_owned(),
            "3:8: unknown kind \"file\": this version has \"files\", \"command\", \"sqlite\", \"postgres\", \"mysql\", \"mariadb\", \"redis\", \"mongodb\"; did you mean `files`?",
        ),
        ("[[source]]\nname = \"a\"\nkind = \"command\"\ncommand = []".to_owned(), "4:11: `command` is empty"),
        (
            "[[source]]\nname = \"a\"\nkind = \"command\"\ncommand = [\"\"]".to_owned(),
            "4:12: `command` has an empty program",
        ),
        (
            "[[source]]\nname = \"a\"\nkind = \"command\"\ncommand = \"ls -l\"".to_owned(),
            "4:11: `command` must be a list of program and arguments, as in [\"pg_dump\", \"shop\"] (there is no shell), not a string",
        ),
        (
            "[[source]]\nname = \"a\"\nkind = \"command\"\ncommand = [\"a\", { env = \"X\" }]".to_owned(),
            "4:17: `command` must be a list of strings (secrets go to `env`: arguments can be seen by other users), not a table",
        ),
        (
            "[[source]]\nname = \"a\"\nkind = \"command\"\ncommand = [\"a\"]\nenv = { \"A=B\" = \"c\" }".to_owned(),
            "5:17: \"A=B\" is not the name of an environment variable",
        ),
        (
            of_files("exclude = [\"[z-a]\"]"),
            "5:12: \"[z-a]\" is not a glob: error parsing glob '[z-a]': invalid range; 'z' > 'a'",
        ),
        (
            of_files("exclude = [\"#a\"]"),
            "5:12: \"#a\" would be a comment: write `\\\\#` for a name that begins with #",
        ),
        (of_files("required = \"yes\""), "5:12: `required` must be true or false, not a string"),
        (of_files("restore_order = -1"), "5:17: `restore_order` must be from 0 to 4294967295, not -1"),
        (
            of_files("exclude_larger_than = \"big\""),
            "5:23: `exclude_larger_than` must be a size such as \"500kB\" or \"1MiB\", not \"big\"",
        ),
        (
            of_files("expect = { min_bytes = -1 }"),
            "5:24: `min_bytes` must be a size such as \"500kB\" or \"1MiB\", not \"-1\"",
        ),
        (
            of_files("expect = { max_shrink = \"130%\" }"),
            "5:25: `max_shrink` must be a percentage from \"0%\" to \"100%\", not \"130%\"",
        ),
        (
            of_files("expect = { max_shrink = 0.3 }"),
            "5:25: `max_shrink` must be a percentage such as \"30%\", not a float",
        ),
        (
            of_files("capture = \"never\""),
            "5:11: `capture` must be \"always\" or \"gate\" or \"snapshot\", not \"never\"",
        ),
        (
            format!(
                "{postgres}method = \"restore-point\"\nrestore_command = [\"cp\", \"%f\", \"%p\"]\n\
                 base_backup = {{ source = \"base\" }}"
            ),
            "1:1: `base_backup` of \"a\": there is no source \"base\"",
        ),
        (
            format!(
                "{postgres}method = \"restore-point\"\nrestore_command = [\"cp\", \"%f\", \"%p\"]\n\
                 base_backup = {{ source = \"a\" }}"
            ),
            "1:1: `base_backup` of \"a\": the source \"a\" is not of method = \"base-backup\"",
        ),
        (
            format!("{postgres}restore_command = [\"cp\", \"%f\", \"%p\"]"),
            "5:19: `restore_command` belongs to method = \"restore-point\", not to \"dump\"",
        ),
        (
            format!("{postgres}method = \"restore-point\"\nbase_backup = {{ barman = \"b\" }}"),
            "1:1: `restore_command` is missing: method = \"restore-point\" needs it",
        ),
        (
            format!(
                "{postgres}method = \"restore-point\"\nrestore_command = [\"cp\", \"%f\", \"%p\"]\nbase_backup = {{}}"
            ),
            "7:15: `base_backup` must have one of `source`, `pgbackrest` and `barman`",
        ),
        (
            format!(
                "{postgres}method = \"restore-point\"\nbase_backup = {{ barman = \"b\" }}\nrestore_command = [\"cp\", \"%f\"]"
            ),
            "7:19: `restore_command` must hold %f, the name of a segment, and %p, where it goes",
        ),
        (of_files("expect = { min_rows = { orders = -1 } }"), "5:34: `orders` must be from 0 to 4294967295, not -1"),
        (of_files("when_changed = []"), "5:16: `when_changed` is empty"),
        (of_files("when_changed = [\"!x\"]"), "5:16: `when_changed` holds exceptions only, and matches no path"),
        (
            of_files("[policy.patch]\nscope = [\"a\", \"b\"]"),
            "6:15: `scope` names the source \"b\", which does not exist",
        ),
        ("[policy.patch]\nscope = \"some\"".to_owned(), "2:9: `scope` must be \"full\" or \"changed\", not \"some\""),
        (
            "[policy.patch]\nscope = 1".to_owned(),
            "2:9: `scope` must be \"full\", \"changed\" or a list of sources, not an integer",
        ),
        ("[policy.patch]\nscope = []".to_owned(), "2:9: `scope` is empty"),
        ("[policy.patch]\nreuse_within = \"0s\"".to_owned(), "2:16: `reuse_within` must be longer than zero"),
        ("[policy.path]".to_owned(), "1:9: unknown key `path` in [policy]; did you mean `patch`?"),
        (
            "[environment.e]\ntier = \"critical\"\n[policy.patch.tier.critcal]".to_owned(),
            "3:1: no environment has the tier \"critcal\"",
        ),
        (
            "[[policy.raise]]\nname = \"a\"\npaths = [\"x\"]\nto = \"patch\"".to_owned(),
            "4:6: `to` must be \"minor\" or \"major\", not \"patch\"",
        ),
        (
            "[[policy.raise]]\nname = \"a\"\npaths = [\"x\"]\nto = \"minor\"\n".repeat(2),
            "5:1: two rules are named \"a\"",
        ),
        (of_files("path = \"x\""), "5:1: unknown key `path` in a source of kind \"files\"; did you mean `paths`?"),
        (files.replace("\"p\"", "\"\""), "4:10: `paths` is empty"),
        (
            files.replace("\"p\"", "\"/x/..\""),
            "4:10: `paths` holds `/`, the whole machine: name the directories that the application owns",
        ),
        (of_files(files), "6:8: two sources are named \"a\""),
        (
            "[environment]\n\"\" = {}".to_owned(),
            "2:1: \"\" in `environment` is not a name: it is empty or has control characters",
        ),
        (
            http.to_owned(),
            "1:1: where is the version in the answer? give `version` (a JSON pointer), `header` or `regex`",
        ),
        (of_http("regex = \"x\""), "5:9: `version` and `regex` exclude each other: give one"),
        (of_http("commit_regex = \"(\""), "5:16: `commit_regex` is not a regular expression: unclosed group"),
        (of_http("commit = \"commit\""), "5:10: `commit` must be a JSON pointer such as \"/version\", not \"commit\""),
        (of_http("commit_header = \"a b\""), "5:17: \"a b\" is not the name of an HTTP header"),
        (of_http("headers = { \"a b\" = \"c\" }"), "5:21: \"a b\" is not an HTTP header, or its value is none"),
        (
            http.replace("https://h/", "ftp://u:p@h/") + "header = \"V\"",
            "3:9: `urls` must hold URLs such as \"https://shop.example/version\"",
        ),
        (
            "[[webhook]]\nname = \"w\"\nurl = \"ftp://u:p@h/\"".to_owned(),
            "3:7: `url` must hold an address such as \"https://chat.example/hooks/1\"",
        ),
        ("[[webhook]]\nname = \"w\"\nurl = \"https://h/\"\nevents = []".to_owned(), "4:10: `events` is empty"),
        (
            "[[webhook]]\nname = \"w\"\nurl = \"https://h/\"\n[[webhook]]\nname = \"w\"\nurl = \"https://h/\""
                .to_owned(),
            "4:1: two webhooks are named \"w\"",
        ),
        (
            "[environment.e.deployed]\nkind = \"file\"\npath = \"v\"\nheader = \"X\"".to_owned(),
            "4:1: unknown key `header` in a probe of kind \"file\"",
        ),
        (
            "[environment.e.deployed]\nkind = \"kubernetes\"".to_owned(),
            "2:8: kind \"kubernetes\" is not supported by this version",
        ),
        (
            "[environment.e.rollback]\nbefore = [\"stop\"]".to_owned(),
            "2:11: `before` must be a list of program and arguments, as in [\"pg_dump\", \"shop\"] (there is no shell), not a string",
        ),
        (
            of_rollback("prefer = [\"code-only\", \"restore\"]"),
            "2:24: `prefer` must be \"code-only\" or \"down-migration\" or \"point-in-time\" or \"full-restore\" or \"roll-forward\", not \"restore\"",
        ),
        (of_rollback("prefer = []"), "2:10: `prefer` is empty"),
        (of_rollback("prefer = [\"code-only\", \"code-only\"]"), "2:24: `prefer` names code-only twice"),
        (
            of_rollback("prefer = [\"down-migration\"]"),
            "2:11: `prefer` names down-migration, and `down_migration` is missing: give its program",
        ),
        (of_rollback("max_duration = \"0s\""), "2:16: `max_duration` must be longer than zero"),
        (
            of_rollback("accepts_schema = { orders = [\"1\"] }"),
            "2:29: `accepts_schema` names the source \"orders\", which does not exist",
        ),
        (of_rollback("accepts_schema = { orders = [] }"), "2:29: `orders` is empty"),
        ("a = ".to_owned(), "1:5: string values must be quoted, expected literal string"),
        ("application = \"a\"\napplication = \"b\"".to_owned(), "2:1: duplicate key"),
    ];
    for (text, expected) in cases {
        assert_eq!(mistakes(&text), [expected], "{text}");
    }
}

#[test]
fn broken_syntax_is_shown_alone_and_a_double_key_is_not() {
    assert_eq!(mistakes("unknown = 1\nbroken").len(), 1);
    assert_eq!(mistakes("unknown = 1\nunknown = 2").len(), 2);
}

fn server(name: &str, kind: Option<&'static str>, variable: Option<&str>) -> FoundServer {
    let variable = variable.map(str::to_owned);
    FoundServer { name: name.to_owned(), kind, variable, seen: format!("the trace \u{7}{name}") }
}

#[test]
fn the_example_of_the_template_is_read() {
    let empty = read(&template(&Found::default())).unwrap();
    assert!(empty.sources.is_empty() && empty.application.is_none());
    assert!(empty.environments.contains_key("production"));
    let found = Found {
        application: Some("sh\"op\\".to_owned()),
        directories: vec!["uploads".into(), "a/uploads".into(), "\u{7}".into()],
        databases: vec!["data/shop.db".into()],
        servers: vec![
            server("DATABASE_URL", Some("postgres"), Some("DATABASE_URL")),
            server("cache", Some("redis"), None),
            server("migrations", None, None),
        ],
        environments: vec!["review/x".to_owned(), "staging".to_owned()],
    };
    let config = read(&template(&found)).unwrap();
    assert_eq!(config.application.as_deref(), Some("sh\"op\\"));
    let names: Vec<_> = config.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["database", "uploads", "uploads-2", "shop"]);
    assert_eq!(config.environments.keys().collect::<Vec<_>>(), ["review/x", "staging"]);
}

#[test]
fn the_commented_lines_of_the_template_are_right_too() {
    let lines = template(&Found::default());
    let uncommented: Vec<_> = lines
        .lines()
        .skip(3)
        .map(|line| match line.strip_prefix("# ") {
            // Prose begins with a capital letter; a key or table does not.
            Some(code) if !code.starts_with(char::is_uppercase) => code,
            _ => line,
        })
        .collect();
    let config = read(&uncommented.join("\n")).unwrap();
    assert_eq!(config.sources.len(), 3);
    assert!(config.environments["production"].deployed.is_some());
}

/// Every table of the file: how it is written, and the keys that it has.
fn tables() -> Vec<(String, &'static Section)> {
    let mut tables = vec![
        (String::new(), &ROOT),
        ("[store]\n".to_owned(), &STORE),
        ("[store.cache]\n".to_owned(), &CACHE),
        ("[store.object_lock]\n".to_owned(), &OBJECT_LOCK),
        ("[store.copies.far]\n".to_owned(), &COPY),
        ("[discovery]\n".to_owned(), &DISCOVERY),
        ("[[webhook]]\n".to_owned(), &WEBHOOK),
        ("[[override]]\n".to_owned(), &OVERRIDE),
        ("[audit]\n".to_owned(), &AUDIT),
        ("[gate]\n".to_owned(), &GATE),
        ("[gate.retry]\n".to_owned(), &RETRY),
        ("[retention]\n".to_owned(), &RETENTION),
        ("[retention.floor]\n".to_owned(), &FLOOR),
        ("[drill]\n".to_owned(), &DRILL),
        ("[[drill.check]]\n".to_owned(), &CHECK),
        ("[policy]\n".to_owned(), &POLICY),
        ("[policy.patch]\n".to_owned(), &SEVERITY_POLICY),
        ("[policy.patch.tier.t]\n".to_owned(), &TIER_POLICY),
        ("[[policy.raise]]\n".to_owned(), &RAISE),
        ("[environment.e]\n".to_owned(), &ENVIRONMENT),
        ("[environment.e.rollback]\n".to_owned(), &ROLLBACK),
        ("[[environment.e.window]]\n".to_owned(), &WINDOW),
        ("[[environment.e.blackout]]\n".to_owned(), &BLACKOUT),
        ("[[source]]\nkind = \"sqlite\"\nname = \"a\"\npath = \"p\"\n[source.expect]\n".to_owned(), &EXPECT),
        (
            "[[source]]\nkind = \"postgres\"\nname = \"a\"\nurl = \"u\"\nmethod = \"restore-point\"\n[source.base_backup]\n"
                .to_owned(),
            &BASE_BACKUP,
        ),
    ];
    tables.extend(SOURCES.iter().map(|kind| (format!("[[source]]\nkind = \"{}\"\n", kind.name), &kind.section)));
    tables.extend(
        PROBES.iter().map(|kind| (format!("[environment.e.deployed]\nkind = \"{}\"\n", kind.name), &kind.section)),
    );
    tables
}

#[test]
fn every_known_key_is_read() {
    for (head, section) in tables() {
        for key in section.all().filter(|key| key.name != "kind") {
            // No key takes a date: whoever reads the key minds it.
            let text = format!("{head}{} = 1979-05-27\n", key.name);
            let minded = mistakes(&text)
                .iter()
                .any(|mistake| mistake.contains("not a date") || mistake.contains("belongs to method"));
            assert!(minded, "nobody reads `{}` of {}", key.name, section.name);
        }
    }
}

#[test]
fn every_key_of_the_file_is_in_the_schema_and_the_other_way_round() {
    let schema = schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let as_json = |text: &str| serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap();
    let errors: Vec<_> = validator.iter_errors(&as_json(WHOLE)).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");

    // The whole file uses every key: so the schema lacks none of them, and each of its keys is accepted.
    let mut used = Vec::new();
    keys_of(&as_json(WHOLE), &mut used);
    for (_, section) in tables() {
        for key in section.all() {
            assert!(used.iter().any(|name| name == key.name), "tests/whole.toml does not use `{}`", key.name);
        }
    }
    for (head, section) in tables() {
        let text = format!("{head}no_such_key = 1\n");
        assert!(mistakes(&text).iter().any(|mistake| mistake.contains("no_such_key")), "{}", section.name);
        assert!(!validator.is_valid(&as_json(&text)), "{}", section.name);
        for later in section.later {
            let text = format!("{head}{later} = 1\n");
            let known = mistakes(&text).iter().any(|mistake| mistake.contains("is not supported by this version"));
            assert!(known, "{later}");
            assert!(!validator.is_valid(&as_json(&text)), "{later}");
        }
    }
}

fn keys_of(value: &serde_json::Value, keys: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                keys.push(key.clone());
                keys_of(value, keys);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| keys_of(item, keys)),
        _ => {}
    }
}

#[test]
fn a_section_names_each_key_once() {
    for (_, section) in tables() {
        let mut seen = BTreeMap::new();
        for key in section.all() {
            assert!(seen.insert(key.name, ()).is_none(), "{} of {}", key.name, section.name);
            assert!(!section.later.contains(&key.name));
            assert!(!matches!(key.form, Form::Kinds(kinds) if kinds.is_empty()));
        }
    }
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

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(WHOLE.lines().collect::<Vec<_>>()).prop_map(|line| format!("{line}\n")),
        prop::sample::select(vec![
            "[",
            "]",
            "[[",
            "]]",
            "{",
            "}",
            "=",
            ".",
            ",",
            "\"",
            "'''",
            "\n",
            "0x",
            "1e999",
            "source",
            "environment.",
            "nan"
        ])
        .prop_map(str::to_owned),
        "\\PC{0,8}",
    ]
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = read(&text);
    }

    #[test]
    fn no_mixture_of_pieces_makes_the_parser_panic(pieces in prop::collection::vec(piece(), 0..24)) {
        if let Err(error) = read(&pieces.concat()) {
            prop_assert!(!list(&error).is_empty());
        }
    }
}
