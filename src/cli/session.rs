//! What commands share: the configuration, the place, the observer, the cancellation.

use super::ci::Shown;
use super::options::{Format, Global};
use super::output::{inert, note};
use super::secrets;
use crate::cancel::{Cancel, Reason};
use crate::config::{self, Config, EnvironmentConfig, Text};
use crate::error::{Error, ErrorCode, IoContext, Result};
use crate::gate::audit::Auditor;
use crate::gate::copies::CopyStore;
use crate::gate::place::{Naming, Place, Secret};
use crate::ledger::Ledger;
use crate::model::progress::Observer;
use crate::process::{Program, run_to_end};
use crate::release::ci::{self, CiRun};
use crate::release::git::WorkTree;
use crate::release::resolve::{self, Sources, Target};
use crate::report::ci::CiReport;
use crate::report::closing::Closing;
use crate::report::progress;
use crate::report::text::Style;
use crate::signing::{AllowedSigners, SigningKey};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// How long `HOLDPOINT_PASSWORD_COMMAND` may take: it may ask a vault.
const PASSWORD_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest password that it may print, in bytes.
const LONGEST_PASSWORD: u64 = 64 << 10;

/// The variable that gives the password of a store; with `_FILE` its file, with `_COMMAND` a program that prints it.
const PASSWORD: &str = "HOLDPOINT_PASSWORD";
/// The same for the password that lies in escrow, which only a drill asks for.
pub const ESCROW_PASSWORD: &str = "HOLDPOINT_ESCROW_PASSWORD";

/// The variable that gives the key which signs: a path, or its text.
pub const SIGNING_KEY: &str = "HOLDPOINT_SIGNING_KEY";

/// The variable that gives the key of who approves: a path, or its text.
pub const APPROVAL_KEY: &str = "HOLDPOINT_APPROVAL_KEY";

/// The variable that names the file of the keys that may approve.
const APPROVERS: &str = "HOLDPOINT_APPROVERS";

/// One command that runs.
pub struct Session {
    /// What every command takes.
    pub global: Global,
    /// The configuration.
    pub config: Config,
    /// What is shown to the CI system.
    shown: Shown,
    /// The CI system, if one was detected.
    pub ci: Option<CiRun>,
    /// The git working tree, if there is one.
    pub tree: Option<WorkTree>,
    /// Cancelled by SIGINT, SIGTERM and SIGHUP.
    pub cancel: Cancel,
    /// Runs what is asynchronous.
    pub runtime: Runtime,
    signals: Signals,
    current: PathBuf,
}

