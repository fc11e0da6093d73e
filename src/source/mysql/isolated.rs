//! A place for a drill: a server of its own, or a scratch database of one that is named.

use super::MysqlSource;
use super::catalog::{self, Database};
use super::look::look_at;
use super::product::{Product, Vendor};
use super::server::{Server, literal, name};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::Content;
use crate::process::{Identity, Program, run_to_end};
use crate::source::clients::Clients;
use crate::source::isolation::{Isolated, Isolation};
use crate::source::throwaway::{Home, Launch, OwnServer};
use crate::source::write::failed;
use crate::source::{Context, Target};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The programs of a server, where they are beside `PATH`, and the account that they run as if this process is root's.
const SERVERS: [&str; 2] = ["mariadbd", "mysqld"];
const DIRECTORIES: [&str; 3] = ["/usr/sbin", "/usr/libexec", "/usr/local/sbin"];
const ACCOUNTS: [&str; 1] = ["mysql"];
/// What makes the server's own tables for MariaDB.
const INSTALL: [&str; 2] = ["mariadb-install-db", "mysql_install_db"];
/// How long that may take, and the most that is read of what it prints, in bytes.
const INSTALL_WITHIN: Duration = Duration::from_secs(600);
const MOST: u64 = 4 << 20;
/// How long one statement may take: counting the rows of a large table takes minutes.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long each statement of a removal may take.
const REMOVE_WITHIN: Duration = Duration::from_secs(60);
const STOP: &[(Signal, Duration)] = &[(Signal::TERM, Duration::from_secs(20))];
/// How the names of scratch databases begin; 16 hexadecimal digits follow.
const PREFIX: &str = "holdpoint_drill_";
/// How the comment on a scratch database begins; the process that made it follows, as JSON.
const COMMENT: &str = "holdpoint drill ";

/// A server for a drill, asked through the client program.
struct Place {
    server: Server,
    url: String,
    query: Option<String>,
    /// Whether the manifest names tables with their databases.
    names_databases: Option<bool>,
    description: String,
    host: Host,
}

/// Whose server it is.
enum Host {
    /// Our own. Behind a lock: whether it runs is asked from where only reading is allowed.
    Own { server: Box<Mutex<OwnServer>>, home: Home, socket: PathBuf },
    /// Somebody's, with a scratch database of ours.
    Named { scratch: Database },
    /// It was removed.
    Gone,
}

/// Makes the place.
///
/// # Errors
/// `restore-failed`: there are no server programs, the server does not start, or the one that is named gives no database;
/// `usage`: the snapshots of the source name their databases, and a server is named.
pub(super) fn isolate(source: &MysqlSource, context: &Context, isolation: &Isolation) -> Result<Box<dyn Isolated>> {
    let place = match &isolation.server {
        Some(url) => named(source, url, context)?,
        None => own(source, &isolation.directory, context)?,
    };
    Ok(Box::new(place))
}

/// Says whether the dumps of the source name their databases; `None` if its URL is not known here.
fn names_databases(source: &MysqlSource) -> Option<bool> {
    let url = source.config.server.url.resolve().ok()?;
    Some(super::options::parse(&url).ok()?.database.is_none())
}

