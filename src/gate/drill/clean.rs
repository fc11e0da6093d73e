//! Removing everything that a drill made, and looking whether anything is left.

use super::super::leftovers::{User, end_users, remove_tree};
use super::place::Place;
use super::run::Run;
use crate::error::Error;
use crate::model::finding::{Finding, FindingCode};
use std::path::Path;

impl Run<'_> {
    /// Removes every place, side by side, and looks whether anything is left.
    pub(super) fn remove(&self, places: Vec<Place>) {
        let left: Vec<Finding> = std::thread::scope(|scope| {
            let remove = |place: Place| {
                let name = place.source.clone();
                scope.spawn(move || place.remove().err().map(|error| left_behind(&error).of_source(name)))
            };
            let threads: Vec<_> = places.into_iter().map(remove).collect();
            let panicked = || Some(Finding::refusal(FindingCode::DrillLeftBehind, "the removal of a place panicked"));
            threads.into_iter().filter_map(|thread| thread.join().unwrap_or_else(|_| panicked())).collect()
        });
        self.find(left);
        self.find(clean(self.scratch.path()));
    }
}

/// Empties a private directory and ends what was started for it; says what had to be ended, and what is left.
pub(super) fn clean(scratch: &Path) -> Vec<Finding> {
    let (ended, left) = end_users(scratch);
    let names = |users: &[User]| users.iter().map(|user| user.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut findings = Vec::new();
    if !ended.is_empty() {
        let message = format!("{} had to be ended: nobody had stopped it", names(&ended));
        findings.push(
            Finding::warning(FindingCode::DrillLeftBehind, message)
                .hint("a check's program must end what it starts in a session of its own"),
        );
    }
    if !left.is_empty() {
        let message = format!("{} still uses {}", names(&left), scratch.display());
        findings
            .push(Finding::refusal(FindingCode::DrillLeftBehind, message).hint("end it, then remove the directory"));
    }
    if let Err(error) = remove_tree(scratch) {
        findings.push(left_behind(&error));
    }
    findings
}

fn left_behind(error: &Error) -> Finding {
    let hint = error.hints().first().cloned();
    Finding::refusal(FindingCode::DrillLeftBehind, error.chain())
        .hint(hint.unwrap_or_else(|| "remove by hand what is left".to_owned()))
}
