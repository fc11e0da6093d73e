//! Observes which version is deployed: never what a pipeline believes, always what the running system answers.

mod answer;
mod command;
mod file;
mod http;

use super::version::{self, is_commit};
use crate::cancel::Cancel;
use crate::config::{ProbeConfig, ProbeTarget, Text};
use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::{From, Instance, ProbeKind};
use crate::model::version::{Version, Versioning};
use answer::Answer;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Runs a program with variables beside the scrubbed environment and returns its standard output. It must end within
/// the duration, and when it is cancelled; a status other than zero is an error. Called where blocking is allowed.
pub type RunCommand = dyn Fn(&[String], &BTreeMap<String, String>, Duration, &Cancel) -> Result<Vec<u8>> + Send + Sync;

/// The largest answer that is read, in bytes.
const LARGEST_ANSWER: usize = 1 << 20;

/// The name of one instance, and what it answered or why it did not.
type Answered = (String, Result<Answer, String>);

/// What a probe found.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// How it was asked.
    pub kind: ProbeKind,
    /// When the last answer was there.
    pub observed_at: Timestamp,
    /// What each instance answered, in the order of the configuration; never empty.
    pub instances: Vec<Instance>,
}

/// Whether the instances agree on what is deployed.
#[derive(Debug, Clone, PartialEq)]
pub enum Agreement {
    /// Every instance answered, and all run this.
    Same {
        /// The version, as the first instance writes it.
        version: Version,
        /// The commit, in the longest form that an instance gave; absent if none gave one.
        commit: Option<String>,
    },
    /// Instances run different versions, or different commits of one version; in words.
    Disagree(String),
    /// Some instances answered, others did not; in words.
    Incomplete(String),
    /// No instance answered; in words.
    Silent(String),
}

/// Asks every instance that a probe names, all at once.
///
/// What an instance fails to answer is the `error` of that instance.
///
/// # Errors
/// `config`: a text that the configuration keeps elsewhere is not there or is no URL or header; `probe-failed`: no
/// instance could even be asked; or the run was cancelled.
pub async fn observe(
    config: &ProbeConfig,
    versioning: Versioning,
    cancel: &Cancel,
    runner: &Arc<RunCommand>,
) -> Result<Observation> {
    cancel.check()?;
    let timeout = config.timeout;
    let (kind, answers) = match &config.target {
        ProbeTarget::Http { urls, headers } => (ProbeKind::Http, http::ask(urls, headers, timeout, cancel).await?),
        ProbeTarget::Command { command, env } => {
            (ProbeKind::Command, vec![command::ask(command, resolved(env)?, timeout, cancel, runner).await?])
        }
        ProbeTarget::File { path } => (ProbeKind::File, vec![file::ask(path, timeout, cancel).await?]),
    };
    let instances = answers.into_iter().map(|answered| instance(answered, config, versioning)).collect();
    Ok(Observation { kind, observed_at: Timestamp::now(), instances })
}

impl Observation {
    /// Says whether the instances agree.
    pub fn agreed(&self) -> Agreement {
        let silent: Vec<_> = self.instances.iter().filter(|instance| instance.version.is_none()).collect();
        let mut answered = self.instances.iter().filter_map(|instance| Some((instance, instance.version.as_ref()?)));
        let Some((first, version)) = answered.next() else {
            return Agreement::Silent(reasons(&silent));
        };
        let mut commit = first.commit.as_deref();
        for (instance, other) in answered {
            let commits_agree = match (commit, instance.commit.as_deref()) {
                (Some(one), Some(two)) => one.starts_with(two) || two.starts_with(one),
                _ => true,
            };
            if !version.is_same_release(other) || !commits_agree {
                return Agreement::Disagree(format!("{} but {}", runs(first), runs(instance)));
            }
            commit = longer(commit, instance.commit.as_deref());
        }
        if !silent.is_empty() {
            return Agreement::Incomplete(reasons(&silent));
        }
        Agreement::Same { version: version.clone(), commit: commit.map(str::to_owned) }
    }

