//! A connection string of MongoDB, taken apart as far as is needed; nothing of it that is secret can be shown by accident.

use crate::error::{Error, ErrorCode, Result};
use percent_encoding::percent_decode_str;
use std::fmt;

/// The port of a host that names none.
const PORT: u16 = 27017;

/// `mongodb://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE?OPTIONS`; several hosts are why it is no URL.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Uri {
    text: String,
    /// Whether the hosts are to be asked of the DNS (`mongodb+srv`).
    is_srv: bool,
    user: Option<String>,
    password: Option<String>,
    hosts: String,
    /// The only database that is meant; all of them without it.
    pub database: Option<String>,
    options: Option<String>,
}

impl Uri {
    /// Takes a connection string apart.
    ///
    /// # Errors
    /// `config`: it is none. The message does not repeat it: it may hold a password.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Error::new(ErrorCode::Config, format!("`url` {what}")).hint(
                "write it as mongodb://USER:PASSWORD@HOST:PORT/DATABASE, with `/ ? @ :` of a password as %2F %3F %40 %3A",
            )
        };
        let text = text.trim();
        let (is_srv, rest) = match (text.strip_prefix("mongodb://"), text.strip_prefix("mongodb+srv://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(wrong("must begin with mongodb:// or mongodb+srv://")),
        };
        let (rest, options) = match rest.split_once('?') {
            Some((rest, options)) => (rest, Some(options.to_owned()).filter(|options| !options.is_empty())),
            None => (rest, None),
        };
        let (place, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (access, hosts) = match place.rsplit_once('@') {
            Some((access, hosts)) => (Some(access), hosts),
            None => (None, place),
        };
        // Then a `/` or `?` before it was one of a password, and what looks like hosts and a database is the rest of that.
        if database.contains('@') || options.as_ref().is_some_and(|options| options.contains('@')) {
            return Err(wrong("has an `@` behind its host"));
        }
        if hosts.is_empty() || hosts.split(',').any(str::is_empty) {
            return Err(wrong("names no host"));
        }
        if !hosts.split(',').all(has_sound_port) {
            return Err(wrong("has a host whose port is no number"));
        }
        if database.contains('/') {
            return Err(wrong(
                "has a `/` in the name of its database, or one that is not written as %2F before the host",
            ));
        }
        let (user, password) = match access.map(|access| access.split_once(':').unwrap_or((access, ""))) {
            Some((user, password)) => (Some(user), Some(password).filter(|password| !password.is_empty())),
            None => (None, None),
        };
        let decoded = |part: &str| {
            let text = percent_decode_str(part).decode_utf8().map(|text| text.into_owned());
            text.map_err(|_| wrong("has percent-encoded bytes that are not UTF-8"))
        };
        Ok(Self {
            text: text.to_owned(),
            is_srv,
            user: user.map(str::to_owned),
            password: password.map(str::to_owned),
            hosts: hosts.to_owned(),
            database: Some(decoded(database)?).filter(|database| !database.is_empty()),
            options,
        })
    }

    /// Returns it as it was given, with its secrets.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns it without the database, as a program must be given it that takes the names of databases from an archive.
    /// Users are looked for in the same database as before.
    pub(super) fn of_whole_server(&self) -> String {
        let Some(database) = &self.database else { return self.text.clone() };
        let scheme = if self.is_srv { "mongodb+srv" } else { "mongodb" };
        let access = match (&self.user, &self.password) {
            (Some(user), Some(password)) => format!("{user}:{password}@"),
            (Some(user), None) => format!("{user}@"),
            (None, _) => String::new(),
        };
        let mut options: Vec<_> = self.options.iter().cloned().collect();
        let names_source = self.options.as_ref().is_some_and(|options| options.to_lowercase().contains("authsource="));
        if self.user.is_some() && !names_source {
            let database = percent_encoding::utf8_percent_encode(database, percent_encoding::NON_ALPHANUMERIC);
            options.push(format!("authSource={database}"));
        }
        let question = if options.is_empty() { "" } else { "?" };
        format!("{scheme}://{access}{}/{question}{}", self.hosts, options.join("&"))
    }

    /// Returns what must not be shown of it.
    pub(super) fn secrets(&self) -> Vec<String> {
        let mut secrets: Vec<_> = self.password.iter().cloned().collect();
        let decoded =
            self.password.as_ref().map(|password| percent_decode_str(password).decode_utf8_lossy().into_owned());
        secrets.extend(decoded);
        // Options may hold secrets, too, such as the password of a key.
        secrets.extend(self.options.clone());
        secrets.push(self.text.clone());
        secrets
    }

    /// Returns the hosts with their ports; none where the DNS or a socket says where the server is.
    pub(super) fn hosts(&self) -> Vec<(String, u16)> {
        if self.is_srv {
            return Vec::new();
        }
        let host = |host: &str| {
            if host.contains("%2F") || host.contains("%2f") {
                return None;
            }
            let bare = |host: &str| host.trim_start_matches('[').trim_end_matches(']').to_owned();
            match host.rsplit_once(':') {
                Some((name, port)) if !port.contains(']') => Some((bare(name), port.parse().ok()?)),
                _ => Some((bare(host), PORT)),
            }
        };
        self.hosts.split(',').filter_map(host).collect()
    }
}

