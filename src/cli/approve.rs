//! `approve`: a person's signature for a release that passed, or for an override to come.

use super::options::Format;
use super::output;
use super::page;
use super::session::{APPROVAL_KEY, Session, variable};
use super::{audited, breaking, freeze};
use crate::error::{Error, ErrorCode, ExitCode, IoContext, Result};
use crate::gate::approval::{self, Release};
use crate::gate::glass;
use crate::gate::record;
use crate::ledger::events::Event;
use crate::ledger::{Ledger, Stored};
use crate::model::manifest::{Manifest, Purpose, State};
use crate::policy::approval::{Bar, Vote, objection};
use crate::signing::{self, Signer, SigningKey};
use jiff::Timestamp;
use serde::Serialize;
use std::path::PathBuf;

/// What is approved, and how.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The release: its id, or the beginning of it
    #[arg(long, value_name = "ID", required_unless_present = "reason", conflicts_with = "reason")]
    pub id: Option<String>,
    /// Sign for an override to come instead, and say why
    #[arg(long = "override", value_name = "REASON", requires = "approved_by")]
    pub reason: Option<String>,
    /// Who answers for the override
    #[arg(long, value_name = "WHO", requires = "reason")]
    pub approved_by: Option<String>,
    /// The version that the override is for [default: HOLDPOINT_RELEASE, the CI system's tag, the tag at HEAD]
    #[arg(long, value_name = "VERSION", requires = "reason")]
    pub release: Option<String>,
    /// The commit that the override is for [default: HOLDPOINT_COMMIT, the CI system's, HEAD]
    #[arg(long, value_name = "SHA", requires = "reason")]
    pub commit: Option<String>,
    /// The change ticket of the override [default: HOLDPOINT_TICKET]
    #[arg(long, value_name = "TICKET", requires = "reason")]
    pub ticket: Option<String>,
    /// Your OpenSSH ed25519 key, without a passphrase [default: HOLDPOINT_APPROVAL_KEY]
    #[arg(long, value_name = "FILE", conflicts_with = "print")]
    pub key: Option<PathBuf>,
    /// Take the signature that `ssh-keygen -Y sign` made over the text of --print
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "print", "reason"])]
    pub signature: Option<PathBuf>,
    /// Print the text that is to be signed, and record nothing
    #[arg(long)]
    pub print: bool,
    /// Write the signature for an override to FILE
    #[arg(long, value_name = "FILE", default_value = "holdpoint-override.sig", requires = "reason")]
    pub out: PathBuf,
    /// The keys that may approve [default: HOLDPOINT_APPROVERS, the configuration's]
    #[arg(long, value_name = "FILE")]
    pub approvers: Option<PathBuf>,
}

/// The result as JSON.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema_version: u32,
    command: &'static str,
    exit_code: u8,
    environment: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approved_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

/// Runs `approve`.
pub fn run(session: &Session, options: &Options) -> anyhow::Result<ExitCode> {
    let exit = match (&options.id, &options.reason, &options.approved_by) {
        (Some(id), ..) => of_release(session, options, id),
        (None, Some(reason), Some(who)) => of_override(session, options, reason, who),
        _ => Err(Error::new(ErrorCode::Usage, "what is to be approved?").hint("name the release by --id")),
    };
    Ok(exit?)
}

fn of_release(session: &Session, options: &Options, id: &str) -> Result<ExitCode> {
    let environment = session.environment()?;
    let ledger = session.ledger()?;
    let stored = ledger.get(id)?;
    fits(session, &stored.manifest)?;
    let text = approval::of_release(&stored)?;
    if options.print {
        return print(session, &environment, &text);
    }
    let signature = match &options.signature {
        Some(path) => {
            std::fs::read_to_string(path).io_context(|| format!("cannot read the signature {}", path.display()))?
        }
        None => key(options)?.sign_for(signing::APPROVAL, text.as_bytes())?,
    };
    let signer = counts(session, options, &environment, (&ledger, &stored), (&text, &signature))?;
    let unknown = || {
        Error::new(ErrorCode::Usage, "this is no signature of an approval")
            .hint("sign in the namespace holdpoint@approval")
    };
    let unchecked = signing::fingerprint_for(signing::APPROVAL, signature.as_bytes()).ok_or_else(unknown)?;
    let (by, key) = match &signer {
        Some(signer) => (signer.principal.as_str(), signer.fingerprint.as_str()),
        None => ("somebody whom nobody here knows", unchecked.as_str()),
    };
    let event = Event::Approved {
        at: Timestamp::now(),
        by: freeze::who(session),
        signer: by.to_owned(),
        key: key.to_owned(),
        signature: signature.clone(),
    };
    let (_, found) = session.auditor(&environment)?.record(&ledger, &stored.manifest.id, &event)?;
    let exit = audited::exit(ExitCode::Pass, Ok(found));
    if let Err(error) = page::write(session, &ledger, &stored.manifest.id) {
        output::note(&format!("warning: {}", error.chain()));
    }
    let Manifest { id, release, .. } = &stored.manifest;
    let short = release.to.commit.get(..12).unwrap_or(&release.to.commit);
    match session.format() {
        Format::Text => output::print(&format!(
            "approved by {by}: {} ({short}) into {environment}\nrelease {id}\n",
            release.to.version
        ))?,
        Format::Json => output::print_json(&Document {
            id: Some(id.as_str()),
            approved_by: Some(by),
            key: Some(key),
            exit_code: exit.number(),
            ..document(&environment)
        })?,
    }
    output::close(exit, session.closing("approve"));
    Ok(exit)
}

