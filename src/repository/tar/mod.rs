//! A tree as one tar archive: pax (POSIX.1-2001), as GNU tar, bsdtar and Python read it.
//!
//! It holds what a restore into a directory would make there, under the same relative paths. Whether every blob is
//! known is looked at before the first byte; each is compared with its id before its bytes are written.

mod header;

use super::blobs::Indexed;
use super::id::Id;
use super::ls;
use super::pack::BlobType;
use super::parallel::Workers;
use super::restore::{Note, Restored, choose};
use super::stream::{Job, Ordered, serve};
use super::tree::{Node, NodeType};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, IoContext, Result};
use crossbeam_channel::{Sender, unbounded};
use header::Member;
use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::path::{Path, PathBuf};

/// How many bytes of files are asked for before they are written, beside the file that is being written.
const AHEAD: u64 = 8 << 20;
/// How many entries are looked at before they are written.
const ENTRIES: usize = 256;
/// Entries are filled up to a multiple of this; two of them, empty, end the archive.
const BLOCK: usize = 512;

/// What goes into an archive: a tree, or some paths of it with the directories above them.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    /// The tree.
    pub root: Id,
    /// The paths; all, if there are none. A leading `/` or `./` makes no difference, and `.` is all.
    pub paths: &'a [PathBuf],
}

impl Selection<'_> {
    /// Calls `visit` with everything that is selected, directories before what they hold; `not-found` if that is nothing.
    fn each(
        &self,
        indexed: &Indexed,
        cancel: &Cancel,
        visit: &mut dyn FnMut(&Path, &Node) -> Result<()>,
    ) -> Result<()> {
        let chosen = choose(self.paths)?;
        for path in self.paths {
            ls::find(indexed, self.root, path)?;
        }
        let mut is_empty = true;
        ls::list(indexed, self.root, Path::new(""), cancel, &mut |path, node| {
            if !chosen.meets(path) {
                return Ok(());
            }
            is_empty = false;
            visit(path, node)
        })?;
        // An archive of nothing must not pass for what was asked for.
        if is_empty && !chosen.is_all() {
            let paths: Vec<_> = self.paths.iter().map(|path| path.display().to_string()).collect();
            return Err(Error::new(ErrorCode::NotFound, format!("the snapshot holds no {}", paths.join(", "))));
        }
        Ok(())
    }
}

/// Writes what is selected to `out` as an archive. The progress counts bytes of files.
///
/// # Errors
/// `not-found`, `damaged`, `store-unavailable`, `io` if `out` fails, a cancellation: what `out` has then is no whole archive, and
/// lacks the end that would make it one.
pub fn write(
    indexed: &Indexed,
    selection: Selection<'_>,
    workers: &Workers<'_>,
    out: &mut dyn Write,
) -> Result<Restored> {
    let (jobs, queue) = unbounded();
    std::thread::scope(|scope| {
        for _ in 0..workers.threads.max(1) {
            let queue = queue.clone();
            scope.spawn(move || serve(indexed, &queue));
        }
        let restored = Restored::default();
        // It owns the sender, so that the threads end with it.
        let mut writer = Writer {
            indexed,
            workers,
            jobs,
            out,
            waiting: VecDeque::new(),
            asked: 0,
            linked: HashMap::new(),
            restored,
        };
        selection.each(indexed, workers.cancel, &mut |path, node| writer.add(path, node))?;
        while writer.write_next()? {}
        writer.end()
    })
}

/// Makes sure that the repository knows every blob of the files that are selected; returns their sizes, added up.
///
/// # Errors
/// `not-found`; `damaged`, naming the file; the store's own; a cancellation.
pub fn size(indexed: &Indexed, selection: Selection<'_>, workers: &Workers<'_>) -> Result<u64> {
    let mut bytes = 0;
    selection.each(indexed, workers.cancel, &mut |path, node| {
        bytes += content_length(indexed, path, node)?;
        Ok(())
    })?;
    Ok(bytes)
}

/// Returns how many bytes the blobs of a file have, whatever its size was stored as.
fn content_length(indexed: &Indexed, path: &Path, node: &Node) -> Result<u64> {
    if node.kind != NodeType::File {
        return Ok(0);
    }
    let Some(blobs) = &node.content else {
        return Err(Error::new(ErrorCode::Damaged, format!("{} has no content", path.display())));
    };
    indexed.with_index(|index| {
        let length = |id| match index.find(BlobType::Data, id) {
            Some((_, blob)) => Ok(blob.plain_length() as u64),
            None => {
                let message = format!("no pack holds the data blob {id} of {}", path.display());
                Err(Error::new(ErrorCode::Damaged, message))
            }
        };
        blobs.iter().map(length).sum()
    })
}

