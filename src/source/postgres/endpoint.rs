//! Where a PostgreSQL server is and who asks, as a URL says it: the parameters of libpq that make sense for one server.
//!
//! The meaning is that of libpq (PostgreSQL's documentation, "Database Connection Control Functions"), so that the native
//! connection and the client programs reach the same server in the same way.

use super::passwords;
use crate::error::{Error, ErrorCode, Result};
use crate::source::address::Address;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SCHEMES: &[&str] = &["postgres", "postgresql"];
/// The database that every server has, unless somebody dropped it, and that nobody's data is in.
pub(super) const MAINTENANCE: &str = "postgres";
/// The value of `sslrootcert` that stands for the certificates that the system trusts.
pub(super) const SYSTEM_ROOTS: &str = "system";
const DEFAULT_PORT: u16 = 5432;
/// Where servers put their socket: Debian's and Red Hat's directory, then PostgreSQL's own.
const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// How much TLS a server must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TlsMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl TlsMode {
    const ALL: [(&'static str, Self); 5] = [
        ("disable", Self::Disable),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
    ];

    /// Returns the value of libpq's `sslmode`.
    pub(super) fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, mode)| *mode == self).map_or("prefer", |(text, _)| text)
    }
}

/// A database of a server, and everything that a connection to it needs.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// The name or number of the host, or the absolute directory of the server's socket.
    pub host: String,
    pub port: u16,
    pub user: String,
    /// Never to be shown, nor to be given as an argument.
    pub password: Option<String>,
    pub database: String,
    pub tls: TlsMode,
    /// A PEM file of the certificates that are trusted, or `system`.
    pub roots: Option<PathBuf>,
    /// Settings for the session, as libpq's `options` has them.
    pub options: Option<String>,
    /// How long the server may take to let us in, and to answer a question before the capture.
    pub patience: Duration,
}

