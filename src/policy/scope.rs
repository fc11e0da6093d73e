//! Which sources are captured, and for which an older snapshot may stand in.

use super::effective::{DEFAULT, Effective, Ruled};
use super::paths::{Patterns, in_words};
use crate::config::{Scope, SourceConfig};
use crate::error::Result;
use crate::model::changes::Changes;
use crate::model::rule::Rule;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// What is to become of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// It is captured.
    Capture,
    /// An older snapshot may stand in, if there is one that is whole, of the same thing, and young enough.
    StandIn {
        /// The rule that says so.
        rule: String,
        /// How old it may be; as old as may be without it.
        within: Option<Duration>,
    },
}

/// What decides of sources.
#[derive(Debug, Clone, Copy)]
pub struct Grounds<'a> {
    /// What changed.
    pub changes: &'a Changes,
    /// The rules that hold.
    pub effective: &'a Effective,
    /// How old the data may be after a restore: no snapshot that stands in is older.
    pub rpo: Option<Duration>,
    /// The configuration's directory, counted from the top of the working tree.
    pub directory: &'a Path,
}

/// Decides of every source; those that `is_asked_for` are captured whatever the rules say.
///
/// # Errors
/// `config`: a pattern of `when_changed` leads out of the working tree.
pub fn choose(
    grounds: Grounds<'_>,
    sources: &[SourceConfig],
    is_asked_for: impl Fn(&SourceConfig) -> bool,
) -> Result<(BTreeMap<String, Choice>, Vec<Rule>)> {
    let (mut choices, mut rules) = (BTreeMap::new(), Vec::new());
    for source in sources {
        let asked_for = is_asked_for(source);
        let (choice, rule) = if asked_for { by_hand() } else { grounds.of_source(source)? };
        choices.insert(source.name.clone(), choice);
        rules.push(rule.of_source(&source.name));
    }
    // Rules of one name stand together.
    rules.sort_by(|one: &Rule, other| one.name.cmp(&other.name));
    Ok((choices, rules))
}

fn by_hand() -> (Choice, Rule) {
    (Choice::Capture, Rule::fired(DEFAULT, "captured: it is named on the command line"))
}

impl Grounds<'_> {
    fn of_source(&self, source: &SourceConfig) -> Result<(Choice, Rule)> {
        let mut left_out = None;
        for scope in &self.effective.scopes {
            let (captures, rule) = self.in_scope(scope, source)?;
            if captures {
                return Ok(self.reuse(rule));
            }
            left_out.get_or_insert((&scope.rule, rule));
        }
        let Some((name, mut rule)) = left_out else {
            return Ok((Choice::Capture, Rule::fired(DEFAULT, "captured: no rule leaves it out")));
        };
        rule.outcome = format!("left out: {}; an older snapshot{} stands in", rule.outcome, self.rpo_in_words());
        Ok((Choice::StandIn { rule: name.clone(), within: self.rpo }, rule))
    }

    /// Says whether a scope captures a source, and why.
    fn in_scope(&self, scope: &Ruled<Scope>, source: &SourceConfig) -> Result<(bool, Rule)> {
        let said = |captures, why: String| (captures, Rule::fired(scope.rule.as_str(), why));
        Ok(match &scope.value {
            Scope::Full => said(true, "every source is".to_owned()),
            Scope::Only(names) if names.contains(&source.name) => said(true, "the rule names it".to_owned()),
            Scope::Only(names) => {
                let names = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                let (captures, rule) = said(false, "the rule does not name it".to_owned());
                (captures, rule.saw("scope", names))
            }
            Scope::Changed => {
                let (captures, rule) = self.changed(&scope.rule, source)?;
                (captures, rule.saw("scope", "changed"))
            }
        })
    }

    fn changed(&self, name: &str, source: &SourceConfig) -> Result<(bool, Rule)> {
        let Some(lines) = &source.when_changed else {
            return Ok((true, Rule::fired(name, "it says nothing of when_changed")));
        };
        let patterns = Patterns::new(lines, self.directory)?;
        let saw = |rule: Rule| rule.saw("when_changed", lines.join(", "));
        let Some(paths) = self.changes.known() else {
            let why = format!("what changed is not all known: {}", self.changes.gaps_in_words());
            return Ok((true, saw(Rule::fired(name, why))));
        };
        let matching = patterns.matching(paths);
        let why = match matching.as_slice() {
            [] => "no path that changed is one of its when_changed".to_owned(),
            some => format!("{} changed", in_words(some)),
        };
        Ok((!matching.is_empty(), saw(Rule::fired(name, why)).saw("changed_paths", paths.len().to_string())))
    }

    /// Decides whether a snapshot may stand in for a source that is in scope.
    fn reuse(&self, mut scope: Rule) -> (Choice, Rule) {
        scope.outcome = format!("captured: {}", scope.outcome);
        let Some(reuse) = &self.effective.reuse_within else {
            return (Choice::Capture, scope);
        };
        let within = self.rpo.map_or(reuse.value, |rpo| rpo.min(reuse.value));
        let capped = if within < reuse.value { " (no more than rpo)" } else { "" };
        let outcome = format!(
            "captured, unless a verified snapshot of the last {}{capped} stands in",
            humantime::format_duration(within)
        );
        let mut rule = Rule::fired(reuse.rule.as_str(), outcome);
        rule.inputs = scope.inputs;
        rule = rule.saw("reuse_within", humantime::format_duration(reuse.value).to_string());
        if let Some(rpo) = self.rpo {
            rule = rule.saw("rpo", humantime::format_duration(rpo).to_string());
        }
        (Choice::StandIn { rule: reuse.rule.clone(), within: Some(within) }, rule)
    }

    fn rpo_in_words(&self) -> String {
        self.rpo.map_or_else(String::new, |rpo| format!(" of the last {}", humantime::format_duration(rpo)))
    }
}
