//! What a storage can say of itself beyond its objects: whether it is set up for what is asked of it, whether what is
//! locked stays, and what it keeps without showing it.

use jiff::Timestamp;

/// How far to look at the set-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Only at what the settings ask for: no request where they ask for nothing.
    AsAsked,
    /// At everything that could be in the way.
    Everything,
}

/// One thing that makes a storage unfit for what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// What it is.
    pub kind: UnfitKind,
    /// What was found, in one sentence.
    pub message: String,
    /// What to do next.
    pub hint: String,
}

/// Why a storage is unfit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnfitKind {
    /// Locks are asked for, and it has none.
    NoObjectLock,
    /// It locks everything by itself, also what we replace or delete.
    LocksEverything,
    /// It is in a region that is not allowed, or does not say in which it is.
    Region,
}

/// What became of a locked object that was to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockProbe {
    /// Whether it is still there.
    pub held: bool,
    /// Whether our own credentials could lift the lock (governance only).
    pub lifted: bool,
}

/// An object that no listing shows and no read finds, although its bytes are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    /// The key, relative to the storage that was asked.
    pub key: String,
    /// The version that holds the bytes.
    pub version: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, by the storage's clock.
    pub modified: Timestamp,
    /// What hides it.
    pub by: HiddenBy,
}

/// What hides an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HiddenBy {
    /// Delete markers, by their version ids: once they are removed the object is there again.
    Markers(Vec<String>),
    /// A newer version under the same key, by its id.
    Newer(String),
}

impl Hidden {
    /// Says how to bring the object back; `location` is that of the storage that listed it.
    pub fn way_back(&self, location: &str) -> String {
        let Self { key, version, by, .. } = self;
        match by {
            HiddenBy::Markers(markers) => format!(
                "it is not gone but hidden by a delete marker: remove the version {} of {location}/{key}, and the version \
                 {version} is there again",
                markers.join(" and ")
            ),
            HiddenBy::Newer(newer) => format!(
                "the version {version} of {location}/{key} is what was there before the version {newer}: remove the newer \
                 one, or copy the older one over it"
            ),
        }
    }
}
