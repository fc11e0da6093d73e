//! What the environment and the severity require of a release, and what is known of it before the capture.

use super::super::last_drill;
use super::super::survey;
use super::{Facts, Ruling};
use crate::config::Requirement;
use crate::error::Result;
use crate::model::finding::FindingCode;
use crate::model::manifest::Purpose;
use crate::policy::requirements::{self, Approval, Demands, Known};
use crate::release::git::{Tag, TagContent, WorkTree};
use crate::release::resolve::given_version;
use crate::signing::{self, AllowedSigners};
use jiff::Timestamp;

/// Judges what is required; a snapshot outside of a deploy is always welcome.
///
/// # Errors
/// The store's own; `commit-unknown` if git cannot be read.
pub fn judge(facts: &Facts<'_>, ruling: &mut Ruling) -> Result<()> {
    if facts.request.purpose != Purpose::Gate {
        return Ok(());
    }
    let demands = demands(facts, ruling);
    if !demands.is_empty() {
        let known = gather(facts, &demands)?;
        let (findings, rules) = requirements::judge(&demands, &known);
        if demands.contains_key(&Requirement::Approval) {
            // An override that answers for it stands in the manifest, and `admit` reads it there.
            ruling.approvals = u32::try_from(known.approval.wanted).ok();
        }
        ruling.findings.extend(findings);
        ruling.rules.extend(rules);
    }
    ruling.require.extend(demands.into_keys());
    drill(facts, ruling)
}

/// Returns what is demanded, with who demands it: the environment, and the rules of the severity.
fn demands(facts: &Facts<'_>, ruling: &Ruling) -> Demands {
    let of_environment = format!("environment.{}.require", facts.request.environment);
    let environment = &facts.request.settings.require;
    let mut demands: Demands = environment.iter().map(|requirement| (*requirement, of_environment.clone())).collect();
    for (requirement, rule) in &ruling.effective.require {
        demands.entry(*requirement).or_insert_with(|| rule.clone());
    }
    demands
}

fn gather<'a>(facts: &Facts<'a>, demands: &Demands) -> Result<Known<'a>> {
    let request = facts.request;
    let asks = |requirement| demands.contains_key(&requirement);
    let nameless = request.config.sources.iter().chain(&request.sources).filter(|source| source.owner.is_none());
    let mut without_owner: Vec<_> = nameless.map(|source| source.name.clone()).collect();
    without_owner.sort();
    without_owner.dedup();
    let undeclared = if asks(Requirement::Coverage) { survey::undeclared(request) } else { Vec::new() };
    let tree = match &request.work_tree {
        Some(top) if asks(Requirement::CleanTree) || asks(Requirement::SignedTag) => WorkTree::find(top)?,
        _ => None,
    };
    let approvers = request.approvers.as_ref();
    Ok(Known {
        signed: request.signer.is_some(),
        copies: request.copies.len(),
        locks: request.place.repository_storage().lock_terms().is_some(),
        without_owner,
        undeclared: undeclared.into_iter().map(|finding| finding.message).collect(),
        tree: if asks(Requirement::CleanTree) { clean(facts, tree.as_ref())? } else { Ok(()) },
        tag: if asks(Requirement::SignedTag) { tag(facts, tree.as_ref())? } else { Ok(String::new()) },
        ticket: request.ticket.as_deref(),
        ticket_pattern: request.settings.ticket_pattern.as_ref(),
        approval: Approval {
            wanted: request.settings.approvals.unwrap_or(1) as usize,
            approvers: approvers.map(|signers| signers.principals(signing::APPROVAL, facts.now).len()),
            at_once: request.keeps_lease,
            waived: request.glass.as_ref().is_some_and(|glass| glass.covers(FindingCode::RequireApproval)),
        },
    })
}

