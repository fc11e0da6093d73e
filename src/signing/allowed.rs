//! The keys that may sign, in the format of `ssh-keygen(1)`, ALLOWED SIGNERS: a line is
//! `principals [options] key-type base64-key [comment]`.
//!
//! A line that is not understood whole makes the whole file useless: an option that is passed over could be the one that
//! limits a key.

use super::pattern::matches_list;
use crate::error::{Error, ErrorCode, IoContext, Result};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, PublicKey};
use std::path::Path;

/// Whose key made a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The principals of its line, as `ssh-keygen -I` takes one of them.
    pub principal: String,
    /// The fingerprint of the key, `SHA256:…`.
    pub fingerprint: String,
}

/// The keys that may sign.
#[derive(Debug, Clone, Default)]
pub struct AllowedSigners {
    entries: Vec<Entry>,
}

/// One line.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) principals: String,
    pub(super) key: KeyData,
    namespaces: Option<String>,
    valid_after: Option<Timestamp>,
    valid_before: Option<Timestamp>,
}

impl Entry {
    /// Says why the key of this line may not sign for a namespace at a time, if it may not.
    pub(super) fn objection(&self, namespace: &str, at: Timestamp) -> Option<String> {
        if self.namespaces.as_deref().is_some_and(|list| !matches_list(namespace, list)) {
            return Some(format!("it is not allowed for the namespace {namespace}"));
        }
        match (self.valid_after, self.valid_before) {
            (Some(after), _) if at < after => Some(format!("it is valid only after {after}")),
            (_, Some(before)) if at >= before => Some(format!("it was valid only before {before}")),
            _ => None,
        }
    }
}

impl AllowedSigners {
    /// Reads the file.
    ///
    /// # Errors
    /// `allowed-signers`: it cannot be read, or a line is not understood.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).io_context(|| format!("cannot read {}", path.display())).map_err(
            |error| {
                Error::new(ErrorCode::AllowedSigners, "the allowed signers cannot be read")
                    .caused_by(error)
                    .hint("name the file by --allowed-signers or HOLDPOINT_ALLOWED_SIGNERS")
            },
        )?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads the text of a file; `origin` names it in messages.
    ///
    /// # Errors
    /// `allowed-signers`: a line is not understood, or there is none.
    pub fn parse(text: &str, origin: &str) -> Result<Self> {
        let mut entries = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            entries.push(entry(line).map_err(|why| {
                Error::new(ErrorCode::AllowedSigners, format!("{origin}:{}: {why}", number + 1))
                    .hint("a line is: PRINCIPALS [namespaces=\"holdpoint@manifest\"] ssh-ed25519 KEY; see ssh-keygen(1), ALLOWED SIGNERS")
            })?);
        }
        if entries.is_empty() {
            return Err(Error::new(ErrorCode::AllowedSigners, format!("{origin} allows nobody to sign"))
                .hint("add a line: PRINCIPALS ssh-ed25519 KEY"));
        }
        Ok(Self { entries })
    }

    /// Returns the principals of every key that may sign for a namespace at a time, one text for each line.
    pub fn principals(&self, namespace: &str, at: Timestamp) -> Vec<&str> {
        let may = self.entries.iter().filter(|entry| entry.objection(namespace, at).is_none());
        may.map(|entry| entry.principals.as_str()).collect()
    }

    /// Allows those of another file, too.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.entries.extend(other.entries);
        self
    }

    pub(super) fn of_key<'a>(&'a self, key: &'a KeyData) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| entry.key == *key)
    }
}

fn entry(line: &str) -> Result<Entry, String> {
    let (principals, rest) = word(line)?;
    let (second, after) = word(rest)?;
    let (options, key) = if second.parse::<Algorithm>().is_ok_and(is_known) { ("", rest) } else { (second, after) };
    let principals = principals.replace('"', "");
    if principals.is_empty() {
        return Err("no principal is named".to_owned());
    }
    let public =
        PublicKey::from_openssh(key.trim_start()).map_err(|error| format!("no public key follows: {error}"))?;
    if public.algorithm() != Algorithm::Ed25519 {
        return Err(format!("the key is {}; only ssh-ed25519 is supported", public.algorithm()));
    }
    let mut entry =
        Entry { principals, key: public.key_data().clone(), namespaces: None, valid_after: None, valid_before: None };
    let mut rest = options;
    while !rest.is_empty() {
        let (option, after) = option(rest)?;
        apply(&mut entry, option)?;
        rest = after;
    }
    Ok(entry)
}

/// What a foreign word parses to is an algorithm, too: one that nobody knows.
fn is_known(algorithm: Algorithm) -> bool {
    !matches!(algorithm, Algorithm::Other(_))
}

