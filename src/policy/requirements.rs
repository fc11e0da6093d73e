//! What a release must have before it may go on: signature, copy, locks, owners, coverage, tree, tag, ticket, approval, drill.
//!
//! Everything here is judged by what is known before the capture, so that nobody waits for a refusal that was sure from the
//! beginning. What only the end of a run can tell is asked again then, by [`at_the_end`].

use crate::config::Requirement;
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::{CopyRecord, CopyState, ObjectLock, SourceRecord};
use crate::model::rule::Rule;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;

/// How far the clock of who drilled may be ahead.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// How many names a message holds.
const NAMED: usize = 5;

/// What is asked of a release, with the rule that asks for it, such as `environment.production.require`.
pub type Demands = BTreeMap<Requirement, String>;

/// What is known before the capture; of what nobody demands it may hold anything.
#[derive(Debug, Clone)]
pub struct Known<'a> {
    /// Whether a key signs the manifest.
    pub signed: bool,
    /// How many copies are configured.
    pub copies: usize,
    /// Whether the store keeps what is written from being deleted.
    pub locks: bool,
    /// The sources that do not say who answers for them.
    pub without_owner: Vec<String>,
    /// The databases that no source captures, each in a sentence.
    pub undeclared: Vec<String>,
    /// What differs from the commit in the working tree: nothing, or what in words.
    pub tree: Result<(), String>,
    /// Who signed the version's tag, or why nobody known did.
    pub tag: Result<String, String>,
    /// The change ticket.
    pub ticket: Option<&'a str>,
    /// What its whole name must match.
    pub ticket_pattern: Option<&'a regex::Regex>,
    /// What is known of approvals.
    pub approval: Approval,
}

/// What is known of approvals before there can be one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Approval {
    /// How many persons must approve.
    pub wanted: usize,
    /// How many may; `None` if nobody says who.
    pub approvers: Option<usize>,
    /// Whether the deployment follows at once, so that nobody could approve in between.
    pub at_once: bool,
    /// Whether somebody who may goes on without it.
    pub waived: bool,
}

/// Judges every demand; the rules say what was asked for and what came of it.
pub fn judge(demands: &Demands, known: &Known<'_>) -> (Vec<Finding>, Vec<Rule>) {
    let (mut findings, mut rules) = (Vec::new(), Vec::new());
    for (requirement, rule) in demands {
        let (outcome, finding) = match one(*requirement, known) {
            Ok(outcome) => (outcome, None),
            Err(finding) => (format!("not met: {}", finding.message), Some(finding)),
        };
        let asked = |finding: Finding| Finding { message: format!("{} ({rule})", finding.message), ..finding };
        findings.extend(finding.map(asked));
        rules.push(Rule::fired(rule, outcome).saw("requirement", requirement.as_str()));
    }
    if demands.contains_key(&Requirement::Approval) && findings.iter().all(|it| it.code != FindingCode::RequireApproval)
    {
        let wanted = known.approval.wanted;
        let message = format!("{wanted} to approve before `holdpoint admit` lets the release be deployed");
        findings.push(
            Finding::info(FindingCode::RequireApproval, message)
                .hint("an approver runs `holdpoint approve --id RELEASE-ID` once the gate has passed"),
        );
    }
    (findings, rules)
}

/// Judges one demand: what is met, or the refusal.
fn one(requirement: Requirement, known: &Known<'_>) -> Result<String, Finding> {
    let met = |text: &str| Ok(format!("met: {text}"));
    let no = |code, message: String, hint: &str| Err(Finding::refusal(code, message).hint(hint));
    match requirement {
        Requirement::Signed if known.signed => met("a key signs the manifest"),
        Requirement::Signed => no(
            FindingCode::RequireSigned,
            "the manifest must be signed, and no signing key is configured".to_owned(),
            "give the gate a key by HOLDPOINT_SIGNING_KEY or [signing] key_file",
        ),
        Requirement::Copy if known.copies > 0 => {
            met("a copy is configured; the end of the run says whether it is whole")
        }
        Requirement::Copy => no(
            FindingCode::RequireCopy,
            "a second copy is required, and none is configured".to_owned(),
            "declare one as [store.copies.NAME], in another failure domain",
        ),
        Requirement::Immutable if known.locks => met("the store locks what is written"),
        Requirement::Immutable => no(
            FindingCode::RequireImmutable,
            "what is stored must be kept from being deleted, and the store locks nothing".to_owned(),
            "set [store] object_lock for a bucket with Object Lock",
        ),
        Requirement::Owner if known.without_owner.is_empty() => met("every source says who answers for it"),
        Requirement::Owner => no(
            FindingCode::RequireOwner,
            format!("every source must have an owner, and these have none: {}", names(&known.without_owner)),
            "add `owner = \"…\"` to them; a path of the command line has none: declare it as a [[source]]",
        ),
        Requirement::Coverage if known.undeclared.is_empty() => met("no trace of a database without a source"),
        Requirement::Coverage => no(
            FindingCode::RequireCoverage,
            format!("no database may be without a source: {}", names(&known.undeclared)),
            "declare a source for each, or name it in [discovery] ignore",
        ),
        Requirement::CleanTree => match &known.tree {
            Ok(()) => met("the working tree is what the commit is"),
            Err(why) => no(
                FindingCode::RequireCleanTree,
                format!("the working tree must be what the commit is: {why}"),
                "commit, remove or ignore (.gitignore) what differs; `git status` shows it",
            ),
        },
        Requirement::SignedTag => match &known.tag {
            Ok(by) => Ok(format!("met: {by}")),
            Err(why) => no(
                FindingCode::RequireSignedTag,
                format!("the version's tag must be signed by a known key: {why}"),
                "sign it by an SSH key (git config gpg.format ssh; git tag -s), and fetch it (git fetch --tags)",
            ),
        },
        Requirement::Ticket => ticket(known),
        Requirement::Approval => approval(known.approval),
    }
}

