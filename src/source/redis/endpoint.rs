//! Where a Redis server is, and who asks.

use super::connection::Connection;
use super::transport::{Patience, Transport};
use crate::error::{Error, ErrorCode, Result};
use crate::source::address::Address;
use crate::source::tls::{self, Verify};
use rustls::ClientConfig;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Handle;

/// The first is the one that messages name.
const SCHEMES: [&str; 4] = ["redis", "rediss", "unix", "redis+unix"];
const PORT: u16 = 6379;

/// A server, and the user that it knows us by.
#[derive(Clone)]
pub(super) struct Endpoint {
    place: Place,
    user: Option<String>,
    /// Never to be shown.
    password: Option<String>,
}

#[derive(Clone)]
enum Place {
    Tcp { host: String, port: u16, tls: Option<Arc<ClientConfig>> },
    Unix(PathBuf),
}

impl Endpoint {
    /// Reads a URL: `redis://`, `rediss://` (TLS, whose certificates `ca_file` may have signed), `unix:///PATH`.
    ///
    /// # Errors
    /// `config`: it is not such a URL, or the certificates cannot be read. The message does not repeat the URL.
    pub(super) fn parse(url: &str, ca_file: Option<&Path>) -> Result<Self> {
        let address = Address::parse(url, &SCHEMES)?;
        let wrong = |what: &str| {
            Error::new(ErrorCode::Config, what).hint("write it as redis://USER:PASSWORD@HOST:PORT or unix:///PATH")
        };
        let is_unix = address.scheme.ends_with("unix");
        // A URL without a host has no room for a user, so that clients take both from the query.
        let given = |name: &str| is_unix.then(|| address.parameters.get(name).cloned()).flatten();
        let user = address.user.clone().or_else(|| given("username"));
        let password = address.password.clone().or_else(|| given("password"));
        let place = if is_unix {
            let path = address.database.as_deref().ok_or_else(|| wrong("`url` names no socket"))?;
            Place::Unix(Path::new("/").join(path))
        } else {
            let host = address.host.clone().ok_or_else(|| wrong("`url` names no host"))?;
            let tls = (address.scheme == "rediss").then(|| tls::client(Verify::Host, ca_file)).transpose()?;
            Place::Tcp { host, port: address.port.unwrap_or(PORT), tls }
        };
        Ok(Self { place, user, password })
    }

    /// Returns the user; `None` for the server's default user.
    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Connects, and tells the server who asks.
    ///
    /// # Errors
    /// `capture-failed`: it does not answer, or does not let the user in; the reason of a cancellation.
    pub(super) fn connect(&self, runtime: &Handle, patience: &Patience) -> Result<Connection> {
        let cannot = |error: Error| {
            if error.is_cancelled() {
                return error;
            }
            error.under(ErrorCode::CaptureFailed, format!("cannot reach {self}"))
        };
        let transport = match &self.place {
            Place::Unix(path) => Transport::unix(path, runtime, patience),
            Place::Tcp { host, port, tls: None } => Transport::tcp(host, *port, runtime, patience),
            Place::Tcp { host, port, tls: Some(config) } => {
                Transport::tls(host, *port, Arc::clone(config), runtime, patience)
            }
        };
        let mut connection = Connection::new(transport.map_err(cannot)?, self.to_string());
        if self.user.is_some() || self.password.is_some() {
            connection.authenticate(self.user(), self.password.as_deref().unwrap_or_default(), patience)?;
        }
        Ok(connection)
    }
}

/// Shows where the server is, and nothing of who asks.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Unix(path) => write!(f, "unix://{}", path.display()),
            Place::Tcp { host, port, tls } => {
                let scheme = if tls.is_some() { "rediss" } else { "redis" };
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                write!(f, "{scheme}://{host}:{port}")
            }
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::parse(url, None).unwrap()
    }

    #[test]
    fn urls_are_read_and_shown_without_secrets() {
        let tcp = endpoint("redis://shop:p%40ss@cache.example");
        assert_eq!((tcp.user(), tcp.password.as_deref()), (Some("shop"), Some("p@ss")));
        assert_eq!(format!("{tcp} {tcp:?}"), "redis://cache.example:6379 redis://cache.example:6379");
        assert_eq!(endpoint("rediss://:hunter2@[::1]:7000/0").to_string(), "rediss://[::1]:7000");
        let unix = endpoint("redis+unix:///run/redis/redis.sock?password=hunter2");
        assert_eq!((unix.user(), unix.password.as_deref()), (None, Some("hunter2")));
        assert_eq!(format!("{unix:?}"), "unix:///run/redis/redis.sock");
        for wrong in ["redis:///", "unix://", "http://x"] {
            assert_eq!(Endpoint::parse(wrong, None).unwrap_err().code(), ErrorCode::Config, "{wrong}");
        }
    }
}
