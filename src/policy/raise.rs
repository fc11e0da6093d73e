//! How large a step a release is: by its versions, raised by what changed, and never lowered by it.

use super::paths::{Patterns, in_words};
use super::severity::severity;
use crate::config::{PolicyConfig, RaiseConfig};
use crate::error::Result;
use crate::model::changes::Changes;
use crate::model::manifest::{From, Severity};
use crate::model::rule::Rule;
use crate::model::version::Version;
use std::path::Path;

/// Files by which tools change a schema: Rails, Django, Alembic, Flyway, Liquibase, Prisma, sqlx, Diesel, Knex and others.
const MIGRATIONS: &[&str] = &[
    "migrations/",
    "migration/",
    "migrate/",
    "alembic/",
    "flyway/",
    "liquibase/",
    "Migrations/",
    "changelog/",
    "changelogs/",
    "*changelog*.xml",
    "*changelog*.yaml",
    "*changelog*.yml",
    "*changelog*.json",
    "*changelog*.sql",
    "schema.prisma",
    "schema.sql",
    "schema.rb",
    "structure.sql",
];

/// Files by which tools change what an application runs on: Terraform, Kubernetes, Helm, compose and others.
const INFRASTRUCTURE: &[&str] = &[
    "*.tf",
    "*.tf.json",
    "*.tfvars",
    ".terraform.lock.hcl",
    "terragrunt.hcl",
    "*.bicep",
    "*.nomad",
    "Chart.yaml",
    "helm/",
    "k8s/",
    "kubernetes/",
    "kustomization.yaml",
    "kustomization.yml",
    "compose*.yaml",
    "compose*.yml",
    "docker-compose*.yaml",
    "docker-compose*.yml",
    "Dockerfile*",
    "Containerfile*",
    "Pulumi*.yaml",
    "serverless.yml",
    "serverless.yaml",
    "cloudformation/",
    "ansible/",
];

/// How large a step a release is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// By its versions and by what changed.
    pub severity: Severity,
    /// The severities whose rules hold: that of the versions, and any that the release was raised to or may have to be.
    pub held_to: Vec<Severity>,
    /// Every rule that was asked.
    pub rules: Vec<Rule>,
}

/// Judges how large a step it is from what runs to a version, given what `changes`.
///
/// `directory` is the configuration's, counted from the top of the working tree: the patterns of its rules count from
/// there. Built-in rules look everywhere.
///
/// # Errors
/// `config`: a pattern leads out of the working tree.
pub fn judge(from: &From, to: &Version, changes: &Changes, policy: &PolicyConfig, directory: &Path) -> Result<Step> {
    let by_versions = severity(from, to);
    let mut step = Step { severity: by_versions, held_to: vec![by_versions], rules: vec![of_versions(from, to)] };
    let mut worst = None;
    for (name, raise, directory) in raises(policy, directory) {
        worst = worst.max(height(raise.to));
        let rule = step.ask(name, &raise, changes, directory)?;
        step.rules.push(rule);
    }
    let rule = step.be_careful(changes, worst);
    step.rules.push(rule);
    Ok(step)
}

fn raises<'a>(policy: &PolicyConfig, directory: &'a Path) -> Vec<(String, RaiseConfig, &'a Path)> {
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
    let builtin = |name: &str, paths, to| {
        let raise = RaiseConfig { name: name.to_owned(), paths: lines(paths), to };
        (format!("policy.builtin_raise.{name}"), raise, Path::new(""))
    };
    let mut raises = Vec::new();
    if policy.builtin_raise {
        raises.push(builtin("migrations", MIGRATIONS, Severity::Major));
        raises.push(builtin("infrastructure", INFRASTRUCTURE, Severity::Minor));
    }
    raises.extend(policy.raises.iter().map(|raise| (format!("policy.raise.{}", raise.name), raise.clone(), directory)));
    raises
}

