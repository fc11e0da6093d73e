//! Breaking the glass: somebody who may sets refusals aside, says why, and answers for it.
//!
//! The glass knows before the run which codes are covered; a refusal of one of them becomes a warning where it is found, so
//! that the run goes on. All others stay.

use super::approval::{self, Release};
use crate::config::OverrideConfig;
use crate::error::Result;
use crate::model::finding::{Finding, FindingCode, Level};
use crate::model::manifest::Override;
use crate::model::overridable::overridable;
use crate::signing::{self, AllowedSigners, Signer};
use jiff::Timestamp;
use std::time::Duration;

/// What somebody says who asks for an override.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub approved_by: String,
    /// The change ticket.
    pub ticket: Option<String>,
}

/// An override that was asked for, and what the configuration makes of it.
#[derive(Debug, Clone)]
pub struct Glass {
    words: Words,
    at: Timestamp,
    /// The codes that are covered, and for how long a pass counts that needed them.
    covered: Vec<(FindingCode, Duration)>,
    /// Whose signature was checked.
    signer: Option<Signer>,
    /// That signature.
    signature: Option<String>,
    /// Why nothing at all is covered.
    refused: Option<Finding>,
}

/// What the configuration and the trusted keys say.
#[derive(Debug, Clone, Copy)]
pub struct Law<'a> {
    /// `[[override]]`.
    pub rules: &'a [OverrideConfig],
    /// Whose keys count.
    pub approvers: Option<&'a AllowedSigners>,
}

/// Returns the codes that somebody may override in an environment, with or without a signature.
pub fn codes(rules: &[OverrideConfig], environment: &str, who: &str) -> Vec<FindingCode> {
    applying(rules, environment, who).flat_map(|rule| rule.codes.iter().copied()).collect()
}

fn applying<'a>(
    rules: &'a [OverrideConfig],
    environment: &'a str,
    who: &'a str,
) -> impl Iterator<Item = &'a OverrideConfig> {
    let is_here = move |rule: &&OverrideConfig| {
        rule.environments.as_ref().is_none_or(|names| names.iter().any(|name| name == environment))
    };
    rules.iter().filter(is_here).filter(move |rule| rule.by.iter().any(|name| name == who))
}

impl Glass {
    /// Looks what an override may cover; `signature` is that of who answers for it, if it was given.
    ///
    /// # Errors
    /// `internal` only: what is not allowed is a finding of [`Glass::refused`].
    pub fn new(release: Release<'_>, words: Words, signature: Option<&[u8]>, law: Law<'_>) -> Result<Self> {
        let now = Timestamp::now();
        let who = words.approved_by.as_str();
        let rules: Vec<_> = applying(law.rules, release.environment, who).collect();
        let (signer, doubt) = match signature {
            None => (None, None),
            Some(signature) => {
                let all = codes(law.rules, release.environment, who);
                let text = approval::of_override(release, &words, &all)?;
                match check(&text, signature, who, law.approvers, now) {
                    Ok(signer) => (Some(signer), None),
                    Err(why) => (None, Some(why)),
                }
            }
        };
        let usable = rules.iter().filter(|rule| !rule.signed || signer.is_some());
        let covered: Vec<_> = usable.flat_map(|rule| rule.codes.iter().map(|code| (*code, rule.valid_for))).collect();
        let refuse = |why: String, hint: &str| Some(Finding::refusal(FindingCode::OverrideRefused, why).hint(hint));
        let refused = match doubt {
            Some(why) => refuse(
                format!("the signature of {who} for the override does not count: {why}"),
                "make it anew: `holdpoint approve --override REASON --approved-by WHO`, with the same words",
            ),
            None if rules.is_empty() => refuse(
                format!("no [[override]] lets {who} set anything aside in {}", release.environment),
                "ask somebody who may, or mend what refuses",
            ),
            None if covered.is_empty() => refuse(
                format!("{who} must sign for an override in {}, and no signature was given", release.environment),
                "sign by `holdpoint approve --override REASON --approved-by WHO`, and give the file by --approval",
            ),
            None => None,
        };
        let covered = if refused.is_some() { Vec::new() } else { covered };
        let signature = signature.filter(|_| signer.is_some()).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        Ok(Self { words, at: now, covered, signer, signature, refused })
    }

    /// Returns why the override covers nothing at all, if it does not.
    pub fn refused(&self) -> Option<&Finding> {
        self.refused.as_ref()
    }

