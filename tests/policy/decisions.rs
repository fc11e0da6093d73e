//! Versions, diffs, tiers and objectives against what is captured, and the words that explain it.

use holdpoint::config::{Config, SourceConfig, parse};
use holdpoint::model::changes::{Changes, Gap};
use holdpoint::model::manifest::{From, ProbeKind, Severity, SourceRecord};
use holdpoint::model::rule::Rule;
use holdpoint::model::version::{Version, Versioning};
use holdpoint::policy::effective::effective;
use holdpoint::policy::raise;
use holdpoint::policy::reuse::{self, Wanted};
use holdpoint::policy::scope::{Choice, Grounds, choose};
use holdpoint::report::explain;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const TABLE: &str = include_str!("decisions.txt");

const SOURCES: &str = r#"
[[source]]
name = "orders"
kind = "sqlite"
path = "orders.db"
when_changed = ["migrations/**", "src/orders/"]
[[source]]
name = "sessions"
kind = "files"
paths = ["sessions"]
[[source]]
name = "uploads"
kind = "files"
paths = ["uploads"]
when_changed = ["src/uploads/**", "!src/uploads/README.md"]
[environment.production]
tier = "critical"
"#;

const USUAL: &str = r#"
[policy.patch]
scope = "changed"
reuse_within = "1h"
[policy.patch.tier.critical]
scope = "full"
reuse_within = "10m"
[policy.minor]
scope = ["orders"]
reuse_within = "30m"
[policy.major]
scope = "full"
[policy.pre-release]
scope = ["sessions"]
[policy.same]
scope = "changed"
[[policy.raise]]
name = "api"
paths = ["api/*.proto"]
to = "minor"
"#;

const PLAIN: &str = r#"
[policy]
builtin_raise = false
[policy.patch]
scope = "changed"
reuse_within = "1h"
"#;

const OWN: &str = r#"
[policy.first]
scope = ["orders"]
[policy.downgrade]
scope = ["orders"]
[policy.unknown]
scope = "changed"
reuse_within = "1h"
[policy.major]
scope = "full"
"#;

fn configuration(name: &str) -> Config {
    let policy = match name {
        "usual" => USUAL,
        "plain" => PLAIN,
        "own" => OWN,
        "none" => "",
        other => panic!("{other}"),
    };
    parse(&format!("{SOURCES}{policy}"), Path::new("holdpoint.toml")).unwrap()
}

fn version(text: &str) -> Version {
    Version::parse(text, Versioning::Semver).or_else(|_| Version::parse(text, Versioning::Opaque)).unwrap()
}

fn from(text: &str) -> From {
    let (version, probe) = match text {
        "first" => (None, ProbeKind::First),
        "none" => (None, ProbeKind::None),
        text => (Some(version(text)), ProbeKind::Http),
    };
    From { version, commit: None, observed_at: None, probe, instances: Vec::new() }
}

fn changes(text: &str) -> Changes {
    let paths = |text: &str| Some(text.split(',').map(str::to_owned).collect::<Vec<_>>());
    let missing = || Gap::Missing { deployed: true, commit: "3f9c2ab13f9c".to_owned(), shallow: true };
    let not_ancestor = || Gap::NotAncestor { deployed: "3f9c2ab13f9c".to_owned(), only_deployed: 2 };
    match text.split_at(1) {
        ("=", _) => Changes { paths: Some(Vec::new()), merges: Some(0), gaps: Vec::new() },
        ("?", _) => Changes::unknown(Gap::NoDeployedCommit),
        ("~", _) => Changes::unknown(missing()),
        ("-", _) => Changes::unknown(Gap::NothingDeployed),
        ("!", rest) => Changes { paths: paths(rest), merges: Some(0), gaps: vec![not_ancestor()] },
        ("^", rest) => Changes { paths: paths(rest), merges: Some(0), gaps: vec![Gap::Submodule(rest.to_owned())] },
        ("*", rest) => Changes { paths: paths(rest), merges: Some(2), gaps: Vec::new() },
        _ => Changes { paths: paths(text), merges: Some(0), gaps: Vec::new() },
    }
}

