//! The door to the CI system: the one place that writes its files, and the lines of the log that are meant for it.
//!
//! What is written is made in [`crate::report::ci`]. Nothing here changes a verdict: what cannot be written is a warning.

use super::options::CiOption;
use super::output;
use super::session::variable;
use crate::error::{IoContext, Result};
use crate::gate::record::write_file;
use crate::ledger::manifest as document;
use crate::model::progress::{Observer, Phase, Progress};
use crate::release::ci;
use crate::report::ci::{CiReport, System, github, gitlab, has_verdict, jenkins};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What one command shows to the CI system around it. Copies share what is shown so far.
#[derive(Debug, Clone)]
pub struct Shown {
    system: Option<System>,
    command: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    section_is_open: bool,
    /// What is masked already.
    masked: BTreeSet<String>,
}

impl Shown {
    /// Decides what is shown: by `--ci`, else by what the CI system's variables tell.
    pub fn choose(option: CiOption, command: &str) -> Self {
        let detected = ci::detect(&variable).and_then(|run| System::named(run.pipeline.system.as_deref()?));
        let system = match option {
            CiOption::Auto => detected,
            CiOption::None => None,
            CiOption::Github => Some(System::GitHub),
            CiOption::Gitlab => Some(System::GitLab),
            CiOption::Jenkins => Some(System::Jenkins),
        };
        // Its runner reads commands out of the log, whatever was chosen to be shown. Of other commands the output is data for
        // programs, and stays as it is.
        let is_read = [system, detected].contains(&Some(System::GitHub));
        output::keep_inert(is_read && has_verdict(command));
        Self { system, command: command.to_owned(), state: Arc::default() }
    }

    /// Decides what is shown where the command line could not be parsed.
    pub fn guess(words: &[String], command: &str) -> Self {
        let pair = words.windows(2).find_map(|pair| (pair[0] == "--ci").then(|| pair[1].clone()));
        let joined = || words.iter().find_map(|word| word.strip_prefix("--ci=").map(str::to_owned));
        let option = pair.or_else(joined).or_else(|| variable("HOLDPOINT_CI"));
        let option = option.and_then(|word| <CiOption as clap::ValueEnum>::from_str(&word, false).ok());
        Self::choose(option.unwrap_or(CiOption::Auto), command)
    }

    /// Masks secrets in the job's log, before anything could print them; only GitHub can do that while a job runs.
    pub fn mask(&self, secrets: impl IntoIterator<Item = String>) {
        if self.system != Some(System::GitHub) || !output::error_is_read() {
            return;
        }
        let mut state = self.lock();
        let new: Vec<_> =
            github::to_mask(secrets).into_iter().filter(|text| state.masked.insert(text.clone())).collect();
        new.iter().for_each(|text| output::command(&github::mask(text)));
    }

    /// Begins the section of the command in the log, which can be folded, unless it is open.
    fn open_section(&self) {
        let (mut state, title) = (self.lock(), format!("holdpoint {}", self.command));
        let line = match self.system {
            Some(System::GitHub) => github::group(&title),
            Some(System::GitLab) => gitlab::section_start(&self.section(), &title, Timestamp::now().as_second()),
            Some(System::Jenkins) | None => return,
        };
        if !std::mem::replace(&mut state.section_is_open, true) {
            output::command(&line);
        }
    }

    /// Returns the observer with a section around it.
    pub fn in_section(&self, observer: Arc<dyn Observer>) -> Arc<dyn Observer> {
        self.open_section();
        Arc::new(InSection { observer, shown: self.clone() })
    }

    /// Ends the section, if it is open.
    fn close_section(&self) {
        if !std::mem::take(&mut self.lock().section_is_open) {
            return;
        }
        match self.system {
            Some(System::GitHub) => output::command(github::END_GROUP),
            Some(System::GitLab) => {
                output::command(&gitlab::section_end(&self.section(), Timestamp::now().as_second()));
            }
            Some(System::Jenkins) | None => {}
        }
    }

    /// Returns the name of the section.
    fn section(&self) -> String {
        format!("holdpoint_{}", self.command)
    }