    /// Turns the observation into what the manifest says of the version before the release; version and commit stay
    /// empty unless the instances agree.
    pub fn into_from(self) -> From {
        let (version, commit) = match self.agreed() {
            Agreement::Same { version, commit } => (Some(version), commit),
            Agreement::Disagree(_) | Agreement::Incomplete(_) | Agreement::Silent(_) => (None, None),
        };
        From { version, commit, observed_at: Some(self.observed_at), probe: self.kind, instances: self.instances }
    }
}

/// Returns the longer of two texts.
fn longer<'a>(one: Option<&'a str>, two: Option<&'a str>) -> Option<&'a str> {
    if two.map_or(0, str::len) > one.map_or(0, str::len) { two } else { one }
}

fn runs(instance: &Instance) -> String {
    let version = instance.version.as_ref().map_or("nothing", Version::as_str);
    match &instance.commit {
        Some(commit) => format!("{} runs {version} (commit {commit})", instance.name),
        None => format!("{} runs {version}", instance.name),
    }
}

fn reasons(silent: &[&Instance]) -> String {
    let reason =
        |instance: &&Instance| format!("{}: {}", instance.name, instance.error.as_deref().unwrap_or("gave no version"));
    silent.iter().map(reason).collect::<Vec<_>>().join("; ")
}

/// Reads version and commit from an answer.
fn instance((name, answer): Answered, config: &ProbeConfig, versioning: Versioning) -> Instance {
    let read = answer.and_then(|answer| {
        let text = answer.select(&config.version, "version")?;
        let text = text.ok_or_else(|| answer::missing(&config.version, "version"))?;
        let version = version::read(&text, versioning)?;
        let commit = match &config.commit {
            Some(selector) => answer.select(selector, "commit")?,
            None => None,
        };
        match commit {
            // A build of changed files, for one, has no commit: its version proves nothing.
            Some(text) if !is_commit(&text) => Err(format!("{} is not a commit", version::excerpt(&text))),
            commit => Ok((version, commit.map(|commit| commit.to_ascii_lowercase()))),
        }
    });
    match read {
        Ok((version, commit)) => Instance { name, version: Some(version), commit, error: None },
        Err(error) => Instance { name, version: None, commit: None, error: Some(error) },
    }
}

/// Fetches texts that are kept elsewhere.
fn resolved(texts: &BTreeMap<String, Text>) -> Result<BTreeMap<String, String>> {
    texts.iter().map(|(name, text)| Ok((name.clone(), text.resolve()?))).collect()
}

