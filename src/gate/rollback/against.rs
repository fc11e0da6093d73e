//! What speaks against a way back: the schema that the older version would find, and servers that cannot take the dump.

use super::survey::Present;
use super::{Request, hooks, point};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::Content;
use crate::model::way::WayKind;
use crate::policy::{schema, server};

/// Says what speaks against going a way.
pub(super) fn against(way: WayKind, request: &Request<'_>, presents: &[Present<'_>]) -> Vec<Finding> {
    let mut findings: Vec<_> = impossible(way, request, presents).into_iter().collect();
    if way == WayKind::CodeOnly && tells_no_schema(request, presents) {
        let message = "no source tells a schema: whether the older version runs on what is there nothing compared";
        findings.push(
            Finding::warning(FindingCode::SchemaUnknown, message)
                .hint("see that the newer version changed nothing of the data that the older one reads"),
        );
    }
    for present in presents {
        findings.extend(present.wrong.clone());
        match way {
            WayKind::FullRestore => findings.extend(full_restore(request, present)),
            WayKind::CodeOnly => findings.extend(code_only(request, present)),
            WayKind::DownMigration => findings.extend(down_migration(request, present)),
            WayKind::PointInTime => findings.extend(point_in_time(request, present)),
            WayKind::RollForward => {}
        }
    }
    findings
}

/// Says whether nothing can be compared with the schema that the older version runs on.
pub(super) fn tells_no_schema(request: &Request<'_>, presents: &[Present<'_>]) -> bool {
    !presents.iter().any(|present| is_told(request, present))
}

/// Says on which versions besides the snapshot's the older application runs.
fn accepts<'r>(request: &'r Request<'_>, present: &Present<'_>) -> &'r [String] {
    request.run.settings.rollback.accepts_schema.get(&present.record.name).map(Vec::as_slice).unwrap_or_default()
}

/// Returns what a source held while the older version ran on it, if it was captured.
fn then<'p>(present: &Present<'p>) -> Option<&'p Content> {
    present.record.snapshot.as_ref().map(|_| &present.record.content)
}

/// Says whether a source tells on which schema the older version runs.
fn is_told(request: &Request<'_>, present: &Present<'_>) -> bool {
    let versions = then(present).map(schema::versions).unwrap_or_default();
    schema::has_schema(&present.record.kind) && (!versions.is_empty() || !accepts(request, present).is_empty())
}

fn impossible(way: WayKind, request: &Request<'_>, presents: &[Present<'_>]) -> Option<Finding> {
    let refuse = |message: &str, hint: &str| Some(Finding::refusal(FindingCode::WayImpossible, message).hint(hint));
    if !matches!(way, WayKind::CodeOnly | WayKind::DownMigration) {
        return None;
    }
    if request.given.manifest.release.from.version.is_none() {
        let message = format!("{way}: no older version is known that could be deployed again");
        return refuse(&message, "restore the data by --way full-restore, or deploy a mended version");
    }
    if way == WayKind::CodeOnly {
        return None;
    }
    let environment = &request.run.environment;
    if request.run.settings.rollback.down_migration.is_none() {
        let hint = format!("name it by down_migration in [environment.{environment}.rollback]");
        return refuse("no program is configured that takes the schema back", &hint);
    }
    let ambiguous = hooks::schemas(&request.given.manifest).ambiguous;
    if let Some(variable) = ambiguous.first() {
        let message = format!("{variable} would stand for the schemas of several sources: the program cannot be told");
        return refuse(
            &message,
            "give the sources names that differ by more than `-` and `_`; for this release take another way",
        );
    }
    if tells_no_schema(request, presents) {
        let message = "no source tells the version of its schema, so nothing could tell whether the migration worked";
        return refuse(message, "give a source schema_version_query");
    }
    None
}

