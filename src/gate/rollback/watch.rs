//! Who is told how a rollback goes, while it goes.

use crate::model::rollback::RollbackPlan;

/// Hears how a rollback goes. Nothing that it does may stop or delay the rollback, so it says nothing back, and does at
/// once only what cannot fail.
pub trait Watcher {
    /// The environment is frozen and the journal is open: from now on it can be gone on with.
    fn began(&self, plan: &RollbackPlan);

    /// The step at place `number` of the plan, counted from 0, has come to the state that it has there now.
    fn stepped(&self, plan: &RollbackPlan, number: usize);
}
