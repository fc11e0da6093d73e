//! The ready examples of `docs/ci/`: what the schemas of their systems take, and in the right order.

use crate::support::environment::command;
use clap::{CommandFactory, Parser};
use holdpoint::cli::Cli;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Each example, the schema of its system that check-jsonschema has, and what else that wants.
const EXAMPLES: &[(&str, Option<&str>, &[&str])] = &[
    ("circleci/.circleci/config.yml", Some("circle-ci"), &[]),
    (
        "azure/azure-pipelines.yml",
        Some("azure-pipelines"),
        &["--data-transform", "azure-pipelines", "--regex-variant", "nonunicode"],
    ),
    ("buildkite/.buildkite/pipeline.yml", Some("buildkite"), &[]),
    ("bitbucket/bitbucket-pipelines.yml", Some("bitbucket-pipelines"), &[]),
    ("drone/.drone.yml", Some("drone-ci"), &[]),
    ("woodpecker/.woodpecker/production.yml", Some("woodpecker-ci"), &[]),
    ("teamcity/.teamcity/settings.kts", None, &[]),
];

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(docs().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs check-jsonschema on an example; returns whether it is valid, and what was said.
fn check(file: &Path, schema: &str, more: &[&str]) -> (bool, String) {
    let home = TempDir::new().unwrap();
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-tools/python-ci");
    let mut check = command("python3", home.path());
    check.env("PYTHONPATH", tool).args(["-m", "check_jsonschema", "--builtin-schema"]).arg(format!("vendor.{schema}"));
    let output = check.args(more).arg(file).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn every_example_is_what_the_schema_of_its_system_takes() {
    for (path, schema, more) in EXAMPLES {
        let Some(schema) = schema else { continue };
        let (valid, said) = check(&docs().join(path), schema, more);
        assert!(valid, "{path}: {said}");
    }
    let broken = TempDir::new().unwrap();
    let file = broken.path().join("pipeline.yml");
    std::fs::write(&file, read("buildkite/.buildkite/pipeline.yml").replace("concurrency: 1", "concurrency: one"))
        .unwrap();
    let (valid, said) = check(&file, "buildkite", &[]);
    assert!(!valid && said.contains("concurrency"), "{said}");
}

#[test]
fn every_example_gates_then_admits_right_before_it_deploys_then_reconciles() {
    let known: BTreeSet<_> = Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for (path, ..) in EXAMPLES {
        let text = read(path);
        let code = text.lines().filter(|line| !line.trim_start().starts_with(['#', '/']));
        let mut steps = Vec::new();
        for line in code {
            if let Some((_, call)) = line.split_once("holdpoint ") {
                // The last quote may be the one around the whole line.
                let whole = call.matches('"').count() % 2 == 0;
                let call = if whole { call } else { call.rsplit_once('"').unwrap().0 };
                let name = call.split(' ').next().unwrap();
                assert!(["gate", "admit", "reconcile"].contains(&name), "{path}: {line}");
                if known.contains(name) {
                    let words = shlex::split(call).unwrap();
                    Cli::try_parse_from(std::iter::once("holdpoint".to_owned()).chain(words))
                        .unwrap_or_else(|error| panic!("{path}: {line}: {error}"));
                }
                assert!(call.contains("--environment production"), "{path}: {line}");
                // Signals reach the binary where it takes the place of the shell; after `admit` the shell may have to deploy.
                let last = name != "admit" || line.contains("run: ") || line.contains("script: ");
                assert!(!last || line.contains("exec holdpoint "), "{path} keeps a shell in between: {line}");
                steps.push(name.to_owned());
            } else if line.contains("./deploy.sh") {
                steps.push("deploy".to_owned());
            }
        }
        assert_eq!(steps, ["gate", "admit", "deploy", "reconcile"], "{path}");
        assert!(read("README.md").contains(&format!("({path})")), "README.md lacks {path}");
    }
}

/// Where the signing key of each example is: what the deploy must not be given.
const KEYS: &[(&str, &str)] = &[
    ("circleci/.circleci/config.yml", "holdpoint-production-gate"),
    ("azure/azure-pipelines.yml", "holdpoint-signing-key"),
    ("buildkite/.buildkite/pipeline.yml", "HOLDPOINT_SIGNING_KEY"),
    ("bitbucket/bitbucket-pipelines.yml", "deployment: production-gate"),
    ("drone/.drone.yml", "holdpoint_signing_key"),
    ("woodpecker/.woodpecker/production.yml", "holdpoint_signing_key"),
    ("teamcity/.teamcity/settings.kts", "/etc/holdpoint/signing_key"),
];

/// Returns whether a line stands, by its indentation, in a block that gates and does not deploy.
fn is_of_the_gate(lines: &[&str], line: usize) -> bool {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut inner = indent(lines[line]);
    for head in (0..line).rev().filter(|head| !lines[*head].is_empty()) {
        if indent(lines[head]) >= inner {
            continue;
        }
        inner = indent(lines[head]);
        let end = (head + 1..lines.len()).find(|end| !lines[*end].is_empty() && indent(lines[*end]) <= inner);
        let block = lines[head..end.unwrap_or(lines.len())].join("\n");
        if block.contains("./deploy.sh") {
            return false;
        }
        if block.contains("holdpoint gate ") || lines[head].trim() == "- gate:" {
            return true;
        }
    }
    false
}

#[test]
fn the_signing_key_is_there_for_the_gate_alone() {
    assert_eq!(
        KEYS.iter().map(|(path, _)| path).collect::<Vec<_>>(),
        EXAMPLES.iter().map(|(path, ..)| path).collect::<Vec<_>>()
    );
    for (path, place) in KEYS {
        let text = read(path);
        let lines: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with(['#', '/'])).collect();
        let names = |line: &str| line.contains(place) || line.to_uppercase().contains("SIGNING_KEY");
        let named: Vec<_> = (0..lines.len()).filter(|line| names(lines[*line])).collect();
        assert!(named.iter().any(|line| lines[*line].contains(place)), "{path} does not name {place}");
        for line in named {
            assert!(is_of_the_gate(&lines, line), "{path}: the gate is not alone with {}", lines[line]);
        }
    }
}

/// Returns what stands between quotes or backticks, or in braces, of those.
fn variables(text: &str, open: char, close: char) -> BTreeSet<String> {
    let parts = text.split(open).skip(1).filter_map(|part| part.split(close).next());
    parts.filter(|name| name.starts_with(char::is_uppercase)).map(str::to_owned).collect()
}

#[test]
fn the_table_of_detected_facts_is_that_of_the_code() {
    let code = include_str!("../../src/release/ci/systems.rs");
    let shared = &code[code.find("const ACTIONS").unwrap()..code.find("pub(super) const SYSTEMS").unwrap()];
    let systems: Vec<_> = code.split("System {").filter(|block| block.contains("name: \"")).collect();
    let page = read("README.md");
    let rows: Vec<_> =
        page.split("## What is detected").nth(1).unwrap().lines().filter(|line| line.starts_with("| ")).collect();
    let mut found = 0;
    for block in systems {
        let name = block.split("name: \"").nth(1).unwrap().split('"').next().unwrap();
        let row = rows
            .iter()
            .find(|row| row.starts_with(&format!("| {name} |")))
            .unwrap_or_else(|| panic!("{name} has no row"));
        found += 1;
        let cells: Vec<_> = row.trim_matches('|').split('|').collect();
        let told: BTreeSet<_> =
            cells[2..].iter().flat_map(|cell| variables(&cell.replace("`, `", "`;`"), '`', '`')).collect();
        // Those that share GitHub's facts have a run's address of their own.
        let own = block.lines().filter(|line| line.contains("run_url: &"));
        let others = shared.lines().filter(|line| !line.contains("run_url: &"));
        let mixed = own.chain(others).collect::<String>();
        let block = if block.contains("..ACTIONS") { mixed.as_str() } else { block };
        // A table of every fact would be too wide to read; these two are about the place, not the release.
        let facts = block.split("repository: &").next().unwrap().to_owned()
            + block.split("environment: &").nth(1).unwrap_or_default();
        let facts = facts.split("workspace: &").next().unwrap();
        let detected: BTreeSet<_> = variables(facts, '{', '}');
        assert_eq!(told, detected, "{name}");
    }
    assert_eq!(rows.len(), found + 1, "rows of systems that are not known");
}
