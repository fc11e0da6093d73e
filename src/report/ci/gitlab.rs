//! GitLab CI: the dotenv report, collapsible sections; the JUnit report is beside it.

use super::CiReport;
use std::path::Path;

pub use super::junit::junit;

/// The dotenv report, in the current directory.
pub const DOTENV_FILE: &str = "holdpoint.env";
/// The JUnit report, in the current directory.
pub const JUNIT_FILE: &str = "holdpoint-junit.xml";

/// A dotenv report must be smaller than this, in bytes; of a larger one GitLab takes nothing and the job fails. The
/// number of variables, at most 20, is not in reach.
const DOTENV_LIMIT: usize = 5 << 10;

/// Returns the dotenv report, and what had to be left out of it, in words. `manifest` is the path of the manifest
/// relative to the project directory.
///
/// GitLab's parser knows no quotes, escapes or comments, so a value that would need them is left out.
pub fn dotenv(report: &CiReport<'_>, manifest: Option<&Path>) -> (String, Vec<String>) {
    let exit = report.exit.number().to_string();
    let manifest = manifest.map(|path| path.display().to_string()).unwrap_or_default();
    let snapshots = report.snapshot_ids().join(",");
    let values = [
        ("HOLDPOINT_VERDICT", report.verdict()),
        ("HOLDPOINT_EXIT_CODE", &exit),
        ("HOLDPOINT_RELEASE_ID", report.release_id()),
        ("HOLDPOINT_MANIFEST", &manifest),
        ("HOLDPOINT_SNAPSHOT_IDS", &snapshots),
    ];
    let (mut text, mut left_out) = (String::new(), Vec::new());
    for (name, value) in values {
        let line = format!("{name}={value}\n");
        if let Some(c) = value.chars().find(|c| !is_plain(*c)) {
            left_out
                .push(format!("{name} is not in {DOTENV_FILE}: its value has {c:?}, which GitLab cannot take there"));
        } else if text.len() + line.len() >= DOTENV_LIMIT {
            left_out.push(format!("{name} is not in {DOTENV_FILE}: it would be larger than GitLab takes, 5 KiB"));
        } else {
            text += &line;
        }
    }
    (text, left_out)
}

/// Says whether a value may have this character: no blanks, quotes or control characters, and nothing that the shells
/// and parsers that read it later would take for more than itself.
fn is_plain(c: char) -> bool {
    !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '\'' | '`' | '$' | '\\' | '#')
}

/// Begins a section that is folded, at `unix` seconds; the name has letters, digits, `_`, `.` and `-` only.
pub fn section_start(name: &str, title: &str, unix: i64) -> String {
    format!("\u{1b}[0Ksection_start:{unix}:{name}[collapsed=true]\r\u{1b}[0K{title}")
}

/// Ends the section of that name.
pub fn section_end(name: &str, unix: i64) -> String {
    format!("\u{1b}[0Ksection_end:{unix}:{name}\r\u{1b}[0K")
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;
    use crate::error::{Error, ErrorCode, ExitCode};

    #[test]
    fn the_dotenv_report_of_a_pass() {
        let manifest = sample::passed();
        let report = CiReport { manifest: Some(&manifest), ..CiReport::new("gate", ExitCode::Pass) };
        let (text, left_out) = dotenv(&report, Some(Path::new("out/holdpoint-manifest.json")));
        let expected = format!(
            "HOLDPOINT_VERDICT=pass\nHOLDPOINT_EXIT_CODE=0\nHOLDPOINT_RELEASE_ID=20261120T213000Z-1.4.0-3f9c2ab1\n\
             HOLDPOINT_MANIFEST=out/holdpoint-manifest.json\nHOLDPOINT_SNAPSHOT_IDS={},{}\n",
            "3".repeat(64),
            "a".repeat(64)
        );
        assert_eq!((text, left_out), (expected, vec![]));
    }

    #[test]
    fn an_error_refuses() {
        let error = Error::new(ErrorCode::Usage, "x");
        let (text, _) = dotenv(&CiReport::of_error("gate", &error), None);
        let expected = "HOLDPOINT_VERDICT=refuse\nHOLDPOINT_EXIT_CODE=2\nHOLDPOINT_RELEASE_ID=\nHOLDPOINT_MANIFEST=\n\
                        HOLDPOINT_SNAPSHOT_IDS=\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_said() {
        let mut manifest = sample::passed();
        let one = manifest.sources[0].clone();
        manifest.sources = vec![one; 80];
        let report = CiReport { manifest: Some(&manifest), ..CiReport::new("gate", ExitCode::Pass) };
        for hostile in ["a b.json", "a\nHOLDPOINT_VERDICT=pass", "a\"b", "a'b", "$HOME", "a#b"] {
            let (text, left_out) = dotenv(&report, Some(Path::new(hostile)));
            assert_eq!(text.lines().count(), 3, "{text}");
            assert!(left_out[0].starts_with("HOLDPOINT_MANIFEST is not in holdpoint.env: its value has "));
            assert!(left_out[1].starts_with("HOLDPOINT_SNAPSHOT_IDS is not in holdpoint.env: it would be larger"));
        }
    }

    #[test]
    fn the_report_stays_below_the_limit() {
        let mut manifest = sample::passed();
        let one = manifest.sources[0].clone();
        for sources in 70..82 {
            manifest.sources = vec![one.clone(); sources];
            let report = CiReport { manifest: Some(&manifest), ..CiReport::new("gate", ExitCode::Pass) };
            let (text, left_out) = dotenv(&report, None);
            assert!(text.len() < 5120);
            // 65 bytes a snapshot behind 133 bytes of the rest.
            assert_eq!(left_out.is_empty(), text.contains("SNAPSHOT_IDS"), "{sources}");
            assert_eq!(left_out.is_empty(), sources <= 76, "{sources}");
        }
    }

    #[test]
    fn sections_fold() {
        assert_eq!(
            section_start("holdpoint_gate", "holdpoint gate", 1_700_000_000),
            "\u{1b}[0Ksection_start:1700000000:holdpoint_gate[collapsed=true]\r\u{1b}[0Kholdpoint gate"
        );
        assert_eq!(
            section_end("holdpoint_gate", 1_700_000_001),
            "\u{1b}[0Ksection_end:1700000001:holdpoint_gate\r\u{1b}[0K"
        );
    }
}
