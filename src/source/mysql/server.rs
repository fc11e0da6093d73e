//! A server, asked through its client program.

use super::options;
use super::product::Product;
use crate::cancel::Cancel;
use crate::config::ServerConfig;
use crate::error::{Error, ErrorCode, Result};
use crate::process::{Program, SecretFile, run_to_end};
use crate::source::address::Address;
use crate::source::clients::Clients;
use std::path::Path;
use std::time::Duration;

/// The most that the answer to one question may be, in bytes.
const MOST: u64 = 256 * 1024 * 1024;
/// Errors of the server (MySQL's manual, "Server Error Message Reference").
pub(super) const NO_SUCH_TABLE: u32 = 1146;
pub(super) const NO_SUCH_VARIABLE: u32 = 1193;

/// A row of an answer. NULL comes as the text `NULL`, so questions are put such that it does not occur or not matter.
pub(super) type Row = Vec<String>;

/// A server, and the programs that speak to it.
#[derive(Debug)]
pub(super) struct Server {
    pub address: Address,
    /// The product of the client and the dump program; `None` if it does not say.
    pub product: Option<Product>,
    /// What the dump program says of its version.
    pub tool: String,
    clients: Clients,
    client: &'static str,
    dump: &'static str,
    options: SecretFile,
    secrets: Vec<String>,
    patience: Duration,
    /// Stands in every statement, by which its session is found.
    mark: String,
}

/// Why a statement failed, by the number of the server's or the client's error; 0 if there is none.
#[derive(Debug)]
pub(super) struct Failure {
    pub number: u32,
    pub error: Error,
}

impl Server {
    /// Prepares to speak to the server at `url`; nothing is connected yet.
    ///
    /// # Errors
    /// `config`: the URL is wrong; `process-failed`: the client programs are not there.
    pub(super) fn new(
        kind: &str,
        config: &ServerConfig,
        url: &str,
        directory: &Path,
        mark: &str,
        cancel: &Cancel,
    ) -> Result<Self> {
        let address = options::parse(url)?;
        let clients = Clients::new(config.programs.as_deref(), directory);
        let (client, dump) = if kind == "mariadb" {
            (["mariadb", "mysql"], ["mariadb-dump", "mysqldump"])
        } else {
            (["mysql", "mariadb"], ["mysqldump", "mariadb-dump"])
        };
        let (client, dump) = (clients.first_of(&client)?, clients.first_of(&dump)?);
        let tool = clients.version(dump, cancel)?;
        let product = Product::of_program(&tool);
        let password = address.password.clone().or_else(|| std::env::var("MYSQL_PWD").ok());
        let vendor = product.map_or(super::product::Vendor::MySql, |product| product.vendor);
        let seconds = config.connect_timeout.as_secs().max(1);
        let options = SecretFile::new(&options::file(&address, password.as_deref(), vendor, seconds, directory)?)?;
        let secrets = password.into_iter().chain([url.to_owned()]).collect();
        let (patience, mark) = (config.connect_timeout, mark.to_owned());
        Ok(Self { address, product, tool, clients, client, dump, options, secrets, patience, mark })
    }

    /// Lets each answer take as long as it may in the middle of a capture.
    pub(super) fn patient(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Returns where the server is, as it may be shown.
    pub(super) fn shown(&self) -> String {
        self.address.shown()
    }

    /// Returns the text that stands in every statement of this run.
    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    /// Returns the client program with more arguments.
    pub(super) fn client<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Program {
        self.program(self.client, arguments)
    }

    /// Returns the dump program with more arguments.
    pub(super) fn dump<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Program {
        self.program(self.dump, arguments)
    }

    fn program<'a>(&self, name: &str, arguments: impl IntoIterator<Item = &'a str>) -> Program {
        let first = format!("--defaults-file={}", self.options.path().display());
        let arguments = std::iter::once(first).chain(arguments.into_iter().map(str::to_owned));
        let mut program = self.clients.program(name, arguments);
        // MySQL's programs read a file of login paths even so; there is none at this path.
        program.env.insert("MYSQL_TEST_LOGIN_FILE".to_owned(), "/dev/null/none".to_owned());
        program.secrets.clone_from(&self.secrets);
        program
    }

    /// Runs one statement and returns its rows.
    ///
    /// # Errors
    /// `process-failed`: the server cannot be reached, does not answer in time, or refuses; the reason of a cancellation.
    pub(super) fn ask(&self, sql: &str, cancel: &Cancel) -> Result<Vec<Row>> {
        self.ask_in(None, sql, self.patience, cancel)
    }