    /// Shows what a command came to; every command with a verdict calls it once, before its closing words. What cannot be
    /// written is a warning.
    pub fn show(&self, report: &CiReport<'_>) {
        self.close_section();
        let Some(system) = self.system.filter(|_| has_verdict(report.command)) else { return };
        let file = report.manifest_file.filter(|path| is_of(path, report));
        let report = &CiReport { manifest_file: file, ..*report };
        let unwritten = match system {
            System::GitHub => show_to_github(report),
            System::GitLab => show_to_gitlab(report),
            System::Jenkins => {
                let line = jenkins::description(report) + "\n";
                vec![write_file(Path::new(jenkins::DESCRIPTION_FILE), line.as_bytes())]
            }
        };
        for error in unwritten.into_iter().filter_map(Result::err) {
            output::note(&format!("warning: {}", error.chain()));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An observer whose section ends with it.
struct InSection {
    observer: Arc<dyn Observer>,
    shown: Shown,
}

impl Observer for InSection {
    fn started(&self, phase: Phase, label: &str, progress: &Arc<Progress>, expected_bytes: Option<u64>) {
        self.observer.started(phase, label, progress, expected_bytes);
    }

    fn finished(&self, phase: Phase, label: &str, outcome: &str) {
        self.observer.finished(phase, label, outcome);
    }

    fn note(&self, text: &str) {
        self.observer.note(text);
    }
}

impl Drop for InSection {
    fn drop(&mut self) {
        self.shown.close_section();
    }
}

/// Says whether a file holds the manifest of a report: one that an earlier run left must not be passed on for it.
fn is_of(path: &Path, report: &CiReport<'_>) -> bool {
    let Ok(bytes) = std::fs::read(path) else { return false };
    let there = document::parse(&bytes, &path.display().to_string());
    there.is_ok_and(|there| report.manifest.is_some_and(|manifest| there.id == manifest.id))
}

fn show_to_github(report: &CiReport<'_>) -> Vec<Result<()>> {
    github::annotations(report).iter().for_each(|line| output::command(line));
    let summary = |path: &Path| {
        let there = std::fs::metadata(path).map_or(0, |file| file.len());
        let room = github::SUMMARY_LIMIT.saturating_sub(usize::try_from(there).unwrap_or(usize::MAX)).saturating_sub(1);
        let text = github::summary(report, Timestamp::now(), room)?;
        append(path, &text)
    };
    vec![
        to_file_of("GITHUB_OUTPUT", "the outputs of this step", |path| {
            append(path, &github::outputs(report, random_word))
        }),
        to_file_of("GITHUB_STEP_SUMMARY", "the job summary", summary),
    ]
}

fn show_to_gitlab(report: &CiReport<'_>) -> Vec<Result<()>> {
    let manifest = report.manifest_file.map(in_project);
    let outside = matches!(manifest, Some(None));
    let (dotenv, left_out) = gitlab::dotenv(report, manifest.flatten().as_deref());
    if outside {
        output::note(
            "warning: HOLDPOINT_MANIFEST is empty: the manifest is outside of the project directory, where no later job finds it",
        );
    }
    for what in left_out {
        output::note(&format!("warning: {what}"));
    }
    vec![
        write_file(Path::new(gitlab::DOTENV_FILE), dotenv.as_bytes()),
        gitlab::junit(report, Timestamp::now())
            .and_then(|xml| write_file(Path::new(gitlab::JUNIT_FILE), xml.as_bytes())),
    ]
}

/// Returns a path relative to the project directory; `None` if it is not in it.
fn in_project(path: &Path) -> Option<PathBuf> {
    let project = variable("CI_PROJECT_DIR").filter(|path| !path.is_empty()).map(PathBuf::from);
    let project = project.or_else(|| std::env::current_dir().ok())?;
    // Of a runner's directory there may be several names.
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let below = real(path).strip_prefix(real(&project)).ok().map(Path::to_owned);
    below.or_else(|| path.strip_prefix(&project).ok().map(Path::to_owned))
}

/// Writes to the file that a variable of the runner names.
fn to_file_of(name: &str, what: &str, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    match variable(name).filter(|path| !path.is_empty()) {
        Some(path) => write(Path::new(&path)),
        None => {
            output::note(&format!("warning: {name} is not set, so {what} cannot be written"));
            Ok(())
        }
    }
}

/// Appends lines to a file that others write, too: what they left without an end of line is ended first.
fn append(path: &Path, text: &str) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut last = [b'\n'];
        if file.metadata()?.len() > 0 && file.seek(SeekFrom::End(-1)).is_ok() {
            file.read_exact(&mut last)?;
        }
        let text = if last == [b'\n'] { text.to_owned() } else { format!("\n{text}") };
        file.write_all(text.as_bytes())
    };
    write().io_context(|| format!("cannot write {}", path.display()))
}

/// Returns a word that nobody can guess; where the system has no random numbers, one that is at least new.
fn random_word() -> String {
    let mut random = [0; 16];
    if getrandom::fill(&mut random).is_err() {
        random = Timestamp::now().as_nanosecond().to_be_bytes();
    }
    format!("holdpoint-{}", hex::encode(random))
}
