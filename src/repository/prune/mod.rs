//! Pruning: snapshots are removed, and with them what no other snapshot needs.
//!
//! Planned, then performed in two steps: prepared, then removed. A plan says to the byte what it frees, and performing it does that or nothing that harms: what
//! is kept is written anew and read back before anything is removed, then snapshots go, then the index files that name
//! what goes, then the packs. So a kill at any instant leaves a repository in which nothing refers to what is not there,
//! and the next prune goes on from it.
//!
//! What is needed is what the trees of *all* other snapshots in the repository refer to, whoever wrote them. A snapshot,
//! a tree or a pack of theirs that is damaged or missing ends the plan: nothing is removed by guess.

mod choose;
mod held;
mod index;
mod layout;
mod perform;
mod plan;
mod remove;
mod repack;
mod share;
mod survey;
mod twice;
mod used;

pub use perform::Prepared;
pub use plan::{Left, Plan, Pruned, Totals, Why, plan};

/// How much is done to free space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How much of what is stored may be of no use before packs that are partly needed are written anew.
    pub max_unused: MaxUnused,
    /// How many bytes of packs are written anew at most; the rest is left for the next time.
    pub max_repack: Option<u64>,
}

impl Default for Options {
    /// As restic: at most 5 % of what is stored may be of no use.
    fn default() -> Self {
        Self { max_unused: MaxUnused::Percent(5), max_repack: None }
    }
}

/// How much that is of no use may stay in packs that hold something needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxUnused {
    /// So many hundredths of what is stored afterwards.
    Percent(u8),
    /// So many bytes.
    Bytes(u64),
    /// Any amount: only packs of which nothing is needed go, and nothing is written but index files. For a store that is
    /// almost full.
    Unlimited,
}