/// Compares the working tree with the commit that is deployed.
fn clean(facts: &Facts<'_>, tree: Option<&WorkTree>) -> Result<Result<(), String>> {
    let request = facts.request;
    let Some(tree) = tree else { return Ok(Err("there is no git working tree".to_owned())) };
    let (head, commit) = (tree.head()?, &request.target.commit);
    if head.as_ref().map(|head| &head.commit) != Some(commit) {
        let head = head.map_or_else(|| "nothing".to_owned(), |head| head.commit);
        return Ok(Err(format!("{head} is checked out, and {commit} is to be deployed")));
    }
    // What holdpoint itself writes there is no part of the release.
    let mut ours = request.place.never_captured();
    ours.extend([request.manifest_out.clone(), super::super::record::signature_path(&request.manifest_out)]);
    let differing = tree.differing(&ours)?;
    Ok(match differing.len() {
        0 => Ok(()),
        1 => Err(format!("1 path differs: {}", requirements::names(&differing))),
        many => Err(format!("{many} paths differ: {}", requirements::names(&differing))),
    })
}

/// Looks who signed a tag of the version at the commit.
fn tag(facts: &Facts<'_>, tree: Option<&WorkTree>) -> Result<Result<String, String>> {
    let request = facts.request;
    let Some(tree) = tree else { return Ok(Err("there is no git working tree".to_owned())) };
    let (wanted, versioning) = (&request.target.version, request.config.versioning);
    let is_wanted =
        |name: &str| given_version(name, "the tag", versioning).is_ok_and(|named| named.is_same_release(wanted));
    let tags = tree.tags_at(&request.target.commit, is_wanted)?;
    let signers = match (request.approvers.clone(), request.signers.clone()) {
        (Some(one), Some(other)) => Some(one.and(other)),
        (one, other) => one.or(other),
    };
    let mut doubts = Vec::new();
    for tag in &tags {
        match signed(tag, signers.as_ref(), facts.now) {
            Ok(by) => return Ok(Ok(by)),
            Err(why) => doubts.push(why),
        }
    }
    Ok(Err(if doubts.is_empty() { format!("no tag of {wanted} is at the commit") } else { doubts.join("; ") }))
}

fn signed(tag: &Tag, signers: Option<&AllowedSigners>, now: Timestamp) -> Result<String, String> {
    let name = &tag.name;
    match &tag.content {
        TagContent::Lightweight | TagContent::Unsigned => Err(format!("{name} has no signature")),
        TagContent::Misnamed => Err(format!("{name} says another name or commit than it is called by")),
        TagContent::OtherSignature => Err(format!(
            "{name} is signed, but not by an SSH key: no other signatures are checked, since whose key is believed would be \
             up to the checkout"
        )),
        TagContent::Ssh { payload, signature, tagged_at } => {
            let Some(signers) = signers else {
                return Err(format!("nobody is named who may sign {name}: HOLDPOINT_ALLOWED_SIGNERS, or `approvers`"));
            };
            let at: Vec<_> = tagged_at.iter().copied().chain([now]).collect();
            match signing::verify_for(signing::GIT, payload, signature, signers, &at) {
                Ok(signer) => Ok(format!("{name} is signed by {}", signer.principal)),
                Err(doubt) => Err(format!("{name}: {doubt}")),
            }
        }
    }
}

/// Judges the last drill, where one is demanded.
fn drill(facts: &Facts<'_>, ruling: &mut Ruling) -> Result<()> {
    let request = facts.request;
    let environment = request.settings.drill_within;
    let of_environment =
        environment.map(|within| (within, format!("environment.{}.drill_within", request.environment)));
    let of_severity = ruling.effective.drill_within.as_ref().map(|ruled| (ruled.value, ruled.rule.clone()));
    let Some((within, rule)) = of_environment.into_iter().chain(of_severity).min_by_key(|(within, _)| *within) else {
        return Ok(());
    };
    // What there is to say of drills that are not believed was said already.
    let (last, _) = last_drill::last(request, facts.ledger)?;
    let last = last.map(|stored| (stored.at, stored.drill.seconds));
    let (finding, fired) = requirements::judge_drill((within, &rule), request.settings.rto, last, facts.now);
    ruling.findings.extend(finding);
    ruling.rules.push(fired);
    Ok(())
}
