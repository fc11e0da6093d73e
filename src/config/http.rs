//! URLs and headers of the configuration, fetched from where they are kept when they are used.

use super::types::Text;
use crate::error::{Error, ErrorCode, Result};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::collections::BTreeMap;
use url::Url;

/// Returns a URL with `http` or `https`; `hint` says what is to be written there.
///
/// # Errors
/// `config`: it is kept elsewhere and cannot be had, or is no such URL. What it is, is not shown.
pub fn http_url(text: &Text, hint: &str) -> Result<Url> {
    let plain = text.resolve()?;
    let url = Url::parse(plain.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| {
        Error::new(ErrorCode::Config, format!("{} is not a URL with http or https", origin(text))).hint(hint)
    })
}

/// Returns headers as they are sent; no log shows their values.
///
/// # Errors
/// `config`: a value is kept elsewhere and cannot be had, or cannot be sent.
pub fn header_map(headers: &BTreeMap<String, Text>) -> Result<HeaderMap> {
    let mut map = HeaderMap::new();
    for (name, text) in headers {
        let wrong = || Error::new(ErrorCode::Config, format!("{} cannot be sent as the header {name}", origin(text)));
        let mut value = HeaderValue::from_str(&text.resolve()?).map_err(|_| wrong())?;
        value.set_sensitive(true);
        map.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?, value);
    }
    Ok(map)
}

/// Says where a text comes from, without showing it.
fn origin(text: &Text) -> String {
    match text {
        Text::Plain(_) => "a text in the configuration".to_owned(),
        Text::Env(name) => format!("the value of {name}"),
        Text::File(path) => format!("the content of {}", path.display()),
    }
}
