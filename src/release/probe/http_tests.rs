//! The probe against real sockets.

use super::*;
use crate::cancel::Reason;
use crate::config::{ProbeConfig, ProbeTarget, Selector};
use crate::model::manifest::{Instance, ProbeKind};
use crate::model::version::Versioning;
use crate::release::probe::{Agreement, Observation, RunCommand, observe};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};

/// Serves one answer to every connection; returns the address and the requests that arrive.
fn serve(answer: impl Fn(&str) -> String + Send + 'static) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = Vec::new();
            let mut buffer = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(length) => request.extend_from_slice(&buffer[..length]),
                }
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            // The client may hang up before it has read everything.
            let _ = stream.write_all(answer(&request).as_bytes());
            let _ = sender.send(request);
        }
    });
    (address, requests)
}

fn ok(kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nX-Version: 1.4.0\r\nConnection: close\r\n\r\n{body}"
    )
}

fn probe(urls: &[String], version: Selector) -> ProbeConfig {
    let urls = urls.iter().map(|url| Text::Plain(url.clone())).collect();
    let headers = BTreeMap::from([("X-Token".to_owned(), Text::Plain("secret".to_owned()))]);
    let commit = Some(Selector::Pointer("/commit".to_owned())).filter(|_| matches!(version, Selector::Pointer(_)));
    ProbeConfig { target: ProbeTarget::Http { urls, headers }, version, commit, timeout: Duration::from_secs(60) }
}

fn by_pointer() -> Selector {
    Selector::Pointer("/version".to_owned())
}

fn seen(config: &ProbeConfig, cancel: &Cancel) -> Result<Observation> {
    let runner: Arc<RunCommand> =
        Arc::new(|_, _, _, _| Err(Error::new(ErrorCode::Internal, "no program is asked for")));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(observe(config, Versioning::Semver, cancel, &runner))
}

/// Asks one server and returns what the probe makes of it.
fn asked(version: Selector, answer: impl Fn(&str) -> String + Send + 'static) -> Instance {
    let (address, _requests) = serve(answer);
    let observation = seen(&probe(&[format!("http://{address}/version")], version), &Cancel::new()).unwrap();
    observation.instances.into_iter().next().unwrap()
}

fn error(version: Selector, answer: impl Fn(&str) -> String + Send + 'static) -> String {
    let instance = asked(version, answer);
    assert_eq!(instance.version, None);
    instance.error.unwrap()
}