    /// Says whether refusals of a code are set aside.
    pub fn covers(&self, code: FindingCode) -> bool {
        // What nobody may override is no part of a configuration; asked again, this holds whoever made the list.
        overridable(code).is_ok() && self.covered.iter().any(|(covered, _)| *covered == code)
    }

    /// Says that a refusal stands although an override was asked for.
    pub fn objection(&self, code: FindingCode) -> Finding {
        let who = &self.words.approved_by;
        let why = match overridable(code) {
            Err(why) => format!("nobody may override {code}: {why}"),
            Ok(()) => format!("{who} may not override {code} here: no [[override]] that applies names it"),
        };
        Finding::refusal(FindingCode::OverrideRefused, why)
    }

    /// Sets aside what is covered of what a plan found, and says what the override would come to.
    pub fn foresee(&self, findings: Vec<Finding>) -> Vec<Finding> {
        let mut codes = Vec::new();
        let mut left = Vec::new();
        for finding in findings {
            let aside = finding.level == Level::Refusal && self.covers(finding.code);
            if aside && !codes.contains(&finding.code) {
                codes.push(finding.code);
            }
            left.push(if aside { finding.softened() } else { finding });
        }
        left.push(self.refused.clone().unwrap_or_else(|| self.tell(&codes)));
        left
    }

    /// Describes the override for the manifest: `codes` are those that it set aside.
    pub fn record(&self, codes: &[FindingCode]) -> Override {
        let shortest = |code: &FindingCode| {
            let times = self.covered.iter().filter(|(covered, _)| covered == code).map(|(_, valid_for)| *valid_for);
            times.max()
        };
        let valid_for = codes.iter().filter_map(shortest).min();
        Override {
            reason: self.words.reason.clone(),
            approved_by: self.words.approved_by.clone(),
            ticket: self.words.ticket.clone(),
            at: self.at,
            codes: codes.to_vec(),
            expires_at: valid_for.and_then(|valid_for| self.at.checked_add(valid_for).ok()),
            key: self.signer.as_ref().map(|signer| signer.fingerprint.clone()),
            signature: self.signature.clone(),
        }
    }

    /// Says what came of the override: loud where it was needed.
    pub fn tell(&self, codes: &[FindingCode]) -> Finding {
        let Words { reason, approved_by, ticket } = &self.words;
        if codes.is_empty() {
            let message = format!("the override by {approved_by} was not needed: nothing refused that it covers");
            return Finding::info(FindingCode::Overridden, message);
        }
        let names = codes.iter().map(|code| code.as_str()).collect::<Vec<_>>().join(", ");
        let ticket = ticket.as_ref().map(|ticket| format!(" (ticket {ticket})")).unwrap_or_default();
        let proved = match &self.signer {
            Some(signer) => format!("signed by {}", signer.fingerprint),
            None => "not signed: whoever started the run wrote that name".to_owned(),
        };
        let until =
            self.record(codes).expires_at.map(|at| format!("; it counts until {}", at.strftime("%Y-%m-%dT%H:%M:%SZ")));
        let message =
            format!("OVERRIDDEN by {approved_by}, {proved}: {names}: {reason}{ticket}{}", until.unwrap_or_default());
        Finding::warning(FindingCode::Overridden, message)
            .hint("mend what was set aside: the next release meets it again")
    }
}

/// Checks whose signature it is: of a key that a line of the approvers gives to exactly this name.
fn check(
    text: &str,
    signature: &[u8],
    who: &str,
    approvers: Option<&AllowedSigners>,
    now: Timestamp,
) -> std::result::Result<Signer, String> {
    let Some(approvers) = approvers else {
        return Err(
            "nobody is named whose signature counts: [environment.NAME] approvers, or HOLDPOINT_APPROVERS".into()
        );
    };
    let signer = signing::verify_for(signing::OVERRIDE, text.as_bytes(), signature, approvers, &[now])
        .map_err(|doubt| doubt.to_string())?;
    if signer.principal.split(',').any(|principal| principal.trim() == who) {
        Ok(signer)
    } else {
        Err(format!("it is by {}, and not by {who}", signer.principal))
    }
}

/// Sets refusals aside that the override of a pass covers; the pass must be one that is believed, or refused anyway.
pub fn by_pass(overridden: Option<&Override>, findings: Vec<Finding>) -> Vec<Finding> {
    let Some(overridden) = overridden else { return findings };
    let covered = |finding: &Finding| {
        finding.level == Level::Refusal && overridden.codes.contains(&finding.code) && overridable(finding.code).is_ok()
    };
    findings.into_iter().map(|finding| if covered(&finding) { finding.softened() } else { finding }).collect()
}

#[cfg(test)]
mod tests;
