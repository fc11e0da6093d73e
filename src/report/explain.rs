//! What codes and rules mean, from the documentation, and how a plan came to them.

use super::text::{Style, findings};
use super::units::plain;
use crate::model::finding::Finding;
use crate::model::manifest::Severity;
use crate::model::rule::Rule;
use serde::Serialize;
use std::fmt::Write as _;

const FINDINGS: &str = include_str!("../../docs/findings.md");
const POLICY: &str = include_str!("../../docs/policy.md");

/// What a code or a rule means, and what there is of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation<'a> {
    /// The finding's code, or the rule's name.
    pub code: &'a str,
    /// What it means, as the documentation says; absent if that says nothing of it.
    pub meaning: Option<String>,
    /// The findings of this code.
    pub findings: Vec<&'a Finding>,
    /// The rule, once for each source that it is about, or the rules that the finding comes from.
    pub rules: Vec<&'a Rule>,
}

impl<'a> Explanation<'a> {
    /// Explains a finding's code or a rule's name by what was found and by the rules that were asked; `None` if neither the
    /// documentation nor the rules know it.
    pub fn of(code: &'a str, found: &'a [Finding], rules: &'a [Rule]) -> Option<Self> {
        let findings: Vec<_> = found.iter().filter(|finding| finding.code.as_str() == code).collect();
        let rules: Vec<_> = rules.iter().filter(|rule| rule.name == code || is_behind(code, rule)).collect();
        let meaning = meaning(code);
        (meaning.is_some() || !rules.is_empty()).then_some(Self { code, meaning, findings, rules })
    }
}

/// Says whether findings of a code come from a rule, where they do not have one name.
fn is_behind(code: &str, rule: &Rule) -> bool {
    let name = rule.name.as_str();
    match code {
        "changes-unknown" => name == "changes",
        "same-version" => name == "severity",
        "deadline-too-short" => name == "gate.timeout",
        "outside-window" | "blackout" | "window-too-short" => {
            [".window", ".blackout"].iter().any(|kind| name.contains(kind))
        }
        "require-drill" => name.ends_with(".drill_within"),
        code => code
            .strip_prefix("require-")
            .is_some_and(|asked| rule.inputs.get("requirement").is_some_and(|met| met == asked)),
    }
}

/// Returns what the documentation says of a finding's code or of a rule, without links.
pub fn meaning(code: &str) -> Option<String> {
    let rule = format!("`{}`", pattern(code));
    let found = section(FINDINGS, "\n## ", code).or_else(|| section(POLICY, "\n### ", &rule));
    let links = regex::Regex::new(r"\[([^\]]+)\]\([^)]+\)").ok()?;
    found.map(|text| links.replace_all(text, "$1").into_owned())
}

/// Returns the text below a heading, up to the next one.
fn section<'a>(page: &'a str, mark: &str, heading: &str) -> Option<&'a str> {
    let sections = page.split(mark).skip(1);
    let found = sections.filter_map(|section| section.split_once('\n')).find(|(title, _)| *title == heading);
    found.map(|(_, text)| text.split("\n#").next().unwrap_or_default().trim())
}

/// Returns the name of a rule with placeholders for what the configuration names.
fn pattern(rule: &str) -> String {
    if let Some(rest) = rule.strip_prefix("environment.") {
        // The environment is named as somebody likes, and so are its windows.
        let last = rest.rsplit('.').next().unwrap_or(rest);
        let named = ["window", "blackout"].into_iter().find(|kind| rest.contains(&format!(".{kind}.")));
        let key = if matches!(last, "require" | "drill_within") { last } else { named.unwrap_or(last) };
        return format!("environment.NAME.{key}");
    }
    let Some(rest) = rule.strip_prefix("policy.") else { return rule.to_owned() };
    let (first, last) = (rest.split('.').next().unwrap_or(rest), rest.rsplit('.').next().unwrap_or(rest));
    match first {
        "raise" | "builtin_raise" => format!("policy.{first}.NAME"),
        severity if Severity::ALL.iter().any(|known| known.as_str() == severity) => format!("policy.SEVERITY.{last}"),
        _ => rule.to_owned(),
    }
}

