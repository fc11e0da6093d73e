//! What a bucket refuses is named plainly, and not tried again.

use crate::support::holdpoint::{Holdpoint, Output};
use crate::support::s3::{Canned, SECRET_KEY, Server, Tls};
use crate::support::shop::{COMMIT, Shop};
use bytes::Bytes;
use holdpoint::cancel::Cancel;
use holdpoint::error::{Error, ErrorCode};
use holdpoint::storage::s3::Settings;
use holdpoint::storage::{Class, PutMode, ReadFrom, S3Storage, Storage};
use std::fs;
use tempfile::TempDir;

/// Asks for everything that a storage does, and returns the errors.
fn errors(settings: Settings) -> Vec<Error> {
    let storage = S3Storage::open(settings, Cancel::new()).unwrap();
    let data = Bytes::from_static(b"content");
    vec![
        storage.size("a").unwrap_err(),
        storage.get("a", ReadFrom::Medium).unwrap_err(),
        storage.get_range("a", 0, 1).unwrap_err(),
        storage.list("a").unwrap_err(),
        storage.list_names("").unwrap_err(),
        storage.put("a", &data, PutMode::CreateOnly, Class::Record).unwrap_err(),
        storage.put("a", &data, PutMode::Overwrite, Class::Data).unwrap_err(),
        storage.delete("a").unwrap_err(),
    ]
}

/// Fails unless everything is refused with all of `texts`, but for answers to `HEAD`, which have no reason in them.
#[track_caller]
fn refused(settings: Settings, texts: &[&str]) {
    for (index, error) in errors(settings).into_iter().enumerate() {
        assert_eq!(error.code(), ErrorCode::StoreRefused, "{error}");
        let said = format!("{error} {:?}", error.hints());
        assert!(index == 0 || texts.iter().all(|text| said.contains(text)), "{said}");
    }
}

/// Says what a server answers to everything.
fn canned(server: &Canned) -> Settings {
    let other = Server::in_process();
    Settings { endpoint: Some(server.endpoint()), ..other.settings("acme", "") }
}

#[test]
fn a_bucket_that_does_not_exist_is_not_an_empty_store() {
    for server in [Server::in_process(), Server::rgw(), Server::moto()] {
        refused(server.settings("no-such-bucket", "x"), &["bucket"]);
    }
}

#[test]
fn wrong_keys() {
    for server in [Server::in_process(), Server::rgw()] {
        let bucket = server.bucket("keys");
        for (access, secret, code) in
            [("AKtest", "wrong", "SignatureDoesNotMatch"), ("AKwho", SECRET_KEY, "InvalidAccessKeyId")]
        {
            let credentials = aws_sdk_s3::config::Credentials::new(access, secret, None, None, "tests");
            let settings = Settings { credentials: Some(credentials), ..server.settings(&bucket, "") };
            refused(settings, &[code, "renew"]);
        }
    }
}

#[test]
fn nothing_is_tried_again_that_cannot_succeed() {
    let server = Server::in_process();
    errors(server.settings("no-such-bucket", ""));
    let requests = server.requests();
    // What was not found may be the bucket: one request more finds that out.
    assert_eq!(requests["HeadObject"], 1, "{requests:?}");
    assert_eq!(requests["GetObject"], 2, "{requests:?}");
    assert_eq!(requests["PutObject"], 2, "{requests:?}");
    assert_eq!(requests["DeleteObject"], 1, "{requests:?}");
    assert_eq!(requests["ListObjectsV2"], 3, "{requests:?}");
}

fn xml(code: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>as it is said</Message></Error>")
}

#[test]
fn what_aws_says() {
    for (status, headers, code, texts) in [
        ("400 Bad Request", &[][..], "ExpiredToken", &["ExpiredToken", "renew"][..]),
        ("400 Bad Request", &[], "InvalidToken", &["InvalidToken", "renew"]),
        ("403 Forbidden", &[], "AccessDenied", &["AccessDenied", "docs/stores/s3.md"]),
        ("403 Forbidden", &[], "RequestTimeTooSkewed", &["clock"]),
        (
            "301 Moved Permanently",
            &["x-amz-bucket-region: eu-central-1"],
            "PermanentRedirect",
            &["region = \\\"eu-central-1\\\""],
        ),
        ("400 Bad Request", &["x-amz-bucket-region: eu-west-3"], "AuthorizationHeaderMalformed", &["eu-west-3"]),
        ("301 Moved Permanently", &[], "PermanentRedirect", &["not in us-east-1"]),
    ] {
        let server = Canned::start(status, &[&["Content-Type: application/xml"], headers].concat(), &xml(code));
        refused(canned(&server), texts);
        assert_eq!(server.requests(), 8, "{code}");
    }
}

#[test]
fn a_server_that_is_not_s3() {
    let page = "<!DOCTYPE html><html><body>Hello.</body></html>";
    for status in ["200 OK", "404 Not Found", "405 Method Not Allowed"] {
        let server = Canned::start(status, &["Content-Type: text/html; charset=utf-8"], page);
        let storage = S3Storage::open(canned(&server), Cancel::new()).unwrap();
        for error in [
            storage.get("a", ReadFrom::Medium).unwrap_err(),
            storage.get_range("a", 0, 5).unwrap_err(),
            storage.list("").unwrap_err(),
            storage.list_names("").unwrap_err(),
        ] {
            assert_eq!(error.code(), ErrorCode::StoreRefused, "{status} {error}");
            assert!(error.to_string().contains("not one of an S3 server"), "{status} {error}");
        }
        assert_eq!(server.requests(), 4, "{status}");
        if status == "404 Not Found" {
            assert_eq!(storage.size("a").unwrap_err().code(), ErrorCode::StoreRefused);
        }
    }
}

