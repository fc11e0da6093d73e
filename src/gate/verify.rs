//! Reading back what was captured, and publishing what was proved.

use super::capture::Captured;
use super::request::Request;
use super::stored::StoredStreams;
use super::survey::Ready;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::{SnapshotRecord, SourceRecord, Verification, VerifyMode};
use crate::model::progress::{Observer, Phase, Progress};
use crate::model::release_id::ReleaseId;
use crate::repository::id::IdMap;
use crate::repository::pack::BlobType;
use crate::repository::snapshot::Summary;
use crate::repository::verify::{PackEvidence, Verified, verify_index, verify_packs, verify_tree};
use crate::repository::{Id, Indexed, Repository, Snapshot, Workers};
use crate::source::Inspection;
use crate::storage::many::both;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a listing of packs is as good as a new one.
const FRESH: Duration = Duration::from_secs(60);

/// The packs of this run, read back.
pub struct ReadBack {
    evidence: PackEvidence,
    sizes: IdMap<u64>,
    mode: VerifyMode,
}

impl ReadBack {
    /// Returns the bytes that were read from the store.
    pub fn bytes(&self) -> u64 {
        self.evidence.bytes_read()
    }
}

/// The packs of the repository and their sizes, and when they were listed.
#[derive(Debug, Clone)]
pub struct PackList {
    sizes: IdMap<u64>,
    listed: Instant,
}

impl PackList {
    /// Lists the packs.
    ///
    /// # Errors
    /// The store's own.
    pub fn of(repository: &Repository) -> Result<Self> {
        let listed = Instant::now();
        Ok(Self { sizes: repository.pack_sizes()?, listed })
    }

    /// Returns the listing that there is, made anew if it is missing or too old.
    ///
    /// # Errors
    /// The store's own.
    pub fn renewed<'p>(known: &'p mut Option<Self>, repository: &Repository) -> Result<&'p Self> {
        let list = match known.take().filter(Self::is_fresh) {
            Some(fresh) => fresh,
            None => Self::of(repository)?,
        };
        Ok(known.insert(list))
    }

    /// Says whether it is as good as a new one.
    pub fn is_fresh(&self) -> bool {
        self.listed.elapsed() < FRESH
    }

    /// Returns the sizes in bytes.
    pub fn sizes(&self) -> &IdMap<u64> {
        &self.sizes
    }
}

/// Reads back every pack and index file that this run added, and lists what is there, unless `before` says so still.
///
/// # Errors
/// `damaged`, naming what came back as something else; the store's own; a cancellation.
pub fn read_back(
    indexed: &Indexed,
    packs: &[Id],
    mode: VerifyMode,
    before: Option<PackList>,
    observer: &dyn Observer,
    cancel: &Cancel,
) -> Result<ReadBack> {
    let progress = Progress::new();
    let workers = Workers { threads: indexed.repository().readers(), progress: &progress, cancel };
    let read = || match mode {
        VerifyMode::None => Ok(PackEvidence::default()),
        VerifyMode::New | VerifyMode::All => {
            observer.started(Phase::Verify, "read-back", &progress, None);
            let (index, evidence) =
                both(|| verify_index(indexed, packs, &workers), || verify_packs(indexed, packs, &workers));
            let result = evidence.and_then(|evidence| index.map(|()| evidence));
            observer.finished(Phase::Verify, "read-back", if result.is_ok() { "verified" } else { "failed" });
            result
        }
    };
    // A run that added nothing, and was quick, has seen what is there.
    let fresh = before.filter(|before| packs.is_empty() && before.is_fresh());
    let list = || fresh.map_or_else(|| PackList::of(indexed.repository()), Ok);
    let (list, evidence) = both(list, read);
    Ok(ReadBack { evidence: evidence?, sizes: list?.sizes, mode })
}

/// Proves that one captured source can be read back whole, and looks at what came back.
///
/// # Errors
/// `damaged`, naming what is missing or wrong; the store's own; a cancellation.
pub fn prove(
    ready: &Ready<'_>,
    captured: &Captured,
    indexed: &Arc<Indexed>,
    read_back: &ReadBack,
    cancel: &Cancel,
) -> Result<(Verified, Inspection)> {
    let progress = Progress::default();
    let workers = Workers { threads: indexed.repository().readers(), progress: &progress, cancel };
    let root = captured.archived.tree;
    let verified = verify_tree(indexed, root, read_back.mode, &read_back.evidence, &read_back.sizes, &workers)?;
    if read_back.mode != VerifyMode::None && verified.bytes() < captured.archived.bytes && captured.is_stream {
        let message = format!("{} bytes were captured, and {} came back", captured.archived.bytes, verified.bytes());
        return Err(Error::new(ErrorCode::Damaged, message));
    }
    let inspects = captured.is_stream && read_back.mode != VerifyMode::None && ready.source.inspects();
    let inspection = if inspects {
        ready.source.inspect(&ready.context, &StoredStreams::of(indexed, root, cancel)?)?
    } else {
        Inspection::default()
    };
    Ok((verified, inspection))
}

