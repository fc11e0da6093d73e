//! What a search through the ledger could not see: records that cannot be read, and releases that it did not come to.

use crate::ledger::Search;
use crate::model::finding::{Finding, FindingCode, Level};

/// What was looked for in the ledger, in words.
#[derive(Debug, Clone, Copy)]
pub struct Sought<'a> {
    /// What none of the newest releases did, such as `passed`.
    pub none: &'a str,
    /// What follows from it.
    pub so: &'a str,
    /// What to do about it.
    pub hint: &'a str,
    /// How much that weighs.
    pub level: Level,
}

/// Says what a search could not see: one finding for each record that cannot be read, and one if it ended too early.
pub fn findings<T>(search: &Search<T>, sought: Sought<'_>) -> Vec<Finding> {
    let unreadable = search.unreadable.iter().map(|record| {
        let message = format!("release {} cannot be read: {}", record.id, record.error.chain());
        Finding::warning(FindingCode::LedgerDamaged, message)
    });
    let cut = search.cut_after.map(|count| {
        let Sought { none, so, hint, level } = sought;
        let message = format!("none of the newest {count} releases {none}, and older ones were not looked at: {so}");
        Finding { level, ..Finding::warning(FindingCode::HistoryCut, message).hint(hint) }
    });
    unreadable.chain(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::survey::compare_with_ledger;
    use crate::ledger::{Ledger, sample};
    use crate::model::manifest::{From, ProbeKind};
    use crate::model::version::{Version, Versioning};
    use crate::storage::LocalStorage;
    use std::sync::Arc;

    #[test]
    fn a_search_that_ended_too_early_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Arc::new(LocalStorage::new(directory.path()).unwrap()));
        ledger.record(&sample::passed("20261120T210000Z-1.3.0-00000000")).unwrap();
        for number in 1..=3 {
            ledger.record(&sample::refused(&format!("20261120T21300{number}Z-1.4.0-0000000{number}"))).unwrap();
        }
        let sought =
            Sought { none: "passed", so: "sizes are compared with nothing", hint: "see", level: Level::Warning };
        let told = |ledger: &Ledger| findings(&ledger.last_passed().unwrap(), sought);
        assert_eq!(told(&ledger), []);
        let cut = told(&ledger.clone().searching_within(3));
        let message =
            "none of the newest 3 releases passed, and older ones were not looked at: sizes are compared with nothing";
        assert_eq!(cut, [Finding::warning(FindingCode::HistoryCut, message).hint("see")]);

        let mut from = From {
            version: Some(Version::parse("1.3.0", Versioning::Semver).unwrap()),
            commit: None,
            observed_at: None,
            probe: ProbeKind::Given,
            instances: Vec::new(),
        };
        assert_eq!(compare_with_ledger(&mut from, &ledger).unwrap(), []);
        let cut = compare_with_ledger(&mut from, &ledger.searching_within(3)).unwrap();
        // A ledger in which nothing was ever reconciled is no reason to warn.
        assert_eq!(
            cut.iter().map(|finding| (finding.code, finding.level)).collect::<Vec<_>>(),
            [(FindingCode::HistoryCut, Level::Info)]
        );
    }
}
