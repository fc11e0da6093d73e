//! A place for a drill: a server of its own that loads the file.

use super::RedisSource;
use super::connection::{Connection, Reply};
use super::endpoint::Endpoint;
use super::info::Info;
use super::look;
use super::rdb::{Item, Parser};
use super::sessions::nobody_listens;
use super::transport::Patience;
use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::Content;
use crate::process::Program;
use crate::source::isolation::{Isolated, Isolation};
use crate::source::throwaway::{Home, Launch, OwnServer};
use crate::source::write::failed;
use crate::source::{Context, Target};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The programs of a server, and the accounts that they run as if this process is root's.
const SERVERS: [&str; 2] = ["redis-server", "valkey-server"];
const ACCOUNTS: [&str; 2] = ["redis", "valkey"];
/// How many databases a server has at least.
const DATABASES: u64 = 16;
/// How long the server may take for a reply: it may be loading.
const PATIENCE: Duration = Duration::from_secs(60);
const STOP: &[(Signal, Duration)] = &[(Signal::TERM, Duration::from_secs(5))];
/// How deep lists in an answer are followed.
const DEPTH: u32 = 8;

/// Makes the place.
///
/// # Errors
/// `restore-failed`: there is no server program; `usage`: a server is named.
pub(super) fn isolate(source: &RedisSource, isolation: &Isolation) -> Result<Box<dyn Isolated>> {
    match &isolation.server {
        // A restore replaces all that a server holds, and what tells a drill's keys from others' nobody can know.
        Some(_) => {
            Err(Error::new(ErrorCode::Usage, "a drill restores Redis into a server of its own, and into no other")
                .hint("leave `drill_server` out of this source, and install redis-server where drills run"))
        }
        None => Ok(Box::new(OwnPlace::new(source, &isolation.directory)?)),
    }
}

/// A server of the drill's own, started on the restored file.
struct OwnPlace {
    program: PathBuf,
    home: Home,
    data: PathBuf,
    file: PathBuf,
    socket: PathBuf,
    endpoint: Endpoint,
    version: Option<String>,
    /// Behind a lock: whether it runs is asked from where only reading is allowed.
    server: Option<Mutex<OwnServer>>,
}

impl OwnPlace {
    fn new(source: &RedisSource, directory: &Path) -> Result<Self> {
        let program = SERVERS.iter().find_map(|name| Program::new([*name]).locate().ok()).ok_or_else(|| {
            failed("there is no redis-server or valkey-server on this machine".to_owned())
                .hint("install it (Debian: redis-server)")
        })?;
        let home = Home::new(directory, &ACCOUNTS)?;
        let (run, data) = (home.folder("run")?, home.folder("data")?);
        let socket = home.socket(&run, "redis.sock")?;
        let endpoint = Endpoint::parse(&format!("unix://{}", socket.display()), None)?;
        let file = data.join(&source.file_name);
        Ok(Self { program, home, data, file, socket, endpoint, version: None, server: None })
    }

    fn explain(&self, error: Error) -> Error {
        match &self.server {
            Some(server) => server.lock().unwrap_or_else(PoisonError::into_inner).explain(unusable(error)),
            None => unusable(error),
        }
    }
}

impl Isolated for OwnPlace {
    fn target(&self) -> Target {
        Target::Directory(self.data.clone())
    }

    fn description(&self) -> String {
        let account = self.home.account().map(|name| format!(", as {name}")).unwrap_or_default();
        let version = self.version.as_deref().unwrap_or("Redis");
        format!("{version} of its own{account}, on a socket in a private directory")
    }

    fn identity(&self) -> Option<String> {
        Some(self.endpoint.to_string())
    }

    fn variables(&self) -> Vec<(String, String)> {
        vec![("HOLDPOINT_DRILL_URL".to_owned(), self.endpoint.to_string())]
    }

    fn start(&mut self, context: &Context) -> Result<()> {
        let cannot = |error| failed(format!("cannot use {}", self.file.display())).caused_by(error);
        self.home.give(&self.file).map_err(cannot)?;
        let kept = Kept::read(&self.file, 0)?;
        let databases = kept.keys.keys().last().map_or(DATABASES, |last| (last + 1).max(DATABASES)).to_string();
        let path = |path: &Path| path.display().to_string();
        let name = self.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let program = Program::new(
            [path(&self.program)].into_iter().chain(
                [
                    ["--port", "0"],
                    ["--unixsocket", &path(&self.socket)],
                    ["--unixsocketperm", "700"],
                    ["--dir", &path(&self.data)],
                    ["--dbfilename", &name],
                    ["--save", ""],
                    ["--appendonly", "no"],
                    ["--daemonize", "no"],
                    ["--databases", &databases],
                    ["--protected-mode", "yes"],
                ]
                .into_iter()
                .flatten()
                .map(str::to_owned),
            ),
        );
        let program = Program { directory: Some(self.data.clone()), ..program };
        let version = std::cell::RefCell::new(None);
        let is_ready = || {
            let patience = Patience::within(&context.cancel, PATIENCE);
            let info = self
                .endpoint
                .connect(&context.runtime, &patience)
                .and_then(|mut connection| Info::ask(&mut connection, &patience));
            match info {
                Ok(info) if info.get("loading") == "0" => {
                    *version.borrow_mut() = Some(info.version());
                    Ok(true)
                }
                Ok(_) => Ok(false),
                Err(error) if error.is_cancelled() => Err(error),
                // It may end while it is asked; that is seen at once.
                Err(error) if nobody_listens(&error) || error.code() == ErrorCode::CaptureFailed => Ok(false),
                Err(error) => Err(unusable(error)),
            }
        };
        let what = "the throw-away Redis server".to_owned();
        let launch = Launch { what, program, socket: self.socket.clone(), stop: STOP, is_ready: &is_ready };
        let server = OwnServer::start(&self.home, launch, context)?;
        self.version = version.into_inner();
        self.server = Some(Mutex::new(server));
        Ok(())
    }

