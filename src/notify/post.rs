//! Delivering one line: a few tries, within its time.

use super::Target;
use crate::error::innermost;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Tries of one line in all.
const TRIES: u32 = 4;
/// The pause before the second try; doubled before each later one.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest time for one line, if what is configured cannot be reckoned with.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// The longest word of a receiver that is passed on, in bytes.
const LONGEST_WORD: usize = 40;

/// Why a try failed.
struct Failure {
    /// In words, without the address.
    why: String,
    /// Whether another try may help.
    may_pass: bool,
    /// How long the receiver wants to be left alone.
    pause: Option<Duration>,
}

/// Returns what speaks HTTP. A redirect is an answer: whoever could write one would be told what was meant for another.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn client() -> Result<Client, String> {
    let client = Client::builder().user_agent(concat!("holdpoint/", env!("CARGO_PKG_VERSION")));
    client.redirect(Policy::none()).build().map_err(|error| innermost(&error))
}

/// Posts a body until it is taken, at most [`TRIES`] times and within the time that the target has.
///
/// # Errors
/// Why the last try failed, in words and without the address.
pub(super) async fn deliver(client: &Client, target: &Target, body: Vec<u8>) -> Result<(), String> {
    let now = Instant::now();
    // What no clock can hold is as good as a year.
    let end = now.checked_add(target.timeout).or_else(|| now.checked_add(YEAR)).unwrap_or(now);
    let mut pause = PAUSE;
    let mut last = None;
    for left in (0..TRIES).rev() {
        let failure = match timeout_at(end, post(client, target, body.clone())).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(failure)) => failure,
            Err(_) => {
                let late = format!("did not answer within {}", humantime::format_duration(target.timeout));
                return Err(last.unwrap_or(late));
            }
        };
        // A receiver may name a pause that no clock reaches: that is past the end, too.
        let next = Instant::now().checked_add(failure.pause.unwrap_or(pause)).filter(|next| *next < end);
        let Some(next) = next.filter(|_| failure.may_pass && left > 0) else { return Err(failure.why) };
        last = Some(failure.why);
        sleep(next.saturating_duration_since(Instant::now())).await;
        pause *= 2;
    }
    Err(last.unwrap_or_default())
}

async fn post(client: &Client, target: &Target, body: Vec<u8>) -> Result<(), Failure> {
    let request = client.post(target.url.clone()).header(CONTENT_TYPE, "application/json");
    // What is configured wins, such as another content type.
    let sent = request.headers(target.headers.clone()).body(body).send().await;
    let response = sent.map_err(|error| Failure { why: broken(&error, target), may_pass: true, pause: None })?;
    if response.status().is_success() { Ok(()) } else { Err(refused(response, target).await) }
}

/// Says what came instead of success.
async fn refused(mut response: Response, target: &Target) -> Failure {
    let status = response.status();
    let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let note = if status.is_redirection() { ", a redirect, which is not followed".to_owned() } else { String::new() };
    let word = match response.chunk().await {
        Ok(Some(chunk)) => {
            word(&chunk).filter(|word| !is_secret(word, target)).map(|word| format!(" ({word})")).unwrap_or_default()
        }
        _ => String::new(),
    };
    Failure {
        why: format!("answered {status}{note}{word}"),
        may_pass: status.is_server_error() || passing.contains(&status),
        pause: seconds.map(Duration::from_secs),
    }
}

/// Returns an answer that is one word, as Slack gives the reason; anything else may repeat what it was sent.
fn word(answer: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(answer).ok()?.trim();
    let plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    (plain && (1..=LONGEST_WORD).contains(&text.len())).then_some(text)
}

/// Says whether a word stands in what the receiver was sent and nobody else may see: its address, and the values of headers.
fn is_secret(word: &str, target: &Target) -> bool {
    let is_in = |text: &[u8]| text.to_ascii_lowercase().windows(word.len()).any(|part| part == word.as_bytes());
    let key = target.routing_key.as_deref().unwrap_or_default();
    is_in(target.url.as_str().as_bytes())
        || is_in(key.as_bytes())
        || target.headers.values().any(|value| is_in(value.as_bytes()))
}

/// Says why there was no answer. The library's own words name the address, which is a secret.
fn broken(error: &reqwest::Error, target: &Target) -> String {
    let what = if error.is_connect() { "cannot connect" } else { "the connection broke off" };
    let Some(cause) = std::error::Error::source(error).map(innermost) else { return what.to_owned() };
    let secrets = [target.url.host_str().unwrap_or_default(), target.url.path().trim_matches('/')];
    let tells = secrets.iter().any(|secret| !secret.is_empty() && cause.contains(secret));
    if tells { what.to_owned() } else { format!("{what}: {cause}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[test]
    fn only_a_single_word_of_an_answer_is_passed_on() {
        assert_eq!(word(b"no_service\n"), Some("no_service"));
        for other in ["", "T0/B0/secret", "two words", "<html>", "UPPER"] {
            assert_eq!(word(other.as_bytes()), None, "{other}");
        }
        assert_eq!(word("x".repeat(41).as_bytes()), None);
    }

    fn target(url: &str, headers: &[(&'static str, &'static str)]) -> Target {
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        Target { headers: headers.iter().map(header).collect(), ..Target::sample(url) }
    }

    #[test]
    fn a_word_that_was_sent_to_it_is_kept_from_everybody_else() {
        let target = target("http://chat.example/hooks/geheim", &[("authorization", "Bearer Hidden_token")]);
        for (word, is) in [("geheim", true), ("hidden_token", true), ("token", true), ("invalid_payload", false)] {
            assert_eq!(is_secret(word, &target), is, "{word}");
        }
    }

    #[tokio::test]
    async fn a_pause_that_no_clock_reaches_ends_the_tries() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = target(&format!("http://{}/", listener.local_addr().unwrap()), &[]);
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            let answer = format!("HTTP/1.1 503 Busy\r\nRetry-After: {}\r\nContent-Length: 0\r\n\r\n", u64::MAX);
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        let told = deliver(&client().unwrap(), &target, b"{}".to_vec()).await;
        assert_eq!(told, Err("answered 503 Service Unavailable".to_owned()));
        server.await.unwrap();
    }
}
