//! Which rules hold for a release: those of its severity and of its environment's tier, the strictest of several.

use crate::config::{PolicyConfig, PolicyRules, Requirement, Scope};
use crate::model::manifest::Severity;
use std::collections::BTreeMap;
use std::time::Duration;

/// A value, and the name of the rule that it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruled<T> {
    /// The value.
    pub value: T,
    /// The rule, as the configuration names it, such as `policy.patch.scope`.
    pub rule: String,
}

/// The rules that hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effective {
    /// Which sources are captured: those that any of these captures. Never empty.
    pub scopes: Vec<Ruled<Scope>>,
    /// How old a snapshot may be that stands in; none may if `None`.
    pub reuse_within: Option<Ruled<Duration>>,
    /// How long the release is kept at least.
    pub keep_for: Option<Ruled<Duration>>,
    /// How old the last drill that passed may be.
    pub drill_within: Option<Ruled<Duration>>,
    /// What the release must have, with the rule that says so.
    pub require: BTreeMap<Requirement, String>,
}

/// The name of the rule that holds where the configuration says nothing.
pub const DEFAULT: &str = "default";

/// Returns the rules for a release of each of `severities`, in an environment of `tier`: of several the strictest, key by
/// key, so that more severities never mean less.
pub fn effective(policy: &PolicyConfig, severities: &[Severity], tier: Option<&str>) -> Effective {
    let each = severities.iter().map(|severity| of_one(policy, *severity, tier));
    each.reduce(stricter).unwrap_or_else(|| of_rules(&[]))
}

/// Returns the rules of one severity. What is done for the first time, backwards, or without knowing how large a step it
/// is, has the rules of a major release unless it has its own.
fn of_one(policy: &PolicyConfig, severity: Severity, tier: Option<&str>) -> Effective {
    let own = policy.severities.get(&severity).map(|rules| (severity, rules));
    let table = own.or_else(|| match severity {
        Severity::First | Severity::Downgrade | Severity::Unknown => {
            policy.severities.get(&Severity::Major).map(|rules| (Severity::Major, rules))
        }
        _ => None,
    });
    let Some((severity, table)) = table else { return of_rules(&[]) };
    let name = format!("policy.{}", severity.as_str());
    let of_tier = tier.and_then(|tier| Some((format!("{name}.tier.{tier}"), table.tiers.get(tier)?)));
    let of_all = (name, &table.rules);
    of_rules(&of_tier.into_iter().chain([of_all]).collect::<Vec<_>>())
}

/// Takes every key from the first table that has it.
fn of_rules(tables: &[(String, &PolicyRules)]) -> Effective {
    let full = Ruled { value: Scope::Full, rule: DEFAULT.to_owned() };
    let scope = first(tables, "scope", |rules| rules.scope.clone()).unwrap_or(full);
    let require = first(tables, "require", |rules| rules.require.clone());
    Effective {
        scopes: vec![scope],
        reuse_within: first(tables, "reuse_within", |rules| rules.reuse_within),
        keep_for: first(tables, "keep_for", |rules| rules.keep_for),
        drill_within: first(tables, "drill_within", |rules| rules.drill_within),
        require: require
            .map(|Ruled { value, rule }| value.into_iter().map(|each| (each, rule.clone())).collect())
            .unwrap_or_default(),
    }
}

fn first<T>(
    tables: &[(String, &PolicyRules)],
    key: &str,
    value: impl Fn(&PolicyRules) -> Option<T>,
) -> Option<Ruled<T>> {
    tables.iter().find_map(|(name, rules)| Some(Ruled { value: value(rules)?, rule: format!("{name}.{key}") }))
}