    /// Keys that have expired since they were captured count as restored: no server would show them to anybody.
    fn look(&self, context: &Context) -> Result<Content> {
        let patience = Patience::within(&context.cancel, PATIENCE);
        let mut content = look::look(&self.endpoint, context, &patience).map_err(|error| self.explain(error))?;
        let now = jiff::Timestamp::now().as_millisecond();
        let kept = Kept::read(&self.file, u64::try_from(now).unwrap_or(0))?;
        let held = |database: u64| content.get("rows")?.get(format!("db{database}"))?.as_u64();
        let mut rows = serde_json::Map::new();
        for (database, keys) in &kept.keys {
            let (held, expired) = (held(*database).unwrap_or(0), kept.expired.get(database).copied().unwrap_or(0));
            let told = if held >= *keys { held } else { (held + expired).min(*keys) };
            rows.insert(format!("db{database}"), told.into());
        }
        if let Some(there) = content.get("rows").and_then(|rows| rows.as_object()) {
            let others: Vec<_> = there.iter().filter(|(name, _)| !rows.contains_key(*name)).collect();
            let others: Vec<_> = others.into_iter().map(|(name, count)| (name.clone(), count.clone())).collect();
            rows.extend(others);
        }
        content.insert("tables".to_owned(), rows.len().into());
        content.insert("rows".to_owned(), rows.into());
        Ok(content)
    }

    fn ask(&self, context: &Context, question: &str) -> Result<String> {
        ask(&self.endpoint, context, question).map_err(|error| self.explain(error))
    }

    fn remove(self: Box<Self>, _: &Context) -> Result<()> {
        let stopped = match self.server {
            Some(server) => server.into_inner().unwrap_or_else(PoisonError::into_inner).stop(),
            None => Ok(()),
        };
        stopped.and(self.home.remove())
    }
}

/// What a file holds: keys by database, and those of them that had expired by some time.
#[derive(Debug, Default)]
struct Kept {
    keys: BTreeMap<u64, u64>,
    expired: BTreeMap<u64, u64>,
}

impl Kept {
    fn read(file: &Path, now: u64) -> Result<Self> {
        let cannot = |why: String| failed(format!("cannot read {}", file.display())).caused_by(why);
        let stream = File::open(file).map_err(|error| cannot(error.to_string()))?;
        let unsound = |broken: super::rdb::Broken| cannot(broken.to_string());
        let mut parser = Parser::start(Box::new(stream), false).map_err(unsound)?;
        let mut kept = Self::default();
        while let Some(item) = parser.next().map_err(unsound)? {
            if let Item::Key(key) = item {
                *kept.keys.entry(key.database).or_default() += 1;
                if key.expires_at.is_some_and(|at| at <= now) {
                    *kept.expired.entry(key.database).or_default() += 1;
                }
            }
        }
        Ok(kept)
    }
}

/// Gives a command, whose words are parted as a shell would; the items of a list in the answer are lines.
fn ask(endpoint: &Endpoint, context: &Context, question: &str) -> Result<String> {
    let words = shlex::split(question).filter(|words| !words.is_empty()).ok_or_else(|| {
        Error::new(ErrorCode::Usage, "the question is not a command: a quote is not closed, or there is nothing")
    })?;
    let patience = Patience::of_run(&context.cancel);
    let mut connection = endpoint.connect(&context.runtime, &patience)?;
    connection.text(&format!("CLIENT SETNAME {}", context.mark), &patience)?;
    let words: Vec<_> = words.iter().map(String::as_bytes).collect();
    let mut lines = Vec::new();
    let reply = connection.ask(&words, &patience)?;
    collect(&mut connection, reply, &patience, DEPTH, &mut lines)?;
    Ok(lines.join("\n"))
}

fn collect(
    connection: &mut Connection,
    reply: Reply,
    patience: &Patience,
    depth: u32,
    lines: &mut Vec<String>,
) -> Result<()> {
    match reply {
        Reply::Line(line) => lines.push(line),
        Reply::Bytes(bytes) => lines.push(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()),
        Reply::Refused(words) => return Err(failed(format!("the server refuses the question: {words}"))),
        Reply::Many(_) if depth == 0 => {
            return Err(failed("the answer is a list of lists that are too deep".to_owned()));
        }
        Reply::Many(count) => {
            for _ in 0..count {
                let reply = connection.reply(patience)?;
                collect(connection, reply, patience, depth - 1, lines)?;
            }
        }
    }
    Ok(())
}

/// Says that what was restored cannot be used.
fn unusable(error: Error) -> Error {
    match error.is_cancelled() || matches!(error.code(), ErrorCode::RestoreFailed | ErrorCode::Usage) {
        true => error,
        false => error.under(ErrorCode::RestoreFailed, "the server of the drill cannot be used"),
    }
}
