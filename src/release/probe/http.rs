//! Asks instances over HTTP, all at once.

use super::answer::Answer;
use super::{Answered, LARGEST_ANSWER};
use crate::cancel::Cancel;
use crate::config::{Text, header_map, http_url};
use crate::error::{Error, ErrorCode, Result, innermost};
use crate::release::address::shown;
use reqwest::header::LOCATION;
use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Client, Response};
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

/// How many redirects of one host are followed.
const MOST_REDIRECTS: usize = 5;

/// Asks every URL; each is one instance, and has `timeout` for its whole answer.
///
/// # Errors
/// `config`: a URL or header that is kept elsewhere is missing or wrong; `probe-failed`: HTTP cannot be used at all; or
/// the run was cancelled.
pub(super) async fn ask(
    urls: &[Text],
    headers: &BTreeMap<String, Text>,
    timeout: Duration,
    cancel: &Cancel,
) -> Result<Vec<Answered>> {
    let url = |text| http_url(text, "`urls` of a probe holds texts such as https://shop.example/version");
    let urls = urls.iter().map(url).collect::<Result<Vec<_>>>()?;
    let client = Client::builder()
        .user_agent(concat!("holdpoint/", env!("CARGO_PKG_VERSION")))
        .default_headers(header_map(headers)?)
        .redirect(Policy::custom(follow))
        .build()
        .map_err(|error| Error::new(ErrorCode::ProbeFailed, "cannot use HTTP").caused_by(error))?;
    // A set of tasks stops them all when it is dropped.
    let mut tasks = tokio::task::JoinSet::new();
    let mut answers: Vec<Answered> = Vec::with_capacity(urls.len());
    for (place, url) in urls.into_iter().enumerate() {
        answers.push((shown(&url), Err("was not asked".to_owned())));
        let client = client.clone();
        tasks.spawn(async move {
            let answer = tokio::time::timeout(timeout, get(&client, url)).await;
            let late = |_| Err(format!("did not answer within {}", humantime::format_duration(timeout)));
            (place, answer.unwrap_or_else(late))
        });
    }
    loop {
        let ended = tokio::select! {
            ended = tasks.join_next() => ended,
            _ = cancel.cancelled() => { cancel.check()?; None }
        };
        match ended {
            None => return Ok(answers),
            Some(Ok((place, answer))) => {
                if let Some((_, slot)) = answers.get_mut(place) {
                    *slot = answer;
                }
            }
            Some(Err(error)) => {
                return Err(Error::new(ErrorCode::ProbeFailed, "the probe could not be run").caused_by(error));
            }
        }
    }
}

async fn get(client: &Client, url: Url) -> Result<Answer, String> {
    let mut response = client.get(url).send().await.map_err(|error| failure(&error))?;
    let status = response.status();
    if !status.is_success() {
        return Err(refused(&response));
    }
    let headers = response.headers().clone();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST_ANSWER {
            return Err("answered more than 1 MiB".to_owned());
        }
    }
    Ok(Answer::new(body, headers))
}

/// Follows a redirect within one host, as from `http` to `https`; elsewhere, another application could answer.
fn follow(attempt: Attempt<'_>) -> Action {
    let same = attempt.previous().last().is_some_and(|last| is_same_host(last, attempt.url()));
    if same && attempt.previous().len() <= MOST_REDIRECTS { attempt.follow() } else { attempt.stop() }
}

/// Says whether a redirect stays on one host, and neither loses encryption nor goes to another port.
fn is_same_host(from: &Url, to: &Url) -> bool {
    let upgraded = from.scheme() == "http"
        && to.scheme() == "https"
        && from.port_or_known_default() == Some(80)
        && to.port_or_known_default() == Some(443);
    let same_port = from.scheme() == to.scheme() && from.port_or_known_default() == to.port_or_known_default();
    from.host() == to.host() && (same_port || upgraded)
}

/// Says what came instead of success.
fn refused(response: &Response) -> String {
    let answered = format!("answered {}", response.status());
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    match location.map(|location| response.url().join(location)) {
        Some(Ok(target)) if response.status().is_redirection() => {
            format!("{answered}, a redirect to {}, which is not followed", shown(&target))
        }
        _ => answered,
    }
}

/// Says why there was no answer: the innermost cause, as those around it only repeat that there was none.
fn failure(error: &reqwest::Error) -> String {
    let what = if error.is_connect() { "cannot connect" } else { "the answer broke off" };
    // The outermost text is not shown: it names the URL with all that is in it.
    std::error::Error::source(error).map_or_else(|| what.to_owned(), |cause| format!("{what}: {}", innermost(cause)))
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
