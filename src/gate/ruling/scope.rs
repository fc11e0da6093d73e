//! How large a step a release is, and which sources that makes the gate capture.

use super::{Facts, Ruling};
use crate::error::Result;
use crate::gate::request::Request;
use crate::model::changes::{Changes, Gap};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::{From, ProbeKind, Purpose};
use crate::policy::effective::effective;
use crate::policy::raise;
use crate::policy::scope::{Grounds, choose};
use crate::release::git::WorkTree;
use std::path::{Path, PathBuf};

/// Asks git what changed between what runs and what is to run; what it cannot tell is in the answer.
pub fn look(request: &Request, from: &From) -> Changes {
    if from.probe == ProbeKind::First {
        return Changes::unknown(Gap::NothingDeployed);
    }
    let tree = match request.work_tree.as_deref().map(WorkTree::find) {
        None | Some(Ok(None)) => return Changes::unknown(Gap::NoWorkTree),
        Some(Err(error)) => return Changes::unknown(Gap::Unreadable(error.chain())),
        Some(Ok(Some(tree))) => tree,
    };
    match &from.commit {
        None => Changes::unknown(Gap::NoDeployedCommit),
        Some(deployed) => tree.changes(deployed, &request.target.commit),
    }
}

/// Judges the severity, and decides of every source. Only before a deploy: whoever asks for a snapshot gets one.
///
/// # Errors
/// `config`: a pattern leads out of the working tree.
pub fn judge(facts: &Facts<'_>, ruling: &mut Ruling) -> Result<()> {
    let Facts { request, changes, .. } = facts;
    if request.purpose != Purpose::Gate {
        return Ok(());
    }
    let policy = &request.config.policy;
    let directory = directory(request);
    let step = raise::judge(facts.from, &request.target.version, changes, policy, &directory)?;
    ruling.effective = effective(policy, &step.held_to, request.settings.tier.as_deref());
    let grounds = Grounds { changes, effective: &ruling.effective, rpo: request.settings.rpo, directory: &directory };
    let configured = |name: &str| request.config.sources.iter().any(|source| source.name == name);
    let (choices, rules) = choose(grounds, &request.sources, |source| !configured(&source.name))?;
    // Without rules nothing depends on it.
    if !policy.severities.is_empty() && !changes.gaps.is_empty() && !changes.is_first() {
        ruling.findings.push(unknown(changes));
    }
    ruling.severity = step.severity;
    ruling.choices = choices;
    ruling.rules.extend(step.rules.into_iter().chain(rules));
    Ok(())
}

/// Returns the configuration's directory, counted from the top of the working tree; the top itself where there is no
/// configuration, or none in the working tree.
pub fn directory(request: &Request) -> PathBuf {
    let below = || {
        let top = request.work_tree.as_deref()?.canonicalize().ok()?;
        let directory = request.directory.canonicalize().ok()?;
        directory.strip_prefix(top).ok().map(Path::to_owned)
    };
    request.config.path.as_ref().and_then(|_| below()).unwrap_or_default()
}

fn unknown(changes: &Changes) -> Finding {
    let message = format!("{}: nothing is left out because it did not change", changes.gaps_in_words());
    let shallow = changes.gaps.iter().any(|gap| matches!(gap, Gap::Shallow | Gap::Missing { shallow: true, .. }));
    Finding::warning(FindingCode::ChangesUnknown, message).hint(match shallow {
        true => "fetch the whole history (depth 0 in the checkout step, or git fetch --unshallow)",
        false => "let the probe tell the deployed commit, and run holdpoint where git has it; see docs/policy.md",
    })
}
