//! Is a snapshot plausible? An empty dump is the failure that nobody notices until they need it.

use crate::config::Expect;
use crate::model::finding::{Finding, FindingCode};

/// The size of one capture.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Bytes of content.
    pub bytes: u64,
    /// Regular files.
    pub files: u64,
    /// Whether it is one stream.
    pub is_stream: bool,
    /// Its size in the last release that passed.
    pub bytes_before: Option<u64>,
}

/// Judges a size by what is expected of its source.
pub fn judge(expect: &Expect, size: Size) -> Vec<Finding> {
    let Size { bytes, files, is_stream, bytes_before } = size;
    let mut findings = Vec::new();
    if is_stream && bytes == 0 {
        findings.push(Finding::refusal(FindingCode::StreamEmpty, "the stream ended without a single byte"));
    } else if !is_stream && files == 0 {
        findings.push(
            Finding::refusal(FindingCode::NoFilesMatched, "no file matched: the snapshot would hold no content").hint(
                "check the paths and what `exclude` leaves out; a symbolic link is stored as a link, not as its target",
            ),
        );
    } else if bytes < expect.min_bytes {
        let message = format!("{bytes} bytes are fewer than expect.min_bytes, {}", expect.min_bytes);
        findings.push(Finding::refusal(FindingCode::BelowMinBytes, message));
    }
    if let Some(before) = bytes_before
        && before > 0
        && shrink(bytes, before) > expect.max_shrink
    {
        let message = format!(
            "{bytes} bytes are {:.0} % fewer than the {before} of the last release that passed; expect.max_shrink allows {:.0} %",
            shrink(bytes, before) * 100.0,
            expect.max_shrink * 100.0
        );
        findings.push(
            Finding::refusal(FindingCode::SizeShrank, message)
                .hint("if this is right, raise expect.max_shrink of the source for this release"),
        );
    }
    findings
}

/// Returns by which part of its former size something shrank, from 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "a ratio of sizes needs no more than 52 bits")]
fn shrink(now: u64, before: u64) -> f64 {
    before.saturating_sub(now) as f64 / before as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(expect: &Expect, bytes: u64, files: u64, is_stream: bool, bytes_before: Option<u64>) -> Vec<&'static str> {
        let size = Size { bytes, files, is_stream, bytes_before };
        judge(expect, size).iter().map(|finding| finding.code.as_str()).collect()
    }

    #[test]
    fn sizes_are_judged_by_what_is_expected() {
        let strict = Expect { min_bytes: 100, max_shrink: 0.3, ..Expect::default() };
        let none = Expect::default();
        assert_eq!(codes(&none, 10, 1, false, None), [""; 0]);
        assert_eq!(codes(&none, 0, 1, true, None), ["stream-empty"]);
        assert_eq!(codes(&none, 0, 0, false, None), ["no-files-matched"]);
        // An empty file is content that somebody may need.
        assert_eq!(codes(&none, 0, 1, false, None), [""; 0]);
        assert_eq!(codes(&strict, 99, 1, false, None), ["below-min-bytes"]);
        assert_eq!(codes(&strict, 100, 1, false, None), [""; 0]);
        assert_eq!(codes(&strict, 700, 1, false, Some(1000)), [""; 0]);
        assert_eq!(codes(&strict, 699, 1, false, Some(1000)), ["size-shrank"]);
        assert_eq!(codes(&none, 500, 1, false, Some(1000)), [""; 0]);
        assert_eq!(codes(&none, 499, 1, false, Some(1000)), ["size-shrank"]);
        assert_eq!(codes(&none, 5000, 1, false, Some(1000)), [""; 0]);
        assert_eq!(codes(&strict, 0, 1, true, Some(1000)), ["stream-empty", "size-shrank"]);
    }
}
