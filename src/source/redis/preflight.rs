//! Looking at a server before it is captured: every problem at once, and nothing is changed.

use super::connection::{Connection, Reply};
use super::endpoint::Endpoint;
use super::info::Info;
use super::transport::Patience;
use crate::error::{Error, Result};
use crate::model::finding::{Finding, FindingCode};
use crate::source::Context;

/// What a capture sends, tried in a form that has no effect: a user who may not is told so before anything else.
/// `PSYNC` is among them only where it is harmless: before Redis 7 a wrong offset began a replication.
const TRIED: [(&str, &str); 4] = [
    ("client|setname", "CLIENT SETNAME holdpoint-preflight"),
    ("client|list", "CLIENT LIST TYPE replica"),
    ("client|kill", "CLIENT KILL ID 0"),
    ("replconf", "REPLCONF capa eof"),
];
const TRIED_SINCE_7: (&str, &str) = ("psync", "PSYNC ? none");

/// What was learned of a server.
#[derive(Debug, Clone)]
pub(super) struct Learned {
    pub info: Info,
    /// The node of a cluster that it is.
    pub node: Option<String>,
}

/// Connects and looks; returns what is wrong, and what is known even so.
pub(super) fn preflight(
    endpoint: &Endpoint,
    context: &Context,
    patience: &Patience,
) -> (Vec<Finding>, Option<Learned>) {
    let unreachable = |error: &Error| Finding::from_error(error, FindingCode::ServerUnreachable);
    let mut connection = match endpoint.connect(&context.runtime, patience) {
        Ok(connection) => connection,
        Err(error) => return (vec![unreachable(&error)], None),
    };
    let info = match Info::ask(&mut connection, patience) {
        Ok(info) => info,
        Err(error) => return (vec![not_told(endpoint, &error)], None),
    };
    let mut findings = judge(&info);
    match missing_privileges(&mut connection, &info, patience) {
        Ok(missing) if missing.is_empty() => {}
        Ok(missing) => findings.push(privileges(endpoint, &missing, info.major())),
        Err(error) => findings.push(unreachable(&error)),
    }
    let node = (info.get("cluster_enabled") == "1")
        .then(|| connection.text("CLUSTER MYID", patience).ok())
        .flatten()
        .filter(|node| !node.is_empty());
    (findings, Some(Learned { info, node }))
}

/// Explains why a server that was reached says nothing of itself.
fn not_told(endpoint: &Endpoint, error: &Error) -> Finding {
    if error.message().contains("NOPERM") {
        return privileges(endpoint, &["info"], 7);
    }
    let finding = Finding::from_error(error, FindingCode::ServerUnreachable);
    if error.message().contains("NOAUTH") {
        finding.hint("give the password in `url`: redis://:PASSWORD@HOST")
    } else {
        finding
    }
}

/// Judges what a server says of itself.
fn judge(info: &Info) -> Vec<Finding> {
    let refusal = |code, message: String| Finding::refusal(code, message);
    let mut findings = Vec::new();
    if info.get("loading") == "1" {
        findings.push(
            refusal(FindingCode::ServerUnreachable, "the server is still loading its data set (LOADING)".to_owned())
                .hint("wait until it has; `redis-cli INFO persistence` says how far it is"),
        );
    }
    if info.get("role") == "slave" && info.get("master_link_status") != "up" {
        let master = format!("{}:{}", info.get("master_host"), info.get("master_port"));
        let message = format!("the server is a replica that has lost its master {master}: it answers no replication");
        findings
            .push(refusal(FindingCode::PreflightFailed, message).hint("restore the link, or name the master in `url`"));
    }
    if info.get("rdb_last_bgsave_status") == "err" {
        let message = "the server's last background save failed: the one of a capture may fail, too";
        findings
            .push(Finding::warning(FindingCode::PreflightFailed, message).hint(
                "read the server's log: memory for a second process (vm.overcommit_memory), or room on its disk",
            ));
    }
    if info.get("cluster_enabled") == "1" {
        let message = "the server is one node of a cluster: only its own slots are captured";
        findings.push(
            Finding::warning(FindingCode::PreflightFailed, message)
                .hint("declare a source for every master of the cluster"),
        );
    }
    findings
}

/// Returns the commands that the user may not give.
fn missing_privileges(connection: &mut Connection, info: &Info, patience: &Patience) -> Result<Vec<&'static str>> {
    let mut missing = Vec::new();
    let more = (info.major() >= 7).then_some(TRIED_SINCE_7);
    for (privilege, command) in TRIED.into_iter().chain(more) {
        let words: Vec<_> = command.split(' ').map(str::as_bytes).collect();
        match connection.ask(&words, patience)? {
            Reply::Refused(words) if words.starts_with("NOPERM") => missing.push(privilege),
            // Some commands are renamed or left out altogether, most often by those who run servers for others.
            Reply::Refused(words) if words.contains("unknown command") => missing.push(privilege),
            _ => {}
        }
    }
    Ok(missing)
}

/// Names what a user may not do, and how that is granted.
fn privileges(endpoint: &Endpoint, missing: &[&str], major: u32) -> Finding {
    let user = endpoint.user().unwrap_or("default");
    // Before Redis 7 a user may give a command or may not, whatever its first argument.
    let name = |privilege: &&str| match privilege.split_once('|') {
        Some((command, _)) if major < 7 => command.to_owned(),
        _ => (*privilege).to_owned(),
    };
    let mut names: Vec<_> = missing.iter().map(name).collect();
    names.dedup();
    let message = format!("the user {user} may not give, or the server does not know: {}", names.join(", "));
    Finding::refusal(FindingCode::PrivilegeMissing, message).hint(format!(
        "grant it: ACL SETUSER {user} +{}; a hosted server that offers no replication needs its own backup",
        names.join(" +")
    ))
}
