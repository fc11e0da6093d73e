//! After the restores: each source is looked at anew, and compared with what the gate captured.

use super::super::restore::{Restore, find_recorded};
use super::super::scratch::Scratch;
use super::sources::{Hands, configured, restorable, with_repository};
use super::{Request, survey};
use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::{Content, SourceRecord};
use crate::model::rollback::NOT_VERIFIED;
use crate::policy::{restored, schema};
use crate::repository::restore::{Aspects, Difference};
use std::path::Path;

/// What a look found.
#[derive(Debug)]
pub(super) enum Verified {
    /// Nothing that differs; in words.
    Same(String),
    /// What differs.
    Differs(String),
}

/// Compares a restored source with its snapshot: files byte by byte, databases by their counts and the version of their
/// schema. What cannot be looked at or compared is told as that.
///
/// # Errors
/// `restore-failed`: it cannot be looked at although its kind can be; the repository's own; a cancellation.
pub(super) fn restored(request: &Request<'_>, name: &str, hands: &Hands<'_>) -> Result<Verified> {
    let record = restorable(&request.given.manifest).find(|record| record.name == name);
    let record = record.ok_or_else(|| Error::new(ErrorCode::NotFound, format!("there is no source `{name}`")))?;
    match record.kind.as_str() {
        "files" => files(request, record, hands),
        "command" => Ok(not_verified("its own program answers for what it restored", record, hands)),
        _ => database(request, record, hands),
    }
}

fn database(request: &Request<'_>, record: &SourceRecord, hands: &Hands<'_>) -> Result<Verified> {
    let Some(content) = look(request, record, hands)? else {
        let why = "this kind cannot be looked at: its restore answers for what it restored";
        return Ok(not_verified(why, record, hands));
    };
    let compared = restored::compare(&record.content, &content);
    if compared.is_empty() {
        return Ok(not_verified("the manifest and the server tell nothing that could be compared", record, hands));
    }
    if !compared.differences.is_empty() {
        return Ok(Verified::Differs(compared.differences.join("; ")));
    }
    let but = match compared.left_out.is_empty() {
        true => String::new(),
        false => format!("; not compared: {}", compared.left_out.join(", ")),
    };
    Ok(Verified::Same(format!("it holds what the manifest says{but}")))
}

/// Says that nothing was compared, at once and in the record of the step: it is done, and proves nothing.
fn not_verified(why: &str, record: &SourceRecord, hands: &Hands<'_>) -> Verified {
    hands.observer.note(&format!("warning: {}: {NOT_VERIFIED}{why}", record.name));
    Verified::Same(format!("{NOT_VERIFIED}{why}"))
}

/// Compares the schema of a source with what the older version runs on, after a migration took it back.
///
/// # Errors
/// As [`restored`].
pub(super) fn schema(request: &Request<'_>, name: &str, hands: &Hands<'_>) -> Result<Verified> {
    let record = request.given.manifest.sources.iter().find(|record| record.name == name);
    let record = record.ok_or_else(|| Error::new(ErrorCode::NotFound, format!("there is no source `{name}`")))?;
    let content = look(request, record, hands)?;
    let accepts = request.run.settings.rollback.accepts_schema.get(name).map(Vec::as_slice).unwrap_or_default();
    let then = record.snapshot.as_ref().map(|_| &record.content);
    let judged = schema::judge(then, accepts, content.as_ref());
    if judged.fits() {
        return Ok(Verified::Same("its schema is one that the older version runs on".to_owned()));
    }
    Ok(Verified::Differs([judged.unlike, judged.unknown, judged.unfinished].concat().join("; ")))
}

fn look(request: &Request<'_>, record: &SourceRecord, hands: &Hands<'_>) -> Result<Option<Content>> {
    let Some(config) = configured(request, record) else {
        return Err(Error::new(ErrorCode::Usage, format!("the configuration has no source `{}`", record.name)));
    };
    let scratch = Scratch::create()?;
    let looked = survey::contents(config, &request.run.directory, &scratch, hands.cancel, hands.runtime);
    hands.cancel.check()?;
    looked.map_err(|error| {
        error
            .under(ErrorCode::RestoreFailed, format!("{} cannot be looked at", record.name))
            .hint("see that its server answers, then go on with the rollback: it is looked at again")
    })
}

/// Compares files with their snapshot. What lies beside them is left alone: it was left out then, or came after the gate
/// and is not in the safety snapshot.
fn files(request: &Request<'_>, record: &SourceRecord, hands: &Hands<'_>) -> Result<Verified> {
    with_repository(request, hands.cancel, |indexed| {
        let (_, snapshot) = find_recorded(indexed, record)?;
        let Hands { observer, cancel, runtime } = *hands;
        let restore = Restore { indexed, observer: &**observer, cancel, runtime, force: false };
        let (mut names, mut metadata) = (0, 0);
        let mut differ = 0;
        let mut first = Vec::new();
        for path in &snapshot.paths {
            let path = Path::new(path);
            let found = restore.compare_in_place(&record.name, snapshot.tree, path, false)?;
            names += found.names;
            metadata += found.metadata;
            differ += found.of_substance();
            let parent = path.parent().unwrap_or(Path::new("/"));
            let of_substance = |one: &&Difference| SUBSTANCE.iter().any(|aspect| one.what.has(*aspect));
            let named = |one: &Difference| format!("{} ({})", parent.join(&one.path).display(), one.what);
            first.extend(found.first.iter().filter(of_substance).map(named));
        }
        if differ > 0 {
            first.truncate(NAMED);
            return Ok(Verified::Differs(format!("{differ} of {names} names differ: {}", first.join(", "))));
        }
        let but = match metadata {
            0 => String::new(),
            // Without the rights of root nobody can give a file to another owner; the restore has noted it.
            some => format!("; permissions, owner or time of {some} are others"),
        };
        Ok(Verified::Same(format!("{names} names are as they were captured, byte by byte{but}")))
    })
}

/// What makes a file another one.
const SUBSTANCE: [Aspects; 4] = [Aspects::MISSING, Aspects::KIND, Aspects::CONTENT, Aspects::LINKS];
/// How many names are told.
const NAMED: usize = 5;
