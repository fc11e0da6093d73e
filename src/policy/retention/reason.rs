//! Why a release stays.

use crate::model::release_id::ReleaseId;
use std::fmt;

/// Why a release keeps its snapshots.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It is the release that runs, or that is believed to run.
    Live,
    /// Its pass may still be used.
    PassIsFresh,
    /// Somebody holds it.
    Held(String),
    /// Its rollback began and did not end.
    RollbackBegan,
    /// It is one of the newest deployments that can be undone.
    Target,
    /// It is one of the newest that passed.
    FloorReleases,
    /// It is too young.
    FloorAge,
    /// Nothing newer holds this source.
    NewestOf(String),
    /// `keep_last`.
    Last,
    /// `keep_within`.
    Within,
    /// `keep_daily`.
    Daily,
    /// `keep_weekly`.
    Weekly,
    /// `keep_monthly`.
    Monthly,
    /// `keep_yearly`.
    Yearly,
    /// `[policy.SEVERITY] keep_for`.
    KeepFor(&'static str),
    /// This release, which is kept, needs what it holds.
    NeededBy(ReleaseId),
    /// This newer record cannot be read: it may need what this one holds.
    Unreadable(ReleaseId),
    /// This older record cannot be read: its rollback may have saved this one.
    MaySave(ReleaseId),
    /// The store keeps something of it from being deleted; it says until when.
    Locked(String),
    /// It was not among those that somebody was shown and agreed to.
    NotShown,
    /// No rule says what is kept.
    NoRule,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live => f.write_str("it runs, as far as is known"),
            Self::PassIsFresh => f.write_str("its pass may still be used"),
            Self::Held(reason) => write!(f, "held: {reason}"),
            Self::RollbackBegan => f.write_str("its rollback began and did not end"),
            Self::Target => f.write_str("retention.keep_targets"),
            Self::FloorReleases => f.write_str("retention.floor.releases"),
            Self::FloorAge => f.write_str("retention.floor.age"),
            Self::NewestOf(source) => write!(f, "the newest snapshot of {source}"),
            Self::Last => f.write_str("retention.keep_last"),
            Self::Within => f.write_str("retention.keep_within"),
            Self::Daily => f.write_str("retention.keep_daily"),
            Self::Weekly => f.write_str("retention.keep_weekly"),
            Self::Monthly => f.write_str("retention.keep_monthly"),
            Self::Yearly => f.write_str("retention.keep_yearly"),
            Self::KeepFor(severity) => write!(f, "policy.{severity}.keep_for"),
            Self::NeededBy(release) => write!(f, "{release} leans on it"),
            Self::Unreadable(release) => write!(f, "{release} is newer, cannot be read, and may lean on it"),
            Self::MaySave(release) => write!(f, "{release} cannot be read, and its rollback may have saved it"),
            Self::Locked(why) => f.write_str(why),
            Self::NotShown => f.write_str("it was not in the plan that was shown"),
            Self::NoRule => f.write_str("no rule says what is kept"),
        }
    }
}

impl Reason {
    /// Says whether it keeps what is there of a release that is marked as let go, too. It was marked by mistake then, or
    /// by somebody who means harm: whoever marks a release does so after a look at all of these.
    pub(super) fn outlives_the_mark(&self) -> bool {
        matches!(self, Self::Held(_) | Self::Live | Self::RollbackBegan | Self::Unreadable(_) | Self::MaySave(_))
    }

    /// Says whether it keeps a release even in an environment that is emptied.
    pub(super) fn outlives_the_environment(&self) -> bool {
        matches!(self, Self::Held(_) | Self::Locked(_) | Self::NotShown)
    }
}