/// A source that can be read back.
pub struct Proved<'a> {
    /// Its name.
    pub source: &'a str,
    /// What was captured.
    pub captured: &'a Captured,
    /// The snapshot that it was compared with.
    pub parent: Option<Id>,
    /// When its capture began.
    pub started_at: Timestamp,
    /// The proof.
    pub verified: &'a Verified,
}

/// Publishes a proved source as a snapshot.
///
/// # Errors
/// `damaged` if the snapshot file came back as something else; the store's own.
pub fn publish(
    request: &Request,
    id: &ReleaseId,
    Proved { source, captured, parent, started_at, verified }: Proved<'_>,
    indexed: &Indexed,
) -> Result<(Verification, SnapshotRecord)> {
    let archived = &captured.archived;
    let tags = tags(request, id, source);
    let snapshot = Snapshot {
        time: started_at,
        parent,
        tree: verified.tree(),
        paths: captured.paths.clone(),
        hostname: request.application.clone(),
        username: String::new(),
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        excludes: captured.excludes.clone(),
        tags: tags.clone(),
        original: None,
        program_version: format!("holdpoint {}", env!("CARGO_PKG_VERSION")),
        summary: Some(Summary {
            backup_start: started_at,
            backup_end: Timestamp::now(),
            files_unmodified: archived.files_unmodified,
            files_new: archived.files_read,
            data_blobs: archived.data_blobs,
            tree_blobs: archived.tree_blobs,
            data_added: archived.bytes_added,
            data_added_packed: archived.bytes_stored,
            total_files_processed: archived.files,
            total_bytes_processed: archived.bytes,
            ..Summary::default()
        }),
    };
    let id = indexed.repository().publish(verified, snapshot)?;
    let tree = verified.tree().to_string();
    let verification = Verification {
        mode: verified.mode(),
        bytes_read: verified.bytes_read(),
        blobs: verified.blobs(),
        digest: format!("sha256:{tree}"),
        finished_at: Timestamp::now(),
    };
    Ok((verification, SnapshotRecord { id: id.to_string(), tree, tags }))
}

fn tags(request: &Request, id: &ReleaseId, source: &str) -> Vec<String> {
    let target = &request.target;
    [
        ("application", request.application.as_str()),
        ("environment", &request.environment),
        ("version", target.version.as_str()),
        ("commit", &target.commit),
        ("release", id.as_str()),
        ("source", source),
    ]
    .map(|(key, value)| format!("{key}={value}"))
    .to_vec()
}

/// Finds the snapshots that a record names, as far as their trees are still in the repository.
pub fn recorded_parents(sources: &[SourceRecord], indexed: &Indexed) -> BTreeMap<String, (Id, Id)> {
    let parent = |source: &SourceRecord| {
        let snapshot = source.snapshot.as_ref()?;
        let (id, tree) = (Id::parse(&snapshot.id).ok()?, Id::parse(&snapshot.tree).ok()?);
        indexed.contains(BlobType::Tree, &tree).then(|| (source.name.clone(), (id, tree)))
    };
    sources.iter().filter_map(parent).collect()
}

/// Finds the newest snapshot of each source of this application and environment, reading all of them.
///
/// # Errors
/// `damaged`, naming a snapshot that cannot be read; the store's own.
pub fn newest_parents(request: &Request, indexed: &Indexed) -> Result<BTreeMap<String, (Id, Id)>> {
    let mut parents = BTreeMap::new();
    for (id, snapshot) in indexed.repository().snapshots()? {
        let ours = snapshot.tag("application") == Some(&request.application)
            && snapshot.tag("environment") == Some(&request.environment);
        if let (true, Some(source)) = (ours, snapshot.tag("source")) {
            // Oldest first: the newest stays.
            parents.insert(source.to_owned(), (id, snapshot.tree));
        }
    }
    Ok(parents)
}
