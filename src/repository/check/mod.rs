//! Checking a repository: every problem is collected, none ends the check.

mod hidden;
mod locks;
mod report;

pub use hidden::file_of;
pub use report::{CheckReport, Counts, Locked, Problem, ProblemKind};

use super::Repository;
use super::blobs::{BlobOpener, Indexed};
use super::files::{FileType, altered};
use super::id::{Id, IdMap, IdSet};
use super::index::{Index, IndexFile};
use super::keyfile::KeyFile;
use super::parallel::Workers;
use super::snapshot::Snapshot;
use super::tree::Tree;
use super::trees::TreeReader;
use super::verify::{NeededPacks, blobs_per_pack, check_size, compare, few, read_pack};
use crate::error::{Error, ErrorCode, Result};
use crate::storage::many::ask_all;
use crate::storage::{Hidden, ReadFrom};
use report::Collector;

/// Checks a repository: key files, index files, snapshots and their trees are read, and the packs compared with the index
/// by their sizes; with `read_data` every pack is read too. The progress counts the bytes and packs that are read.
///
/// # Errors
/// `store-unavailable`; a cancellation. Damage is no error: it is in the report.
pub fn check(repository: &Repository, read_data: bool, workers: &Workers<'_>) -> Result<CheckReport> {
    let collector = Collector::default();
    let mut check = Check { repository, workers, collector: &collector, hidden: Vec::new() };
    check.find_hidden()?;
    check.config()?;
    check.keys()?;
    let indexed = check.index()?;
    let sizes = repository.pack_sizes()?;
    check.packs(&indexed, &sizes)?;
    let snapshots = check.snapshots(&indexed, &sizes)?;
    check.overwritten_packs()?;
    check.locks(&indexed, &snapshots, &sizes)?;
    if read_data {
        check.data(&indexed, &sizes)?;
    }
    check.tell_hidden();
    let hidden = std::mem::take(&mut check.hidden);
    Ok(CheckReport { hidden, ..collector.into_report() })
}

struct Check<'a> {
    repository: &'a Repository,
    workers: &'a Workers<'a>,
    collector: &'a Collector,
    /// What the store holds of this repository without showing it.
    hidden: Vec<Hidden>,
}