/// What became of a line of the table.
struct Decided {
    /// In the words of the table.
    words: String,
    choices: BTreeMap<String, Choice>,
    rules: Vec<Rule>,
    sources: Vec<SourceConfig>,
}

/// Decides one line of the table.
fn decide(line: &str) -> Decided {
    let fields: Vec<_> = line.split('|').map(str::trim).collect();
    let [name, step, changed, environment, _] = fields.as_slice() else { panic!("{line}") };
    let config = configuration(name);
    let (old, new) = step.split_once(" → ").unwrap();
    let changes = changes(changed);
    let (tier, rpo) = environment.split_once(", ").map_or((*environment, None), |(tier, rpo)| (tier, Some(rpo)));
    let rpo = rpo.map(|text| humantime::parse_duration(text).unwrap());
    let step = raise::judge(&from(old), &version(new), &changes, &config.policy, Path::new("")).unwrap();
    let effective = effective(&config.policy, &step.held_to, Some(tier).filter(|tier| *tier != "none"));
    let grounds = Grounds { changes: &changes, effective: &effective, rpo, directory: Path::new("") };
    let (choices, rules) = choose(grounds, &config.sources, |_| false).unwrap();
    let word = |duration: &Duration| humantime::format_duration(*duration).to_string();
    let told = choices.iter().map(|(source, choice)| match choice {
        Choice::Capture => format!("{source} capture"),
        Choice::StandIn { rule, within } => {
            let what = if rule.ends_with("reuse_within") { "reuse" } else { "left" };
            let within = within.as_ref().map(|within| format!(" {}", word(within))).unwrap_or_default();
            format!("{source} {what}{within}")
        }
    });
    let words: Vec<_> = step.held_to.iter().map(|severity| severity.as_str()).collect();
    let held_to =
        if step.held_to == [step.severity] { String::new() } else { format!(", held to {}", words.join(" ")) };
    let words = format!("{}{held_to}: {}", step.severity.as_str(), told.collect::<Vec<_>>().join(", "));
    Decided { words, choices, rules: [step.rules, rules].concat(), sources: config.sources }
}

fn table() -> impl Iterator<Item = &'static str> {
    TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[test]
