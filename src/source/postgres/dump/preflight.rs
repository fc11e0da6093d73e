//! What a dump needs: rights to everything it reads, room for it, and nobody in the way.

use super::DumpSource;
use crate::error::Result;
use crate::model::finding::{Finding, FindingCode};
use crate::source::Context;
use crate::source::postgres::connect::{Connection, identifier};
use crate::source::postgres::facts::ServerFacts;
use crate::source::postgres::standby;
use std::path::Path;

/// How many things a message names.
const NAMED: usize = 20;
/// The first version with the role `pg_read_all_data`.
const WITH_READ_ALL: u32 = 140_000;

/// Tables and sequences that pg_dump reads, and why the user may not. System schemas are not dumped, nor is what belongs
/// to an extension unless the extension says so (`pg_extension_config_dump`).
const UNREADABLE: &str = "\
    SELECT format('%I.%I', n.nspname, c.relname), \
           CASE WHEN NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE') THEN 'schema' \
                WHEN NOT pg_catalog.has_table_privilege(c.oid, 'SELECT') THEN 'select' \
                ELSE 'policy' END \
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid \
                        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e' \
                          AND NOT c.oid = ANY (coalesce(e.extconfig, '{}'))) \
       AND (NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
            OR NOT pg_catalog.has_table_privilege(c.oid, 'SELECT') \
            OR c.relkind = 'r' AND pg_catalog.row_security_active(c.oid)) \
     ORDER BY 1";
/// Large objects that the user may not read.
const UNREADABLE_LARGE_OBJECTS: &str = "\
    SELECT l.oid FROM pg_catalog.pg_largeobject_metadata l \
     WHERE NOT pg_catalog.pg_has_role(l.lomowner, 'USAGE') \
       AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(l.lomacl) a WHERE a.privilege_type = 'SELECT' \
                          AND (a.grantee = 0 OR pg_catalog.pg_has_role(a.grantee, 'USAGE'))) \
     ORDER BY 1";
/// Tables that nobody else may even read now, and who holds them.
const LOCKED: &str = "\
    SELECT format('%I.%I', n.nspname, c.relname), l.pid \
      FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation \
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.granted \
       AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) \
       AND c.relkind IN ('r', 'p', 'S') AND n.nspname !~ '^pg_' ORDER BY 1";

/// Looks for everything that a capture will need.
pub(super) fn preflight(source: &DumpSource, context: &Context) -> Vec<Finding> {
    let (reached, mut findings) = source.server.preflight(source.programs(), context);
    let Some((connection, facts)) = reached else { return findings };
    // Not to be told that is worth a refusal: the capture would find out, or not.
    let asked = privileges(&connection, &facts, &mut findings)
        .and_then(|()| locks(&connection, &mut findings))
        .and_then(|()| standby::warning(&connection, &facts));
    match asked {
        Ok(warning) => findings.extend(warning),
        Err(error) => findings.push(Finding::from_error(&error, FindingCode::PreflightFailed)),
    }
    if source.jobs > 1 {
        findings.extend(room(&context.scratch, facts.database_bytes));
    }
    findings
}

fn privileges(connection: &Connection, facts: &ServerFacts, findings: &mut Vec<Finding>) -> Result<()> {
    if facts.is_superuser {
        return Ok(());
    }
    let doing = "ask what the user may read";
    let user = &facts.user;
    let (mut unreadable, mut hidden) = (Vec::new(), Vec::new());
    for row in connection.rows(doing, UNREADABLE)? {
        let mut values = row.into_iter().flatten();
        let (Some(name), Some(why)) = (values.next(), values.next()) else { continue };
        if why == "policy" { hidden.push(name) } else { unreadable.push(name) }
    }
    let large: Vec<String> =
        connection.rows(doing, UNREADABLE_LARGE_OBJECTS)?.into_iter().flatten().flatten().collect();
    let quoted = identifier(user);
    if !unreadable.is_empty() {
        let hint = if facts.number >= WITH_READ_ALL {
            format!("let the user read: GRANT pg_read_all_data TO {quoted};")
        } else {
            format!(
                "let the user read, in each schema: GRANT USAGE ON SCHEMA s TO {quoted}; \
                     GRANT SELECT ON ALL TABLES IN SCHEMA s TO {quoted}; GRANT SELECT ON ALL SEQUENCES IN SCHEMA s TO {quoted};"
            )
        };
        let message = format!("the user {user} may not read {}", named(&unreadable));
        findings.push(Finding::refusal(FindingCode::PrivilegeMissing, message).hint(hint));
    }
    if !hidden.is_empty() {
        let message = format!("row level security would hide rows of {} from the user {user}", named(&hidden));
        let hint = format!("let the user see all rows: ALTER ROLE {quoted} BYPASSRLS;");
        findings.push(Finding::refusal(FindingCode::PrivilegeMissing, message).hint(hint));
    }
    if let Some(first) = large.first() {
        let message = format!("the user {user} may not read large objects: {}", named(&large));
        let hint = format!("for each of them: GRANT SELECT ON LARGE OBJECT {first} TO {quoted};");
        findings.push(Finding::refusal(FindingCode::PrivilegeMissing, message).hint(hint));
    }
    Ok(())
}

fn locks(connection: &Connection, findings: &mut Vec<Finding>) -> Result<()> {
    for row in connection.rows("ask for locks", LOCKED)? {
        let mut values = row.into_iter().map(Option::unwrap_or_default);
        let (table, pid) = (values.next().unwrap_or_default(), values.next().unwrap_or_default());
        let message = format!("session {pid} holds {table} exclusively: a dump would have to wait for it");
        let hint = "let the migration or maintenance end that holds it, or end the session, before the gate runs";
        findings.push(Finding::warning(FindingCode::PreflightFailed, message).hint(hint));
    }
    Ok(())
}

/// Checks that a dump in files fits into the scratch directory.
fn room(scratch: &Path, needed: Option<u64>) -> Option<Finding> {
    let needed = needed?;
    let text = match rustix::fs::statvfs(scratch) {
        Ok(room) if room.f_bavail.saturating_mul(room.f_frsize) >= needed => return None,
        Ok(_) => format!("no room for a dump in files in {}: about {needed} bytes needed", scratch.display()),
        Err(error) => format!("cannot tell the free space of {}: {error}", scratch.display()),
    };
    let hint = "make room, set TMPDIR to a larger place, or leave out `jobs`, so that no file is needed";
    Some(Finding::refusal(FindingCode::PreflightFailed, text).hint(hint))
}

/// Names the first of several things.
pub(super) fn named(names: &[String]) -> String {
    let shown = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