fn own(source: &MysqlSource, directory: &Path, context: &Context) -> Result<Place> {
    let clients = Clients::new(source.config.server.programs.as_deref(), &source.directory);
    let program = find(&clients, &SERVERS).ok_or_else(|| {
        failed("there is no program of a MariaDB or MySQL server (mariadbd, mysqld) on this machine".to_owned())
            .hint("install it (Debian: mariadb-server), and name its directory in `programs` if it is not on PATH")
            .hint("or name a server that drills may use: drill_server = \"mysql://…\" in the source")
    })?;
    let home = Home::new(directory, &ACCOUNTS)?;
    let (run, data) = (home.folder("run")?, home.folder("data")?);
    let socket = home.socket(&run, "mysql.sock")?;
    let said = said_of_version(&program, context)?;
    let vendor = Product::of_program(&said).map_or(Vendor::MariaDb, |product| product.vendor);
    install(&home, vendor, &program, &clients, &data, context)?;
    let password = random()?;
    let url = format!(
        "mysql://root:{password}@localhost/?socket={}",
        utf8_percent_encode(&socket.display().to_string(), NON_ALPHANUMERIC)
    );
    let server = source.server(Some(&url), context)?;
    // The file is the server's alone, as its directory is.
    let init = run.join("init.sql");
    let statement = format!("ALTER USER root@localhost IDENTIFIED BY '{password}';\n");
    std::fs::write(&init, statement)
        .and_then(|()| home.give(&init))
        .map_err(|error| failed(format!("cannot write {}", init.display())).caused_by(error))?;
    let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
    let mut arguments = vec![
        "--no-defaults".to_owned(),
        option("datadir", &data),
        option("socket", &socket),
        option("pid-file", &run.join("pid")),
        option("tmpdir", &run),
        option("init-file", &init),
    ];
    let fixed = [
        "--skip-networking",
        "--skip-log-bin",
        "--skip-name-resolve",
        // Nothing of the application's runs by itself.
        "--event-scheduler=OFF",
        "--character-set-server=utf8mb4",
        // It is thrown away: nothing need outlast a crash.
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-doublewrite=0",
        "--loose-mysqlx=OFF",
    ];
    arguments.extend(fixed.map(str::to_owned));
    let program = Program::new([program.display().to_string()].into_iter().chain(arguments));
    let program = Program { directory: Some(data), secrets: vec![password], ..program };
    let is_ready = || match server.attempt("SELECT 1", &context.cancel) {
        Ok(_) => Ok(true),
        Err(failure) if failure.error.is_cancelled() => Err(failure.error),
        // Its socket is not there, or it has not come to its init file.
        Err(_) => Ok(false),
    };
    let what = "the throw-away MySQL server".to_owned();
    let launch = Launch { what, program, socket: socket.clone(), stop: STOP, is_ready: &is_ready };
    let mut running = OwnServer::start(&home, launch, context)?;
    let version =
        server.value("SELECT VERSION()", &context.cancel).map_err(|error| running.explain(unusable(error)))?;
    let account = home.account().map(|name| format!(", as {name}")).unwrap_or_default();
    let description = format!("{version} of its own{account}, on a socket in a private directory");
    Ok(Place {
        server,
        url,
        query: source.config.server.schema_version_query.clone(),
        names_databases: names_databases(source),
        description,
        host: Host::Own { server: Box::new(Mutex::new(running)), home, socket },
    })
}

/// Makes the server's own tables in an empty data directory.
fn install(
    home: &Home,
    vendor: Vendor,
    server: &Path,
    clients: &Clients,
    data: &Path,
    context: &Context,
) -> Result<()> {
    let data_option = format!("--datadir={}", data.display());
    let (program, arguments): (PathBuf, Vec<&str>) = match vendor {
        Vendor::MySql => (server.to_owned(), vec!["--no-defaults", "--initialize-insecure", &data_option]),
        Vendor::MariaDb => {
            let program = find(clients, &INSTALL).ok_or_else(|| {
                failed("there is no mariadb-install-db on this machine, which makes a server's own tables".to_owned())
                    .hint("install it (Debian: mariadb-server)")
            })?;
            (program, vec!["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", &data_option])
        }
    };
    let arguments = arguments.into_iter().map(str::to_owned);
    let program = Program::new([program.display().to_string()].into_iter().chain(arguments));
    let program = home.run_as_account(Program { directory: Some(data.to_owned()), ..program });
    let done = run_to_end(&program, INSTALL_WITHIN, &context.cancel, MOST).and_then(|output| output.into_stdout());
    done.map(drop).map_err(|error| match error.is_cancelled() {
        true => error,
        false => error.under(ErrorCode::RestoreFailed, "no data directory can be made for a throw-away server"),
    })
}

fn named(source: &MysqlSource, url: &str, context: &Context) -> Result<Place> {
    if names_databases(source) != Some(false) {
        let text = "the snapshots of this source name their databases, and would replace those of `drill_server`";
        return Err(Error::new(ErrorCode::Usage, text)
            .hint("leave out `drill_server`: a drill starts a server of its own")
            .hint("or name one database in `url`"));
    }
    let scratch = format!("{PREFIX}{}", random()?);
    let mut with_database =
        url::Url::parse(url.trim()).map_err(|_| Error::new(ErrorCode::Config, "`drill_server` is not a URL"))?;
    with_database.set_path("");
    let whole = source.server(Some(with_database.as_str()), context)?;
    with_database.set_path(&scratch);
    let url = String::from(with_database);
    let server = source.server(Some(&url), context)?;
    let cannot = |error: Error| match error.is_cancelled() {
        true => error,
        false => error
            .under(ErrorCode::RestoreFailed, format!("no scratch database can be made at {}", server.shown()))
            .hint(format!("the user needs all privileges on `{PREFIX}%`.*")),
    };
    server.check_tls(&context.cancel).map_err(cannot)?;
    drop_abandoned(&whole, &context.cancel);
    let version = whole.value("SELECT VERSION()", &context.cancel).map_err(cannot)?;
    let scratch = Database { name: scratch, character_set: "utf8mb4".to_owned(), collation: "utf8mb4_bin".to_owned() };
    let description = format!("the scratch database {} at {}: {version}", scratch.name, whole.shown());
    let query = source.config.server.schema_version_query.clone();
    let place =
        Place { server: whole, url, query, names_databases: Some(false), description, host: Host::Named { scratch } };
    // From here on the database goes, whatever happens.
    place.make(context).map_err(cannot)?;
    Ok(place)
}

