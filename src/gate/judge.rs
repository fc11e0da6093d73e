//! What the sizes and issues of a capture say.

use super::capture::Captured;
use super::earlier;
use super::history::{self, Sought};
use super::request::Request;
use super::survey::Ready;
use crate::config::SourceConfig;
use crate::error::Result;
use crate::ledger::{Ledger, Search, Stored};
use crate::model::finding::{Finding, FindingCode, Level};
use crate::model::manifest::{Change, Manifest, Purpose};
use crate::policy::identity;
use crate::policy::sanity::{self, Size};
use crate::repository::archive::IssueKind;
use std::collections::BTreeMap;

/// How many paths a message names.
const NAMED: usize = 3;

/// Judges one captured source, as if it were required, against what it was in the last release that passed.
pub fn judge(config: &SourceConfig, captured: &Captured, change: Option<&Change>) -> Vec<Finding> {
    let size = Size {
        bytes: captured.archived.bytes,
        files: captured.archived.files,
        is_stream: captured.is_stream,
        bytes_before: change.map(|change| change.bytes_before),
    };
    let mut findings = sanity::judge(&config.expect, size);
    findings.extend(issues(captured));
    findings.into_iter().map(|finding| finding.of_source(&config.name)).collect()
}

/// Returns the release that this run is compared with: the last that passed. Where some sources are captured in one kind
/// of run only, it is the last of the same kind.
///
/// # Errors
/// The store's own; records that cannot be read are in the answer.
pub fn last_comparable(request: &Request, ledger: &Ledger) -> Result<Search<Stored>> {
    if request.is_captured_alike() || request.purpose == Purpose::Safety {
        ledger.last_passed()
    } else {
        ledger.last_passed_for(request.purpose)
    }
}

/// Says what the search for that release could not see.
pub fn unseen(search: &Search<Stored>) -> Vec<Finding> {
    let (none, so) = match search.found {
        Some(_) => {
            ("passed as a run of this kind", "sizes and servers are compared with those of a run of the other kind")
        }
        None => ("passed", "sizes, contents and servers are compared with nothing"),
    };
    let hint = "see with `holdpoint releases` why they did not pass";
    history::findings(search, Sought { none, so, hint, level: Level::Warning })
}

/// Judges whether the servers of sources are the right ones, against the last release that passed.
pub fn judge_identities(ready: &[Ready<'_>], last: Option<&Manifest>) -> Vec<Finding> {
    let judge = |ready: &Ready<'_>| {
        let finding = judge_identity(ready, last)?;
        Some(if ready.config.required { finding } else { finding.softened() })
    };
    ready.iter().filter_map(judge).collect()
}

/// Judges whether the server of one source is the right one, as if the source were required.
pub fn judge_identity(ready: &Ready<'_>, last: Option<&Manifest>) -> Option<Finding> {
    let facts = ready.source.facts();
    let before = last.and_then(|last| earlier::record_of(last, ready));
    // A name of a host is compared with nothing; but a server that said what it is must go on saying it.
    let before = before.filter(|record| facts.is_bound || record.identity_bound);
    let before = before.and_then(|record| record.identity.as_deref());
    let finding = identity::judge(&ready.config.expect, facts.identity.as_deref(), before)?;
    Some(finding.of_source(&ready.config.name))
}

/// Returns one finding for each kind of issue, naming the first paths.
fn issues(captured: &Captured) -> Vec<Finding> {
    let mut by_kind: BTreeMap<&'static str, (IssueKind, Vec<String>, usize)> = BTreeMap::new();
    for issue in &captured.archived.issues {
        let key = match issue.kind {
            IssueKind::Unreadable => "unreadable",
            IssueKind::Changed => "changed",
            IssueKind::Vanished => "vanished",
        };
        let (_, named, count) = by_kind.entry(key).or_insert_with(|| (issue.kind, Vec::new(), 0));
        *count += 1;
        if named.len() < NAMED {
            named.push(format!("{} ({})", issue.path.display(), issue.message));
        }
    }
    let finding = |(kind, named, count): (IssueKind, Vec<String>, usize)| {
        let mut message = named.join(", ");
        if count > named.len() {
            message = format!("{message}, and {} more", count - named.len());
        }
        match kind {
            IssueKind::Unreadable => {
                Finding::refusal(FindingCode::SourceUnreadable, format!("cannot be read: {message}"))
                    .hint("give the user of this job permission to read them, or exclude them")
            }
            // The second reading is whole and consistent or says otherwise; a busy log file must not stop a deploy.
            IssueKind::Changed => Finding::warning(FindingCode::FileChanged, message)
                .hint("capture databases by a source of their own kind, and exclude logs"),
            IssueKind::Vanished => Finding::warning(FindingCode::FileVanished, message),
        }
    };
    by_kind.into_values().map(finding).collect()
}
