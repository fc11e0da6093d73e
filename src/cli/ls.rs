//! `ls`: the files of a snapshot.

use super::options::Format;
use super::output;
use super::reconcile::stored_manifest;
use super::repository::Bare;
use super::session::Session;
use crate::error::{ExitCode, Result};
use crate::gate::restore::{find_snapshot, find_source};
use crate::ledger::Ledger;
use crate::repository::tree::{Node, NodeType};
use crate::repository::{Id, Indexed, Snapshot, ls, mode};
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Which snapshot is listed.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The snapshot: its id, the beginning of it, or latest
    #[arg(long, value_name = "ID", default_value = "latest")]
    pub snapshot: String,
    /// The source of a release, instead of a snapshot
    #[arg(long, value_name = "SOURCE", conflicts_with_all = ["snapshot", "repository"])]
    pub source: Option<String>,
    /// The release of the source, or the beginning of its id [default: the environment's newest]
    #[arg(long, value_name = "ID", requires = "source")]
    pub id: Option<String>,
    /// List only what lies below PATH in the snapshot
    #[arg(value_name = "PATH", default_value = "/")]
    pub path: PathBuf,
    /// Show type, permissions, owner, size and time
    #[arg(short, long)]
    pub long: bool,
    /// A bare repository.
    #[command(flatten)]
    pub bare: Bare,
}

#[derive(Debug, Serialize)]
struct Document {
    schema_version: u32,
    command: &'static str,
    exit_code: u8,
    snapshot: String,
    nodes: Vec<NodeDocument>,
}

#[derive(Debug, Serialize)]
struct NodeDocument {
    path: String,
    #[serde(rename = "type")]
    kind: NodeType,
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: jiff::Timestamp,
}

/// Runs `ls`.
pub fn run(session: &Session, options: &Options) -> anyhow::Result<ExitCode> {
    let repository = options.bare.open(session)?;
    let indexed = repository.index(&session.cancel)?;
    let (id, snapshot) = pick(session, options, &indexed)?;
    if !session.global.quiet && session.format() == Format::Text {
        // Which of several snapshots is the latest is not to be guessed.
        let taken = snapshot.time.strftime("%Y-%m-%d %H:%M:%S UTC");
        let source = snapshot.tags.iter().find_map(|tag| tag.strip_prefix("source=")).map(|name| format!(" of {name}"));
        output::note(&format!("snapshot {}{}, taken {taken}", id.short(), source.unwrap_or_default()));
    }
    let (root, prefix) = match ls::find(&indexed, snapshot.tree, &options.path)? {
        ls::Found::Root(root) => (root, PathBuf::from("/")),
        ls::Found::Node(node) => match node.subtree {
            Some(tree) => (tree, Path::new("/").join(&options.path)),
            None => {
                let one = [(options.path.clone(), *node)];
                print(session, options, id, &one)?;
                return Ok(ExitCode::Pass);
            }
        },
    };
    let mut nodes = Vec::new();
    ls::list(&indexed, root, &prefix, &session.cancel, &mut |path: &Path, node: &Node| {
        nodes.push((path.to_owned(), node.clone()));
        Ok(())
    })?;
    print(session, options, id, &nodes)?;
    Ok(ExitCode::Pass)
}

fn pick(session: &Session, options: &Options, indexed: &Indexed) -> Result<(Id, Snapshot)> {
    let Some(source) = &options.source else { return find_snapshot(indexed, &options.snapshot) };
    let manifest = stored_manifest(&session.ledger()?, options.id.as_deref(), Ledger::last_passed)?;
    let record = find_source(&manifest, source)?;
    find_snapshot(indexed, record.snapshot.as_ref().map_or("", |snapshot| snapshot.id.as_str()))
}

fn print(session: &Session, options: &Options, snapshot: Id, nodes: &[(PathBuf, Node)]) -> Result<()> {
    if session.format() == Format::Json {
        let node = |(path, node): &(PathBuf, Node)| NodeDocument {
            path: path.display().to_string(),
            kind: node.kind,
            mode: mode::to_posix(node.mode),
            uid: node.uid,
            gid: node.gid,
            size: node.size,
            mtime: node.mtime,
        };
        let nodes = nodes.iter().map(node).collect();
        let snapshot = snapshot.to_string();
        return output::print_json(&Document { schema_version: 1, command: "ls", exit_code: 0, snapshot, nodes });
    }
    let mut text = String::new();
    for (path, node) in nodes {
        // A name may hold control characters; they must not reach a terminal.
        let path = path.display().to_string().replace(char::is_control, "\u{fffd}");
        if options.long {
            let mode = mode::to_posix(node.mode);
            let time = node.mtime.strftime("%Y-%m-%d %H:%M:%S");
            let kind = kind_letter(node.kind);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{kind}{mode:04o} {:>6} {:>6} {:>12} {time} {path}", node.uid, node.gid, node.size);
        } else {
            let _ = writeln!(text, "{path}");
        }
    }
    output::print(&text)
}

fn kind_letter(kind: NodeType) -> char {
    match kind {
        NodeType::File => '-',
        NodeType::Dir => 'd',
        NodeType::Symlink => 'l',
        NodeType::Dev => 'b',
        NodeType::CharDev => 'c',
        NodeType::Fifo => 'p',
        NodeType::Socket => 's',
        NodeType::Irregular => '?',
    }
}
