//! What a snapshot of a dump holds, found in the bytes that were read back.

use super::DumpSource;
use super::archive::{Archive, Failure, Format, TOC_FILE, read_custom, read_directory};
use super::globals::{GLOBALS_FILE, count_roles};
use crate::error::Result;
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::Content;
use crate::source::{Context, Inspection, Stored};
use serde_json::Value;

/// Reads everything; what is wrong with the bytes is a finding.
pub(super) fn inspect(source: &DumpSource, context: &Context, stored: &dyn Stored) -> Result<Inspection> {
    let mut content = Content::new();
    let mut findings = Vec::new();
    match read_archive(context, stored) {
        Ok(archive) => {
            describe(&archive, &mut content);
            // What the user's own query said is known from the capture.
            if let (None, Some(version)) = (&source.server.config.schema_version_query, &archive.schema_version) {
                version.add_to(&mut content);
            }
        }
        Err(Failure::Content(what)) => findings.push(incomplete(format!("the dump is not complete: {what}"))),
        Err(Failure::Read(error)) => return Err(error),
    }
    if source.globals {
        let has_globals = stored.names().iter().any(|name| name == GLOBALS_FILE);
        let roles = if has_globals { count_roles(&mut stored.open(GLOBALS_FILE)?, &context.cancel)? } else { None };
        match roles {
            Some(roles) => drop(content.insert("roles".to_owned(), roles.into())),
            None => findings
                .push(incomplete(format!("{GLOBALS_FILE} is not complete: the last line of pg_dumpall is missing"))),
        }
    }
    Ok(Inspection { content, findings })
}

/// Reads the archive of a snapshot, in whichever format it is.
pub(super) fn read_archive(context: &Context, stored: &dyn Stored) -> Result<Archive, Failure> {
    if stored.names().iter().any(|name| name == TOC_FILE) {
        return read_directory(stored, &context.cancel);
    }
    match dump_name(stored) {
        Some(name) => read_custom(&mut stored.open(name)?, &context.cancel),
        None => Err(Failure::Content("there is no archive among its files".to_owned())),
    }
}

/// Returns the name of the file that holds an archive of the custom format.
pub(super) fn dump_name(stored: &dyn Stored) -> Option<&String> {
    archive_of(stored.names())
}

/// Returns which of the names is that of an archive of the custom format.
pub(in crate::source::postgres) fn archive_of(names: &[String]) -> Option<&String> {
    names.iter().find(|name| name.ends_with(".dump"))
}

fn incomplete(message: String) -> Finding {
    Finding::refusal(FindingCode::ContentIncomplete, message)
        .hint("see what `programs` or PATH has for pg_dump, and the server's log")
}

fn describe(archive: &Archive, content: &mut Content) {
    let toc = &archive.toc;
    let mut set = |name: &str, value: Value| content.insert(name.to_owned(), value);
    set("format", if archive.format == Format::Custom { "custom" } else { "directory" }.into());
    set("archive_version", toc.format_version.clone().into());
    set("encoding", toc.encoding.clone().into());
    set("tables", toc.tables.into());
    set("sequences", toc.sequences.into());
    set("extensions", toc.extensions.iter().cloned().collect());
    set("large_objects", archive.large_objects.into());
    let rows = archive.rows.iter().map(|((schema, name), rows)| (format!("{schema}.{name}"), Value::from(*rows)));
    set("rows", Value::Object(rows.collect()));
}
