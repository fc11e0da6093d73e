//! Passwords that a URL does not hold: `PGPASSWORD`, or libpq's password file.
//!
//! The format of the file: PostgreSQL's documentation, "The Password File".

use super::endpoint::Endpoint;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Host, port, database, user, and the password.
const FIELDS: usize = 5;

/// Finds the password of a user at a server where libpq would find it.
pub(super) fn find(
    endpoint: &Endpoint,
    variable: &dyn Fn(&str) -> Option<String>,
    home: Option<&Path>,
) -> Option<String> {
    if let Some(password) = variable("PGPASSWORD") {
        return Some(password);
    }
    let path = variable("PGPASSFILE").map(PathBuf::from).or_else(|| Some(home?.join(".pgpass")))?;
    let meta = path.metadata().ok()?;
    // libpq does not use a file that others may read, either.
    if !meta.is_file() || meta.mode() & 0o077 != 0 {
        return None;
    }
    in_file(&std::fs::read_to_string(path).ok()?, endpoint)
}

/// Returns the password of the first line that fits.
fn in_file(text: &str, endpoint: &Endpoint) -> Option<String> {
    let host = if endpoint.is_socket() { "localhost" } else { &endpoint.host };
    let wanted = [host, &endpoint.port.to_string(), &endpoint.database, &endpoint.user];
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(fields).find_map(|fields| {
        let (password, names) = fields.split_last()?;
        let fits =
            names.len() == wanted.len() && names.iter().zip(wanted).all(|(name, wanted)| name == "*" || name == wanted);
        (fits && !password.is_empty()).then(|| password.clone())
    })
}

/// Takes a line apart at its colons; a backslash before a colon or a backslash takes away its meaning.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let is_last = fields.len() == FIELDS;
        let Some(field) = fields.last_mut() else { break };
        match character {
            '\\' => field.extend(characters.next()),
            ':' if !is_last => fields.push(String::new()),
            other => field.push(other),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    #[test]
    fn the_variable_comes_before_the_file_and_the_file_must_be_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".pgpass");
        std::fs::write(&path, "# a comment\nother:*:*:*:no\nlocalhost:5432:*:shop:a\\:b\\\\c\n*:*:*:*:any\n").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let endpoint = |url| Endpoint::parse(url, Duration::from_secs(1)).unwrap();
        let find = |url, variable: &dyn Fn(&str) -> Option<String>| {
            super::find(&Endpoint { password: None, ..endpoint(url) }, variable, Some(directory.path()))
        };
        mode(0o600);
        let socket = "postgres://shop@%2Frun/x";
        assert_eq!(find(socket, &|_| None).as_deref(), Some("a:b\\c"));
        assert_eq!(find("postgres://me@db/x", &|_| None).as_deref(), Some("any"));
        let set = |name: &str| (name == "PGPASSWORD").then(|| "set".to_owned());
        assert_eq!(find(socket, &set).as_deref(), Some("set"));
        let elsewhere = |name: &str| (name == "PGPASSFILE").then(|| "/no/such/file".to_owned());
        assert_eq!(find(socket, &elsewhere), None);
        mode(0o644);
        assert_eq!(find(socket, &|_| None), None);
    }
}
