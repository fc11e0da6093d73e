//! The JUnit report: one suite for the command, one case for each source, and one for what is about no source.

use super::super::units::{bytes, change, counted, plain, short, time};
use super::CiReport;
use crate::error::{Error, ErrorCode, Result};
use crate::model::finding::{Finding, FindingCode, Level};
use crate::model::manifest::{SourceOutcome, SourceRecord};
use jiff::Timestamp;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use std::collections::BTreeSet;
use std::io;

type Xml = Writer<Vec<u8>>;

/// One test case.
struct Case {
    name: String,
    seconds: f64,
    result: Outcome,
    /// What there is to say beside.
    output: String,
}

enum Outcome {
    Passed,
    /// What refuses: the codes, and what was found.
    Failure(String, String),
    /// There is no verdict, or none on this source: a code, and why.
    Error(String, String),
    /// Nothing refuses, although there is no verified snapshot.
    Skipped(String),
}

/// Returns the report as XML; `at` is when the command ended.
///
/// # Errors
/// `internal`: it could not be written to memory.
pub fn junit(report: &CiReport<'_>, at: Timestamp) -> Result<String> {
    let failed = |error: io::Error| Error::new(ErrorCode::Internal, "cannot write the JUnit report").caused_by(error);
    let bytes = document(report, &cases(report), at).map_err(failed)?;
    String::from_utf8(bytes).map_err(|error| failed(io::Error::other(error)))
}

/// Returns a case for each source that the command captured or found something about, and one for the command itself.
fn cases(report: &CiReport<'_>) -> Vec<Case> {
    let captured = report.captured();
    let mut cases: Vec<Case> = captured.iter().map(|source| of_source(source, report.findings)).collect();
    let mut named: BTreeSet<&str> = captured.iter().map(|source| source.name.as_str()).collect();
    for name in report.findings.iter().filter_map(|finding| finding.source.as_deref()) {
        if named.insert(name) {
            cases.push(not_in_this_run(name, report.findings));
        }
    }
    cases.push(of_command(report));
    cases
}

fn of_source(source: &SourceRecord, findings: &[Finding]) -> Case {
    let findings = about(findings, Some(&source.name));
    let refusals: Vec<_> = findings.iter().copied().filter(|finding| finding.level == Level::Refusal).collect();
    let why =
        || match (findings.first(), source.attempts.iter().filter_map(|attempt| attempt.error.as_ref()).next_back()) {
            (Some(finding), _) => finding.message.clone(),
            (None, Some(error)) => error.clone(),
            (None, None) => "the run ended before".to_owned(),
        };
    let result = match (refusals.as_slice(), source.outcome, source.required) {
        ([_, ..], ..) => failure(&refusals),
        ([], SourceOutcome::Verified | SourceOutcome::StoodIn, _) => Outcome::Passed,
        ([], _, false) => Outcome::Skipped(format!("not required: {}", why())),
        ([], SourceOutcome::Failed, true) => Outcome::Failure("failed".to_owned(), why()),
        ([], SourceOutcome::Unverified, true) => Outcome::Error("unverified".to_owned(), why()),
        ([], SourceOutcome::NotCaptured, true) => Outcome::Error("not-captured".to_owned(), why()),
    };
    let seconds = match (source.started_at, source.finished_at) {
        (Some(started), Some(finished)) => finished.duration_since(started).as_secs_f64().max(0.0),
        _ => source.attempts.iter().map(|attempt| attempt.seconds).sum(),
    };
    let output = sizes(source) + &remarks(&findings);
    Case { name: source.name.clone(), seconds, result, output }
}

/// Describes a source that is not in the manifest: it is left to another run, or was found undeclared.
fn not_in_this_run(name: &str, findings: &[Finding]) -> Case {
    let findings = about(findings, Some(name));
    let refusals: Vec<_> = findings.iter().copied().filter(|finding| finding.level == Level::Refusal).collect();
    let result = match (refusals.as_slice(), findings.first()) {
        ([_, ..], _) => failure(&refusals),
        ([], Some(finding)) => Outcome::Skipped(finding.message.clone()),
        ([], None) => Outcome::Passed,
    };
    Case { name: name.to_owned(), seconds: 0.0, result, output: remarks(&findings) }
}

fn of_command(report: &CiReport<'_>) -> Case {
    let findings = about(report.findings, None);
    let refusals: Vec<_> = findings.iter().copied().filter(|finding| finding.level == Level::Refusal).collect();
    let result = match (report.error, refusals.as_slice()) {
        (Some(error), _) => {
            let hints: String = error.hints().iter().map(|hint| format!("\nnext: {hint}")).collect();
            Outcome::Error(error.code().as_str().to_owned(), error.chain() + &hints)
        }
        (None, [_, ..]) => failure(&refusals),
        (None, []) if report.passed() => Outcome::Passed,
        // Also where a source refuses: that the command passed would be untrue.
        (None, []) => Outcome::Failure(report.command.to_owned(), report.headline()),
    };
    let seconds = report
        .manifest
        .filter(|_| !report.captured().is_empty())
        .map_or(0.0, |manifest| manifest.measured.verify_seconds);
    let explanation = report.explanation.map(|text| format!("{text}\n")).unwrap_or_default();
    Case { name: report.command.to_owned(), seconds, result, output: explanation + &remarks(&findings) }
}

