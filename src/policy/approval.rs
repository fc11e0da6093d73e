//! Is a release approved by enough persons, none of whom started the pipeline or signed for it?

use crate::model::finding::{Finding, FindingCode};
use crate::model::release_id::ReleaseId;

/// An approval whose signature was found to be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// The principals of the key's line, between commas.
    pub principals: String,
    /// The fingerprint of the key.
    pub key: String,
}

/// What approvals are held against.
#[derive(Debug, Clone, Copy)]
pub struct Bar<'a> {
    /// The release.
    pub id: &'a ReleaseId,
    /// The environment.
    pub environment: &'a str,
    /// How many persons must approve.
    pub wanted: usize,
    /// Who started the pipelines of the gate and of the deployment, as far as they say.
    pub actors: &'a [&'a str],
    /// The key that signed the manifest.
    pub signer: Option<&'a str>,
}

/// Counts the persons who approved; a key of the pipeline's own, and whoever started it, do not count.
///
/// `doubts` are why other approvals do not count.
pub fn judge(bar: &Bar<'_>, votes: &[Vote], mut doubts: Vec<String>) -> Finding {
    let mut counted: Vec<&Vote> = Vec::new();
    for vote in votes {
        match objection(bar, vote) {
            Some(why) => doubts.push(why),
            None if counted.iter().any(|other| is_same_person(other, vote)) => {}
            None => counted.push(vote),
        }
    }
    let Bar { id, environment, wanted, .. } = bar;
    let by = counted.iter().map(|vote| vote.principals.as_str()).collect::<Vec<_>>().join(" and ");
    if counted.len() >= *wanted {
        return Finding::info(FindingCode::RequireApproval, format!("the release is approved by {by}"));
    }
    let so_far = if counted.is_empty() { "nobody did".to_owned() } else { format!("only {by} did") };
    doubts.dedup();
    let why = if doubts.is_empty() { String::new() } else { format!(": {}", doubts.join("; ")) };
    let persons = if *wanted == 1 { "somebody".to_owned() } else { format!("{wanted} persons") };
    let message = format!("{persons} other than who started the pipeline must approve of {id}, and {so_far}{why}");
    Finding::refusal(FindingCode::RequireApproval, message)
        .hint(format!("an approver runs: holdpoint approve --environment {environment} --id {id}"))
}

/// Says why a vote does not count, if it does not.
pub fn objection(bar: &Bar<'_>, vote: &Vote) -> Option<String> {
    let Vote { principals, key } = vote;
    if bar.signer == Some(key.as_str()) {
        return Some(format!("{key} is the key that signed the manifest, not a second one"));
    }
    if principals.split(',').any(|one| one.contains(['*', '?', '!'])) {
        return Some(format!("the line of {principals} is a pattern, and names no person"));
    }
    let actor = bar.actors.iter().find(|actor| principals.split(',').any(|one| is_called(one, actor)))?;
    Some(format!("{principals} is {actor}, who started the pipeline"))
}

/// Says whether a principal such as `ada@acme.example` may be the actor `ada` or `ada@acme.example`.
fn is_called(principal: &str, actor: &str) -> bool {
    let (principal, actor) = (principal.trim().to_lowercase(), actor.trim().to_lowercase());
    let local = |name: &str| name.split_once('@').map_or_else(|| name.to_owned(), |(local, _)| local.to_owned());
    !actor.is_empty() && (principal == actor || (local(&principal) == local(&actor)))
}

/// Says whether two votes may be one person's: one of the names, or the key, is the same.
fn is_same_person(one: &Vote, other: &Vote) -> bool {
    let names = |vote: &Vote| vote.principals.split(',').map(|name| name.trim().to_lowercase()).collect::<Vec<_>>();
    one.key == other.key || names(one).iter().any(|name| names(other).contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::Level;

    fn judged(wanted: usize, actors: &[&str], votes: &[(&str, &str)]) -> Finding {
        let id = ReleaseId::parse("20261120T213000Z-1.4.0-3f9c2ab1").unwrap();
        let votes: Vec<_> = votes
            .iter()
            .map(|(principals, key)| Vote { principals: (*principals).to_owned(), key: (*key).to_owned() })
            .collect();
        judge(&Bar { id: &id, environment: "production", wanted, actors, signer: Some("K0") }, &votes, Vec::new())
    }

    #[test]
    fn persons_are_counted_and_not_keys() {
        for (wanted, actors, votes, enough) in [
            (1, &["ada"][..], &[][..], false),
            (1, &["ada"], &[("grace@acme.example", "K1")], true),
            // Who started it does not approve of it, under whatever form of the name.
            (1, &["ada"], &[("ada@acme.example", "K1")], false),
            (1, &["Ada@Acme.example"], &[("ada@acme.example", "K1")], false),
            (1, &["ada"], &[("ops,ADA", "K1")], false),
            (1, &["bot", "grace"], &[("grace@acme.example", "K1")], false),
            (1, &[], &[("grace@acme.example", "K1")], true),
            (1, &[""], &[("grace@acme.example", "K1")], true),
            // Nor does the key of the pipeline.
            (1, &["ada"], &[("grace@acme.example", "K0")], false),
            // A pattern is nobody.
            (1, &["ada"], &[("*@acme.example", "K1")], false),
            // One person with two keys, two names of one line, one key in two lines.
            (2, &["ada"], &[("grace", "K1"), ("grace", "K2")], false),
            (2, &["ada"], &[("grace,hopper", "K1"), ("hopper", "K2")], false),
            (2, &["ada"], &[("grace", "K1"), ("linus", "K1")], false),
            (2, &["ada"], &[("grace", "K1"), ("linus", "K2")], true),
            (2, &["ada"], &[("grace", "K1"), ("ada", "K2")], false),
        ] {
            let finding = judged(wanted, actors, votes);
            assert_eq!(finding.level == Level::Info, enough, "{wanted} {actors:?} {votes:?}: {}", finding.message);
        }
    }

    #[test]
    fn a_refusal_says_who_is_missing_and_why_others_do_not_count() {
        let finding = judged(2, &["ada"], &[("grace", "K1"), ("ada", "K2")]);
        insta::assert_snapshot!(finding.message, @"2 persons other than who started the pipeline must approve of 20261120T213000Z-1.4.0-3f9c2ab1, and only grace did: ada is ada, who started the pipeline");
        assert!(finding.hint.unwrap().contains("holdpoint approve --environment production --id 2026"));
    }
}
