//! Where a bucket is: our spelling, and restic's.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use std::fmt;
use url::Url;

/// What means something else in the path of a URL.
const NOT_IN_URLS: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?');

/// Writes a path as it stands in a URL.
pub(in super::super) fn in_url(path: &str) -> String {
    utf8_percent_encode(path, NOT_IN_URLS).to_string()
}

/// restic's spelling: `s3:https://HOST[:PORT]/BUCKET[/PREFIX]`, or `s3:HOST/BUCKET[/PREFIX]` for the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResticLocation {
    /// The server, `https://HOST[:PORT]`.
    pub endpoint: String,
    /// The region, where the name of AWS's server tells it.
    pub region: Option<String>,
    /// Where the objects are.
    pub location: Location,
}

impl ResticLocation {
    /// Reads a location; `None` if it is not one of this spelling, or holds a user or a password.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("s3:").filter(|rest| !rest.starts_with("//"))?;
        let is_url = rest.starts_with("https://") || rest.starts_with("http://");
        let url = Url::parse(&if is_url { rest.to_owned() } else { format!("https://{rest}") }).ok()?;
        let is_plain = url.username().is_empty() && url.password().is_none();
        if !is_plain || url.query().is_some() || url.fragment().is_some() {
            return None;
        }
        // restic decodes the path of a URL, and takes any other as it is.
        let path = match is_url {
            true => percent_decode_str(url.path()).decode_utf8().ok()?.into_owned(),
            false => rest.split_once('/')?.1.to_owned(),
        };
        let location = Location::parse(&format!("s3://{}", path.trim_start_matches('/')))?;
        let host = url.host_str()?;
        let region = host.strip_prefix("s3.").and_then(|host| host.strip_suffix(".amazonaws.com"));
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let endpoint = format!("{}://{host}{port}", url.scheme());
        Some(Self { endpoint, region: region.map(str::to_owned), location })
    }
}

/// `s3://BUCKET[/PREFIX]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The bucket.
    pub bucket: String,
    /// What all keys begin with, without slashes at its ends; may be empty.
    pub prefix: String,
}

impl Location {
    /// Reads a location; `None` if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("s3://")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let prefix = prefix.trim_matches('/');
        let is_prefix = prefix.is_empty()
            || prefix.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains(char::is_control));
        let is_bucket = !bucket.is_empty() && bucket.chars().all(is_name);
        (is_bucket && is_prefix).then(|| Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }

    /// Returns the key of an object in the bucket.
    pub(super) fn key(&self, key: &str) -> String {
        match (self.prefix.as_str(), key) {
            ("", key) => key.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, key) => format!("{prefix}/{key}"),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.key_of_all())
    }
}

impl Location {
    fn key_of_all(&self) -> String {
        match self.prefix.as_str() {
            "" => self.bucket.clone(),
            prefix => format!("{}/{prefix}", self.bucket),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations() {
        let read = |text| Location::parse(text).map(|location| (location.to_string(), location.key("a/b")));
        let both = |location: &str, key: &str| Some((location.to_owned(), key.to_owned()));
        assert_eq!(read("s3://acme-backups"), both("s3://acme-backups", "a/b"));
        assert_eq!(read("s3://acme/"), both("s3://acme", "a/b"));
        assert_eq!(read("s3://acme/hold/point/"), both("s3://acme/hold/point", "hold/point/a/b"));
        for wrong in ["s3://", "s3:///x", "s3://a b", "s3://user:secret@host/x", "s3://a/../b", "s3://a/b//c", "gs://a"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn locations_as_restic_spells_them() {
        let read = |text: &str| {
            let ResticLocation { endpoint, region, location } = ResticLocation::parse(text)?;
            Some((endpoint, region.unwrap_or_default(), location.to_string()))
        };
        let all = |endpoint: &str, region: &str, location: &str| {
            Some((endpoint.to_owned(), region.to_owned(), location.to_owned()))
        };
        assert_eq!(read("s3:https://minio:9000/acme/a/b/"), all("https://minio:9000", "", "s3://acme/a/b"));
        assert_eq!(read("s3:http://127.0.0.1:7480/acme"), all("http://127.0.0.1:7480", "", "s3://acme"));
        let aws = "https://s3.eu-central-1.amazonaws.com";
        assert_eq!(read("s3:s3.eu-central-1.amazonaws.com/acme/a%2Fb"), all(aws, "eu-central-1", "s3://acme/a%2Fb"));
        assert_eq!(
            read("s3:https://s3.eu-central-1.amazonaws.com/acme/a%252Fb%20c"),
            all(aws, "eu-central-1", "s3://acme/a%2Fb c")
        );
        assert_eq!(in_url("a%2Fb c"), "a%252Fb%20c");
        for wrong in [
            "s3://acme/a",
            "s3:",
            "s3:acme",
            "s3:https://user:secret@host/acme",
            "s3:https://host/",
            "s3:https://host/acme?x",
            "/srv/acme",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