fn about<'f>(findings: &'f [Finding], source: Option<&str>) -> Vec<&'f Finding> {
    let mut found: Vec<_> = findings.iter().filter(|finding| finding.source.as_deref() == source).collect();
    found.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    found
}

fn failure(refusals: &[&Finding]) -> Outcome {
    let codes: Vec<_> = refusals.iter().map(|finding| finding.code).map(FindingCode::as_str).collect();
    let texts = refusals.iter().map(|finding| match &finding.hint {
        Some(hint) => format!("{}\nnext: {hint}", finding.message),
        None => finding.message.clone(),
    });
    Outcome::Failure(codes.join(" "), texts.collect::<Vec<_>>().join("\n"))
}

/// Lists what was found and does not refuse.
fn remarks(findings: &[&Finding]) -> String {
    let others = findings.iter().filter(|finding| finding.level != Level::Refusal);
    others.map(|finding| format!("{}: {}\n", finding.code, finding.message)).collect()
}

fn sizes(source: &SourceRecord) -> String {
    let mut lines = format!(
        "{}: {} in {}, {} added\n",
        source.kind,
        bytes(source.bytes),
        counted(source.items, "item"),
        bytes(source.bytes_added)
    );
    if let Some(older) = &source.stand_in {
        lines += &format!(
            "not captured: the snapshot of {} stands in (release {})\n",
            time(older.captured_at),
            older.release
        );
    }
    if let Some(before) = &source.change {
        let ratio = before.ratio.map(|ratio| format!("{}, ", change(ratio))).unwrap_or_default();
        lines += &format!("{ratio}{} before\n", bytes(before.bytes_before));
    }
    if let Some(proof) = &source.verification {
        lines += &format!("{} read back\n", bytes(proof.bytes_read));
    }
    if let Some(snapshot) = &source.snapshot {
        lines += &format!("snapshot {}\n", short(&snapshot.id));
    }
    lines
}

fn document(report: &CiReport<'_>, cases: &[Case], at: Timestamp) -> io::Result<Vec<u8>> {
    let number = |wanted: fn(&Outcome) -> bool| cases.iter().filter(|case| wanted(&case.result)).count().to_string();
    let class = match report.manifest {
        Some(manifest) => format!("holdpoint.{}.{}", manifest.application, manifest.environment.name),
        None => "holdpoint".to_owned(),
    };
    let suite = [
        ("name", format!("holdpoint {}", report.command)),
        ("tests", cases.len().to_string()),
        ("failures", number(|result| matches!(result, Outcome::Failure(..)))),
        ("errors", number(|result| matches!(result, Outcome::Error(..)))),
        ("skipped", number(|result| matches!(result, Outcome::Skipped(_)))),
        ("time", seconds(cases.iter().map(|case| case.seconds).sum())),
        ("timestamp", at.strftime("%Y-%m-%dT%H:%M:%S").to_string()),
    ];
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    xml.create_element("testsuites").write_inner_content(|xml| {
        let suite = xml.create_element("testsuite").with_attributes(attributes(&suite));
        suite.write_inner_content(|xml| cases.iter().try_for_each(|case| write_case(xml, case, &class)))?;
        Ok(())
    })?;
    let mut bytes = xml.into_inner();
    bytes.push(b'\n');
    Ok(bytes)
}

fn write_case(xml: &mut Xml, case: &Case, class: &str) -> io::Result<()> {
    let of_case =
        [("name", legal(&plain(&case.name))), ("classname", legal(&plain(class))), ("time", seconds(case.seconds))];
    xml.create_element("testcase").with_attributes(attributes(&of_case)).write_inner_content(|xml| {
        let mut told = |element: &str, kind: Option<&String>, text: &str| -> io::Result<()> {
            let mut pairs = vec![("message", legal(text.lines().next().unwrap_or_default()))];
            pairs.extend(kind.map(|kind| ("type", kind.clone())));
            let text = legal(text);
            xml.create_element(element)
                .with_attributes(attributes(&pairs))
                .write_text_content(BytesText::new(&text))?;
            Ok(())
        };
        match &case.result {
            Outcome::Passed => {}
            Outcome::Failure(kind, text) => told("failure", Some(kind), text)?,
            Outcome::Error(kind, text) => told("error", Some(kind), text)?,
            Outcome::Skipped(text) => told("skipped", None, text)?,
        }
        if !case.output.is_empty() {
            let output = legal(&case.output);
            xml.create_element("system-out").write_text_content(BytesText::new(&output))?;
        }
        Ok(())
    })?;
    Ok(())
}

