//! Jenkins: the description of the build.

use super::super::markdown::without_markup;
use super::super::units::plain;
use super::CiReport;

/// The description, in the current directory.
pub const DESCRIPTION_FILE: &str = "holdpoint-description.txt";

/// The longest description in characters, before it is escaped: it stands in the list of builds.
const LONGEST: usize = 300;

/// Returns one line for `currentBuild.description`, without the newline.
///
/// Jenkins may be set to take descriptions for HTML, so what HTML would take for more than text is escaped.
pub fn description(report: &CiReport<'_>) -> String {
    let subject = report.subject().map(|subject| format!("{subject}: ")).unwrap_or_default();
    let text = plain(&format!("holdpoint {}: {subject}{}", report.command, report.headline()));
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    without_markup(&short, |escaped, c| match c {
        '"' => escaped.push_str("&quot;"),
        '\'' => escaped.push_str("&#39;"),
        _ => escaped.push(c),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;
    use crate::error::{Error, ErrorCode, ExitCode};

    #[test]
    fn the_description_is_one_line_that_says_it_all() {
        let manifest = sample::passed();
        let report = CiReport { manifest: Some(&manifest), ..CiReport::new("gate", ExitCode::Pass) };
        assert_eq!(description(&report), "holdpoint gate: shop 1.4.0 to production: passed");
        let manifest = sample::refused();
        let findings = &manifest.decision.findings;
        let report =
            CiReport { manifest: Some(&manifest), findings, ..CiReport::new("gate", ExitCode::SnapshotFailed) };
        assert_eq!(
            description(&report),
            "holdpoint gate: shop 1.4.0 to production: refused: orders: database disk image is malformed; do not deploy"
        );
        let error = Error::new(ErrorCode::Usage, "no environment is named");
        assert_eq!(
            description(&CiReport::of_error("gate", &error)),
            "holdpoint gate: refused: no verdict: no environment is named; do not deploy"
        );
    }

    #[test]
    fn markup_and_lines_of_others_stay_text() {
        let text = "<b onclick='x'>\"&\n\u{1b}[31m";
        let report = CiReport { explanation: Some(text), ..CiReport::new("reconcile", ExitCode::DeployedMismatch) };
        assert_eq!(
            description(&report),
            "holdpoint reconcile: refused: &lt;b onclick=&#39;x&#39;&gt;&quot;&amp;\\n\\u{1b}[31m; do not deploy"
        );
        let long = "ä".repeat(1000);
        let report = CiReport { explanation: Some(&long), ..CiReport::new("reconcile", ExitCode::DeployedMismatch) };
        let line = description(&report);
        assert!(line.chars().count() == 301 && line.ends_with("ä…"), "{line}");
    }
}
