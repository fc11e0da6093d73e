//! GitHub Actions (Gitea and Forgejo, too): outputs, workflow commands, masks; the job summary is beside it.
//!
//! How commands are taken apart: `ActionCommand.cs` of `actions/runner`. A command is a line that begins with `::`, or
//! in the older form a line that has `##[` anywhere.

use super::CiReport;
use crate::model::finding::{Finding, Level};
use std::borrow::Cow;

pub use super::summary::{SUMMARY_LIMIT, summary};

/// The shortest text that is masked, in characters: every occurrence of a shorter one in any word of the log would be
/// starred out, which makes the log unreadable and tells the secret to whoever compares.
const SHORTEST_MASK: usize = 4;

/// Ends the group that [`group`] began.
pub const END_GROUP: &str = "::endgroup::";

/// Writes a workflow command, without the newline.
fn command(name: &str, properties: &[(&str, &str)], data: &str) -> String {
    let properties: Vec<_> =
        properties.iter().map(|(name, value)| format!("{name}={}", escaped_property(value))).collect();
    let blank = if properties.is_empty() { "" } else { " " };
    format!("::{name}{blank}{}::{}", properties.join(","), escaped_data(data))
}

fn escaped_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn escaped_property(text: &str) -> String {
    escaped_data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Begins a group of lines that can be folded.
pub fn group(title: &str) -> String {
    command("group", &[], title)
}

/// Returns the texts to mask so that none of the secrets can be read in the log: each line of each, trimmed, and nothing
/// that is shorter than four characters.
pub fn to_mask(secrets: impl IntoIterator<Item = String>) -> Vec<String> {
    let lines = secrets
        .into_iter()
        .flat_map(|secret| secret.split(['\n', '\r']).map(|line| line.trim().to_owned()).collect::<Vec<_>>());
    lines.filter(|line| line.chars().count() >= SHORTEST_MASK).collect()
}

/// Masks a text in everything that the job prints from now on.
pub fn mask(text: &str) -> String {
    command("add-mask", &[], text)
}

/// Returns one annotation for each finding, refusals first, or for the error.
pub fn annotations(report: &CiReport<'_>) -> Vec<String> {
    let mut findings: Vec<&Finding> = report.findings.iter().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let mut lines: Vec<String> = findings.into_iter().map(annotation).collect();
    if let Some(error) = report.error {
        let hints: String = error.hints().iter().map(|hint| format!("\nNext: {hint}")).collect();
        lines.push(command("error", &[("title", error.code().as_str())], &(error.chain() + &hints)));
    } else if !report.passed() && !report.findings.iter().any(|finding| finding.level == Level::Refusal) {
        lines.push(command("error", &[("title", report.command)], &report.headline()));
    }
    lines
}

fn annotation(finding: &Finding) -> String {
    let name = match finding.level {
        Level::Refusal => "error",
        Level::Warning => "warning",
        Level::Info => "notice",
    };
    let hint = finding.hint.as_ref().map(|hint| format!("\nNext: {hint}")).unwrap_or_default();
    command(name, &[("title", finding.code.as_str())], &(finding.in_words() + &hint))
}

/// Returns what is appended to the file `GITHUB_OUTPUT`. `delimiter` makes new random words; one that occurs in a value
/// is not used.
pub fn outputs(report: &CiReport<'_>, mut delimiter: impl FnMut() -> String) -> String {
    let exit = report.exit.number().to_string();
    let manifest = report.manifest_file.map(|path| path.display().to_string()).unwrap_or_default();
    let snapshots = report.snapshot_ids().join(" ");
    let values = [
        ("verdict", report.verdict()),
        ("exit-code", &exit),
        ("manifest", &manifest),
        ("release-id", report.release_id()),
        ("snapshot-ids", &snapshots),
    ];
    let line = |(name, value): (&str, &str)| {
        let mut word = delimiter();
        while value.contains(&word) {
            word = delimiter();
        }
        format!("{name}<<{word}\n{value}\n{word}\n")
    };
    values.map(line).concat()
}

/// Returns a text for the log in which nothing is a workflow command: names and messages come from outside, and
/// `##[set-output name=verdict]pass` in the name of a file would be one.
pub fn inert(text: &str) -> Cow<'_, str> {
    // The runner ends a line at a carriage return, too.
    let lines = || text.split_inclusive(['\n', '\r']);
    if !text.contains("##[") && !lines().any(|line| line.trim_start().starts_with("::")) {
        return Cow::Borrowed(text);
    }
    let line = |line: &str| {
        let (blanks, rest) = line.split_at(line.len() - line.trim_start().len());
        let guard = if rest.starts_with("::") { "\\" } else { "" };
        format!("{blanks}{guard}{}", rest.replace("##[", r"#\#["))
    };
    Cow::Owned(lines().map(line).collect())
}

