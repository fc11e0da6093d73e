//! The commented `holdpoint.toml` that `init` writes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What `init` found in the working tree; empty fields are shown as commented examples.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The name of the application.
    pub application: Option<String>,
    /// Directories whose content must be restorable, relative to the file.
    pub directories: Vec<PathBuf>,
    /// SQLite databases, relative to the file.
    pub databases: Vec<PathBuf>,
    /// Servers that left traces.
    pub servers: Vec<FoundServer>,
    /// Names of environments.
    pub environments: Vec<String>,
}

/// A server that left a trace in the working tree or the environment.
#[derive(Debug, Clone)]
pub struct FoundServer {
    /// What it is called.
    pub name: String,
    /// Its kind, where it can be told.
    pub kind: Option<&'static str>,
    /// The variable that holds its URL, if one does.
    pub variable: Option<String>,
    /// Where it was seen, in words.
    pub seen: String,
}

/// Returns the text of a configuration for what was found; [`super::parse`] takes it as it is.
///
/// Paths that are not UTF-8 cannot stand in a TOML file; they are left out, and a comment says so.
pub fn template(found: &Found) -> String {
    let mut text = String::from(HEAD);
    match &found.application {
        Some(name) => line(&mut text, &format!("application = {}", quoted(name))),
        None => line(&mut text, "# application = \"shop\""),
    }
    text.push_str(GENERAL);
    sources(&mut text, found);
    text.push_str(ENVIRONMENTS);
    let default = ["production".to_owned()];
    let environments = if found.environments.is_empty() { default.as_slice() } else { &found.environments };
    for name in environments {
        environment(&mut text, &quoted(name));
    }
    text
}

const HEAD: &str = "\
# holdpoint: no restorable snapshot, no deploy.
# Any string may be { env = \"NAME\" } or { file = \"PATH\" }; relative paths count from this file.

";

const GENERAL: &str = "\
# versioning = \"semver\"          # \"opaque\" takes any text as a version

# Without a store, snapshots go to .holdpoint/store beside this file: good for a first try, lost with the machine.
# [store]
# location = \"/srv/backups/holdpoint\"   # or a bucket: \"s3://acme-backups/holdpoint\" (docs/stores/s3.md)
# region = \"eu-central-1\"               # of the bucket; credentials come from the environment, a profile or a role
# endpoint = \"https://s3.acme.example\"  # of an S3 server of your own