/// Does blocking work on a thread for it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::new(ErrorCode::ProbeFailed, "the probe could not be run").caused_by(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Reason;
    use crate::config::Selector;

    fn probe(target: ProbeTarget, version: Selector) -> ProbeConfig {
        ProbeConfig { target, version, commit: None, timeout: Duration::from_secs(60) }
    }

    fn program(output: Result<&'static str, &'static str>) -> Arc<RunCommand> {
        Arc::new(move |_, variables, _, cancel| {
            cancel.check()?;
            assert_eq!(variables["LANG"], "C");
            output.map(|text| text.as_bytes().to_vec()).map_err(|message| Error::new(ErrorCode::ProcessFailed, message))
        })
    }

    fn seen(config: &ProbeConfig, runner: &Arc<RunCommand>, cancel: &Cancel) -> Result<Observation> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(observe(config, Versioning::Semver, cancel, runner))
    }

    fn of_command() -> ProbeConfig {
        let env = BTreeMap::from([("LANG".to_owned(), Text::Plain("C".to_owned()))]);
        probe(ProbeTarget::Command { command: vec!["version".to_owned(), "a b".to_owned()], env }, Selector::Whole)
    }

    #[test]
    fn a_program_tells_the_version() {
        let observation = seen(&of_command(), &program(Ok("v1.4.0\n")), &Cancel::new()).unwrap();
        assert_eq!(observation.kind, ProbeKind::Command);
        assert_eq!(observation.instances[0].name, "version 'a b'");
        let from = observation.into_from();
        assert_eq!((from.version.unwrap().as_str(), from.probe), ("v1.4.0", ProbeKind::Command));
    }

    #[test]
    fn a_program_that_fails_is_an_instance_without_a_version() {
        for (output, expected) in [
            (Err("version exited with 3"), "version exited with 3"),
            (Ok(""), "the answer is empty"),
            (Ok("1.4.0\nready\n"), "`1.4.0\\nready` is not a version: it has line breaks or other control characters"),
        ] {
            let observation = seen(&of_command(), &program(output), &Cancel::new()).unwrap();
            assert_eq!(observation.instances[0].error.as_deref(), Some(expected));
            assert!(matches!(observation.agreed(), Agreement::Silent(text) if text.contains(expected)));
        }
    }

    #[test]
    fn a_cancelled_probe_is_an_error() {
        let cancel = Cancel::new();
        cancel.cancel(Reason::Deadline);
        let error = seen(&of_command(), &program(Ok("1.0.0")), &cancel).unwrap_err();
        assert_eq!(error.code(), ErrorCode::DeadlinePassed);
    }

    #[test]
    fn a_file_tells_the_version() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("VERSION");
        let of_file = |path: &std::path::Path| probe(ProbeTarget::File { path: path.to_owned() }, Selector::Whole);
        let error = |path: &std::path::Path| {
            let observation = seen(&of_file(path), &program(Ok("")), &Cancel::new()).unwrap();
            observation.instances[0].error.clone().unwrap()
        };
        assert_eq!(error(&path), "cannot be read: No such file or directory (os error 2)");
        assert_eq!(error(directory.path()), "is not a regular file");
        std::fs::write(&path, "x".repeat(LARGEST_ANSWER + 1)).unwrap();
        assert_eq!(error(&path), "is larger than 1 MiB");
        std::fs::write(&path, "1.4.0\n").unwrap();
        let observation = seen(&of_file(&path), &program(Ok("")), &Cancel::new()).unwrap();
        assert!(matches!(observation.agreed(), Agreement::Same { version, .. } if version.as_str() == "1.4.0"));
    }

    #[test]
    fn instances_agree_only_if_all_answer_the_same() {
        let instance = |version: &str, commit: &str| Instance {
            name: "i".to_owned(),
            version: (!version.is_empty()).then(|| Version::from(version.to_owned())),
            commit: (!commit.is_empty()).then(|| commit.to_owned()),
            error: version.is_empty().then(|| "timed out".to_owned()),
        };
        let agreed = |instances: &[(&str, &str)]| {
            let instances = instances.iter().map(|(version, commit)| instance(version, commit)).collect();
            Observation { kind: ProbeKind::Http, observed_at: Timestamp::UNIX_EPOCH, instances }.agreed()
        };
        let same = |version: &str, commit: Option<&str>| Agreement::Same {
            version: Version::from(version.to_owned()),
            commit: commit.map(str::to_owned),
        };
        assert_eq!(agreed(&[("1.4.0", ""), ("v1.4.0+b", "")]), same("1.4.0", None));
        assert_eq!(
            agreed(&[("1.4.0", "3f9c2ab"), ("1.4.0", "3f9c2ab1f"), ("1.4.0", "")]),
            same("1.4.0", Some("3f9c2ab1f"))
        );
        let text = "i runs 1.4.0 but i runs 1.3.0".to_owned();
        assert_eq!(agreed(&[("1.4.0", ""), ("", ""), ("1.3.0", "")]), Agreement::Disagree(text));
        assert!(matches!(agreed(&[("1.4.0", "aaaaaaa"), ("1.4.0", "bbbbbbb")]), Agreement::Disagree(_)));
        assert_eq!(agreed(&[("1.4.0", ""), ("", "")]), Agreement::Incomplete("i: timed out".to_owned()));
        assert_eq!(agreed(&[("", ""), ("", "")]), Agreement::Silent("i: timed out; i: timed out".to_owned()));
    }
}