impl Check<'_> {
    /// Turns damage into a problem, and hands on what keeps the check itself from going on.
    fn collect<T>(&self, kind: ProblemKind, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if matches!(error.code(), ErrorCode::Damaged | ErrorCode::ForeignRepository) => {
                self.collector.problem(kind, error.chain());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The config was read when the repository was opened; what is stored now must be the same.
    fn config(&self) -> Result<()> {
        let stored = self.repository.storage().get(super::CONFIG, ReadFrom::Medium)?;
        let damaged = |what: &str| Error::new(ErrorCode::Damaged, format!("the config {what}"));
        let compare = || {
            let mut sealed = stored.ok_or_else(|| damaged("is missing"))?;
            let key = self.repository.key();
            let plain = key.open(&mut sealed).map_err(|error| damaged("was altered or cut").caused_by(error))?;
            let config = super::config::RepositoryConfig::parse(plain)?;
            if config == *self.repository.config() { Ok(()) } else { Err(damaged("changed meanwhile")) }
        };
        self.collect(ProblemKind::Config, self.with_way_back(super::CONFIG, compare())).map(drop)
    }

    fn keys(&self) -> Result<()> {
        for (id, _) in self.repository.list(FileType::Key)? {
            let file = self.repository.read_file(FileType::Key, &id, ReadFrom::Medium);
            let parsed = file.and_then(|file| {
                // One that was removed since it was listed is not there.
                let Some(file) = file else { return Ok(()) };
                let parsed = serde_json::from_slice::<KeyFile>(&file);
                parsed.map(drop).map_err(|error| altered(FileType::Key, &id).caused_by(error))
            });
            self.collector.count(|counts| counts.keys += 1);
            self.collect(ProblemKind::Key, self.with_way_back(&FileType::Key.key(&id), parsed))?;
        }
        Ok(())
    }

    /// Reads every index file that can be read.
    fn index(&self) -> Result<Indexed> {
        let mut index = Index::default();
        let (mut loaded, mut listed) = (IdSet::default(), IdSet::default());
        let ids = self.repository.list(FileType::Index)?;
        let width = self.workers.threads;
        // A few at a time: an index file takes several times its size while it is read.
        for ids in ids.chunks(width.max(1) * 2) {
            let files = ask_all(width, ids, self.workers.cancel, |(id, _)| {
                self.collector.count(|counts| counts.index_files += 1);
                let file = self.repository.load_json::<IndexFile>(FileType::Index, id, ReadFrom::Medium);
                let file = self.with_way_back(&FileType::Index.key(id), file);
                Ok((*id, self.collect(ProblemKind::Index, file)?.flatten()))
            })?;
            for (id, file) in files {
                let Some(file) = file else { continue };
                for pack in &file.packs {
                    if !listed.insert(pack.id) {
                        self.collector.note(format!("the pack {} is in more than one index file", pack.id));
                        continue;
                    }
                    index.add(pack.id, &pack.locations())?;
                }
                loaded.insert(id);
            }
        }
        Ok(Indexed::new(self.repository.clone(), index, loaded))
    }

    /// Compares the packs in the index with those in the store.
    fn packs(&self, indexed: &Indexed, sizes: &IdMap<u64>) -> Result<()> {
        let packs: IdMap<u64> =
            indexed.with_index(|index| index.packs().map(|(_, pack)| (pack.id, pack.size)).collect());
        self.collector.count(|counts| counts.packs = sizes.len() as u64);
        for (id, size) in &packs {
            let checked = self.with_way_back(&FileType::Pack.key(id), check_size(id, *size, sizes));
            self.collect(ProblemKind::Pack, checked)?;
        }
        for id in sizes.keys().filter(|id| !packs.contains_key(id)) {
            self.collector.note(format!("the pack {id} is in no index, as an interrupted run leaves it: harmless"));
        }
        Ok(())
    }

    /// Reads every snapshot and the trees below them; returns the snapshots that can be read.
    fn snapshots(&self, indexed: &Indexed, sizes: &IdMap<u64>) -> Result<Vec<(Id, Snapshot)>> {
        let ids = self.repository.list(FileType::Snapshot)?;
        let found = ask_all(self.workers.threads, &ids, self.workers.cancel, |(id, _)| {
            self.collector.count(|counts| counts.snapshots += 1);
            let snapshot = self.repository.load_json::<Snapshot>(FileType::Snapshot, id, ReadFrom::Medium);
            let snapshot = self.with_way_back(&FileType::Snapshot.key(id), snapshot);
            Ok(self.collect(ProblemKind::Snapshot, snapshot)?.flatten().map(|snapshot| (*id, snapshot)))
        })?;
        let snapshots: Vec<_> = found.into_iter().flatten().collect();
        let roots: Vec<Id> = snapshots.iter().map(|(_, snapshot)| snapshot.tree).collect();
        let needed = NeededPacks::new(indexed, sizes);
        let reader = TreeReader::new(indexed, ReadFrom::Medium);
        reader.walk(&roots, self.workers, |id, tree| match self.collect(ProblemKind::Tree, tree)? {
            Some(tree) => self.tree(indexed, &needed, id, &tree),
            None => Ok(()),
        })?;
        self.workers.progress.add_bytes(reader.bytes_read());
        Ok(snapshots)
    }

    fn tree(&self, indexed: &Indexed, needed: &NeededPacks<'_>, id: &Id, tree: &Tree) -> Result<()> {
        self.collector.count(|counts| counts.trees += 1);
        let sorted = tree.nodes.windows(2).all(|pair| matches!(pair, [one, two] if one.name < two.name));
        if !sorted {
            let message = format!("the names in the tree {id} are not sorted, or one occurs twice");
            self.collector.problem(ProblemKind::Tree, message);
        }
        for node in &tree.nodes {
            let checked = indexed.with_index(|index| needed.check_node(index, node));
            let checked = checked.map_err(|error| {
                Error::new(error.code(), format!("in the tree {id}: {:?}", node.name)).caused_by(error)
            });
            if let Some(Some(size)) = self.collect(ProblemKind::Tree, checked)? {
                self.collector.count(|counts| {
                    counts.files += 1;
                    counts.bytes += size;
                });
            }
        }
        Ok(())
    }

    /// Reads every pack in the store, in an index or not.
    fn data(&self, indexed: &Indexed, sizes: &IdMap<u64>) -> Result<()> {
        let mut packs: Vec<Id> = sizes.keys().copied().collect();
        packs.sort_unstable();
        let expected = indexed.with_index(|index| blobs_per_pack(index, &packs));
        let known: IdSet = indexed.with_index(|index| index.packs().map(|(_, pack)| pack.id).collect());
        let state = || Ok((BlobOpener::new(self.repository)?, Vec::new()));
        few(self.workers).each(&packs, state, |(opener, plain), id| {
            let read = read_pack(self.repository, opener, plain, id);
            let Some((bytes, blobs)) = self.collect(ProblemKind::Pack, read)? else { return Ok(()) };
            if known.contains(id) {
                let expected = expected.get(id).copied().unwrap_or(0);
                let compared = indexed.with_index(|index| compare(index, id, &blobs, expected));
                self.collect(ProblemKind::Index, compared)?;
            }
            self.collector.count(|counts| {
                counts.blobs += blobs.len() as u64;
                counts.bytes_read += bytes;
            });
            self.workers.progress.add_bytes(bytes);
            self.workers.progress.add_items(1);
            Ok(())
        })
    }
}