impl Endpoint {
    /// Reads a URL; what it leaves out is taken from the environment as libpq does. `patience` rules unless the URL has a
    /// `connect_timeout`.
    ///
    /// # Errors
    /// `config`: it is not such a URL, or asks for something that is not supported; nothing of the URL but names of
    /// parameters is repeated.
    pub(super) fn parse(url: &str, patience: Duration) -> Result<Self> {
        Self::parse_in(url, patience, &|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// As [`Endpoint::parse`], with variables that `variable` gives.
    fn parse_in(url: &str, patience: Duration, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        if authority(url).contains(',') {
            return Err(wrong("`url` names several hosts").hint("name the one server that is to be captured"));
        }
        let address = Address::parse(url, SCHEMES)?;
        let mut port = address.port.unwrap_or(DEFAULT_PORT);
        let (mut host, mut user, mut password) = (address.host.clone(), address.user.clone(), address.password.clone());
        let mut database = address.database.clone();
        let (mut tls, mut roots, mut options, mut patience) = (None, None, None, patience);
        for (name, value) in &address.parameters {
            match name.as_str() {
                "host" => host = Some(value.clone()),
                "port" => port = number(name, value)?,
                "user" => user = Some(value.clone()),
                "password" => password = Some(value.clone()),
                "dbname" => database = Some(value.clone()),
                "sslmode" => tls = Some(tls_mode(value)?),
                "sslrootcert" => roots = Some(PathBuf::from(value)),
                "options" => options = Some(value.clone()),
                "connect_timeout" => match number::<u32>(name, value)? {
                    // libpq: 0 is no limit, which nothing here has.
                    0 => {}
                    seconds => patience = Duration::from_secs(seconds.into()),
                },
                // Sessions carry the mark of the run, so that they can be found again.
                "application_name" | "fallback_application_name" => {}
                _ => return Err(unknown_parameter(name)),
            }
        }
        let host = match host {
            Some(host) if host.contains(',') => {
                return Err(wrong("`url` names several hosts").hint("name the one server that is to be captured"));
            }
            Some(host) => host,
            None => default_socket_directory(port),
        };
        let tls = match (tls, roots.as_deref()) {
            // libpq 16 does the same: whoever trusts the system's certificates wants them to be looked at.
            (None | Some(TlsMode::VerifyFull), Some(roots)) if roots == Path::new(SYSTEM_ROOTS) => TlsMode::VerifyFull,
            (Some(weak), Some(roots)) if roots == Path::new(SYSTEM_ROOTS) => {
                return Err(wrong(&format!("sslmode={} is too weak for sslrootcert=system", weak.as_str()))
                    .hint("anybody can get a certificate that the system trusts, for a host of theirs: use sslmode=verify-full"));
            }
            (tls, _) => tls.unwrap_or(TlsMode::Prefer),
        };
        let user = user.or_else(system_user).ok_or_else(|| wrong("`url` names no user, nor does the system"))?;
        let database = database.unwrap_or_else(|| user.clone());
        let home = variable("HOME").map(PathBuf::from);
        if roots.is_none() && !matches!(tls, TlsMode::Disable) {
            roots = home.as_ref().map(|home| home.join(".postgresql/root.crt")).filter(|path| path.is_file());
        }
        let tls = match tls {
            // A Unix socket has no wire to listen on; libpq does the same.
            _ if host.starts_with('/') => {
                roots = None;
                TlsMode::Disable
            }
            TlsMode::VerifyCa | TlsMode::VerifyFull if roots.is_none() => {
                return Err(wrong(&format!("sslmode={} needs to know whom to trust", tls.as_str())).hint(
                    "add sslrootcert=FILE to `url`, or sslrootcert=system with client programs of version 16 or newer",
                ));
            }
            // libpq: where there are certificates to trust, `require` looks at them.
            TlsMode::Require if roots.is_some() => TlsMode::VerifyCa,
            tls => tls,
        };
        let mut endpoint = Self { host, port, user, password, database, tls, roots, options, patience };
        endpoint.password = endpoint.password.take().or_else(|| passwords::find(&endpoint, variable, home.as_deref()));
        Ok(endpoint)
    }

    /// Returns the same server and user with another database.
    pub(super) fn with_database(&self, database: &str) -> Self {
        Self { database: database.to_owned(), ..self.clone() }
    }

    /// Says whether the server is reached by a socket of this machine.
    pub(super) fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// Returns the server as it may be shown: no user, no password, no parameters.
    pub(super) fn server(&self) -> String {
        match self.host.as_str() {
            directory if directory.starts_with('/') => format!("the socket {directory}/.s.PGSQL.{}", self.port),
            six if six.contains(':') => format!("[{six}]:{}", self.port),
            host => format!("{host}:{}", self.port),
        }
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.database, self.server())
    }
}

fn wrong(text: &str) -> Error {
    Error::new(ErrorCode::Config, text)
}

/// Returns the part of a URL that names hosts, without user and password.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

fn tls_mode(value: &str) -> Result<TlsMode> {
    TlsMode::ALL.iter().find(|(text, _)| *text == value).map(|(_, mode)| *mode).ok_or_else(|| {
        wrong("`sslmode` in `url` is not one that is known")
            .hint("use disable, prefer, require, verify-ca or verify-full")
    })
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T> {
    value.parse().map_err(|_| wrong(&format!("`{name}` in `url` is not a number")))
}

fn unknown_parameter(name: &str) -> Error {
    wrong(&format!("`url` has the parameter `{name}`, which is not supported")).hint(
        "leave it out of `url`; known are host, port, user, password, dbname, sslmode, sslrootcert, connect_timeout, options",
    )
}

/// Returns the first directory that has a server's socket, or else the usual one.
fn default_socket_directory(port: u16) -> String {
    let has_socket = |directory: &&str| Path::new(directory).join(format!(".s.PGSQL.{port}")).exists();
    SOCKET_DIRECTORIES.iter().copied().find(has_socket).unwrap_or(SOCKET_DIRECTORIES[0]).to_owned()
}

fn system_user() -> Option<String> {
    Some(nix::unistd::User::from_uid(nix::unistd::geteuid()).ok()??.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_secs(10);

    fn parse(url: &str) -> Result<Endpoint> {
        Endpoint::parse_in(url, TEN, &|_| None)
    }

    #[test]
    fn a_url_says_where_and_who() {
        let endpoint = parse("postgres://shop:pw@db.example:5433/orders?sslmode=require&connect_timeout=3").unwrap();
        assert_eq!((endpoint.server().as_str(), endpoint.database.as_str()), ("db.example:5433", "orders"));
        assert_eq!((endpoint.user.as_str(), endpoint.password.as_deref()), ("shop", Some("pw")));
        assert_eq!((endpoint.tls, endpoint.patience), (TlsMode::Require, Duration::from_secs(3)));
        let socket = parse("postgresql://shop@%2Fvar%2Frun%2Fdb/?sslmode=verify-full").unwrap();
        assert_eq!(socket.server(), "the socket /var/run/db/.s.PGSQL.5432");
        assert_eq!((socket.database.as_str(), socket.tls), ("shop", TlsMode::Disable));
        let default = parse("postgres:///orders?application_name=x&user=me&port=1").unwrap();
        assert!(default.is_socket() && (default.user.as_str(), default.port) == ("me", 1));
        let verified = parse("postgres://u@db/x?sslmode=require&sslrootcert=/etc/ca.pem").unwrap();
        assert_eq!((verified.tls, verified.roots.as_deref()), (TlsMode::VerifyCa, Some(Path::new("/etc/ca.pem"))));
    }

    #[test]
    fn the_certificates_of_the_system_are_never_for_nothing() {
        for parameters in ["sslrootcert=system", "sslrootcert=system&sslmode=verify-full"] {
            let endpoint = parse(&format!("postgres://u@db/x?{parameters}")).unwrap();
            assert_eq!((endpoint.tls, endpoint.roots.as_deref()), (TlsMode::VerifyFull, Some(Path::new("system"))));
        }
        for weak in ["disable", "prefer", "require", "verify-ca"] {
            let error = parse(&format!("postgres://u@db/x?sslmode={weak}&sslrootcert=system")).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Config);
            assert!(error.message().contains(&format!("sslmode={weak} is too weak")), "{error}");
        }
        let socket = parse("postgres://u@%2Ftmp/x?sslrootcert=system").unwrap();
        assert_eq!((socket.tls, socket.roots), (TlsMode::Disable, None));
        assert_eq!(parse("postgres://u@db/x").unwrap().tls, TlsMode::Prefer);
    }

    #[test]
    fn what_is_not_supported_is_named_and_nothing_secret_is_shown() {
        for (url, message) in [
            ("postgres://u:hunter2@a,b/x", "several hosts"),
            ("postgres://u:hunter2@a:1,b:2/x", "several hosts"),
            ("postgres:///x?host=a,b&password=hunter2", "several hosts"),
            ("postgres://u:hunter2@a/x?schema=hunter2", "`schema`"),
            ("postgres://u:hunter2@a/x?sslmode=hunter2", "`sslmode`"),
            ("postgres://u:hunter2@a/x?port=hunter2", "`port`"),
            ("postgres://u:hunter2@a/x?sslmode=verify-full", "whom to trust"),
        ] {
            let error = parse(url).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Config);
            assert!(error.message().contains(message), "{error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
        assert_eq!(format!("{:?}", parse("postgres://u:hunter2@[::1]/x").unwrap()), "x at [::1]:5432");
    }
}