fn apply(entry: &mut Entry, option: &str) -> Result<(), String> {
    let Some((name, value)) = option.split_once('=') else {
        return Err(match option.to_ascii_lowercase().as_str() {
            "cert-authority" => "certificates (cert-authority) are not supported: name the key itself".to_owned(),
            _ => format!("unknown option `{option}`"),
        });
    };
    let value = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .ok_or_else(|| format!("the value of `{name}` is not in double quotes"))?;
    let given_twice = || format!("`{name}` is given twice");
    let old = match name.to_ascii_lowercase().as_str() {
        "namespaces" => entry.namespaces.replace(value.to_owned()).is_some(),
        "valid-after" => entry.valid_after.replace(time(value)?).is_some(),
        "valid-before" => entry.valid_before.replace(time(value)?).is_some(),
        _ => return Err(format!("unknown option `{name}`")),
    };
    if old { Err(given_twice()) } else { Ok(()) }
}

/// Takes the first word of a line; blanks inside double quotes belong to it.
fn word(line: &str) -> Result<(&str, &str), String> {
    let line = line.trim_start();
    let (word, rest) = split(line, |c| c.is_ascii_whitespace())?;
    if word.is_empty() { Err("the line ends before the key".to_owned()) } else { Ok((word, rest)) }
}

/// Takes the first of several options between commas.
fn option(options: &str) -> Result<(&str, &str), String> {
    let (first, rest) = split(options, |c| c == ',')?;
    match (first, rest.strip_prefix(',')) {
        ("", _) | (_, Some("")) => Err("an option is empty".to_owned()),
        (first, rest) => Ok((first, rest.unwrap_or_default())),
    }
}

/// Splits before the first character outside of double quotes that ends a part.
fn split(text: &str, ends: impl Fn(char) -> bool) -> Result<(&str, &str), String> {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            _ if !quoted && ends(c) => return Ok(text.split_at(at)),
            _ => {}
        }
    }
    if quoted { Err("a double quote is not closed".to_owned()) } else { Ok((text, "")) }
}

/// Reads `YYYYMMDD[Z]` or `YYYYMMDDHHMM[SS][Z]`; without `Z` it is local time, as in OpenSSH.
fn time(text: &str) -> Result<Timestamp, String> {
    let wrong = || format!("{text:?} is not a time such as 20261120Z or 20261120213000Z");
    let (digits, zone) = match text.strip_suffix(['Z', 'z']) {
        Some(digits) => (digits, TimeZone::UTC),
        None => (text, TimeZone::system()),
    };
    let filled = match digits.len() {
        8 => format!("{digits}000000"),
        12 => format!("{digits}00"),
        14 => digits.to_owned(),
        _ => return Err(wrong()),
    };
    if !filled.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let civil = DateTime::strptime("%Y%m%d%H%M%S", &filled).map_err(|_| wrong())?;
    civil.to_zoned(zone).map(|zoned| zoned.timestamp()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::super::key::tests::{key, public};
    use super::*;

    fn refused(line: &str) -> String {
        let error = AllowedSigners::parse(line, "signers").unwrap_err();
        assert_eq!(error.code(), ErrorCode::AllowedSigners);
        error.chain()
    }

    #[test]
    fn every_form_of_a_line_is_read() {
        let public = public(&key(1));
        for options in [
            "",
            "namespaces=\"holdpoint@manifest\" ",
            "valid-after=\"20260101Z\",valid-before=\"20270101000000Z\" ",
            "namespaces=\"git, holdpoint@manifest\",valid-after=\"202601010000Z\" ",
            "Valid-After=\"20260101\" ",
        ] {
            let text = format!("# who\n\nrelease@acme.example,\"ci bot\" {options}{public} comment\r\n");
            let signers = AllowedSigners::parse(&text, "signers").unwrap();
            assert_eq!(signers.entries[0].principals, "release@acme.example,ci bot", "{options}");
        }
    }

    #[test]
    fn what_is_not_understood_makes_the_file_useless() {
        let public = public(&key(1));
        let good = format!("ci {public}\n");
        let with = |options: &str| refused(&format!("{good}ci {options} {public}"));
        assert!(with("no-touch-required").contains("signers:2: unknown option `no-touch-required`"));
        assert!(with("verify-required=\"yes\"").contains("unknown option `verify-required`"));
        assert!(with("cert-authority").contains("certificates"));
        assert!(with("namespaces=holdpoint").contains("not in double quotes"));
        assert!(with("namespaces=\"a\",namespaces=\"b\"").contains("given twice"));
        assert!(with("namespaces=\"a\",").contains("empty"));
        assert!(with("valid-before=\"tomorrow\"").contains("is not a time"));
        assert!(with("valid-before=\"20261399Z\"").contains("is not a time"));
        assert!(with("namespaces=\"a").contains("not closed"));
        assert!(refused("ci").contains("ends before the key"));
        assert!(refused("ci ssh-ed25519").contains("no public key follows"));
        assert!(refused("ci ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAIQCx").contains("signers:1"));
        assert!(refused("# nobody\n").contains("allows nobody"));
    }
}
