//! Every code has its heading in the documentation, every heading its code, and the exit codes there are right.

mod commands;

use holdpoint::error::ErrorCode;
use holdpoint::model::finding::FindingCode;

/// Returns the headings of a page with the exit code stated below each.
fn headings(page: &str) -> Vec<(String, u8)> {
    let sections = page.split("\n## ").skip(1);
    sections
        .map(|section| {
            let code = section.lines().next().unwrap().to_owned();
            for part in ["- Typical causes: ", "- What to do next: "] {
                assert!(section.contains(part), "{code} lacks `{part}`");
            }
            let exit = section.lines().find_map(|line| line.strip_prefix("- Exit code: "));
            let exit = exit.unwrap_or_else(|| panic!("{code} states no exit code")).parse().unwrap();
            (code, exit)
        })
        .collect()
}

#[test]
fn every_error_code_is_described() {
    let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| (code.as_str().to_owned(), code.exit().number())).collect();
    assert_eq!(headings(include_str!("../../docs/errors.md")), codes);
}

#[test]
fn every_finding_code_is_described() {
    let codes: Vec<_> = FindingCode::ALL.iter().map(|code| (code.as_str().to_owned(), code.exit().number())).collect();
    assert_eq!(headings(include_str!("../../docs/findings.md")), codes);
}