/// Makes sure that a record is one of a release that may be approved.
fn fits(session: &Session, manifest: &Manifest) -> Result<()> {
    let wrong = |message: String| {
        Err(Error::new(ErrorCode::ManifestInvalid, message).hint("`holdpoint releases` lists what there is to approve"))
    };
    if manifest.application != session.application()? || manifest.environment.name != session.environment()? {
        return wrong(format!("{} is for {} in {}", manifest.id, manifest.application, manifest.environment.name));
    }
    if manifest.purpose != Purpose::Gate || manifest.state != State::Passed {
        return wrong(format!("{} is no pass: there is nothing to approve", manifest.id));
    }
    Ok(())
}

/// Checks whether a signature will count; `None` where nobody is named here whose approval counts.
fn counts(
    session: &Session,
    options: &Options,
    environment: &str,
    (ledger, stored): (&Ledger, &Stored),
    (text, signature): (&str, &str),
) -> Result<Option<Signer>> {
    let Some(approvers) = session.approvers(environment, options.approvers.as_deref())? else {
        output::note(
            "warning: nobody is named here who may approve, so nobody looked whether this approval counts; `admit` will",
        );
        return Ok(None);
    };
    let no = |why: String| {
        Error::new(ErrorCode::Usage, format!("this approval would not count: {why}"))
            .hint("sign the text of `holdpoint approve --id ID --print` by a key of the approvers' file")
    };
    let now = [Timestamp::now()];
    let signer = signing::verify_for(signing::APPROVAL, text.as_bytes(), signature.as_bytes(), &approvers, &now)
        .map_err(|doubt| no(doubt.to_string()))?;
    let of_manifest = ledger.signature(&stored.manifest.id)?.and_then(|signature| signing::fingerprint(&signature));
    let actors: Vec<_> = stored.manifest.pipeline.actor.iter().map(String::as_str).collect();
    let (id, signer_key) = (&stored.manifest.id, of_manifest.as_deref());
    let bar = Bar { id, environment, wanted: 1, actors: &actors, signer: signer_key };
    let vote = Vote { principals: signer.principal.clone(), key: signer.fingerprint.clone() };
    match objection(&bar, &vote) {
        Some(why) => Err(no(why)),
        None => Ok(Some(signer)),
    }
}

fn of_override(session: &Session, options: &Options, reason: &str, who: &str) -> Result<ExitCode> {
    let (application, environment) = (session.application()?, session.environment()?);
    let words = breaking::words(reason, who, session.ticket(options.ticket.as_deref())?)?;
    let target = session.target(options.release.as_deref(), options.commit.as_deref())?;
    let codes = glass::codes(&session.config.overrides, &environment, &words.approved_by);
    if codes.is_empty() {
        let message = format!("no [[override]] lets {who} set anything aside in {environment}");
        return Err(Error::new(ErrorCode::Usage, message).hint("look at [[override]] in the configuration"));
    }
    let (version, commit) = (&target.version, target.commit.as_str());
    let release = Release { application: &application, environment: &environment, version, commit };
    let text = approval::of_override(release, &words, &codes)?;
    if options.print {
        return print(session, &environment, &text);
    }
    let key = key(options)?;
    let signature = key.sign_for(signing::OVERRIDE, text.as_bytes())?;
    record::write_file(&options.out, signature.as_bytes())?;
    let file = options.out.display().to_string();
    match session.format() {
        Format::Text => {
            output::print(&format!("signed for this override, by {}:\n{text}in {file}\n", key.fingerprint()))?
        }
        Format::Json => output::print_json(&Document {
            approved_by: Some(&words.approved_by),
            key: Some(&key.fingerprint()),
            signature: Some(file),
            text: Some(&text),
            ..document(&environment)
        })?,
    }
    Ok(ExitCode::Pass)
}

/// Prints the text that is to be signed, byte for byte where it is text.
fn print(session: &Session, environment: &str, text: &str) -> Result<ExitCode> {
    match session.format() {
        Format::Text => output::print(text)?,
        Format::Json => output::print_json(&Document { text: Some(text), ..document(environment) })?,
    }
    Ok(ExitCode::Pass)
}

fn document(environment: &str) -> Document<'_> {
    Document {
        schema_version: 1,
        command: "approve",
        exit_code: 0,
        environment,
        id: None,
        approved_by: None,
        key: None,
        signature: None,
        text: None,
    }
}

/// Returns the key of who approves.
fn key(options: &Options) -> Result<SigningKey> {
    if let Some(path) = &options.key {
        return SigningKey::read(&path.to_string_lossy(), "--key");
    }
    match variable(APPROVAL_KEY).filter(|given| !given.trim().is_empty()) {
        Some(given) => SigningKey::read(&given, APPROVAL_KEY),
        None => Err(Error::new(ErrorCode::SigningKey, "no key is named that approves")
            .hint("give --key FILE or HOLDPOINT_APPROVAL_KEY; for a key with a passphrase or an agent: --print, ssh-keygen -Y sign, --signature")),
    }
}
