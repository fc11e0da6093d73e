//! Versions, diffs, tiers and objectives against what is captured, and the words that explain it.

use holdpoint::config::{Config, parse};
use holdpoint::model::changes::{Changes, Gap};
use holdpoint::model::manifest::{From, ProbeKind, Severity};
use holdpoint::model::rule::Rule;
use holdpoint::model::version::{Version, Versioning};
use holdpoint::policy::effective::effective;
use holdpoint::policy::raise;
use holdpoint::policy::scope::{Choice, Grounds, choose};
use holdpoint::report::explain;
use std::fmt::Write;
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

/// Decides one line of the table; returns the decision in the words of the table, and every rule.
fn decide(line: &str) -> (String, Vec<Rule>) {
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
    let choices = choices.iter().map(|(source, choice)| match choice {
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
    let decision = format!("{}{held_to}: {}", step.severity.as_str(), choices.collect::<Vec<_>>().join(", "));
    (decision, [step.rules, rules].concat())
}

fn table() -> impl Iterator<Item = &'static str> {
    TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[test]
fn the_table_of_decisions_holds() {
    let wrong: Vec<_> = table()
        .filter_map(|line| {
            let expected = line.rsplit('|').next().unwrap().trim();
            let (decision, rules) = decide(line);
            (decision != expected).then(|| format!("{line}\n  is {decision}\n{}", explain::rules(rules.iter())))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(table().count() >= 60);
}

#[test]
fn every_decision_is_explained() {
    let mut text = String::new();
    for line in table() {
        let (_, rules) = decide(line);
        for rule in &rules {
            assert!(explain::meaning(&rule.name).is_some(), "docs/policy.md says nothing of {}", rule.name);
            assert!(!rule.outcome.is_empty());
        }
        let fired = rules.iter().filter(|rule| rule.fired);
        let _ = writeln!(text, "{line}\n{}", explain::rules(fired));
    }
    insta::assert_snapshot!("decisions", text);
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