/// Runs the gate with a store in a bucket, and variables of one's own.
fn gate(configuration: &str, variables: &[(&str, String)]) -> Output {
    let with = |holdpoint: Holdpoint| {
        variables.iter().fold(holdpoint.password(), |holdpoint, (name, value)| holdpoint.env(name, value))
    };
    let shop = Shop::with(with);
    shop.configure(configuration);
    shop.run(&["gate", "uploads", "-e", "staging", "--release", "1.0.0", "--commit", COMMIT, "--first"])
}

/// Fails unless a run told all of `texts`, to whomever.
#[track_caller]
fn tells(output: &Output, texts: &[&str]) {
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(texts.iter().all(|text| said.contains(text)), "{texts:?} in\n{said}");
}

fn store(bucket: &str, more: &str) -> String {
    format!("[store]\nlocation = \"s3://{bucket}/x\"\n{more}\n")
}

/// Returns the variables of a server without those whose names begin with `without`.
fn variables(server: &Server, without: &str) -> Vec<(&'static str, String)> {
    server.environment().into_iter().filter(|(name, _)| !name.starts_with(without)).collect()
}

#[test]
fn no_credentials_at_all() {
    let server = Server::in_process();
    let bucket = server.bucket("nobody");
    let keyless: Vec<_> =
        variables(&server, "AWS_ACCESS_KEY").into_iter().filter(|(name, _)| !name.contains("SECRET")).collect();
    tells(&gate(&store(&bucket, ""), &keyless).expect(10), &["no credentials", "AWS_ACCESS_KEY_ID"]);
    assert!(server.requests().is_empty(), "{:?}", server.requests());
}

#[test]
fn plain_http_to_another_machine_needs_to_be_allowed() {
    let server = Server::in_process();
    let here = variables(&server, "AWS_ENDPOINT");
    let other = "endpoint = \"http://s3.example:9000\"";
    tells(&gate(&store("acme", other), &here).expect(2), &["http://s3.example", "allow_http"]);
    let with_password = "endpoint = \"https://user:hunter2@s3.example\"";
    let output = gate(&store("acme", with_password), &here).expect(2);
    assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
}

#[test]
fn certificates() {
    let tls = Tls::create();
    let server = Server::in_process_with_tls(&tls);
    let bucket = server.bucket("tls");
    let trusting = format!("ca_file = \"{}\"", tls.authority().display());
    let with = |more: &[(&'static str, &str)]| {
        let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
        server.environment().into_iter().chain(more).collect::<Vec<_>>()
    };
    let none = TempDir::new().unwrap();
    fs::write(none.path().join("none.pem"), "").unwrap();
    let nothing = none.path().join("none.pem").display().to_string();
    // As on a minimal machine: no certificates of the system.
    let bare = with(&[("SSL_CERT_FILE", &nothing), ("SSL_CERT_DIR", none.path().to_str().unwrap())]);

    tells(&gate(&store(&bucket, ""), &with(&[])).expect(10), &["certificate", "ca_file"]);
    gate(&store(&bucket, &trusting), &with(&[])).expect(0);
    gate(&store(&bucket, ""), &with(&[("AWS_CA_BUNDLE", &tls.authority().display().to_string())])).expect(0);
    gate(&store(&bucket, &trusting), &bare).expect(0);
    tells(&gate(&store(&bucket, ""), &bare).expect(2), &["no certificates", "ca-certificates"]);
    for wrong in [nothing.as_str(), "/nowhere/ca.pem"] {
        tells(&gate(&store(&bucket, &format!("ca_file = \"{wrong}\"")), &with(&[])).expect(2), &[wrong, "PEM"]);
    }
    fs::write(&nothing, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    tells(&gate(&store(&bucket, &format!("ca_file = \"{nothing}\"")), &with(&[])).expect(2), &["PEM"]);
    // Without TLS no certificates are needed.
    let plain = Server::in_process();
    let bucket = plain.bucket("plain");
    let mut bare: Vec<_> = bare.into_iter().filter(|(name, _)| !name.starts_with("AWS_ENDPOINT")).collect();
    bare.push(("AWS_ENDPOINT_URL_S3", plain.endpoint().to_owned()));
    gate(&store(&bucket, ""), &bare).expect(0);
}

#[test]
fn a_web_identity_is_enough() {
    let server = Server::moto();
    let bucket = server.bucket("identity");
    let folder = TempDir::new().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJjaSJ9.").unwrap();
    let mut variables: Vec<_> =
        variables(&server, "AWS_ACCESS_KEY").into_iter().filter(|(name, _)| !name.contains("SECRET")).collect();
    variables.push(("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/deploy".to_owned()));
    variables.push(("AWS_ROLE_SESSION_NAME", "holdpoint".to_owned()));
    variables.push(("AWS_WEB_IDENTITY_TOKEN_FILE", token.display().to_string()));
    variables.push(("AWS_ENDPOINT_URL_STS", server.endpoint().to_owned()));
    gate(&store(&bucket, ""), &variables).expect(0);
    fs::remove_file(&token).unwrap();
    tells(&gate(&store(&bucket, ""), &variables).expect(10), &["no credentials"]);
}

#[test]
fn restics_spelling_of_a_location() {
    let server = Server::in_process();
    let bucket = server.bucket("spelling");
    let here = variables(&server, "AWS_ENDPOINT");
    let location = server.restic_location(&bucket, "x");
    gate(&format!("[store]\nlocation = \"{location}\"\n"), &here).expect(0);
    assert!(server.requests()["PutObject"] > 5);
    let wrong = "s3:https://user:hunter2@host/acme";
    let output = gate(&format!("[store]\nlocation = \"{wrong}\"\n"), &here).expect(2);
    assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
}