/// Returns the stricter of each two rules.
fn stricter(one: Effective, other: Effective) -> Effective {
    let mut scopes = one.scopes;
    scopes.extend(other.scopes.into_iter().filter(|scope| !scopes.contains(scope)).collect::<Vec<_>>());
    let mut require = one.require;
    for (requirement, rule) in other.require {
        require.entry(requirement).or_insert(rule);
    }
    Effective {
        scopes,
        // No snapshot may stand in unless both say so.
        reuse_within: one.reuse_within.zip(other.reuse_within).map(|(one, other)| shorter(one, other)),
        keep_for: either(one.keep_for, other.keep_for, longer),
        drill_within: either(one.drill_within, other.drill_within, shorter),
        require,
    }
}

fn either<T>(one: Option<T>, other: Option<T>, both: impl Fn(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(both(one, other)),
        (one, other) => one.or(other),
    }
}

fn shorter(one: Ruled<Duration>, other: Ruled<Duration>) -> Ruled<Duration> {
    if other.value < one.value { other } else { one }
}

fn longer(one: Ruled<Duration>, other: Ruled<Duration>) -> Ruled<Duration> {
    if other.value > one.value { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    const POLICY: &str = r#"
        [policy.patch]
        scope = "changed"
        reuse_within = "1h"
        keep_for = "30d"
        require = ["signed"]
        [policy.patch.tier.critical]
        scope = "full"
        require = ["signed", "approval"]
        [policy.major]
        reuse_within = "10m"
        drill_within = "30d"
        keep_for = "400d"
        require = ["copy"]
        [environment.production]
        tier = "critical"
    "#;

    fn of(severities: &[Severity], tier: Option<&str>) -> Effective {
        effective(&parse(POLICY, std::path::Path::new("holdpoint.toml")).unwrap().policy, severities, tier)
    }

    fn rule<T: Copy>(ruled: &Option<Ruled<T>>) -> Option<&str> {
        ruled.as_ref().map(|ruled| ruled.rule.as_str())
    }

    #[test]
    fn a_tier_overrides_single_keys() {
        let usual = of(&[Severity::Patch], Some("low"));
        assert_eq!(usual.scopes, [Ruled { value: Scope::Changed, rule: "policy.patch.scope".to_owned() }]);
        assert_eq!(usual.require[&Requirement::Signed], "policy.patch.require");
        let critical = of(&[Severity::Patch], Some("critical"));
        let full = Ruled { value: Scope::Full, rule: "policy.patch.tier.critical.scope".to_owned() };
        assert_eq!(critical.scopes, [full]);
        assert_eq!(rule(&critical.reuse_within), Some("policy.patch.reuse_within"));
        assert_eq!(critical.require[&Requirement::Approval], "policy.patch.tier.critical.require");
    }

    #[test]
    fn without_a_table_everything_is_captured_or_the_rules_are_those_of_a_major_release() {
        let minor = of(&[Severity::Minor], None);
        assert_eq!(minor, Effective { scopes: minor.scopes.clone(), ..Effective::default() });
        assert_eq!(minor.scopes, [Ruled { value: Scope::Full, rule: DEFAULT.to_owned() }]);
        for severity in [Severity::First, Severity::Downgrade, Severity::Unknown] {
            assert_eq!(of(&[severity], None), of(&[Severity::Major], None), "{severity:?}");
        }
    }

    #[test]
    fn of_several_the_strictest_holds() {
        let both = of(&[Severity::Patch, Severity::Major], None);
        assert_eq!(both.scopes.iter().map(|scope| &scope.value).collect::<Vec<_>>(), [&Scope::Changed, &Scope::Full]);
        assert_eq!(rule(&both.reuse_within), Some("policy.major.reuse_within"));
        assert_eq!(rule(&both.keep_for), Some("policy.major.keep_for"));
        assert_eq!(rule(&both.drill_within), Some("policy.major.drill_within"));
        assert_eq!(both.require.keys().copied().collect::<Vec<_>>(), [Requirement::Signed, Requirement::Copy]);
        let with_a_default = of(&[Severity::Patch, Severity::Minor], None);
        assert_eq!(rule(&with_a_default.reuse_within), None, "where one allows no reuse, there is none");
    }
}
