//! From a file, or its text, to a [`Config`].

use super::audit::audit;
use super::drills::drill;
use super::environments::environments;
use super::keys::{DISCOVERY, GATE, RETRY, ROOT, SIGNING};
use super::mistakes::Mistakes;
use super::overrides::overrides;
use super::policy::{policy, tiers};
use super::retention::retention;
use super::sources::sources;
use super::stores::store;
use super::types::{Config, GateConfig, Retry, SigningConfig, Text};
use super::walk::{Table, Value, Walk};
use super::webhooks::webhooks;
use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::VerifyMode;
use crate::model::version::Versioning;
use sha2::{Digest, Sha256};
use std::path::Path;
use toml::de::DeTable;

/// The file that is read when no other is named.
pub const FILE_NAME: &str = "holdpoint.toml";

/// Reads a configuration: the file at `path`, or [`FILE_NAME`] in the current directory, or the default if there is none.
///
/// # Errors
/// `config`: a file that was named does not exist, a file cannot be read, or it has mistakes; all of them are shown.
pub fn load(path: Option<&Path>) -> Result<Config> {
    let named = path.is_some();
    let path = path.unwrap_or(Path::new(FILE_NAME));
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => return Ok(Config::default()),
        Err(error) => {
            let message = format!("cannot read the configuration {}", path.display());
            return Err(Error::new(ErrorCode::Config, message)
                .caused_by(error)
                .hint("name another file by --config, or write one by `holdpoint init`"));
        }
    };
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let readable = String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or_default()).into_owned();
        one_mistake(path, &readable, valid, "the file is not UTF-8 from here on")
    })?;
    parse(&text, path)
}

/// Reads the text of a configuration; `path` is where it was found, and relative paths count from its directory.
///
/// Strings that are needed to understand the configuration and are kept elsewhere (`{ env = … }`, `{ file = … }`) are
/// fetched now; those that are [`super::Text`] are fetched when they are used.
///
/// # Errors
/// `config`: every mistake of the file with line and column; its cause is a [`Mistakes`].
pub fn parse(text: &str, path: &Path) -> Result<Config> {
    parse_with(text, path, &|name| std::env::var(name).ok())
}

/// Does what [`parse`] does, with variables from `variable`.
pub(super) fn parse_with(text: &str, path: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Result<Config> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let end = text.len();
    let mut mistakes: Vec<_> =
        errors.iter().map(|error| (error.span().map_or(end, |span| span.start), error.message().to_owned())).collect();
    let mut config = Config { path: Some(path.to_owned()), digest: Some(digest(text)), ..Config::default() };
    // What the parser recovered from broken syntax is a guess, and mistakes in it would be guesses too. A key that is
    // given twice leaves the rest as it is.
    if errors.iter().all(|error| error.message() == "duplicate key") {
        let walk = Walk::new(path.parent().unwrap_or(Path::new("")), variable);
        read(&Table::open(&walk, &ROOT, 0..0, document.get_ref()), &mut config);
        mistakes.extend(walk.into_mistakes());
    }
    match Mistakes::locate(path, text, mistakes) {
        None => Ok(config),
        Some(mistakes) => Err(mistakes.into_error()),
    }
}

fn one_mistake(path: &Path, text: &str, at: usize, message: &str) -> Error {
    match Mistakes::locate(path, text, vec![(at, message.to_owned())]) {
        Some(mistakes) => mistakes.into_error(),
        None => Error::new(ErrorCode::Config, message),
    }
}

fn digest(text: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(text)))
}

fn read(root: &Table<'_>, config: &mut Config) {
    config.application = root.get("application").and_then(|value| value.string());
    let versioning = [("semver", Versioning::Semver), ("opaque", Versioning::Opaque)];
    config.versioning = root.get("versioning").and_then(|value| value.choice(&versioning)).unwrap_or_default();
    config.gate = root.get("gate").map(|value| gate(&value)).unwrap_or_default();
    let reads_back = config.gate.verify != VerifyMode::None;
    config.store = root.get("store").map(|value| store(&value, reads_back)).unwrap_or_default();
    config.sources = root.get("source").map(|value| sources(&value)).unwrap_or_default();
    config.drill = root.get("drill").map(|value| drill(&value, &config.sources)).unwrap_or_default();
    config.retention = root.get("retention").map(|value| retention(&value)).unwrap_or_default();
    let discovery = root.get("discovery").and_then(|value| value.table(&DISCOVERY));
    let ignore = discovery.and_then(|table| table.get("ignore")).and_then(|value| value.list()).unwrap_or_default();
    config.ignored_databases = ignore.iter().filter_map(|value| value.string()).collect();
    config.signing = root.get("signing").map(|value| signing(&value)).unwrap_or_default();
    config.audit = root.get("audit").map(|value| audit(&value)).unwrap_or_default();
    config.webhooks = root.get("webhook").map(|value| webhooks(&value)).unwrap_or_default();
    let names: Vec<_> = config.sources.iter().map(|source| source.name.as_str()).collect();
    // Where a source has a mistake, it is not known by its name.
    let named = root.get("source").and_then(|value| value.list()).is_none_or(|items| items.len() == names.len());
    let copies: Vec<_> = config.store.copies.keys().map(String::as_str).collect();
    let environments = root.get("environment").map(|value| environments(&value, named.then_some(&names), &copies));
    config.environments = environments.unwrap_or_default();
    config.overrides = root.get("override").map(|value| overrides(&value)).unwrap_or_default();
    let tiers = tiers(root.get("environment"));
    let policy = root.get("policy").map(|value| policy(&value, named.then_some(&names), tiers.as_deref()));
    config.policy = policy.unwrap_or_default();
}

fn gate(value: &Value<'_>) -> GateConfig {
    let default = GateConfig::default();
    let Some(table) = value.table(&GATE) else {
        return default;
    };
    let duration = |name| table.get(name).and_then(|value| value.some_duration());
    let modes = [("new", VerifyMode::New), ("all", VerifyMode::All), ("none", VerifyMode::None)];
    GateConfig {
        timeout: duration("timeout").unwrap_or(default.timeout),
        verify: table.get("verify").and_then(|value| value.choice(&modes)).unwrap_or(default.verify),
        retry: table.get("retry").map(|value| retry(&value)).unwrap_or(default.retry),
        pass_valid_for: duration("pass_valid_for").unwrap_or(default.pass_valid_for),
        claim_for: duration("claim_for").unwrap_or(default.claim_for),
    }
}

fn signing(value: &Value<'_>) -> SigningConfig {
    let Some(table) = value.table(&SIGNING) else {
        return SigningConfig::default();
    };
    let here = |path: &str| table.walk.directory.join(path);
    SigningConfig {
        key_file: table.get("key_file").and_then(|value| value.text()).map(|text| match text {
            Text::Plain(path) => Text::Plain(here(&path).to_string_lossy().into_owned()),
            kept => kept,
        }),
        allowed_signers: table
            .get("allowed_signers")
            .and_then(|value| value.path())
            .map(|path| table.walk.directory.join(path)),
    }
}

fn retry(value: &Value<'_>) -> Retry {
    let default = Retry::default();
    let Some(table) = value.table(&RETRY) else {
        return default;
    };
    Retry {
        attempts: table.get("attempts").and_then(|value| value.integer(1, 100)).unwrap_or(default.attempts),
        backoff: table.get("backoff").and_then(|value| value.duration()).unwrap_or(default.backoff),
    }
}
