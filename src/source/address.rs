//! The URL of a database, taken apart; nothing of it that is secret can be shown by accident.

use crate::error::{Error, ErrorCode, Result};
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;
use std::fmt;
use url::Url;

/// Where a server is, and who asks.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// The scheme, such as `postgres`.
    pub scheme: String,
    /// The user.
    pub user: Option<String>,
    /// The password; never to be shown, nor to be given as an argument.
    pub password: Option<String>,
    /// The name or number of the host, or the directory of a socket; an IPv6 address has no brackets.
    pub host: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The path without its first slash: the name of a database.
    pub database: Option<String>,
    /// The parameters of the query.
    pub parameters: BTreeMap<String, String>,
}

impl Address {
    /// Takes a URL apart. `schemes` are those that the kind of the source knows; the first is named in messages.
    ///
    /// # Errors
    /// `config`: it is not such a URL. The message does not repeat it: it may hold a password.
    pub(super) fn parse(text: &str, schemes: &[&str]) -> Result<Self> {
        let first = schemes.first().copied().unwrap_or_default();
        let form = format!(
            "write it as {first}://USER:PASSWORD@HOST:PORT/DATABASE, with `/`, `@`, `:` in names as %2F, %40, %3A"
        );
        let wrong = |what: String| Error::new(ErrorCode::Config, what).hint(form.clone());
        let url = Url::parse(text.trim()).map_err(|error| wrong(format!("`url` is not a URL: {error}")))?;
        if !schemes.contains(&url.scheme()) {
            return Err(wrong(format!("`url` must begin with {first}://, not {}://", url.scheme())));
        }
        // A password with a `/`, `?` or `#` in it ends the host early: what follows would be shown as a path.
        let behind = [Some(url.path()), url.query(), url.fragment()];
        if url.username().is_empty() && behind.into_iter().flatten().any(|part| part.contains('@')) {
            return Err(wrong("`url` has an `@` behind its host".to_owned()));
        }
        let decoded = |part: &str| {
            let text = percent_decode_str(part).decode_utf8().map(|text| text.into_owned());
            text.map_err(|_| wrong("`url` has percent-encoded bytes that are not UTF-8".to_owned()))
        };
        let some = |part: &str| if part.is_empty() { Ok(None) } else { decoded(part).map(Some) };
        let host = url.host_str().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Ok(Self {
            scheme: url.scheme().to_owned(),
            user: some(url.username())?,
            password: url.password().map(decoded).transpose()?,
            host: some(host)?,
            port: url.port(),
            database: some(url.path().trim_start_matches('/'))?,
            parameters: url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect(),
        })
    }

    /// Returns where the server is, as it may be shown: scheme, host, port and database.
    pub(super) fn shown(&self) -> String {
        let host = self.host.as_deref().unwrap_or_default();
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        let database = self.database.as_deref().map(|name| format!("/{name}")).unwrap_or_default();
        format!("{}://{host}{port}{database}", self.scheme)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMES: &[&str] = &["postgres", "postgresql"];

    #[test]
    fn a_url_is_taken_apart() {
        let address =
            Address::parse("postgres://shop:p%40ss%2F@db.example:5433/sh%C3%B6p?sslmode=require", SCHEMES).unwrap();
        assert_eq!((address.user.as_deref(), address.password.as_deref()), (Some("shop"), Some("p@ss/")));
        assert_eq!((address.host.as_deref(), address.port), (Some("db.example"), Some(5433)));
        assert_eq!(address.database.as_deref(), Some("shöp"));
        assert_eq!(address.parameters["sslmode"], "require");
        let socket = Address::parse("postgresql://%2Fvar%2Frun%2Fpg/shop", SCHEMES).unwrap();
        assert_eq!((socket.host.as_deref(), socket.user), (Some("/var/run/pg"), None));
        let six = Address::parse("postgres://[::1]:5432/", SCHEMES).unwrap();
        assert_eq!((six.host.as_deref(), six.database.as_deref()), (Some("::1"), None));
        assert_eq!(six.shown(), "postgres://[::1]:5432");
        assert_eq!(Address::parse("postgres:///shop", SCHEMES).unwrap().host, None);
    }

    #[test]
    fn nothing_secret_is_shown() {
        let address = Address::parse("postgres://shop:hunter2@db/shop?sslpassword=hunter2", SCHEMES).unwrap();
        assert_eq!(format!("{address:?}"), "postgres://db/shop");
        for wrong in [
            "hunter2",
            "http://shop:hunter2@db/shop",
            "postgres://shop:hunter2@db:99999/x",
            "postgres://%FF:hunter2@db/",
            "postgres://shop:2024/hunter2@db/shop",
            "postgres://shop:2024?hunter2@db/shop",
            "postgres://shop:2024#hunter2@db/shop",
        ] {
            let error = Address::parse(wrong, SCHEMES).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Config);
            assert!(!format!("{} {error:?} {:?}", error.chain(), error.hints()).contains("hunter2"), "{wrong}");
        }
    }
}