/// Returns a JSON document in which nothing is a workflow command; it means the same.
pub fn inert_json(json: &str) -> String {
    // Outside of strings JSON has no `#`, and no line of an indented document begins with `::`.
    json.replace("##[", r"##\u005b")
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;
    use crate::error::{Error, ErrorCode, ExitCode};
    use crate::model::finding::FindingCode;
    use std::path::Path;

    #[test]
    fn commands_are_escaped_as_the_runner_unescapes_them() {
        let hostile = "100%\r\n::error::a,b: ü %0A";
        assert_eq!(command("error", &[], hostile), "::error::100%25%0D%0A::error::a,b: ü %250A");
        assert_eq!(
            command("warning", &[("title", hostile), ("file", "a")], "x"),
            "::warning title=100%25%0D%0A%3A%3Aerror%3A%3Aa%2Cb%3A ü %250A,file=a::x"
        );
        assert_eq!(group("a\nb"), "::group::a%0Ab");
        assert_eq!(mask("50%"), "::add-mask::50%25");
    }

    #[test]
    fn every_line_of_a_secret_is_masked_and_short_ones_are_not() {
        let secrets = ["one\r\n  line two\nthree\n\n", "abc", "äöüß", " "].map(str::to_owned);
        assert_eq!(to_mask(secrets), ["line two", "three", "äöüß"]);
    }

    #[test]
    fn findings_are_annotations_refusals_first() {
        let findings = [
            Finding::info(FindingCode::LeaseTakenOver, "i"),
            Finding::warning(FindingCode::Unsigned, "no key"),
            Finding::refusal(FindingCode::SourceFailed, "exit 1\n::set-output name=verdict::pass")
                .of_source("a,b:c\n##[x]")
                .hint("look"),
        ];
        let report = CiReport { findings: &findings, ..CiReport::new("gate", ExitCode::SnapshotFailed) };
        assert_eq!(
            annotations(&report),
            [
                "::error title=source-failed::a,b:c%0A##[x]: exit 1%0A::set-output name=verdict::pass%0ANext: look",
                "::warning title=unsigned::no key",
                "::notice title=lease-taken-over::i",
            ]
        );
    }

    #[test]
    fn an_error_or_an_explanation_is_an_annotation_too() {
        let error = Error::new(ErrorCode::Usage, "no environment").hint("name it").hint("or not");
        let expected = ["::error title=usage::no environment%0ANext: name it%0ANext: or not"];
        assert_eq!(annotations(&CiReport::of_error("gate", &error)), expected);
        let report =
            CiReport { explanation: Some("1.3.0 runs"), ..CiReport::new("reconcile", ExitCode::DeployedMismatch) };
        assert_eq!(annotations(&report), ["::error title=reconcile::refused: 1.3.0 runs; do not deploy"]);
        assert!(annotations(&CiReport::new("reconcile", ExitCode::Pass)).is_empty());
    }

    #[test]
    fn outputs_have_a_delimiter_that_is_in_no_value() {
        let manifest = sample::passed();
        let report = CiReport {
            manifest: Some(&manifest),
            manifest_file: Some(Path::new("/w/D0\nverdict=pass\nD1")),
            ..CiReport::new("gate", ExitCode::Pass)
        };
        let mut count = 0;
        let outputs = outputs(&report, || {
            let word = format!("D{}", count % 4);
            count += 1;
            word
        });
        let ids = format!("{} {}", "3".repeat(64), "a".repeat(64));
        let expected = format!(
            "verdict<<D0\npass\nD0\nexit-code<<D1\n0\nD1\nmanifest<<D2\n/w/D0\nverdict=pass\nD1\nD2\n\
             release-id<<D3\n20261120T213000Z-1.4.0-3f9c2ab1\nD3\nsnapshot-ids<<D0\n{ids}\nD0\n"
        );
        assert_eq!(outputs, expected);
        let report = CiReport { manifest_file: Some(Path::new("D0D1")), ..CiReport::new("gate", ExitCode::Internal) };
        let mut words = ["a", "b", "D0", "D1", "c", "d", "e"].into_iter().map(str::to_owned);
        let outputs = super::outputs(&report, || words.next().unwrap());
        assert_eq!(
            outputs,
            "verdict<<a\nrefuse\na\nexit-code<<b\n1\nb\nmanifest<<c\nD0D1\nc\nrelease-id<<d\n\nd\nsnapshot-ids<<e\n\ne\n"
        );
    }

    #[test]
    fn texts_of_others_are_no_commands() {
        assert!(matches!(inert("a :: b # [x]\n"), Cow::Borrowed("a :: b # [x]\n")));
        assert_eq!(inert("a\n  ::error::x\r::y::\n"), "a\n  \\::error::x\r\\::y::\n");
        assert_eq!(inert("file ##[set-output name=verdict]pass"), r"file #\#[set-output name=verdict]pass");
        let json = inert_json(r####"{"a": "##[x] \\##[y]"}"####);
        assert!(!json.contains("##["));
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["a"], r"##[x] \##[y]");
    }
}