/// Drops the scratch databases of runs that are proved dead, where the server keeps comments on databases (MariaDB).
fn drop_abandoned(server: &Server, cancel: &Cancel) {
    let sql = format!(
        "SELECT schema_name, schema_comment FROM information_schema.schemata WHERE schema_name LIKE {}",
        literal(&format!("{PREFIX}%"))
    );
    let observer = Identity::current();
    for row in server.ask(&sql, cancel).unwrap_or_default() {
        let [database, comment] = row.as_slice() else { continue };
        let owner = comment.strip_prefix(COMMENT).and_then(|text| serde_json::from_str::<Identity>(text).ok());
        if owner.is_some_and(|owner| owner.is_proved_dead(&observer)) {
            // Another drill may be at it, too.
            let _ = server.ask(&format!("DROP DATABASE IF EXISTS {}", name(database)), cancel);
        }
    }
}

impl Place {
    fn make(&self, context: &Context) -> Result<()> {
        let Host::Named { scratch } = &self.host else { return Ok(()) };
        let create = format!("CREATE DATABASE {}", name(&scratch.name));
        let owner = serde_json::to_string(&Identity::current()).unwrap_or_default();
        let comment = format!("{create} COMMENT {}", literal(&format!("{COMMENT}{owner}")));
        // MySQL has no comments on databases.
        let made = self.server.attempt(&comment, &context.cancel);
        made.or_else(|_| self.server.attempt(&create, &context.cancel)).map(drop).map_err(|failure| failure.error)
    }

    fn databases(&self, cancel: &Cancel) -> Result<Vec<Database>> {
        match &self.host {
            Host::Own { .. } => catalog::databases(&self.server, cancel),
            Host::Named { scratch } => Ok(vec![scratch.clone()]),
            Host::Gone => Ok(Vec::new()),
        }
    }

    fn explain(&self, error: Error) -> Error {
        match &self.host {
            Host::Own { server, .. } => server.lock().unwrap_or_else(PoisonError::into_inner).explain(unusable(error)),
            Host::Named { .. } | Host::Gone => unusable(error),
        }
    }

    /// Asks in the only database, if there is only one.
    fn rows(&self, context: &Context, question: &str) -> Result<Vec<Vec<String>>> {
        let databases = self.databases(&context.cancel)?;
        let only = match databases.as_slice() {
            [only] => Some(only.name.as_str()),
            _ => None,
        };
        self.server.ask_in(only, question, PATIENCE, &context.cancel)
    }

    fn drop_scratch(server: &Server, scratch: &Database) -> Result<()> {
        let left = |error: Error| {
            error
                .under(
                    ErrorCode::RestoreFailed,
                    format!("the scratch database {} is left at {}", scratch.name, server.shown()),
                )
                .hint(format!("drop it: DROP DATABASE {}", name(&scratch.name)))
        };
        // The run may be cancelled, and this must be done all the same.
        let cancel = Cancel::new();
        let ask = |sql: &str| server.ask_in(None, sql, REMOVE_WITHIN, &cancel).map_err(left);
        let sessions = format!(
            "SELECT id FROM information_schema.processlist WHERE db = {} AND id <> CONNECTION_ID()",
            literal(&scratch.name)
        );
        for id in ask(&sessions)?.into_iter().flatten() {
            // It may have ended by itself.
            let _ = server.ask_in(None, &format!("KILL CONNECTION {id}"), REMOVE_WITHIN, &cancel);
        }
        ask(&format!("DROP DATABASE IF EXISTS {}", name(&scratch.name)))?;
        let exists =
            format!("SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = {}", literal(&scratch.name));
        match ask(&exists)?.into_iter().flatten().next().as_deref() {
            Some("0") => Ok(()),
            _ => Err(left(failed("it is still there".to_owned()))),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Host::Named { scratch } = &self.host {
            // Of one that was removed, there is nothing left to drop.
            let _ = Self::drop_scratch(&self.server, scratch);
        }
    }
}

impl Isolated for Place {
    fn target(&self) -> Target {
        Target::Url(self.url.clone())
    }

