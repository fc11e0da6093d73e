//! What has to be copied, found out before anything is; then done.

use super::super::archive::StoredPacks;
use super::super::blobs::Indexed;
use super::super::files::FileType;
use super::super::id::{Id, IdMap};
use super::super::index::IndexFile;
use super::super::lock::LockGuard;
use super::super::pack::{self, BlobType};
use super::super::parallel::Workers;
use super::{Route, Tally, Trust};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::storage::transfer::conflict;
use crate::storage::{Class, ReadFrom, SharedStorage};
use jiff::Timestamp;

/// What is done with one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Send,
    ReadBack,
}

#[derive(Debug)]
struct Job {
    kind: FileType,
    id: Id,
    class: Class,
    size: u64,
    work: Work,
    /// Whether the copy was never whole with it.
    is_new: bool,
}

/// Packs, index files and snapshots that have to be copied or read back, in this order.
#[derive(Debug)]
pub struct CopyPlan {
    stages: [Vec<Job>; 3],
}

impl CopyPlan {
    /// Compares a repository with its copy. What needs no work is counted in `tally`.
    ///
    /// # Errors
    /// `damaged`, naming an index file; the storages' own; a cancellation.
    pub fn make(indexed: &Indexed, to: &SharedStorage, trust: &Trust, tally: &Tally, cancel: &Cancel) -> Result<Self> {
        let source = indexed.repository();
        let comparison = Comparison { to, trust, tally };
        let listed = |kind| Ok::<_, Error>(source.list(kind)?.into_iter().map(|(id, size)| (id, size, Class::Record)));
        let snapshots = listed(FileType::Snapshot)?;
        let index: Vec<_> = listed(FileType::Index)?.collect();
        let packs = packs(indexed, &index, cancel)?;
        let stored = source.pack_sizes()?;
        let whole = |id: &Id, size: u64| {
            let why = match stored.get(id) {
                Some(stored) if *stored == size => return None,
                Some(stored) => {
                    format!("the pack {id} in {} has {stored} bytes, and should have {size}", source.location())
                }
                None => format!("the pack {id} is missing in {}", source.location()),
            };
            Some(Error::new(ErrorCode::Damaged, why).hint("run `holdpoint check` on the store that is copied"))
        };
        cancel.check()?;
        Ok(Self {
            stages: [
                comparison.jobs(FileType::Pack, packs.into_iter(), whole)?,
                comparison.jobs(FileType::Index, index.into_iter(), |_, _| None)?,
                comparison.jobs(FileType::Snapshot, snapshots, |_, _| None)?,
            ],
        })
    }

    /// Returns the snapshots with which the copy was never whole.
    pub fn arrivals(&self) -> Vec<Id> {
        let [.., snapshots] = &self.stages;
        snapshots.iter().filter(|job| job.is_new).map(|job| job.id).collect()
    }

    /// Returns the packs and index files that are sent.
    pub fn sent(&self) -> StoredPacks {
        let [packs, index_files, _] = &self.stages;
        let sent = |jobs: &[Job]| jobs.iter().filter(|job| job.work == Work::Send).map(|job| job.id).collect();
        let bytes = packs.iter().filter(|job| job.work == Work::Send).map(|job| job.size).sum();
        StoredPacks { packs: sent(packs), index_files: sent(index_files), bytes }
    }

    /// Returns how many bytes will be read from the source or from the copy.
    pub fn bytes(&self) -> u64 {
        self.stages.iter().flatten().map(|job| job.size).sum()
    }

    /// Copies and reads back, a stage at a time; what was written is listed back before the next stage refers to it. Once
    /// there is a problem nothing more is written after the stage that met it, for it might refer to what is not there. `lock`
    /// is the one at the copy: once it is lost, others may remove what was sent.
    ///
    /// # Errors
    /// `lease-lost`, the storages' own; a cancellation. What is damaged is a problem in `tally`.
    pub fn perform(
        &self,
        indexed: &Indexed,
        to: &SharedStorage,
        lock: &LockGuard,
        tally: &Tally,
        workers: &Workers<'_>,
    ) -> Result<()> {
        let route = Route { source: indexed.repository(), to };
        for jobs in &self.stages {
            let writes = tally.is_sound();
            if writes && jobs.iter().any(|job| job.work == Work::Send) {
                lock.confirm()?;
            }
            workers.each(
                jobs,
                || Ok(()),
                |(), job| {
                    job.perform(&route, writes, tally)?;
                    workers.progress.add_bytes(job.size);
                    workers.progress.add_items(1);
                    Ok(())
                },
            )?;
            if writes {
                list_back(to, jobs, tally)?;
            }
        }
        Ok(())
    }
}

impl Job {
    fn perform(&self, route: &Route<'_>, writes: bool, tally: &Tally) -> Result<()> {
        let Self { kind, id, class, size, work, .. } = self;
        match work {
            Work::Send if !writes => {}
            Work::Send => {
                if tally.collect(route.send(*kind, id, *class))?.is_some() {
                    tally.sent(*size);
                }
            }
            Work::ReadBack => {
                if tally.collect(route.read_back(*kind, id))?.is_some() {
                    tally.read_back(*size);
                }
            }
        }
        Ok(())
    }
}