fn of_versions(from: &From, to: &Version) -> Rule {
    let severity = severity(from, to);
    let why = match severity {
        Severity::First => "nothing is deployed yet",
        Severity::Patch => "only the patch number rises",
        Severity::Minor => "the minor number rises",
        Severity::Major => "the major number rises",
        Severity::PreRelease => "the numbers stay, and one of the two is a pre-release",
        Severity::Downgrade => "the version goes down",
        Severity::Same => "the version is the one that runs",
        Severity::Unknown => "the versions do not tell",
    };
    let deployed = from.version.as_ref().map_or("(unknown)", |version| version.as_str());
    Rule::fired("severity", format!("{}: {why}", severity.as_str())).saw("from", deployed).saw("to", to.as_str())
}

impl Step {
    /// Asks one rule whether it raises the step.
    fn ask(&mut self, name: String, raise: &RaiseConfig, changes: &Changes, directory: &Path) -> Result<Rule> {
        // A pattern that is wrong is said, whether or not anything changed.
        let patterns = Patterns::new(&raise.paths, directory)?;
        let inputs = |rule: Rule| rule.saw("paths", raise.paths.join(", ")).saw("to", raise.to.as_str());
        let Some(paths) = &changes.paths else {
            let why = if changes.is_first() { "nothing is deployed yet" } else { "which paths changed is not known" };
            return Ok(inputs(Rule::passed_over(name, format!("not judged: {why}"))));
        };
        let inputs = |rule: Rule| inputs(rule).saw("changed_paths", paths.len().to_string());
        let matching = patterns.matching(paths);
        if matching.is_empty() {
            return Ok(inputs(Rule::passed_over(name, "none of the changed paths is meant")));
        }
        let found = format!("{} changed: {}", counted(matching.len()), in_words(&matching));
        let to = raise.to.as_str();
        Ok(inputs(match (height(self.severity), height(raise.to)) {
            (Some(now), Some(least)) if now >= least => {
                Rule::passed_over(name, format!("{found}; the release is {} anyway", self.severity.as_str()))
            }
            (Some(_), _) => {
                self.severity = raise.to;
                self.hold_to(raise.to);
                Rule::fired(name, format!("raised to {to}: {found}"))
            }
            // What goes backwards stays what it is, and is held to more.
            (None, _) => {
                self.hold_to(raise.to);
                Rule::fired(
                    name,
                    format!("still {}, and held to the rules of {to}, too: {found}", self.severity.as_str()),
                )
            }
        }))
    }

    /// Holds the release to the rules that it may have to be raised to, where that cannot be known.
    fn be_careful(&mut self, changes: &Changes, worst: Option<u8>) -> Rule {
        const NAME: &str = "changes";
        if changes.is_first() {
            return Rule::passed_over(NAME, "nothing is deployed yet, so nothing is compared");
        }
        let merges = |rule: Rule| match changes.merges {
            Some(merges) => rule.saw("merges", merges.to_string()),
            None => rule,
        };
        if let Some(paths) = changes.known() {
            let outcome = format!("{} changed since the deployed commit", counted(paths.len()));
            return merges(Rule::passed_over(NAME, outcome).saw("changed_paths", in_words(paths)));
        }
        let severity = worst.and_then(|worst| LADDER.get(usize::from(worst)).copied());
        let above = severity.filter(|severity| height(self.severity) < height(*severity));
        let mut outcome = format!("what changed is not all known: {}", changes.gaps_in_words());
        if let Some(above) = above {
            self.hold_to(above);
            outcome += &format!("; held to the rules of {}, too", above.as_str());
        }
        merges(Rule::fired(NAME, outcome))
    }

    fn hold_to(&mut self, severity: Severity) {
        if !self.held_to.contains(&severity) {
            self.held_to.push(severity);
        }
    }
}

/// The steps that can be raised, the smallest first.
const LADDER: [Severity; 5] = [Severity::Same, Severity::PreRelease, Severity::Patch, Severity::Minor, Severity::Major];

/// Returns the place of a severity on the ladder; one that says something else than how large the step is has none.
fn height(severity: Severity) -> Option<u8> {
    LADDER.iter().position(|step| *step == severity).and_then(|place| u8::try_from(place).ok())
}

fn counted(paths: usize) -> String {
    if paths == 1 { "1 path".to_owned() } else { format!("{paths} paths") }
}