    fn description(&self) -> String {
        self.description.clone()
    }

    fn identity(&self) -> Option<String> {
        match &self.host {
            Host::Own { socket, .. } => Some(format!("mysql at {}", socket.display())),
            Host::Named { scratch } => Some(format!("{}/{}", self.server.shown(), scratch.name)),
            Host::Gone => None,
        }
    }

    fn variables(&self) -> Vec<(String, String)> {
        let mut variables = vec![("HOLDPOINT_DRILL_URL".to_owned(), self.url.clone())];
        let mut add = |name: &str, value: &str| variables.push((name.to_owned(), value.to_owned()));
        match &self.host {
            Host::Own { socket, .. } => add("MYSQL_UNIX_PORT", &socket.display().to_string()),
            Host::Named { .. } => {
                self.server.address.host.iter().for_each(|host| add("MYSQL_HOST", host));
                self.server.address.port.iter().for_each(|port| add("MYSQL_TCP_PORT", &port.to_string()));
            }
            Host::Gone => {}
        }
        self.server.address.password.iter().for_each(|password| add("MYSQL_PWD", password));
        variables
    }

    fn start(&mut self, _: &Context) -> Result<()> {
        match &mut self.host {
            Host::Own { server, .. } => {
                server.get_mut().unwrap_or_else(PoisonError::into_inner).must_run("ended while the dump was restored")
            }
            Host::Named { .. } | Host::Gone => Ok(()),
        }
    }

    fn look(&self, context: &Context) -> Result<Content> {
        let look = || {
            let databases = self.databases(&context.cancel)?;
            let names = self.names_databases.unwrap_or(databases.len() > 1);
            let version = match &self.query {
                Some(query) => self.rows(context, query)?.into_iter().flatten().next(),
                None => None,
            };
            look_at(&self.server, &databases, names, version, PATIENCE, &context.cancel)
        };
        look().map_err(|error| self.explain(error))
    }

    fn ask(&self, context: &Context, question: &str) -> Result<String> {
        let rows = self.rows(context, question).map_err(|error| self.explain(error))?;
        Ok(rows.into_iter().map(|row| row.join("|")).collect::<Vec<_>>().join("\n"))
    }

    fn remove(mut self: Box<Self>, _: &Context) -> Result<()> {
        match std::mem::replace(&mut self.host, Host::Gone) {
            Host::Own { server, home, .. } => {
                server.into_inner().unwrap_or_else(PoisonError::into_inner).stop().and(home.remove())
            }
            Host::Named { scratch } => Self::drop_scratch(&self.server, &scratch),
            Host::Gone => Ok(()),
        }
    }
}

/// Finds a program where the client programs are, on `PATH`, or where servers are.
fn find(clients: &Clients, names: &[&str]) -> Option<PathBuf> {
    let of = |name: &&str| {
        let given = clients.program(name, [""; 0]).locate().ok();
        let beside = || Program::new([*name]).locate().ok();
        let usual = || DIRECTORIES.iter().map(|directory| Path::new(directory).join(name)).find(|path| path.is_file());
        given.or_else(beside).or_else(usual)
    };
    names.iter().find_map(of)
}

fn said_of_version(program: &Path, context: &Context) -> Result<String> {
    let program = Program::new([program.display().to_string(), "--version".to_owned()]);
    let output =
        run_to_end(&program, Duration::from_secs(30), &context.cancel, MOST)?.into_stdout().map_err(unusable)?;
    Ok(String::from_utf8_lossy(&output).lines().next().unwrap_or_default().to_owned())
}

/// Returns 16 hexadecimal digits.
fn random() -> Result<String> {
    let number = getrandom::u64()
        .map_err(|error| Error::new(ErrorCode::Io, "the system has no random numbers").caused_by(error))?;
    Ok(format!("{number:016x}"))
}

/// Says that what was restored cannot be used.
fn unusable(error: Error) -> Error {
    match error.is_cancelled() || matches!(error.code(), ErrorCode::RestoreFailed | ErrorCode::Usage) {
        true => error,
        false => error.under(ErrorCode::RestoreFailed, "what was restored cannot be used"),
    }
}
