//! What was deployed between the capture of a snapshot and now, and whether it may have changed the source.

use super::super::request::Request;
use super::super::ruling::scope;
use super::super::survey::Ready;
use super::{Candidate, Found, Reason};
use crate::error::Result;
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::From;
use crate::policy::paths::Patterns;
use crate::policy::reuse::{self, Deploy, Since};
use crate::policy::schema;
use crate::release::git::WorkTree;

/// Takes back the candidates whose sources a deploy since their capture may have changed, and warns of those of which nobody can
/// tell. `from` is what is deployed now.
///
/// # Errors
/// `config`: a pattern of `when_changed` leads out of the working tree.
pub(super) fn look(request: &Request, found: &mut Found, ready: &[Ready<'_>], from: &From) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (name, candidate) in std::mem::take(&mut found.candidates) {
        let since = reuse::since(&candidate.from, from);
        let touches = match (&since, ready.iter().find(|ready| ready.config.name == name)) {
            (Since::Deployed { .. }, Some(ready)) => touches(request, ready, &candidate, from)?,
            _ => None,
        };
        let migrates = !schema::versions(&candidate.record.content).is_empty();
        match reuse::deploy(&since, touches, migrates) {
            Deploy::Changed(why) => {
                found.reasons.insert(name, Reason::of(&candidate, &why));
                continue;
            }
            Deploy::Untold => findings.push(untold(&name, &since)),
            Deploy::Harmless => {}
        }
        found.candidates.insert(name, candidate);
    }
    Ok(findings)
}

/// Says whether what was deployed since the capture changed paths by which the source says that it is changed: the outer
/// `None` if it says of none, the inner one if git cannot tell.
fn touches(request: &Request, ready: &Ready<'_>, candidate: &Candidate, from: &From) -> Result<Option<Option<bool>>> {
    let Some(lines) = &ready.config.when_changed else { return Ok(None) };
    let (Some(top), Some(then), Some(now)) = (&request.work_tree, &candidate.from.commit, &from.commit) else {
        return Ok(Some(None));
    };
    // That git cannot be read, the ruling has said already.
    let Ok(Some(tree)) = WorkTree::find(top) else { return Ok(Some(None)) };
    let changes = tree.changes(then, now);
    let patterns = Patterns::new(lines, &scope::directory(request))?;
    Ok(Some(changes.known().map(|paths| !patterns.matching(paths).is_empty())))
}

/// Warns of a snapshot from before the last deploy, where nobody says what a deploy changes.
fn untold(name: &str, since: &Since) -> Finding {
    let what = match since {
        Since::Deployed { then, now } => format!("{then} ran then, and {now} runs now"),
        Since::Nothing => String::new(),
    };
    let message = format!("its older snapshot stands in, and is from before the last deploy: {what}");
    Finding::warning(FindingCode::StandInBeforeDeploy, message)
        .hint("give the source when_changed, so that it is captured after a deploy that changed it")
        .of_source(name)
}