#[test]
fn version_and_commit_are_read_and_headers_are_sent() {
    let (address, requests) = serve(|_| ok("application/json", r#"{"version": "v1.4.0", "commit": "3F9C2AB1"}"#));
    let config = probe(&[format!("http://user:password@{address}/version?token=secret")], by_pointer());
    let observation = seen(&config, &Cancel::new()).unwrap();
    assert_eq!(observation.kind, ProbeKind::Http);
    let instance = &observation.instances[0];
    assert_eq!(instance.name, format!("http://{address}/version"));
    assert_eq!(instance.version.as_ref().unwrap().as_str(), "v1.4.0");
    assert_eq!(instance.commit.as_deref(), Some("3f9c2ab1"));
    let request = requests.recv().unwrap();
    assert!(request.starts_with("GET /version?token=secret HTTP/1.1\r\n") && request.contains("x-token: secret\r\n"));
}

#[test]
fn headers_and_expressions_give_the_version_too() {
    let header = asked(Selector::Header("X-Version".to_owned()), |_| ok("text/plain", ""));
    assert_eq!(header.version.unwrap().as_str(), "1.4.0");
    let regex = Selector::Regex(regex::Regex::new("<b>(.*)</b>").unwrap());
    assert_eq!(asked(regex, |_| ok("text/html", "<b>1.5.0</b>")).version.unwrap().as_str(), "1.5.0");
}

#[test]
fn answers_without_a_version_are_explained() {
    let status = |status: &'static str| {
        move |_: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    };
    assert_eq!(error(by_pointer(), status("500 Oops")), "answered 500 Internal Server Error");
    assert_eq!(error(by_pointer(), status("404 Not Found")), "answered 404 Not Found");
    assert_eq!(error(by_pointer(), |_| ok("text/html", "<html>")), "answered HTML where JSON was expected");
    assert_eq!(error(by_pointer(), |_| ok("application/json", "{}")), "no version at /version in the JSON answer");
    let text = error(by_pointer(), |_| ok("application/json", r#"{"version": "latest"}"#));
    assert!(text.starts_with("`latest` is not a semantic version"), "{text}");
    let dirty = r#"{"version": "1.4.0", "commit": "3f9c2ab-dirty"}"#;
    assert_eq!(error(by_pointer(), move |_| ok("application/json", dirty)), "`3f9c2ab-dirty` is not a commit");
    assert_eq!(
        error(Selector::Header("X-Other".to_owned()), |_| ok("text/plain", "")),
        "no version in the header X-Other of the answer"
    );
    assert_eq!(error(by_pointer(), |_| ok("text/plain", &"x".repeat(LARGEST_ANSWER + 1))), "answered more than 1 MiB");
    let broken = error(by_pointer(), |_| "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".to_owned());
    assert!(broken.starts_with("the answer broke off"), "{broken}");
    assert!(error(by_pointer(), |_| "nonsense\r\n\r\n".to_owned()).starts_with("the answer broke off"));
}

#[test]
fn redirects_are_followed_on_the_same_host_only() {
    let redirect =
        |to: String| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let same = asked(by_pointer(), move |request| {
        if request.starts_with("GET /version ") {
            redirect("/v2".to_owned())
        } else {
            ok("application/json", r#"{"version": "1.4.0"}"#)
        }
    });
    assert_eq!(same.version.unwrap().as_str(), "1.4.0");
    let (other, requests) = serve(|_| ok("application/json", r#"{"version": "6.6.6"}"#));
    let text = error(by_pointer(), move |_| redirect(format!("http://u:p@{other}/v?t=secret")));
    assert_eq!(text, format!("answered 302 Found, a redirect to http://{other}/v, which is not followed"));
    assert!(requests.try_recv().is_err());
    assert!(error(by_pointer(), move |_| redirect("/version".to_owned())).starts_with("answered 302 Found"));
}

#[test]
fn hosts_ports_and_encryption_decide_about_a_redirect() {
    let same = |from: &str, to: &str| is_same_host(&Url::parse(from).unwrap(), &Url::parse(to).unwrap());
    assert!(
        same("http://a/x", "http://a/y") && same("http://a/", "https://a/") && same("https://a/", "https://a:443/b")
    );
    for (from, to) in [
        ("http://a/", "http://b/"),
        ("https://a/", "http://a/"),
        ("http://a/", "http://a:8080/"),
        ("http://a:8080/", "https://a/"),
    ] {
        assert!(!same(from, to), "{from} {to}");
    }
}

#[test]
fn several_instances_keep_their_order_and_a_dead_one_is_named() {
    let (first, _one) = serve(|_| ok("application/json", r#"{"version": "1.4.0"}"#));
    let (second, _two) = serve(|_| ok("application/json", r#"{"version": "1.3.0"}"#));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let urls =
        |addresses: &[SocketAddr]| addresses.iter().map(|address| format!("http://{address}/")).collect::<Vec<_>>();
    let observation = seen(&probe(&urls(&[closed, first]), by_pointer()), &Cancel::new()).unwrap();
    assert_eq!(observation.instances[0].error.as_deref(), Some("cannot connect: Connection refused (os error 111)"));
    let Agreement::Incomplete(text) = observation.agreed() else { panic!("{observation:?}") };
    assert!(text.contains(&closed.to_string()));
    let observation = seen(&probe(&urls(&[first, second]), by_pointer()), &Cancel::new()).unwrap();
    assert!(matches!(observation.agreed(), Agreement::Disagree(text) if text.ends_with("runs 1.3.0")));
}

#[test]
fn a_silent_instance_is_given_up_after_its_time() {
    // Accepted by the system, answered by nobody.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = probe(&[format!("http://{}/", listener.local_addr().unwrap())], by_pointer());
    config.timeout = Duration::from_millis(30);
    let observation = seen(&config, &Cancel::new()).unwrap();
    assert_eq!(observation.instances[0].error.as_deref(), Some("did not answer within 30ms"));
}

#[test]
fn a_cancelled_run_stops_asking() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = probe(&[format!("http://{}/", listener.local_addr().unwrap())], by_pointer());
    let cancel = Cancel::new();
    let token = cancel.clone();
    let canceller = std::thread::spawn(move || {
        // Cancelled once the request is on its way.
        let _connection = listener.accept().unwrap();
        token.cancel(Reason::Interrupt);
        _connection
    });
    assert_eq!(seen(&config, &cancel).unwrap_err().code(), ErrorCode::Interrupted);
    canceller.join().unwrap();
}

#[test]
fn texts_kept_elsewhere_are_checked_without_being_shown() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("url");
    std::fs::write(&file, "secret").unwrap();
    let mut config = probe(&[], by_pointer());
    config.target = ProbeTarget::Http { urls: vec![Text::File(file)], headers: BTreeMap::new() };
    let error = seen(&config, &Cancel::new()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Config);
    assert!(!error.message().contains("secret") && error.message().ends_with("is not a URL with http or https"));
}