/// Makes sure that the copy lists what was written to it.
fn list_back(to: &SharedStorage, jobs: &[Job], tally: &Tally) -> Result<()> {
    let Some(Job { kind, .. }) = jobs.iter().find(|job| job.work == Work::Send).filter(|_| tally.is_sound()) else {
        return Ok(());
    };
    let there = entries(to, *kind)?;
    for Job { id, size, .. } in jobs {
        if there.get(id).is_none_or(|(found, _)| found != size) {
            let message = format!("{} lost the {} {id} that it took", to.location(), kind.noun());
            let hint = "find out what else writes there, or what becomes of what it takes: `holdpoint doctor`";
            tally.count(|report| report.problems.push(Error::new(ErrorCode::Damaged, message).hint(hint)));
        }
    }
    Ok(())
}

struct Comparison<'a> {
    to: &'a SharedStorage,
    trust: &'a Trust,
    tally: &'a Tally,
}

impl Comparison<'_> {
    /// Compares the files of a type; `lacks` says what is wrong with a file of the source that would be sent.
    fn jobs(
        &self,
        kind: FileType,
        source: impl Iterator<Item = (Id, u64, Class)>,
        lacks: impl Fn(&Id, u64) -> Option<Error>,
    ) -> Result<Vec<Job>> {
        let mut there = entries(self.to, kind)?;
        let mut jobs = Vec::new();
        for (id, size, class) in source {
            let (work, is_new) = match there.remove(&id) {
                None => match lacks(&id, size) {
                    Some(problem) => {
                        self.tally.count(|report| report.problems.push(problem));
                        continue;
                    }
                    None => (Work::Send, true),
                },
                Some((found, _)) if found != size => {
                    let what = format!("has {found} bytes, and should have {size}");
                    let problem = conflict(&**self.to, &kind.key(&id), &what);
                    self.tally.count(|report| report.problems.push(problem));
                    continue;
                }
                Some((_, modified)) if self.trust.holds(modified) => {
                    self.tally.count(|report| report.present += 1);
                    continue;
                }
                Some((_, modified)) => (Work::ReadBack, !self.trust.was_whole(modified)),
            };
            jobs.push(Job { kind, id, class, size, work, is_new });
        }
        self.tally.count(|report| report.extra += there.len() as u64);
        if self.trust.nothing {
            let (class, work, is_new) = (Class::Record, Work::ReadBack, false);
            let extra = |(id, (size, _))| Job { kind, id, class, size, work, is_new };
            jobs.extend(there.into_iter().map(extra));
        }
        Ok(jobs)
    }
}

/// Lists the files of a type in a copy: their sizes, and when they were written.
pub(super) fn entries(storage: &SharedStorage, kind: FileType) -> Result<IdMap<(u64, Timestamp)>> {
    let entries = storage.list(kind.folder())?.into_iter();
    let named = entries.filter_map(|entry| {
        let id = Id::parse(entry.key.rsplit('/').next()?).ok()?;
        Some((id, (entry.size, entry.modified)))
    });
    Ok(named.collect())
}

/// Returns every pack that an index file lists, its size, and how it is kept. Packs in no index are left where they are:
/// nothing refers to them.
fn packs(indexed: &Indexed, index: &[(Id, u64, Class)], cancel: &Cancel) -> Result<Vec<(Id, u64, Class)>> {
    let mut packs: IdMap<(u64, Class)> = indexed.with_index(|index| {
        // A pack all of whose blobs are looked up elsewhere is kept as what has to be at hand.
        let mut classes = vec![None; index.packs().count()];
        for (number, blob) in index.blobs() {
            if let Some(class) = classes.get_mut(number.position()) {
                let holds_trees = blob.kind == BlobType::Tree || *class == Some(Class::Record);
                *class = Some(if holds_trees { Class::Record } else { Class::Data });
            }
        }
        let class = |position: usize| classes.get(position).copied().flatten().unwrap_or(Class::Record);
        index.packs().map(|(number, pack)| (pack.id, (pack.size, class(number.position())))).collect()
    });
    // Index files that came since the index was read.
    for (id, _, _) in index.iter().filter(|(id, _, _)| !indexed.was_loaded(id)) {
        cancel.check()?;
        let read = indexed.repository().load_json::<IndexFile>(FileType::Index, id, ReadFrom::Anywhere)?;
        for pack in read.into_iter().flat_map(|file| file.packs) {
            let blobs = pack.locations();
            let holds_data = blobs.iter().all(|blob| blob.kind == BlobType::Data);
            let class = if holds_data { Class::Data } else { Class::Record };
            packs.entry(pack.id).or_insert((pack::size(&blobs), class));
        }
    }
    let mut packs: Vec<_> = packs.into_iter().map(|(id, (size, class))| (id, size, class)).collect();
    packs.sort_unstable_by_key(|(id, _, _)| *id);
    Ok(packs)
}
