//! Counters that the engine turns and the progress display reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of one piece of work; shared, turned without locks.
#[derive(Debug, Default)]
pub struct Progress {
    bytes: AtomicU64,
    items: AtomicU64,
}

impl Progress {
    /// Creates counters at zero, ready to share.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Adds bytes read from the source, or from the store while reading back.
    pub fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Adds finished files, directories or other items.
    pub fn add_items(&self, items: u64) {
        self.items.fetch_add(items, Relaxed);
    }

    /// Returns the bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Returns the items so far.
    pub fn items(&self) -> u64 {
        self.items.load(Relaxed)
    }
}

/// What the work is about, for the label of its progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A source is captured.
    Capture,
    /// What was stored is read back.
    Verify,
    /// A snapshot is restored.
    Restore,
    /// A repository is checked.
    Check,
    /// A copy is brought up to date.
    Copy,
    /// What nobody needs is removed.
    Prune,
}

/// Hears when work starts and ends; shows it, or does nothing.
pub trait Observer: Send + Sync {
    /// Work named `label` starts and turns `progress`; `expected_bytes` is what it took last time, if known.
    fn started(&self, phase: Phase, label: &str, progress: &Arc<Progress>, expected_bytes: Option<u64>);

    /// The work ended; `outcome` is a word or two for people.
    fn finished(&self, phase: Phase, label: &str, outcome: &str);

    /// Something that the user should read now.
    fn note(&self, text: &str);
}

/// An observer that shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn started(&self, _: Phase, _: &str, _: &Arc<Progress>, _: Option<u64>) {}
    fn finished(&self, _: Phase, _: &str, _: &str) {}
    fn note(&self, _: &str) {}
}