fn full_restore(request: &Request<'_>, present: &Present<'_>) -> Vec<Finding> {
    let record = present.record;
    let mut findings: Vec<Finding> = present.by_hand.iter().cloned().collect();
    if record.snapshot.is_none() {
        return schema_of(request, present, true);
    }
    if present.wrong.is_none() {
        let now = present.server_version.as_deref();
        // Some dumps tell by themselves which server wrote them.
        let in_dump = || record.content.get("server_version").and_then(serde_json::Value::as_str);
        let then = record.server_version.as_deref().or_else(in_dump).filter(|version| !version.is_empty());
        findings.extend(server::judge(&record.kind, then, now));
    }
    let requires = &request.given.manifest.rollback.requires;
    for (database, told) in schema::versions(&record.content) {
        let of = if database.is_empty() { String::new() } else { format!(", {database}") };
        let required = requires.get(&format!("schema_version of {}{of}", record.name));
        if let Some(required) = required.filter(|required| **required != told.version) {
            let message =
                format!("the snapshot holds the schema {}, and the older version runs on {required}", told.version);
            findings.push(Finding::refusal(FindingCode::SchemaNotAccepted, message).hint(BY_HAND));
        }
        if told.is_dirty {
            let message = format!("the snapshot holds a migration to {} that broke off half-way", told.version);
            findings.push(
                Finding::warning(FindingCode::MigrationUnfinished, message)
                    .hint("the older version ran on it; see whether its migration tool starts with it"),
            );
        }
    }
    findings.into_iter().map(|finding| finding.of_source(&record.name)).collect()
}

const BY_HAND: &str = "restore an older release, or deploy a version that runs on this schema";

/// A source with a log goes back to the moment that a person chooses; the others stay as they are.
fn point_in_time(request: &Request<'_>, present: &Present<'_>) -> Vec<Finding> {
    if point::has_log(present) {
        return Vec::new();
    }
    schema_of(request, present, present.record.snapshot.is_none())
}

fn code_only(request: &Request<'_>, present: &Present<'_>) -> Vec<Finding> {
    schema_of(request, present, false)
}

/// Judges the schema that is there now, and stays; what is unknown refuses unless it only `warns`.
fn schema_of(request: &Request<'_>, present: &Present<'_>, warns: bool) -> Vec<Finding> {
    let record = present.record;
    if !schema::has_schema(&record.kind) || present.wrong.is_some() {
        return Vec::new();
    }
    let judged = schema::judge(then(present), accepts(request, present), present.content.as_ref().ok());
    let finding = |code, refuses: bool, message: String, hint: String| {
        let message = match &present.content {
            Err(why) => format!("{message}: {why}"),
            Ok(_) => message,
        };
        let finding = if refuses { Finding::refusal(code, message) } else { Finding::warning(code, message) };
        finding.of_source(&record.name).hint(hint)
    };
    let environment = &request.run.environment;
    let accept = format!(
        "if the older version runs on it, say so: accepts_schema = {{ {} = [\"VERSION\"] }} in [environment.{environment}.rollback]",
        record.name
    );
    let query = "give the source schema_version_query, so that its schema can be told".to_owned();
    let mend = "end or repeat the migration, or restore the data by --way full-restore".to_owned();
    let unlike =
        judged.unlike.into_iter().map(|text| finding(FindingCode::SchemaNotAccepted, true, text, accept.clone()));
    let unknown =
        judged.unknown.into_iter().map(|text| finding(FindingCode::SchemaUnknown, !warns, text, query.clone()));
    let unfinished =
        judged.unfinished.into_iter().map(|text| finding(FindingCode::MigrationUnfinished, !warns, text, mend.clone()));
    unlike.chain(unknown).chain(unfinished).collect()
}

fn down_migration(request: &Request<'_>, present: &Present<'_>) -> Vec<Finding> {
    let record = present.record;
    if !schema::has_schema(&record.kind) || present.wrong.is_some() {
        return Vec::new();
    }
    let warn = |code, message: String| Finding::warning(code, message).of_source(&record.name);
    let mut findings = Vec::new();
    if !is_told(request, present) {
        let message =
            "nothing tells on which schema the older version runs: whether the migration took it back nobody will see";
        findings.push(warn(FindingCode::SchemaUnknown, message.to_owned()));
    }
    let now = present.content.as_ref().map(schema::versions).unwrap_or_default();
    for (_, told) in now.into_iter().filter(|(_, told)| told.is_dirty) {
        let message =
            format!("a migration to {} broke off half-way: see that down_migration can start from there", told.version);
        findings.push(warn(FindingCode::MigrationUnfinished, message));
    }
    findings
}

/// Returns the sources whose schema can be compared once a migration has taken it back.
pub(super) fn told_by<'p, 'r>(
    request: &Request<'_>,
    presents: &'p [Present<'r>],
) -> impl Iterator<Item = &'p Present<'r>> {
    presents.iter().filter(|present| is_told(request, present))
}