/// Says whether a host has no port, or one that is a number: what else stands there may be a password.
fn has_sound_port(host: &str) -> bool {
    let behind = match host.split_once(']') {
        Some((address, behind)) if address.starts_with('[') => behind,
        _ => host.find(':').and_then(|at| host.get(at..)).unwrap_or_default(),
    };
    match behind.strip_prefix(':') {
        Some(port) => port.parse::<u16>().is_ok(),
        None => behind.is_empty(),
    }
}

/// Shows where the server is, without who asks and how.
impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_srv { "mongodb+srv" } else { "mongodb" };
        let database = self.database.as_deref().map(|database| format!("/{database}")).unwrap_or_default();
        write!(f, "{scheme}://{}{database}", self.hosts)
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_are_taken_apart() {
        let uri = Uri::parse("mongodb://shop:hunt%3Aer2@one:27018,two,[::1]:7/shop?replicaSet=rs&tls=true").unwrap();
        assert_eq!(uri.hosts(), [("one".into(), 27018), ("two".into(), 27017), ("::1".into(), 7)]);
        assert_eq!(uri.database.as_deref(), Some("shop"));
        assert_eq!(format!("{uri} {uri:?}"), ["mongodb://one:27018,two,[::1]:7/shop"; 2].join(" "));
        assert!(uri.secrets().contains(&"hunt:er2".to_owned()) && uri.secrets().contains(&"hunt%3Aer2".to_owned()));
        assert_eq!(
            uri.of_whole_server(),
            "mongodb://shop:hunt%3Aer2@one:27018,two,[::1]:7/?replicaSet=rs&tls=true&authSource=shop"
        );
        let srv = Uri::parse("mongodb+srv://u:p@cluster.example/?authSource=admin").unwrap();
        assert_eq!((srv.hosts(), srv.database.clone()), (vec![], None));
        assert_eq!(srv.of_whole_server(), srv.text());
        let named = Uri::parse("mongodb://u:p@h/shop?authSource=admin").unwrap();
        assert_eq!(named.of_whole_server(), "mongodb://u:p@h/?authSource=admin");
        assert_eq!(Uri::parse("mongodb://h/shop").unwrap().of_whole_server(), "mongodb://h/");
        assert_eq!(Uri::parse("mongodb://%2Ftmp%2Fmongodb.sock").unwrap().hosts(), []);
    }

    #[test]
    fn what_is_none_is_refused_without_being_repeated() {
        for wrong in [
            "postgres://u:hunter2@h",
            "mongodb://u:hunter2@",
            "mongodb://u:hunter2@h,,i/",
            "mongodb://u:hun/ter2@h",
            "mongodb://u:hun/ter2@h/d",
            "mongodb://u:hun?ter2@h",
            "mongodb://u:12/hunter2@h",
            "mongodb://u:12?hunter2@h",
            "mongodb+srv://u:12/hunter2@h",
            "mongodb://u@12/hunter2@h",
            "mongodb://u@i:12?hunter2@h",
            "mongodb://u:hunter2",
            "mongodb://u:hun%2Fter2/d",
            "mongodb://u:hunter2:1",
            "mongodb://[::1]hunter2",
            "mongodb://h:99999/hunter2@",
        ] {
            let error = Uri::parse(wrong).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Config, "{wrong}");
            let shown = format!("{error} {error:?} {} {}", error.chain(), error.hints().join(" "));
            assert!(!shown.contains("hun") && !shown.contains("ter2"), "{shown}");
        }
    }

    #[test]
    fn ports_are_numbers() {
        for host in ["h", "h:1", "[::1]", "[::1]:27017", "%2Ftmp%2Fmongodb.sock"] {
            assert!(has_sound_port(host), "{host}");
        }
        for host in ["h:", "h:x", "h:1:2", "h:65536", "[::1]x", "[::1]:x", "[::1", "::1"] {
            assert!(!has_sound_port(host), "{host}");
        }
    }
}
