//! The secrets that a command learns, to mask them in the log before anything could print them.

use super::session::{APPROVAL_KEY, ESCROW_PASSWORD, SIGNING_KEY, variable};
use crate::config::{Config, ProbeTarget, SourceKind, Text};
use percent_encoding::percent_decode_str;
use std::path::Path;

/// Variables whose whole value is a secret.
const SECRET: [&str; 5] =
    ["HOLDPOINT_PASSWORD", ESCROW_PASSWORD, "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PGPASSWORD"];

/// Returns the secrets in the environment of this process.
pub fn of_environment() -> Vec<String> {
    let values = SECRET.iter().filter_map(|name| variable(name));
    let keys = [SIGNING_KEY, APPROVAL_KEY].into_iter().filter_map(variable);
    values.chain(keys.flat_map(|given| of_key(&given))).collect()
}

/// Returns the secrets that the configuration names: what it takes from variables and files, and the passwords in its
/// URLs. What cannot be read is left to whoever needs it.
pub fn of_config(config: &Config) -> Vec<String> {
    let key = config.signing.key_file.as_ref().and_then(|key| key.resolve().ok());
    let mut secrets: Vec<String> = key.iter().flat_map(|given| of_key(given)).collect();
    for source in &config.sources {
        source.drill_server.iter().for_each(|text| secrets.extend(of_text(text)));
        match &source.kind {
            SourceKind::Files(_) | SourceKind::Sqlite(_) => {}
            SourceKind::Command(command) => command.env.values().for_each(|text| secrets.extend(of_text(text))),
            SourceKind::Postgres(postgres) => secrets.extend(of_text(&postgres.server.url)),
            SourceKind::Mysql(mysql) => secrets.extend(of_text(&mysql.server.url)),
            SourceKind::Redis(redis) => secrets.extend(of_text(&redis.url)),
            SourceKind::Mongodb(mongodb) => secrets.extend(of_text(&mongodb.server.url)),
        }
    }
    for probe in config.environments.values().filter_map(|environment| environment.deployed.as_ref()) {
        match &probe.target {
            ProbeTarget::Http { urls, headers } => {
                urls.iter().chain(headers.values()).for_each(|text| secrets.extend(of_text(text)));
            }
            ProbeTarget::Command { env, .. } => env.values().for_each(|text| secrets.extend(of_text(text))),
            ProbeTarget::File { .. } => {}
        }
    }
    for webhook in &config.webhooks {
        // Whoever knows the address can post, wherever it is written.
        secrets.extend(webhook.url.resolve().ok());
        webhook.headers.values().for_each(|text| secrets.extend(of_text(text)));
    }
    secrets
}

/// Returns what is secret of a text: all of it and its last word (of `Bearer TOKEN`) if it is kept elsewhere, and in any
/// case the passwords of a URL.
fn of_text(text: &Text) -> Vec<String> {
    // A pipe can be read once only, by whoever needs it.
    if matches!(text, Text::File(path) if !path.is_file()) {
        return Vec::new();
    }
    let Ok(value) = text.resolve() else { return Vec::new() };
    let mut secrets = of_url(&value);
    if text.is_secret() {
        secrets.extend(value.split_whitespace().next_back().map(str::to_owned));
        secrets.push(value);
    }
    secrets
}

/// Returns the passwords of a URL, as they are written and decoded: of its user, and of a parameter with such a name.
fn of_url(text: &str) -> Vec<String> {
    let Some((_, rest)) = text.split_once("://") else { return Vec::new() };
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = before.split(['/', '#']).next().unwrap_or_default();
    let password = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')).map(|(_, password)| password);
    let named = |name: &str| {
        let name = name.to_ascii_lowercase();
        ["password", "token", "secret", "key"].iter().any(|word| name.ends_with(word))
    };
    let parameters = query.split(['&', '#']).filter_map(|pair| pair.split_once('='));
    let found = password.into_iter().chain(parameters.filter(|(name, _)| named(name)).map(|(_, value)| value));
    found.flat_map(|raw| [raw.to_owned(), percent_decode_str(raw).decode_utf8_lossy().into_owned()]).collect()
}

/// Returns the lines of a private key that say something; `given` is the key itself or the path of its file.
fn of_key(given: &str) -> Vec<String> {
    const ARMOUR: &str = "-----";
    let text = match Path::new(given.trim()) {
        _ if given.contains(ARMOUR) => given.to_owned(),
        path if path.is_file() => std::fs::read_to_string(path).unwrap_or_default(),
        _ => return Vec::new(),
    };
    text.lines().filter(|line| !line.contains(ARMOUR)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_urls_are_found_raw_and_decoded() {
        for (url, expected) in [
            ("postgres://shop:p%40ss@h:5/db", vec!["p%40ss", "p@ss"]),
            ("mongodb://u:secret@h1:1,h2:2/db?tls=true", vec!["secret", "secret"]),
            ("redis://:secret@h", vec!["secret", "secret"]),
            ("postgres:///db?user=u&password=a%20b&sslmode=require", vec!["a%20b", "a b"]),
            ("https://h/version?access_token=t0ken", vec!["t0ken", "t0ken"]),
            ("https://h/a@b:c", vec![]),
            ("plain", vec![]),
        ] {
            assert_eq!(of_url(url), expected, "{url}");
        }
    }

    #[test]
    fn a_key_is_found_in_its_text_and_in_its_file() {
        let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\naC1rZXk=\n-----END OPENSSH PRIVATE KEY-----\n";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), key).unwrap();
        for given in [key, file.path().to_str().unwrap()] {
            assert_eq!(of_key(given), ["b3BlbnNz", "aC1rZXk="]);
        }
        assert_eq!(of_key("/nowhere/key"), Vec::<String>::new());
    }

    #[test]
    fn only_what_is_kept_elsewhere_is_secret_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("header");
        std::fs::write(&path, "Bearer t0ken\n").unwrap();
        assert_eq!(of_text(&Text::File(path)), ["t0ken", "Bearer t0ken"]);
        assert_eq!(of_text(&Text::Plain("Bearer x".to_owned())), Vec::<String>::new());
        assert_eq!(of_text(&Text::File(directory.path().join("gone"))), Vec::<String>::new());
    }
}