fn attributes<'a>(pairs: &'a [(&'a str, String)]) -> impl Iterator<Item = (&'a str, &'a str)> {
    pairs.iter().map(|(name, value)| (*name, value.as_str()))
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.3}")
}

/// Leaves out what XML 1.0 cannot hold in any form (its production `Char`).
fn legal(text: &str) -> String {
    let is_legal =
        |c: &char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().filter(is_legal).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;
    use crate::error::ExitCode;
    use crate::model::manifest::Manifest;
    use quick_xml::Reader;

    fn render(report: &CiReport<'_>) -> String {
        junit(report, "2026-11-20T21:30:42Z".parse().unwrap()).unwrap()
    }

    fn gate(manifest: &Manifest, exit: ExitCode) -> String {
        let findings = &manifest.decision.findings;
        render(&CiReport { manifest: Some(manifest), findings, ..CiReport::new("gate", exit) })
    }

    /// Reads a report back: the names of the elements in order, and every text and attribute as it was before escaping.
    fn parsed(xml: &str) -> (Vec<String>, String) {
        let mut reader = Reader::from_str(xml);
        reader.config_mut().check_end_names = true;
        let (mut names, mut texts) = (Vec::new(), String::new());
        loop {
            match reader.read_event().unwrap() {
                Event::Start(element) | Event::Empty(element) => {
                    names.push(String::from_utf8(element.name().as_ref().to_vec()).unwrap());
                    for attribute in element.attributes() {
                        let value = String::from_utf8(attribute.unwrap().value.into_owned()).unwrap();
                        texts += &quick_xml::escape::unescape(&value).unwrap();
                        texts.push('\n');
                    }
                }
                Event::Text(text) => texts += &text.decode().unwrap(),
                Event::GeneralRef(name) => {
                    let entity = format!("&{};", name.decode().unwrap());
                    texts += &quick_xml::escape::unescape(&entity).unwrap();
                }
                Event::Eof => return (names, texts),
                Event::End(_) | Event::Decl(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_pass_has_a_case_for_each_source_and_one_for_the_gate() {
        insta::assert_snapshot!(gate(&sample::passed(), ExitCode::Pass));
    }

    #[test]
    fn a_refusal_says_which_source_failed_and_which_has_no_verdict() {
        let mut manifest = sample::refused();
        let mut optional = manifest.sources[1].clone();
        optional.name = "logs".to_owned();
        optional.required = false;
        optional.outcome = SourceOutcome::Failed;
        manifest.sources.push(optional);
        let left = Finding::warning(FindingCode::LeftToSnapshot, "left to `holdpoint snapshot`").of_source("archive");
        manifest.decision.findings.push(left);
        insta::assert_snapshot!(gate(&manifest, ExitCode::SnapshotFailed));
    }

    #[test]
    fn commands_that_capture_nothing_have_one_case() {
        let manifest = sample::passed();
        let report = CiReport {
            manifest: Some(&manifest),
            explanation: Some("1.3.0 runs"),
            ..CiReport::new("reconcile", ExitCode::DeployedMismatch)
        };
        let (names, texts) = parsed(&render(&report));
        assert_eq!(names, ["testsuites", "testsuite", "testcase", "failure", "system-out"]);
        assert!(texts.contains("refused: 1.3.0 runs; do not deploy"), "{texts}");
        let error = Error::new(ErrorCode::WrongPassword, "the password does not open it").hint("set it");
        let (names, texts) = parsed(&render(&CiReport::of_error("gate", &error)));
        assert_eq!(names, ["testsuites", "testsuite", "testcase", "error"]);
        assert!(texts.contains("wrong-password") && texts.contains("next: set it"), "{texts}");
    }

    #[test]
    fn hostile_names_stay_data() {
        let evil = "]]></testcase><![CDATA[\"&<x a='b'>\u{0}\u{1b}\u{fffe}";
        let mut manifest = sample::hostile();
        for source in &mut manifest.sources {
            source.name = evil.to_owned();
        }
        manifest.decision.findings.push(Finding::refusal(FindingCode::SourceFailed, evil).of_source(evil));
        let (names, texts) = parsed(&gate(&manifest, ExitCode::SnapshotFailed));
        let expected: Vec<&str> = ["testsuites", "testsuite"]
            .into_iter()
            .chain(["testcase", "failure", "system-out"].repeat(2))
            .chain(["testcase", "skipped", "system-out"])
            .chain(["testcase", "failure", "system-out"])
            .collect();
        assert_eq!(names, expected);
        assert!(texts.contains("]]></testcase><![CDATA[\"&<x a='b'>"), "{texts}");
        assert!(!texts.contains(['\u{0}', '\u{1b}', '\u{fffe}']), "{texts:?}");
    }
}