[gate]
timeout = \"15m\"                 # the deadline of a whole run
verify = \"new\"                  # read back what a run added | \"all\" | \"none\"
retry = { attempts = 3, backoff = \"5s\" }

# Who vouches for a pass, so that the deploy step can demand it (`holdpoint admit`; docs/signing.md).
# [signing]
# key_file = { env = \"HOLDPOINT_SIGNING_KEY\" }          # the gate's secret
# allowed_signers = \"/etc/holdpoint/allowed_signers\"   # where whoever is deployed cannot write

# How much is captured before which kind of release, and what each must have (docs/policy.md). Without rules: everything.
# [policy.patch]
# scope = \"changed\"               # sources whose `when_changed` matches what changed since the deployed commit
# reuse_within = \"1h\"             # a verified snapshot this young need not be taken again
# [policy.major]
# require = [\"signed\", \"approval\"]
# drill_within = \"30d\"

# Which releases keep their snapshots when `holdpoint prune` runs (docs/retention.md).
# [retention]
# keep_last = 20
# keep_monthly = 12

# What must be restorable before a deploy may go on.
";

const ENVIRONMENTS: &str = "
# Where the application is deployed. The probe tells which version runs there; without one, say it by --from.
";

fn sources(text: &mut String, found: &Found) {
    let mut names = Vec::new();
    for server in &found.servers {
        found_server(text, &mut names, server);
    }
    for path in &found.directories {
        source(text, &mut names, path, |path| {
            format!("kind = \"files\"\npaths = [{path}]\n# exclude = [\"cache/**\", \"*.log\"]")
        });
    }
    for path in &found.databases {
        source(text, &mut names, path, |path| format!("kind = \"sqlite\"\npath = {path}"));
    }
    if names.is_empty() {
        text.push_str("# [[source]]\n# name = \"uploads\"\n# kind = \"files\"\n# paths = [\"uploads\"]\n");
    }
    text.push_str(
        "
# [[source]]
# name = \"orders\"
# kind = \"postgres\"               # postgres mysql mariadb redis mongodb sqlite
# url = { env = \"DATABASE_URL\" }
# when_changed = [\"migrations/**\"] # for `scope = \"changed\"`: releases that touch none of these leave it as it is
# expect = { min_bytes = \"1MiB\", max_shrink = \"30%\", min_rows = { orders = 1 } }

# [[source]]
# name = \"directory\"
# kind = \"command\"                # its standard output is the snapshot; there is no shell
# command = [\"slapcat\"]
# restore = [\"slapadd\"]
# env = { LDAPRC = \"/etc/ldap/ldaprc\" }

# Databases that were seen and need no source, by the name of their variable, service or folder.
# [discovery]
# ignore = [\"cache\"]
",
    );
}

fn source(text: &mut String, names: &mut Vec<String>, path: &Path, body: impl Fn(&str) -> String) {
    let Some(plain) = path.to_str().filter(|plain| !plain.contains(char::is_control)) else {
        line(
            text,
            &format!(
                "# left out, because its name cannot be written here: {}",
                path.display().to_string().escape_debug()
            ),
        );
        return;
    };
    let name = unused(names, path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("files"));
    let order = names.len() + 1;
    line(text, &format!("[[source]]\nname = {}\n{}\nrestore_order = {order}\n", quoted(&name), body(&quoted(plain))));
    names.push(name);
}

/// Writes a source for a server: one that works if kind and variable are known, else a commented one.
fn found_server(text: &mut String, names: &mut Vec<String>, server: &FoundServer) {
    line(text, &format!("# Seen: {}.", server.seen.escape_debug()));
    let name = unused(names, &server.name.to_lowercase().replace("_url", ""));
    let order = names.len() + 1;
    match (server.kind, &server.variable) {
        (Some(kind), Some(variable)) => {
            let url = quoted(variable);
            line(
                text,
                &format!(
                    "[[source]]\nname = {}\nkind = \"{kind}\"\nurl = {{ env = {url} }}\nrestore_order = {order}\n",
                    quoted(&name)
                ),
            );
            names.push(name);
        }
        (kind, variable) => {
            let (kind, variable) = (kind.unwrap_or("postgres"), variable.as_deref().unwrap_or("DATABASE_URL"));
            line(
                text,
                &format!(
                    "# [[source]]\n# name = {}\n# kind = \"{kind}\"\n# url = {{ env = {} }}\n",
                    quoted(&name),
                    quoted(variable)
                ),
            );
        }
    }
}

/// Returns a name that no source has yet.
fn unused(names: &[String], wanted: &str) -> String {
    let numbered = (2..).map(|number| format!("{wanted}-{number}"));
    let mut candidates = std::iter::once(wanted.to_owned()).chain(numbered);
    candidates.find(|name| !names.contains(name)).unwrap_or_default()
}

fn environment(text: &mut String, name: &str) {
    line(
        text,
        &format!(
            "[environment.{name}]
# tier = \"critical\"
# rpo = \"1h\"                      # how old the data may be after a restore
# rto = \"30m\"                     # how long a restore may take
# time_zone = \"Europe/Berlin\"     # of its change windows

# [[environment.{name}.window]]
# name = \"office hours\"
# days = [\"mon\", \"tue\", \"wed\", \"thu\"]
# from = \"09:00\"
# to = \"16:00\"

# [environment.{name}.deployed]
# kind = \"http\"                   # http | command | file
# urls = [\"https://shop.example/version\"]
# version = \"/version\"            # a JSON pointer, or header = \"…\", or regex = \"…\"
# commit = \"/commit\"

# [environment.{name}.rollback]
# before = [[\"systemctl\", \"stop\", \"shop\"]]
# redeploy = [\"./deploy.sh\"]
# after = [[\"systemctl\", \"start\", \"shop\"]]
"
        ),
    );
}

fn line(text: &mut String, content: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{content}");
}

/// Writes a string as TOML does, with quotes and escapes.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
