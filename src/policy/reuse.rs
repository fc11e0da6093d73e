//! May an older snapshot stand in for a source that is not captured?

use crate::model::finding::FindingCode;
use crate::model::manifest::{From, Manifest, ProbeKind, Purpose, SourceOutcome, SourceRecord, State, VerifyMode};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// A source that an older snapshot is sought for, as it is now.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its kind, such as `files`.
    pub kind: &'a str,
    /// How it would be captured.
    pub method: &'a str,
    /// What tells it from another of the same name.
    pub identity: Option<&'a str>,
    /// The digest of what the configuration says of it; what has none is like no other.
    pub definition: Option<&'a str>,
    /// How old the snapshot may be, counted from when its capture began; as old as may be without it.
    pub within: Option<Duration>,
}

/// Says whether snapshots of a release may stand in for anything: it passed by itself, is no rescue of a broken state, and nobody
/// was deploying meanwhile. What a person overrode there was a decision for that one deploy.
pub fn lends(release: &Manifest) -> bool {
    let decision = &release.decision;
    let in_a_deploy = decision.findings.iter().any(|finding| finding.code == FindingCode::Claimed);
    release.state == State::Passed
        && release.purpose != Purpose::Safety
        && decision.overridden.is_none()
        && !in_a_deploy
}

/// Judges a snapshot by the record of the run that captured it; `Err` says why it may not stand in.
///
/// # Errors
/// What is wrong with it, in words that follow "the snapshot of NAME".
pub fn judge(wanted: &Wanted<'_>, record: &SourceRecord, now: Timestamp) -> Result<(), String> {
    let differs = |what: &str| Err(format!("is of another {what}"));
    if record.outcome != SourceOutcome::Verified || record.snapshot.is_none() {
        return Err("was not verified".to_owned());
    }
    if record.verification.as_ref().is_none_or(|proof| proof.mode == VerifyMode::None) {
        return Err("was never read back".to_owned());
    }
    if record.name != wanted.name || record.kind != wanted.kind {
        return differs("source");
    }
    if record.method != wanted.method {
        return differs("method");
    }
    // Of two that nobody knows nobody knows whether they are one.
    if wanted.identity.is_none() || record.identity.as_deref() != wanted.identity {
        return differs("server or path");
    }
    if wanted.definition.is_none() || record.definition.as_deref() != wanted.definition {
        return differs("definition: the configuration of the source was changed");
    }
    let Some(age) = record.started_at.map(|at| now.duration_since(at)).filter(|age| *age >= SignedDuration::ZERO)
    else {
        // One of the future was recorded by a wrong clock, or this one is wrong.
        return Err("is of an unknown time".to_owned());
    };
    match wanted.within.and_then(|within| SignedDuration::try_from(within).ok()).filter(|within| age > *within) {
        None => Ok(()),
        Some(within) => Err(format!("is {} old, and may be {}", words(age), words(within))),
    }
}

/// What was deployed between a capture and now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// Nothing: the same version runs as then.
    Nothing,
    /// Something, or nobody can tell.
    Deployed {
        /// What ran when it was captured, in words.
        then: String,
        /// What runs now, in words.
        now: String,
    },
}

/// Compares what ran when a snapshot was captured with what runs now.
pub fn since(then: &From, now: &From) -> Since {
    let words = |from: &From| match (&from.version, from.probe) {
        (Some(version), _) => version.to_string(),
        (None, ProbeKind::First) => "nothing".to_owned(),
        (None, _) => "an unknown version".to_owned(),
    };
    let same = match (&then.version, &now.version) {
        (Some(then), Some(now)) => then.is_same_build(now),
        (None, None) => then.probe == ProbeKind::First && now.probe == ProbeKind::First,
        _ => false,
    };
    // One version may be deployed of two commits.
    let other_commit = then.commit.as_ref().zip(now.commit.as_ref()).is_some_and(|(then, now)| then != now);
    if same && !other_commit {
        return Since::Nothing;
    }
    Since::Deployed { then: words(then), now: words(now) }
}

/// What a deploy since the capture means for a snapshot that could stand in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deploy {
    /// Nothing.
    Harmless,
    /// Nobody can tell, for the source does not say by which paths it is changed, and it has no versions of a schema: it stands in,
    /// and that is said.
    Untold,
    /// It changed the source, or nobody can tell although the source has a schema that migrates or says by what it is changed: it is
    /// captured.
    Changed(String),
}

/// Judges a deploy since the capture: what migrated the source makes its older snapshot one of another schema.
///
/// `touches` says of the paths that differ between the two versions, if git can tell them, whether one of them changes the
/// source; `None` if the source does not say by which it is changed. `migrates` says whether it has versions of a schema.
pub fn deploy(since: &Since, touches: Option<Option<bool>>, migrates: bool) -> Deploy {
    let Since::Deployed { then, now } = since else { return Deploy::Harmless };
    match touches {
        None if migrates => Deploy::Changed(format!(
            "is from when {then} ran, and {now} runs now: nothing tells whether that migrated its schema, for it has no when_changed"
        )),
        None => Deploy::Untold,
        Some(Some(false)) => Deploy::Harmless,
        Some(Some(true)) => Deploy::Changed(format!(
            "is from before {now} was deployed over {then}, which changed paths of its when_changed"
        )),
        Some(None) => Deploy::Changed(format!(
            "is from when {then} ran, and {now} runs now: git cannot tell whether paths of its when_changed changed"
        )),
    }
}

/// Returns a length of time in words, in whole seconds.
pub fn words(length: SignedDuration) -> String {
    humantime::format_duration(Duration::from_secs(length.unsigned_abs().as_secs())).to_string()
}

#[cfg(test)]
mod tests;
