//! `require = […]`: what a release must have before it may go on.

use super::walk::Value;
use std::collections::BTreeSet;

/// What a release must have, as `require` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// `signed`: the manifest is signed.
    Signed,
    /// `copy`: a second, verified copy in another store.
    Copy,
    /// `immutable`: what the store holds cannot be deleted for a while.
    Immutable,
    /// `owner`: every source says who answers for it.
    Owner,
    /// `coverage`: no database is left without a source.
    Coverage,
    /// `clean-tree`: nothing in the working tree differs from the commit.
    CleanTree,
    /// `signed-tag`: the tag of the version is signed.
    SignedTag,
    /// `ticket`: a change ticket is named.
    Ticket,
    /// `approval`: somebody other than the actor approves.
    Approval,
}

/// Every word of `require`, with what it stands for.
const WORDS: &[(&str, Requirement)] = &[
    ("signed", Requirement::Signed),
    ("copy", Requirement::Copy),
    ("immutable", Requirement::Immutable),
    ("owner", Requirement::Owner),
    ("coverage", Requirement::Coverage),
    ("clean-tree", Requirement::CleanTree),
    ("signed-tag", Requirement::SignedTag),
    ("ticket", Requirement::Ticket),
    ("approval", Requirement::Approval),
];

/// The words alone, for the keys.
pub(super) const REQUIREMENTS: &[&str] =
    &["signed", "copy", "immutable", "owner", "coverage", "clean-tree", "signed-tag", "ticket", "approval"];

impl Requirement {
    /// Returns the word for it, as in `require = ["signed"]`.
    pub fn as_str(self) -> &'static str {
        WORDS.iter().find(|(_, requirement)| *requirement == self).map_or("", |(word, _)| word)
    }
}

/// Reads a list of requirements.
pub(super) fn requirements(value: &Value<'_>) -> BTreeSet<Requirement> {
    let items = value.list().unwrap_or_default();
    items.iter().filter_map(|item| item.choice(WORDS)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_has_its_word() {
        assert_eq!(WORDS.iter().map(|(word, _)| *word).collect::<Vec<_>>(), REQUIREMENTS);
        for (word, requirement) in WORDS {
            assert_eq!(requirement.as_str(), *word);
        }
    }
}