    /// As [`Server::ask`], in a database and with a time limit of its own.
    ///
    /// # Errors
    /// As [`Server::ask`].
    pub(super) fn ask_in(
        &self,
        database: Option<&str>,
        sql: &str,
        within: Duration,
        cancel: &Cancel,
    ) -> Result<Vec<Row>> {
        self.run(database, sql, within, cancel).map_err(|failure| failure.error)
    }

    /// As [`Server::ask`], for a statement that may be refused.
    ///
    /// # Errors
    /// [`Failure`], which has the number of the error.
    pub(super) fn attempt(&self, sql: &str, cancel: &Cancel) -> Result<Vec<Row>, Failure> {
        self.run(None, sql, self.patience, cancel)
    }

    fn run(&self, database: Option<&str>, sql: &str, within: Duration, cancel: &Cancel) -> Result<Vec<Row>, Failure> {
        // The mode of the session decides what a backslash means; the wait for locks ends before our own patience.
        let seconds = within.as_secs().max(1);
        let execute =
            format!("--execute=SET SESSION sql_mode = '', lock_wait_timeout = {seconds}; /* {} */ {sql}", self.mark);
        let mut arguments = vec!["--batch", "--skip-column-names", "--comments"];
        let database = database.map(|database| format!("--database={database}"));
        arguments.extend(database.as_deref());
        arguments.push(&execute);
        let failure = |error| Failure { number: 0, error };
        let output = run_to_end(&self.client(arguments), within, cancel, MOST).map_err(failure)?;
        let number = error_number(&output.stderr().text);
        match output.into_stdout() {
            Ok(stdout) => Ok(rows(&stdout)),
            Err(error) => Err(Failure { number, error }),
        }
    }

    /// Sees that the connection is encrypted if the URL asks for that: MariaDB's programs go on without, if they need not
    /// check the certificate either.
    ///
    /// # Errors
    /// `process-failed`: it is not; as [`Server::ask`].
    pub(super) fn check_tls(&self, cancel: &Cancel) -> Result<()> {
        if !options::requires_tls(&self.address) {
            return Ok(());
        }
        let rows = self.ask("SHOW SESSION STATUS LIKE 'Ssl_cipher'", cancel)?;
        if rows.iter().any(|row| row.get(1).is_some_and(|cipher| !cipher.is_empty())) {
            return Ok(());
        }
        let message = format!("the connection to {} is not encrypted, as `ssl-mode` asks for", self.shown());
        Err(Error::new(ErrorCode::ProcessFailed, message).hint("set up TLS on the server"))
    }

    /// Runs a statement with one value for an answer.
    ///
    /// # Errors
    /// As [`Server::ask`]; `process-failed`: there was no value.
    pub(super) fn value(&self, sql: &str, cancel: &Cancel) -> Result<String> {
        let value = self.ask(sql, cancel)?.into_iter().next().and_then(|row| row.into_iter().next());
        value.ok_or_else(|| Error::new(ErrorCode::ProcessFailed, format!("{} gave no answer", self.shown())))
    }
}

/// Finds the number in `ERROR 1142 (42000) at line 1: SELECT command denied …`.
fn error_number(stderr: &str) -> u32 {
    let line = stderr.lines().find_map(|line| line.strip_prefix("ERROR "));
    let digits: String = line.unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// Reads what the client program prints in batch mode: columns by tabs, rows by newlines, both escaped within values.
fn rows(stdout: &[u8]) -> Vec<Row> {
    let text = String::from_utf8_lossy(stdout);
    text.lines().map(|line| line.split('\t').map(unescaped).collect()).collect()
}

fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        text.push(match chars.next() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('0') => '\0',
            Some(other) => other,
            None => '\\',
        });
    }
    text
}

/// Quotes a name for a statement.
pub(super) fn name(text: &str) -> String {
    format!("`{}`", text.replace('`', "``"))
}

/// Quotes a text for a statement in a session without modes, as ours are.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        assert_eq!(rows(b"a\\tb\t1\n\\\\n\tNULL\n"), [["a\tb", "1"], ["\\n", "NULL"]]);
        assert_eq!(rows(b""), Vec::<Row>::new());
        assert_eq!(error_number("WARNING: x\nERROR 1142 (42000) at line 1: denied"), 1142);
        assert_eq!(error_number("something else"), 0);
    }

    #[test]
    fn names_and_texts_cannot_break_out() {
        assert_eq!(name("a`b"), "`a``b`");
        assert_eq!(literal("a'b\\"), "'a''b\\\\'");
    }
}
