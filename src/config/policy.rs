//! `[policy]`: how much is captured, what may stand in, what is required and how long it is kept, by how large a step a
//! release is.

use super::keys::{Form, Key, Section, key, required};
use super::requirements::{REQUIREMENTS, Requirement, requirements};
use super::sources::globs;
use super::walk::{Table, Value};
use crate::model::manifest::Severity;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use toml::de::DeValue;

const LEVELS: &[(&str, Severity)] = &[("minor", Severity::Minor), ("major", Severity::Major)];
const SCOPES: &[&str] = &["full", "changed"];

/// What `[policy.SEVERITY]` and `[policy.SEVERITY.tier.TIER]` may say.
const RULES: &[Key] = &[
    key("scope", Form::Either(&Form::Choice(SCOPES), &Form::List(&Form::Name, 1)), "which sources are captured"),
    key("reuse_within", Form::Duration, "how old a verified snapshot may be that stands in; none may unless given"),
    key("keep_for", Form::Duration, "how long releases of this severity are kept at least"),
    key("drill_within", Form::Duration, "how old the last drill that passed may be"),
    key("require", Form::List(&Form::Choice(REQUIREMENTS), 0), "what a release must have"),
];

const OF_SEVERITY: Form = Form::Table(&SEVERITY_POLICY);

/// `[policy]`.
pub(super) const POLICY: Section = Section {
    name: "[policy]",
    keys: &[&[
        key("first", OF_SEVERITY, "the rules while nothing is deployed yet"),
        key("patch", OF_SEVERITY, "the rules where only the patch number rises"),
        key("minor", OF_SEVERITY, "the rules where the minor number rises"),
        key("major", OF_SEVERITY, "the rules where the major number rises"),
        key("pre-release", OF_SEVERITY, "the rules to, from and between pre-releases of one version"),
        key("downgrade", OF_SEVERITY, "the rules where the version goes down"),
        key("same", OF_SEVERITY, "the rules where the version is the one that runs"),
        key("unknown", OF_SEVERITY, "the rules where the versions do not tell"),
        key("raise", Form::List(&Form::Table(&RAISE), 0), "paths whose change makes a release a larger step"),
        key(
            "builtin_raise",
            Form::Boolean,
            "whether migrations and infrastructure files do so, too; true unless given",
        ),
    ]],
    later: &[],
};

pub(super) const SEVERITY_POLICY: Section = Section {
    name: "[policy.SEVERITY]",
    keys: &[RULES, &[key("tier", Form::Map(&Form::Table(&TIER_POLICY)), "other rules for environments of a tier")]],
    later: &[],
};

pub(super) const TIER_POLICY: Section = Section { name: "[policy.SEVERITY.tier.TIER]", keys: &[RULES], later: &[] };

pub(super) const RAISE: Section = Section {
    name: "[[policy.raise]]",
    keys: &[&[
        required("name", Form::Name, "unique in the file; what messages and records call it"),
        required("paths", Form::List(&Form::Text, 1), "the paths, as lines of a .gitignore"),
        required("to", Form::Choice(&["minor", "major"]), "how large a step the release is at least"),
    ]],
    later: &[],
};

/// `[policy]`.
#[derive(Debug, Clone)]
pub struct PolicyConfig {
    /// `[policy.SEVERITY]`, by severity.
    pub severities: BTreeMap<Severity, SeverityPolicy>,
    /// `[[policy.raise]]`, in the order of the file; names are unique.
    pub raises: Vec<RaiseConfig>,
    /// Whether migrations and infrastructure files raise the severity, too.
    pub builtin_raise: bool,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self { severities: BTreeMap::new(), raises: Vec::new(), builtin_raise: true }
    }
}

/// `[policy.SEVERITY]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeverityPolicy {
    /// What it says of every environment.
    pub rules: PolicyRules,
    /// What it says of environments of a tier: each key that is there wins over the same one of `rules`.
    pub tiers: BTreeMap<String, PolicyRules>,
}

/// The rules of a severity; what is `None` is not said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyRules {
    /// Which sources are captured.
    pub scope: Option<Scope>,
    /// How old a snapshot may be that stands in.
    pub reuse_within: Option<Duration>,
    /// How long a release is kept at least.
    pub keep_for: Option<Duration>,
    /// How old the last drill that passed may be.
    pub drill_within: Option<Duration>,
    /// What a release must have.
    pub require: Option<BTreeSet<Requirement>>,
}

/// `scope = …`: which sources are captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// `"full"`: every source.
    Full,
    /// `"changed"`: those whose `when_changed` matches a path that changed, and those without the key.
    Changed,
    /// A list: the sources of these names.
    Only(BTreeSet<String>),
}