fn ticket(known: &Known<'_>) -> Result<String, Finding> {
    let no = |message: String| {
        Err(Finding::refusal(FindingCode::RequireTicket, message).hint("name it by --ticket or HOLDPOINT_TICKET"))
    };
    let Some(ticket) = known.ticket else { return no("a change ticket must be named, and none is".to_owned()) };
    match known.ticket_pattern {
        Some(pattern) if !pattern.is_match(ticket) => {
            no(format!("the ticket {ticket:?} has not the form that `ticket_pattern` demands, {}", pattern.as_str()))
        }
        _ => Ok(format!("met: {ticket}")),
    }
}

fn approval(known: Approval) -> Result<String, Finding> {
    let Approval { wanted, approvers, at_once, waived } = known;
    let no = |message: String, hint: &str| Err(Finding::refusal(FindingCode::RequireApproval, message).hint(hint));
    match approvers {
        // An override answers for it here: later nobody could.
        _ if waived => no(
            "somebody other than who started the pipeline must approve, and nobody did".to_owned(),
            "leave --override out, and let an approver run `holdpoint approve`",
        ),
        None => no(
            "an approval is required, and nobody is named who may give one".to_owned(),
            "name the file of their keys by [environment.NAME] approvers or HOLDPOINT_APPROVERS",
        ),
        Some(many) if many < wanted => no(
            format!("{wanted} must approve, and the file of the approvers names {many} whose key counts now"),
            "add keys to the file of the approvers, or lower `approvals`",
        ),
        Some(_) if at_once => no(
            "an approval is required, and here the deployment would follow at once".to_owned(),
            "run `holdpoint gate`, let an approver run `holdpoint approve`, and deploy after `holdpoint admit`",
        ),
        Some(_) => Ok(format!("to come: {wanted} must approve before the release is admitted")),
    }
}

/// Judges whether the last drill that passed is young enough, and was fast enough for what the environment promises now;
/// `last` is when it ended and how many seconds it took.
pub fn judge_drill(
    (within, rule): (Duration, &str),
    rto: Option<Duration>,
    last: Option<(Timestamp, f64)>,
    now: Timestamp,
) -> (Option<Finding>, Rule) {
    let shown = |duration: Duration| humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string();
    let within_text = shown(within);
    // A clock that is ahead would keep a drill young for as long as it is.
    let last = last.filter(|(at, _)| *at <= now + CLOCK_TOLERANCE);
    let problem = match last {
        None => Some(format!("a drill must have passed within {within_text}, and none has that could be believed")),
        Some((at, seconds)) => {
            let age = if at > now { Duration::ZERO } else { now.duration_since(at).unsigned_abs() };
            match rto {
                _ if age > within => {
                    Some(format!("the last drill that passed is {} old, and may be {within_text} old", shown(age)))
                }
                Some(rto) if seconds > rto.as_secs_f64() => Some(format!(
                    "the last drill took {seconds:.0} s, and a restore may take {} s (rto)",
                    rto.as_secs()
                )),
                _ => None,
            }
        }
    };
    let outcome =
        problem.clone().map_or_else(|| "met: a drill passed, and in time".to_owned(), |why| format!("not met: {why}"));
    let mut fired = Rule::fired(rule, outcome).saw("drill_within", within_text);
    if let Some((at, seconds)) = last {
        fired = fired.saw("last_drill", at.to_string()).saw("last_drill_seconds", format!("{seconds:.0}"));
    }
    let finding = problem.map(|why| {
        Finding::refusal(FindingCode::RequireDrill, format!("{why} ({rule})"))
            .hint("run `holdpoint drill`, and schedule it (docs/drills.md)")
    });
    (finding, fired)
}

/// Asks again at the end of a run what only then is a fact: is there a copy that is whole, is what was captured locked?
pub fn at_the_end<'a>(
    demanded: impl IntoIterator<Item = &'a str>,
    copies: &[CopyRecord],
    sources: &[SourceRecord],
    lock: Option<&ObjectLock>,
) -> Vec<Finding> {
    let captured = sources.iter().any(SourceRecord::is_proved);
    let judge = |word: &str| {
        if word == Requirement::Copy.as_str() && copies.iter().all(|copy| copy.state != CopyState::Verified) {
            let why = copies.iter().find_map(|copy| Some(format!(": {}: {}", copy.name, copy.error.as_ref()?)));
            let message = format!("a second copy is required, and none is whole{}", why.unwrap_or_default());
            let hint = "mend it, bring it up to date by `holdpoint copy`, and run the gate again";
            return Some(Finding::refusal(FindingCode::RequireCopy, message).hint(hint));
        }
        if word == Requirement::Immutable.as_str() && captured && lock.is_none() {
            let message = "what is stored must be kept from being deleted, and nothing was locked";
            return Some(Finding::refusal(FindingCode::RequireImmutable, message));
        }
        None
    };
    demanded.into_iter().filter_map(judge).collect()
}

/// Joins the first few names.
pub fn names(all: &[String]) -> String {
    let mut text = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if all.len() > NAMED {
        text = format!("{text}, and {} more", all.len() - NAMED);
    }
    text
}

#[cfg(test)]
mod tests;
