//! The verbs: plan, capture, verify, judge, admit, reconcile, restore, rollback, drill.
//!
//! A run goes one way: [`request`] (what is asked) → [`survey`] (what runs now, what can be captured) → lease →
//! [`capture`] → [`verify`] → [`judge`] → [`copies`] → [`record`] (manifest, ledger). [`supervise`] holds the deadline over all of it.

pub mod admit;
mod ahead;
pub mod approval;
pub mod audit;
mod bases;
pub mod capture;
pub mod copies;
pub mod doctor;
pub mod drill;
mod earlier;
mod estimate;
pub mod glass;
pub mod guard;
mod history;
pub mod judge;
pub mod kept;
mod last_drill;
mod leftovers;
pub mod manifest;
pub mod place;
pub mod plan;
pub mod playbook;
pub mod prune;
pub mod reconcile;
pub mod record;
pub mod request;
pub mod restore;
mod retention;
pub mod rollback;
pub mod ruling;
pub mod run;
pub mod scratch;
mod stand_in;
pub mod standing;
pub mod stored;
pub mod stores;
pub mod supervise;
mod survey;
pub mod verify;