/// One `[[policy.raise]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaiseConfig {
    /// Its name, unique in the configuration.
    pub name: String,
    /// The paths, as lines of a `.gitignore`.
    pub paths: Vec<String>,
    /// How large a step the release is at least: minor or major.
    pub to: Severity,
}

/// Reads the policy; rules name sources among `sources`, if those are right, and tiers among `tiers`, if all are known.
pub(super) fn policy(value: &Value<'_>, sources: Option<&[&str]>, tiers: Option<&[&str]>) -> PolicyConfig {
    let mut policy = PolicyConfig::default();
    let Some(table) = value.table(&POLICY) else {
        return policy;
    };
    for (severity, name) in Severity::ALL.map(|severity| (severity, severity.as_str())) {
        if let Some(table) = table.get(name).and_then(|value| value.table(&SEVERITY_POLICY)) {
            policy.severities.insert(severity, of_severity(&table, sources, tiers));
        }
    }
    for item in table.get("raise").and_then(|value| value.list()).unwrap_or_default() {
        let Some(raise) = item.table(&RAISE).and_then(|table| raise(&table)) else { continue };
        if policy.raises.iter().any(|other| other.name == raise.name) {
            item.mistake(format!("two rules are named {:?}", raise.name));
        }
        policy.raises.push(raise);
    }
    policy.builtin_raise = table.get("builtin_raise").and_then(|value| value.boolean()).unwrap_or(true);
    policy
}

fn of_severity(table: &Table<'_>, sources: Option<&[&str]>, tiers: Option<&[&str]>) -> SeverityPolicy {
    let mut policy = SeverityPolicy { rules: rules(table, sources), ..SeverityPolicy::default() };
    for (tier, item) in table.get("tier").map(|value| value.map()).unwrap_or_default() {
        // Rules of a tier that no environment has would be looked at by nobody.
        if tiers.is_some_and(|tiers| !tiers.contains(&tier)) {
            item.mistake(format!("no environment has the tier \"{tier}\""));
        }
        if let Some(table) = item.table(&TIER_POLICY) {
            policy.tiers.insert(tier.to_owned(), rules(&table, sources));
        }
    }
    policy
}

fn rules(table: &Table<'_>, sources: Option<&[&str]>) -> PolicyRules {
    let duration = |name| table.get(name).and_then(|value| value.some_duration());
    PolicyRules {
        scope: table.get("scope").and_then(|value| scope(&value, sources)),
        reuse_within: duration("reuse_within"),
        keep_for: duration("keep_for"),
        drill_within: duration("drill_within"),
        require: table.get("require").map(|value| requirements(&value)),
    }
}

fn scope(value: &Value<'_>, sources: Option<&[&str]>) -> Option<Scope> {
    let form = "\"full\", \"changed\" or a list of sources";
    match value.raw() {
        DeValue::String(_) => value.choice(&[("full", Scope::FULL), ("changed", Scope::CHANGED)]).cloned(),
        DeValue::Array(_) => {
            let mut names = BTreeSet::new();
            for item in value.full_list()? {
                let Some(name) = item.name() else { continue };
                if sources.is_some_and(|sources| !sources.contains(&name)) {
                    item.mistake(format!("`scope` names the source \"{name}\", which does not exist"));
                }
                names.insert(name.to_owned());
            }
            Some(Scope::Only(names))
        }
        _ => value.must_be(form),
    }
}

impl Scope {
    const FULL: &Self = &Self::Full;
    const CHANGED: &Self = &Self::Changed;
}

fn raise(table: &Table<'_>) -> Option<RaiseConfig> {
    // Every key is read before anything is given up, so that every mistake is noted.
    let name = table.get("name").and_then(|value| value.name());
    let paths = table.get("paths").and_then(|value| globs(&value));
    let to = table.get("to").and_then(|value| value.choice(LEVELS));
    Some(RaiseConfig { name: name?.to_owned(), paths: paths?, to: to? })
}

/// Returns the tiers of all environments; `None` if any of them is kept elsewhere, so that another run may have another.
pub(super) fn tiers<'a>(environments: Option<Value<'a>>) -> Option<Vec<&'a str>> {
    let mut tiers = Vec::new();
    for (_, environment) in environments.map(|value| value.map_quietly()).unwrap_or_default() {
        let Some(tier) = environment.field("tier") else { continue };
        match tier.raw() {
            DeValue::String(text) => tiers.push(text.as_ref()),
            _ => return None,
        }
    }
    Some(tiers)
}