/// Looks up an environment variable; one that is not UTF-8 counts as not set.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Session {
    /// Reads the configuration and looks around; at git only if `needs_git`.
    ///
    /// # Errors
    /// `config` with every mistake, `commit-unknown` if git refuses the working tree, `internal`.
    pub fn open(global: Global, shown: Shown, needs_git: bool) -> Result<Self> {
        let current = std::env::current_dir().io_context(|| "cannot tell the current directory".to_owned())?;
        let config = config::load(global.config.as_deref())?;
        shown.mask(std::iter::once_with(|| secrets::of_config(&config)).flatten());
        let tree = if needs_git { WorkTree::find(&current)? } else { None };
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| Error::new(ErrorCode::Internal, "cannot start the runtime").caused_by(error))?;
        let cancel = Cancel::new();
        let signals = Signals::default();
        listen(&runtime, &cancel, &signals)?;
        Ok(Self { global, config, shown, ci: ci::detect(&variable), tree, cancel, runtime, signals, current })
    }

    /// Says what the command works on, if it was asked to.
    pub fn tell(&self) {
        if !self.global.verbose {
            return;
        }
        let none = || "none".to_owned();
        let config = self.config.path.as_deref().map_or_else(none, shown);
        let tree = self.tree.as_ref().map_or_else(none, |tree| tree.directory().display().to_string());
        let ci = self.ci.as_ref().and_then(|ci| ci.pipeline.system.clone()).unwrap_or_else(none);
        note(&format!("configuration: {config}; working tree: {tree}; CI system: {ci}"));
        if let (Ok(application), Ok(environment)) = (self.application(), self.environment()) {
            note(&format!("application: {application}; environment: {environment}"));
        }
    }

    /// Returns the format of the result.
    pub fn format(&self) -> Format {
        self.global.format
    }

    /// Returns the closing words of a command, as far as the session knows them.
    pub fn closing<'a>(&'a self, command: &'a str) -> Closing<'a> {
        Closing { command, environment: self.global.environment.as_deref(), ..Closing::default() }
    }

    /// Returns how text on standard output is dressed.
    pub fn style(&self) -> Style {
        super::output::style(self.global.color)
    }

    /// Returns what shows progress, in a section of the CI system's log that ends when it is dropped.
    pub fn observer(&self) -> Arc<dyn Observer> {
        let wanted = !self.global.quiet && !self.global.no_progress;
        let observer = progress::observer(wanted, |line| inert(line).into_owned());
        if wanted { self.shown.in_section(observer) } else { observer }
    }

    /// Shows the CI system what the command came to. Every command with a verdict calls it once, when its result is
    /// printed and before its closing words: `session.show_in_ci(&CiReport { findings: &found, ..CiReport::new("admit",
    /// exit) })`. A command that ends with an error needs nothing: that is shown where the error is printed.
    pub fn show_in_ci(&self, report: &CiReport<'_>) {
        self.shown.show(report);
    }

    /// Returns the application.
    ///
    /// # Errors
    /// `usage`: nothing names it.
    pub fn application(&self) -> Result<String> {
        let of_directory = || self.current.file_name().map(|name| name.to_string_lossy().into_owned());
        let named = self.global.application.clone().or_else(|| self.config.application.clone());
        let found = named.or_else(|| self.tree.as_ref().and_then(WorkTree::name)).or_else(of_directory);
        found.filter(|name| !name.is_empty()).ok_or_else(|| {
            Error::new(ErrorCode::Usage, "no application is named").hint("name it by --application NAME")
        })
    }

    /// Returns the environment.
    ///
    /// # Errors
    /// `usage`: nothing names it.
    pub fn environment(&self) -> Result<String> {
        let of_ci = || self.ci.as_ref().and_then(|ci| ci.environment.clone());
        let found = match &self.global.environment {
            // Pipelines pass on what they do not have: an empty variable is none, an empty flag is a mistake.
            Some(name) if name.trim().is_empty() => {
                variable("HOLDPOINT_ENVIRONMENT").filter(|name| name.trim().is_empty()).and_then(|_| of_ci())
            }
            Some(name) => Some(name.clone()),
            None => of_ci(),
        };
        found.ok_or_else(|| {
            let known: Vec<_> = self.config.environments.keys().cloned().collect();
            let hint = match known.as_slice() {
                [] => "name it by --environment NAME or HOLDPOINT_ENVIRONMENT".to_owned(),
                _ => format!("name it by --environment NAME; the configuration knows {}", known.join(", ")),
            };
            Error::new(ErrorCode::Usage, "no environment is named").hint(hint)
        })
    }

    /// Finds out what is to be deployed; `release` and `commit` are what the command line says.
    ///
    /// # Errors
    /// As [`resolve::resolve`].
    pub fn target(&self, release: Option<&str>, commit: Option<&str>) -> Result<Target> {
        resolve::resolve(&Sources {
            release,
            commit,
            variables: &variable,
            ci: self.ci.as_ref(),
            tree: self.tree.as_ref(),
            versioning: self.config.versioning,
        })
    }

    /// Returns what the configuration says of an environment. One that it does not know is fine (a review app), unless
    /// the configuration knows others: then it may be a slip of the pen, and is said.
    pub fn settings(&self, environment: &str) -> EnvironmentConfig {
        self.config.environments.get(environment).cloned().unwrap_or_default()
    }

    /// Returns the top of the working tree: git's, else the configuration's directory.
    pub fn top(&self) -> Result<PathBuf> {
        match &self.tree {
            Some(tree) => Ok(tree.directory().to_owned()),
            None => self.directory(),
        }
    }

    /// Returns the directory that relative paths of the configuration count from, absolute.
    pub fn directory(&self) -> Result<PathBuf> {
        let directory = self.config.directory();
        let path = self.current.join(&directory);
        path.canonicalize().io_context(|| format!("cannot resolve {}", path.display()))
    }

    /// Finds the place of this application and environment.
    ///
    /// # Errors
    /// As [`Place::find`]; the password cannot be had.
    pub fn place(&self) -> Result<Place> {
        self.place_of(&self.environment()?, self.password()?)
    }

    /// Finds the place of this application in another environment, whose repository `password` opens.
    ///
    /// # Errors
    /// As [`Place::find`].
    pub fn place_of(&self, environment: &str, password: Option<Secret>) -> Result<Place> {
        let top = self.top()?;
        // A system that does not tell its workspace has checked out into one all the same.
        let workspace = |ci: &CiRun| ci.workspace.clone().unwrap_or_else(|| top.clone());
        let naming = Naming {
            store: self.global.store.clone().filter(|store| !store.is_empty()),
            application: self.application()?,
            environment: environment.to_owned(),
            ci_workspace: self.ci.as_ref().map(workspace),
            top: top.clone(),
            password,
        };
        let place = Place::find(&naming, &self.config, &self.cancel)?;
        // The key of an embedded store that is not there yet is made later, and never printed.
        self.shown.mask(place.existing_password().ok());
        if let Some(text) = place.note().filter(|_| !self.global.quiet) {
            note(text);
        }
        Ok(place)
    }

    /// Opens the configured copies of a place.
    ///
    /// # Errors
    /// As [`CopyStore::open_all`].
    pub fn copies(&self, place: &Place) -> Result<Vec<CopyStore>> {
        CopyStore::open_all(&self.config, place, &self.cancel)
    }

    /// Opens the ledger of this application and environment.
    ///
    /// # Errors
    /// As [`Session::place`].
    pub fn ledger(&self) -> Result<Ledger> {
        Ok(Ledger::new(self.place()?.ledger_storage()))
    }

    /// Returns what writes the audit of an environment.
    ///
    /// # Errors
    /// `usage`: nothing names the application.
    pub fn auditor(&self, environment: &str) -> Result<Auditor> {
        Ok(Auditor {
            application: self.application()?,
            environment: environment.to_owned(),
            by: super::freeze::who(self),
            run_url: self.ci.as_ref().and_then(|ci| ci.pipeline.run_url.clone()),
            settings: self.config.audit.clone(),
        })
    }

    /// Lets signals go to the caller instead of cancelling the run.
    pub fn divert_signals(&self) -> Diverted {
        let (sender, received) = unbounded();
        *self.signals.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        Diverted { signals: Arc::clone(&self.signals), received }
    }

    /// Returns the key that signs manifests: the configuration's, else that of `HOLDPOINT_SIGNING_KEY`.
    ///
    /// # Errors
    /// `signing-key`, or `config` if it is kept somewhere where it is not.
    pub fn signing_key(&self) -> Result<Option<SigningKey>> {
        if let Some(text) = &self.config.signing.key_file {
            return SigningKey::read(&text.resolve()?, "[signing] key_file").map(Some);
        }
        match variable(SIGNING_KEY).filter(|given| !given.trim().is_empty()) {
            Some(given) => SigningKey::read(&given, SIGNING_KEY).map(Some),
            None => Ok(None),
        }
    }

    /// Returns the variables that may hold a key which signs or approves: no program that deploys gets them.
    pub fn signing_key_variables(&self) -> Vec<&str> {
        let configured = match &self.config.signing.key_file {
            Some(Text::Env(name)) => Some(name.as_str()),
            _ => None,
        };
        [SIGNING_KEY, APPROVAL_KEY].into_iter().chain(configured).collect()
    }

    /// Returns the file of the allowed signers, if one is named: by `flag`, by `HOLDPOINT_ALLOWED_SIGNERS`, by the
    /// configuration.
    pub fn allowed_signers_file(&self, flag: Option<&Path>) -> Option<PathBuf> {
        let variable = variable("HOLDPOINT_ALLOWED_SIGNERS").filter(|path| !path.trim().is_empty());
        let named = flag.map(Path::to_owned).or_else(|| variable.map(PathBuf::from));
        named.or_else(|| self.config.signing.allowed_signers.clone())
    }

    /// Returns the allowed signers for what is only worth knowing, such as earlier drills. Where those that are named cannot
    /// be read, nobody is allowed.
    pub fn known_signers(&self) -> Option<AllowedSigners> {
        self.allowed_signers_file(None).map(|file| AllowedSigners::read(&file).unwrap_or_default())
    }

    /// Returns the file of the keys that may approve in an environment, if one is named: by `flag`, by `HOLDPOINT_APPROVERS`,
    /// by the configuration.
    pub fn approvers_file(&self, environment: &str, flag: Option<&Path>) -> Option<PathBuf> {
        let variable = variable(APPROVERS).filter(|path| !path.trim().is_empty());
        let named = flag.map(Path::to_owned).or_else(|| variable.map(PathBuf::from));
        named.or_else(|| self.settings(environment).approvers)
    }

    /// Returns the keys that may approve in an environment, if they are named.
    ///
    /// # Errors
    /// `allowed-signers`: the file cannot be read or understood.
    pub fn approvers(&self, environment: &str, flag: Option<&Path>) -> Result<Option<AllowedSigners>> {
        let Some(file) = self.approvers_file(environment, flag) else { return Ok(None) };
        let read = AllowedSigners::read(&file);
        read.map(Some).map_err(|error| error.under_same_code("the approvers are not known"))
    }

    /// Says whether somebody outside of the configuration names the approvers.
    pub fn approvers_are_named(&self, flag: Option<&Path>) -> bool {
        flag.is_some() || variable(APPROVERS).is_some_and(|path| !path.trim().is_empty())
    }

    /// Returns the change ticket: of `flag`, else of `HOLDPOINT_TICKET`.
    ///
    /// # Errors
    /// `usage`: it has control characters.
    pub fn ticket(&self, flag: Option<&str>) -> Result<Option<String>> {
        let given = flag.map(str::to_owned).or_else(|| variable("HOLDPOINT_TICKET"));
        let Some(ticket) = given.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        if ticket.contains(char::is_control) {
            return Err(Error::new(ErrorCode::Usage, "the ticket has control characters").hint("give its name alone"));
        }
        Ok(Some(ticket))
    }

    /// Says whether a file lies in the checkout that is deployed.
    ///
    /// # Errors
    /// As [`Session::top`].
    pub fn is_in_checkout(&self, file: &Path) -> Result<bool> {
        let (file, top) = (file.canonicalize(), self.top()?.canonicalize());
        Ok(matches!((file, top), (Ok(file), Ok(top)) if file.starts_with(&top)))
    }

    /// Says whether somebody outside of the configuration names the allowed signers.
    pub fn allowed_signers_are_named(&self, flag: Option<&Path>) -> bool {
        flag.is_some() || variable("HOLDPOINT_ALLOWED_SIGNERS").is_some_and(|path| !path.trim().is_empty())
    }

    /// Returns the password of the store, if the environment gives one.
    ///
    /// # Errors
    /// `usage`: its file cannot be read, or its command fails.
    pub fn password(&self) -> Result<Option<Secret>> {
        self.password_in(PASSWORD)
    }

    /// Returns the password that lies in escrow; the daily one is not looked at.
    ///
    /// # Errors
    /// `usage`: the environment gives none, its file cannot be read, or its command fails.
    pub fn escrow_password(&self) -> Result<Secret> {
        self.password_in(ESCROW_PASSWORD)?.ok_or_else(|| {
            Error::new(ErrorCode::Usage, "no password from escrow was given")
                .hint(format!("set {ESCROW_PASSWORD}, {ESCROW_PASSWORD}_FILE or {ESCROW_PASSWORD}_COMMAND"))
        })
    }

    fn password_in(&self, name: &str) -> Result<Option<Secret>> {
        let password = self.find_password(name)?;
        self.shown.mask(password.iter().map(|password| password.0.clone()));
        Ok(password)
    }

    fn find_password(&self, name: &str) -> Result<Option<Secret>> {
        if let Some(password) = variable(name).filter(|password| !password.is_empty()) {
            return Ok(Some(Secret(password)));
        }
        let (file, command) = (format!("{name}_FILE"), format!("{name}_COMMAND"));
        if let Some(path) = variable(&file).filter(|path| !path.is_empty()) {
            let text = std::fs::read_to_string(&path).map_err(|error| {
                Error::new(ErrorCode::Usage, format!("cannot read {file}, {path}"))
                    .caused_by(error)
                    .hint("name a file that the user of this job can read")
            })?;
            return one_line(&text, &file).map(Some);
        }
        match variable(&command).filter(|argv| !argv.is_empty()) {
            Some(argv) => self.ask_for_password(&command, &argv).map(Some),
            None => Ok(None),
        }
    }

    fn ask_for_password(&self, name: &str, command: &str) -> Result<Secret> {
        let usage = |message: &str| {
            Error::new(ErrorCode::Usage, format!("{name} {message}"))
                .hint("give a program and its arguments that print the password; there is no shell")
        };
        let argv = shlex::split(command).ok_or_else(|| usage("has an unclosed quote"))?;
        let mut program = Program::new(argv);
        // It may need the job's token to ask a vault; it is the one program that gets the job's environment.
        let is_password = |name: &str| name.starts_with(PASSWORD) || name.starts_with(ESCROW_PASSWORD);
        program.inherited = std::env::vars_os().filter(|(name, _)| !is_password(&name.to_string_lossy())).collect();
        let output = run_to_end(&program, PASSWORD_TIMEOUT, &self.cancel, LONGEST_PASSWORD)
            .and_then(crate::process::Output::into_stdout)
            .map_err(|error| usage("failed").caused_by(error))?;
        let text = String::from_utf8(output).map_err(|_| usage("printed something that is not UTF-8"))?;
        one_line(&text, name)
    }
}