/// An entry that was found and is not written yet.
struct Waiting {
    path: PathBuf,
    node: Node,
    size: u64,
    /// The content of a file, of which the first blobs are on their way.
    blobs: Option<Ordered>,
}

struct Writer<'a, 'o> {
    indexed: &'a Indexed,
    workers: &'a Workers<'a>,
    jobs: Sender<Job>,
    out: &'o mut dyn Write,
    waiting: VecDeque<Waiting>,
    /// The bytes of the files that wait.
    asked: u64,
    /// The first path of every file that has several names.
    linked: HashMap<(u64, u64), PathBuf>,
    restored: Restored,
}

impl Writer<'_, '_> {
    /// Takes an entry, and writes those before it that there is no more room for.
    fn add(&mut self, path: &Path, node: &Node) -> Result<()> {
        let size = content_length(self.indexed, path, node)?;
        while self.asked.saturating_add(size) > AHEAD || self.waiting.len() >= ENTRIES {
            if !self.write_next()? {
                break;
            }
        }
        let known = (node.links > 1).then_some((node.inode, node.device_id));
        let is_link = known.is_some_and(|key| self.linked.contains_key(&key));
        let content = node.content.clone().filter(|_| node.kind == NodeType::File && !is_link);
        let blobs = content
            .map(|content| Ordered::new(content, self.jobs.clone(), self.workers.threads, self.workers.cancel.clone()));
        if let Some(key) = known.filter(|_| node.kind == NodeType::File) {
            self.linked.entry(key).or_insert_with(|| path.to_owned());
        }
        self.asked += size;
        self.waiting.push_back(Waiting { path: path.to_owned(), node: node.clone(), size, blobs });
        Ok(())
    }

    /// Writes the entry that waits longest; returns whether there was one.
    fn write_next(&mut self) -> Result<bool> {
        let Some(Waiting { path, node, size, blobs }) = self.waiting.pop_front() else { return Ok(false) };
        self.asked -= size;
        if !node.error.is_empty() {
            self.note(&path, format!("was not read completely when it was stored: {}", node.error));
        }
        match (node.kind, blobs) {
            (NodeType::File, Some(blobs)) => {
                self.put(&Member { path: &path, node: &node, size, link: None })?;
                self.copy(&path, size, blobs)?;
                self.restored.files += 1;
            }
            (NodeType::File, None) => {
                let first = self.linked.get(&(node.inode, node.device_id)).cloned();
                let first = first
                    .ok_or_else(|| Error::new(ErrorCode::Damaged, format!("{} has no content", path.display())))?;
                self.put(&Member { path: &path, node: &node, size: 0, link: Some(&first) })?;
                self.restored.files += 1;
            }
            (NodeType::Socket | NodeType::Irregular, _) => {
                self.note(&path, "is left out: a socket lives only as long as its program".to_owned());
            }
            (kind, _) => {
                self.restored.dirs += u64::from(kind == NodeType::Dir);
                self.put(&Member { path: &path, node: &node, size: 0, link: None })?;
            }
        }
        self.workers.progress.add_items(1);
        Ok(true)
    }

    fn note(&mut self, path: &Path, message: String) {
        self.restored.notes.push(Note { path: path.to_owned(), message });
    }

    fn put(&mut self, member: &Member<'_>) -> Result<()> {
        let header = member.header();
        self.out.write_all(&header).io_context(cannot)
    }

    fn copy(&mut self, path: &Path, size: u64, mut blobs: Ordered) -> Result<()> {
        let mut written = 0;
        while let Some(blob) = blobs.next() {
            let blob = blob?;
            self.out.write_all(&blob).io_context(cannot)?;
            written += blob.len() as u64;
            self.workers.progress.add_bytes(blob.len() as u64);
        }
        if written != size {
            let message = format!("{} should have {size} bytes, and its content has {written}", path.display());
            return Err(Error::new(ErrorCode::Damaged, message));
        }
        self.restored.bytes += written;
        let padding = usize::try_from(written.next_multiple_of(BLOCK as u64) - written).unwrap_or_default();
        self.out.write_all([0; BLOCK].get(..padding).unwrap_or_default()).io_context(cannot)
    }

    fn end(self) -> Result<Restored> {
        self.out.write_all(&[0; 2 * BLOCK]).and_then(|()| self.out.flush()).io_context(cannot)?;
        Ok(self.restored.anew())
    }
}

fn cannot() -> String {
    "cannot write the archive".to_owned()
}