/// Renders an explanation.
pub fn explanation(explanation: &Explanation<'_>, style: Style) -> String {
    let mut text = format!("{}\n\n", plain(explanation.code));
    let meaning = explanation.meaning.as_deref().unwrap_or("The documentation says nothing of it.");
    let _ = writeln!(text, "{meaning}\n\nIn this plan:");
    if explanation.findings.is_empty() && explanation.rules.is_empty() {
        text.push_str("nothing of it\n");
    }
    let found: Vec<_> = explanation.findings.iter().map(|finding| (*finding).clone()).collect();
    text.push_str(findings(&found, style).trim_start_matches('\n'));
    text + &rules(explanation.rules.iter().copied())
}

/// Renders rules: what each decided, and what it looked at. Those that decided nothing are in parentheses.
pub fn rules<'a>(rules: impl Iterator<Item = &'a Rule>) -> String {
    let mut text = String::new();
    for rule in rules {
        let source = rule.source.as_ref().map(|source| format!(" ({})", plain(source))).unwrap_or_default();
        let outcome = plain(&rule.outcome);
        let outcome = if rule.fired { outcome } else { format!("({outcome})") };
        let _ = writeln!(text, "{}{source}: {outcome}", plain(&rule.name));
        for (name, value) in &rule.inputs {
            let _ = writeln!(text, "    {} = {}", plain(name), plain(value));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::FindingCode;

    #[test]
    fn every_code_has_its_meaning() {
        for code in FindingCode::ALL {
            let text = meaning(code.as_str()).unwrap_or_else(|| panic!("{code}"));
            assert!(text.contains("What to do next:") && !text.contains("]("), "{code}: {text}");
        }
        assert_eq!(meaning("no-such-code"), None);
    }

    #[test]
    fn rules_are_found_whatever_the_configuration_names() {
        let scope = meaning("policy.patch.scope").unwrap();
        assert_eq!(meaning("policy.pre-release.tier.a.b.scope").as_ref(), Some(&scope));
        assert!(meaning("policy.raise.anything").is_some() && meaning("severity").is_some());
        assert!(
            meaning("environment.review/x.window.office").is_some() && meaning("environment.a.blackout.b").is_some()
        );
        assert!(meaning("environment.production.window").is_some() && meaning("gate.timeout").is_some());
        assert_eq!(meaning("policy.patsh.scope"), None);
    }

    #[test]
    fn a_finding_is_explained_by_the_rule_that_it_comes_from() {
        for (code, rule, expected) in [
            ("outside-window", Rule::fired("environment.a.b.window.night", ""), true),
            ("window-too-short", Rule::fired("gate.timeout", ""), false),
            ("blackout", Rule::fired("environment.production.blackout", ""), true),
            ("deadline-too-short", Rule::fired("gate.timeout", ""), true),
            ("require-copy", Rule::fired("policy.major.require", "").saw("requirement", "copy"), true),
            ("require-copy", Rule::fired("policy.major.require", "").saw("requirement", "signed"), false),
            ("require-drill", Rule::fired("environment.production.drill_within", ""), true),
            ("same-version", Rule::fired("severity", ""), true),
            ("stream-empty", Rule::fired("severity", ""), false),
        ] {
            assert_eq!(is_behind(code, &rule), expected, "{code} {}", rule.name);
            assert!(meaning(&rule.name).is_some(), "docs/policy.md says nothing of {}", rule.name);
        }
    }

    #[test]
    fn inputs_stand_below_the_rule_and_control_characters_are_shown_harmless() {
        let rules = [Rule::fired("a", "b\u{1b}[31m").of_source("s").saw("n", "v\n"), Rule::passed_over("c", "d")];
        assert_eq!(super::rules(rules.iter()), "a (s): b\\u{1b}[31m\n    n = v\\n\nc: (d)\n");
        let found = [Finding::warning(FindingCode::ChangesUnknown, "m")];
        let explanation = Explanation::of("changes-unknown", &found, &rules).unwrap();
        assert_eq!((explanation.findings.len(), explanation.rules.len()), (1, 0));
        assert!(
            super::explanation(&explanation, Style::default())
                .contains("In this plan:\nwarning  m [changes-unknown]\n")
        );
        assert_eq!(Explanation::of("no-such-code", &found, &rules), None);
    }
}
