//! What a database has beside its content: owner, privileges, settings, the number of connections.

use crate::error::Result;
use crate::source::postgres::connect::{Connection, Row, identifier, literal};

/// Settings whose values are lists of names, each quoted where need be (`GUC_LIST_QUOTE` in PostgreSQL's `guc_tables.c`).
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// Gives the database `to` what the database `from` has.
///
/// # Errors
/// The server refuses.
pub(super) fn copy(connection: &Connection, from: &str, to: &str) -> Result<()> {
    let doing = "copy the properties of the old database";
    let (target, of) = (identifier(to), format!("FROM pg_catalog.pg_database d WHERE d.datname = {}", literal(from)));
    let mut statements = Vec::new();
    let general =
        format!("SELECT pg_catalog.pg_get_userbyid(datdba), current_user, datconnlimit, datacl IS NOT NULL {of}");
    if let Some([Some(owner), user, Some(limit), has_acl]) = first(connection.rows(doing, &general)?) {
        if user.as_ref() != Some(&owner) {
            statements.push(format!("ALTER DATABASE {target} OWNER TO {}", identifier(&owner)));
        }
        statements.push(format!("ALTER DATABASE {target} CONNECTION LIMIT {limit}"));
        if has_acl.as_deref() == Some("t") {
            statements.push(format!("REVOKE ALL ON DATABASE {target} FROM PUBLIC"));
        }
    }
    let privileges = format!(
        "SELECT a.privilege_type, CASE WHEN a.grantee <> 0 THEN pg_catalog.pg_get_userbyid(a.grantee) END, a.is_grantable \
           FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) a WHERE d.datname = {}",
        literal(from)
    );
    for row in connection.rows(doing, &privileges)? {
        let Some([Some(privilege), grantee, grantable]) = first(vec![row]) else { continue };
        let grantee = grantee.map_or_else(|| "PUBLIC".to_owned(), |role| identifier(&role));
        let option = if grantable.as_deref() == Some("t") { " WITH GRANT OPTION" } else { "" };
        statements.push(format!("GRANT {privilege} ON DATABASE {target} TO {grantee}{option}"));
    }
    let settings = format!(
        "SELECT CASE WHEN s.setrole <> 0 THEN pg_catalog.pg_get_userbyid(s.setrole) END, setting \
           FROM pg_catalog.pg_database d JOIN pg_catalog.pg_db_role_setting s ON s.setdatabase = d.oid, \
                unnest(s.setconfig) AS setting WHERE d.datname = {}",
        literal(from)
    );
    for row in connection.rows(doing, &settings)? {
        let Some([role, Some(setting)]) = first(vec![row]) else { continue };
        let Some((name, value)) = setting.split_once('=') else { continue };
        let of = match role {
            Some(role) => format!("ROLE {} IN DATABASE {target}", identifier(&role)),
            None => format!("DATABASE {target}"),
        };
        statements.push(format!("ALTER {of} SET {} TO {}", identifier(name), written(name, value)));
    }
    statements.iter().try_for_each(|statement| connection.rows(doing, statement).map(drop))
}

/// Writes the value of a setting as a statement has it.
fn written(name: &str, value: &str) -> String {
    match (LISTS.contains(&name), value) {
        (true, "" | "\"\"") => "''".to_owned(),
        (true, list) => list.to_owned(),
        (false, text) => literal(text),
    }
}

/// Returns the values of the first row, if it has as many.
fn first<const N: usize>(rows: Vec<Row>) -> Option<[Option<String>; N]> {
    rows.into_iter().next()?.try_into().ok()
}