fn the_table_of_decisions_holds() {
    let wrong: Vec<_> = table()
        .filter_map(|line| {
            let expected = line.rsplit('|').next().unwrap().trim();
            let Decided { words, rules, .. } = decide(line);
            (words != expected).then(|| format!("{line}\n  is {words}\n{}", explain::rules(rules.iter())))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(table().count() >= 60);
}

/// A line of the table; what was captured before, by age in minutes and by what speaks against it; what becomes of the sources.
type History = (&'static str, &'static [(i64, &'static str)], &'static str);

const HISTORIES: &[History] = &[
    ("usual | 1.3.0 → 1.3.1 | docs/a.md | low", &[], "orders capture, sessions capture, uploads capture"),
    ("usual | 1.3.0 → 1.3.1 | docs/a.md | low", &[(59, "")], "orders 59, sessions 59, uploads 59"),
    ("usual | 1.3.0 → 1.3.1 | docs/a.md | low", &[(60, "")], "orders 60, sessions 60, uploads 60"),
    ("usual | 1.3.0 → 1.3.1 | docs/a.md | low", &[(61, "")], "orders 61, sessions capture, uploads 61"),
    ("usual | 1.3.0 → 1.3.1 | docs/a.md | low", &[(90, ""), (20, "")], "orders 20, sessions 20, uploads 20"),
    ("usual | 1.3.0 → 1.3.1 | docs/a.md | low", &[(90, ""), (20, "failed")], "orders 90, sessions capture, uploads 90"),
    ("usual | 1.3.0 → 1.3.1 | docs/a.md | low", &[(20, "unread")], "orders capture, sessions capture, uploads capture"),
    (
        "usual | 1.3.0 → 1.3.1 | docs/a.md | low",
        &[(20, "elsewhere")],
        "orders capture, sessions capture, uploads capture",
    ),
    (
        "usual | 1.3.0 → 1.3.1 | docs/a.md | low",
        &[(20, "redefined")],
        "orders capture, sessions capture, uploads capture",
    ),
    ("usual | 1.3.0 → 1.3.1 | docs/a.md | low", &[(-5, "")], "orders capture, sessions capture, uploads capture"),
    ("usual | 1.3.0 → 1.3.1 | docs/a.md | low, 30m", &[(40, "")], "orders capture, sessions capture, uploads capture"),
    ("usual | 1.3.0 → 1.3.1 | docs/a.md | low, 2h", &[(100, "")], "orders 100, sessions capture, uploads 100"),
    ("usual | 1.3.0 → 1.3.1 | docs/a.md | low, 2h", &[(121, "")], "orders capture, sessions capture, uploads capture"),
    ("usual | 1.3.0 → 1.3.1 | docs/a.md | critical", &[(9, "")], "orders 9, sessions 9, uploads 9"),
    ("usual | 1.3.0 → 1.3.1 | docs/a.md | critical", &[(11, "")], "orders capture, sessions capture, uploads capture"),
    ("usual | 1.3.0 → 1.3.1 | migrations/7 | low", &[(1, "")], "orders capture, sessions capture, uploads capture"),
    ("usual | 1.3.0 → 1.3.1 | ? | low", &[(1, "")], "orders capture, sessions capture, uploads capture"),
    ("usual | 1.3.0 → 1.4.0 | docs/a.md | low", &[(40, "")], "orders capture, sessions 40, uploads 40"),
    ("usual | 1.3.0 → 2.0.0 | docs/a.md | low", &[(1, "")], "orders capture, sessions capture, uploads capture"),
    ("own | blue → green | docs/a.md | low, 10m", &[(40, ""), (9, "")], "orders 9, sessions 9, uploads 9"),
];

/// Returns the record of a source that was captured so many minutes before `now`.
fn record(source: &SourceConfig, now: Timestamp, minutes: i64, flaw: &str) -> SourceRecord {
    let at = now - SignedDuration::from_mins(minutes);
    let flawed = |name: &str, flawed: &str, usual: &str| if flaw == name { flawed } else { usual }.to_owned();
    serde_json::from_value(serde_json::json!({
        "name": source.name, "kind": source.kind.name(), "required": true, "method": "walk",
        "consistency": "per_file", "attempts": [], "bytes": 1, "bytes_added": 1, "items": 1,
        "identity": flawed("elsewhere", "/elsewhere", "/srv"), "started_at": at, "finished_at": at,
        "outcome": flawed("failed", "failed", "verified"),
        "definition": flawed("redefined", "sha256:2", "sha256:1"),
        "snapshot": { "id": "0", "tree": "0", "tags": [] },
        "verification": {
            "mode": flawed("unread", "none", "new"), "bytes_read": 1, "blobs": 1, "digest": "sha256:0", "finished_at": at
        },
    }))
    .unwrap()
}

#[test]
fn times_and_histories_decide_what_stands_in() {
    let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
    for (line, history, expected) in HISTORIES {
        let Decided { choices, sources, .. } = decide(&format!("{line} | "));
        let of = |source: &SourceConfig| {
            let Choice::StandIn { within, .. } = &choices[&source.name] else { return "capture".to_owned() };
            let wanted = Wanted {
                name: &source.name,
                kind: source.kind.name(),
                method: "walk",
                identity: Some("/srv"),
                definition: Some("sha256:1"),
                within: *within,
            };
            let fits = |(minutes, flaw): &&(i64, &str)| {
                reuse::judge(&wanted, &record(source, now, *minutes, flaw), now).is_ok()
            };
            let newest = history.iter().filter(fits).map(|(minutes, _)| *minutes).min();
            newest.map_or("capture".to_owned(), |minutes| minutes.to_string())
        };
        let found: Vec<_> = sources.iter().map(|source| format!("{} {}", source.name, of(source))).collect();
        assert_eq!(found.join(", "), *expected, "{line} {history:?}");
    }
}

/// Lines of the table with words that must be in their explanation.
const EXPLAINED: &[(&str, &[&str])] = &[
    (
        "usual | 1.3.0 → 1.3.1 | docs/a.md | low, 30m | ",
        &[
            "severity: patch: only the patch number rises\n    from = 1.3.0\n    to = 1.3.1\n",
            "policy.builtin_raise.migrations: (none of the changed paths is meant)\n",
            "changes: (1 path changed since the deployed commit)\n    changed_paths = docs/a.md\n    merges = 0\n",
            "policy.patch.scope (orders): left out: no path that changed is one of its when_changed; an older snapshot of the \
             last 30m stands in\n",
            "policy.patch.reuse_within (sessions): captured, unless a verified snapshot of the last 30m (no more than rpo) stands in\n",
        ],
    ),
    (
        "usual | 1.3.0 → 1.3.1 | *api/shop.proto,migrations/1.sql | low | ",
        &[
            "policy.builtin_raise.migrations: raised to major: 1 path changed: migrations/1.sql\n",
            "policy.raise.api: (1 path changed: api/shop.proto; the release is major anyway)\n",
            "policy.patch.scope (orders): captured: migrations/1.sql changed\n",
            "policy.major.scope (uploads): captured: every source is\n",
            "    merges = 2\n",
        ],
    ),
    (
        "usual | 1.3.0 → 1.3.1 | ~ | low | ",
        &[
            "policy.builtin_raise.migrations: (not judged: which paths changed is not known)\n",
            "changes: what changed is not all known: git does not have the deployed commit, 3f9c2ab13f9c: this is a shallow \
             clone; held to the rules of major, too\n",
        ],
    ),
    (
        "own | 1.4.0 → 1.3.9 | migrations/7.sql | low | ",
        &["still downgrade, and held to the rules of major, too: 1 path changed: migrations/7.sql\n"],
    ),
    ("own | first → 1.0.0 | - | low | ", &["changes: (nothing is deployed yet, so nothing is compared)\n"]),
    ("none | 1.3.0 → 1.3.1 | docs/a.md | low | ", &["default (orders): captured: every source is\n"]),
];

#[test]
fn every_decision_is_explained() {
    for line in table() {
        for rule in decide(line).rules {
            assert!(explain::meaning(&rule.name).is_some(), "docs/policy.md says nothing of {}", rule.name);
            assert!(!rule.outcome.is_empty());
        }
    }
    for (line, expected) in EXPLAINED {
        let text = explain::rules(decide(line).rules.iter());
        for words in *expected {
            assert!(text.contains(words), "{words}\nis not in\n{text}");
        }
    }
}

#[test]
fn the_precedence_of_semver_org_holds_both_ways() {
    let lists: [&[&str]; 2] = [
        &[
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
        ],
        &["1.0.0", "2.0.0", "2.1.0", "2.1.1"],
    ];
    let judged = |old: &str, new: &str| {
        let changes = Changes { paths: Some(Vec::new()), ..Changes::default() };
        let policy = holdpoint::config::PolicyConfig::default();
        raise::judge(&from(old), &version(new), &changes, &policy, Path::new("")).unwrap().severity
    };
    for list in lists {
        for (place, old) in list.iter().enumerate() {
            assert_eq!(judged(old, old), Severity::Same);
            for new in &list[place + 1..] {
                let up = judged(old, new);
                assert!(!matches!(up, Severity::Same | Severity::Downgrade | Severity::Unknown), "{old} {new} {up:?}");
                assert_eq!(up == Severity::PreRelease, new.starts_with("1.0.0"), "{old} {new} {up:?}");
                assert_eq!(judged(new, old), Severity::Downgrade, "{new} {old}");
            }
        }
    }
    for (old, new, expected) in [
        ("1.0.0", "2.0.0", Severity::Major),
        ("2.0.0", "2.1.0", Severity::Minor),
        ("2.1.0", "2.1.1", Severity::Patch),
        ("1.0.0-alpha.999", "1.0.0-alpha.1000", Severity::PreRelease),
        ("1.0.0-alpha+001", "1.0.0-alpha+002", Severity::Same),
        ("1.0.0--", "1.0.0", Severity::PreRelease),
        ("1.0.0-alpha-beta", "1.0.0-alpha.beta", Severity::Downgrade),
        ("0.0.0", "0.0.1-0", Severity::Patch),
    ] {
        assert_eq!(judged(old, new), expected, "{old} {new}");
    }
}