fn one_line(text: &str, origin: &str) -> Result<Secret> {
    match text.trim_end_matches(['\n', '\r']) {
        "" => Err(Error::new(ErrorCode::Usage, format!("{origin} gave an empty password"))
            .hint("see that the secret is there and that this job may read it")),
        password => Ok(Secret(password.to_owned())),
    }
}

/// Where signals go instead of cancelling the run, if anywhere.
type Signals = Arc<Mutex<Option<Sender<Reason>>>>;

/// Signals that are diverted; they cancel the run again once this is dropped.
pub struct Diverted {
    signals: Signals,
    /// What arrives.
    pub received: Receiver<Reason>,
}

impl Drop for Diverted {
    fn drop(&mut self) {
        *self.signals.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Cancels the run when a signal arrives.
fn listen(runtime: &Runtime, cancel: &Cancel, signals: &Signals) -> Result<()> {
    let kinds = [
        (SignalKind::interrupt(), Reason::Interrupt),
        (SignalKind::terminate(), Reason::Terminate),
        (SignalKind::hangup(), Reason::Terminate),
    ];
    let _inside = runtime.enter();
    for (kind, reason) in kinds {
        let mut stream = signal(kind)
            .map_err(|error| Error::new(ErrorCode::Internal, "cannot listen for signals").caused_by(error))?;
        let (cancel, signals) = (cancel.clone(), Arc::clone(signals));
        runtime.spawn(async move {
            while stream.recv().await.is_some() {
                match &*signals.lock().unwrap_or_else(PoisonError::into_inner) {
                    // Nobody takes it any more: then it is for the run.
                    Some(elsewhere) if elsewhere.send(reason).is_ok() => {}
                    _ => cancel.cancel(reason),
                }
            }
        });
    }
    Ok(())
}

/// Shows a path as the user may type it: relative where that is shorter.
pub fn shown(path: &Path) -> String {
    let relative = std::env::current_dir().ok().and_then(|current| path.strip_prefix(current).ok().map(Path::to_owned));
    relative.as_deref().unwrap_or(path).display().to_string()
}
