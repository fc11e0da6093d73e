//! The results of commands as text for people. Functions return what is to be printed, ending with a newline.

use super::elsewhere::elsewhere;
use super::happened::happened;
use super::html::Page;
use super::table::{Align, Table};
use super::units::{bytes, change, count, duration, plain, short, time};
use super::way_back;
use crate::ledger::Listed;
use crate::ledger::events::{Event, EventRecord};
use crate::model::finding::{Finding, Level};
use crate::model::manifest::{Instance, Manifest, SourceOutcome, SourceRecord, State, VerifyMode};
use crate::model::reconciliation::{Outcome, Side};
use crate::model::release_id::ReleaseId;
use crate::model::verdict::Verdict;
use anstyle::AnsiColor;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// How text is dressed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// Whether colours are wanted; the text says the same without them.
    pub color: bool,
}

impl Style {
    fn paint(self, text: &str, color: AnsiColor) -> String {
        if !self.color {
            return text.to_owned();
        }
        let style = color.on_default().bold();
        format!("{style}{text}{style:#}")
    }

    fn dim(self, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let style = anstyle::Style::new().dimmed();
        format!("{style}{text}{style:#}")
    }
}

/// Renders what `gate` came to.
pub fn gate(manifest: &Manifest, style: Style) -> String {
    let mut text = head(manifest, style);
    text += &sources(&manifest.sources, style);
    text += &findings(&manifest.decision.findings, style);
    text.push('\n');
    text += &verdict(manifest, style);
    text
}

/// Renders one release with its events, as `show` does.
pub fn show(Page { manifest, events, signature, .. }: &Page<'_>, style: Style) -> String {
    let mut text = head(manifest, style);
    let mut line = |name: &str, value: String| writeln!(text, "{name:<12} {value}").unwrap_or(());
    line("state", state(manifest.state).to_owned());
    line("recorded", time(manifest.created_at));
    line("signature", plain(signature));
    line("store", plain(&manifest.store.location));
    if let Some(url) = &manifest.pipeline.run_url {
        line("run", plain(url));
    }
    if let Some(overridden) = &manifest.decision.overridden {
        let codes = overridden.codes.iter().map(|code| code.as_str()).collect::<Vec<_>>().join(", ");
        line("overridden", plain(&format!("{codes} by {}: {}", overridden.approved_by, overridden.reason)));
    }
    text += &sources(&manifest.sources, style);
    text += &findings(&manifest.decision.findings, style);
    text += &roll_back(manifest, events, style);
    for EventRecord { event, .. } in *events {
        let what = match event {
            Event::Reconciled { expected, outcome, explanation, .. } => {
                let painted = paint_outcome(*outcome, style);
                format!("reconciled with {}: {painted}: {}", side(*expected), plain(explanation))
            }
            other => plain(&happened(other)),
        };
        let _ = writeln!(text, "{}  {what}", time(event.at()));
    }
    text.push('\n');
    text += &verdict(manifest, style);
    text
}

/// Renders the releases of an environment as a table, in the order given; those that retention let go are `gone`.
pub fn releases(listed: &[Listed], gone: &BTreeSet<ReleaseId>, style: Style) -> String {
    if listed.is_empty() {
        return "no releases yet\n".to_owned();
    }
    let columns = ["release", "state", "from", "to", "sources", "size", "recorded"];
    let aligns = [Align::Left, Align::Left, Align::Left, Align::Left, Align::Right, Align::Right, Align::Left];
    let mut table = Table::new(&columns.into_iter().zip(aligns).collect::<Vec<_>>());
    let mut notes = String::new();
    for entry in listed {
        let id = entry.id.to_string();
        match &entry.record {
            Ok(stored) => {
                let manifest = &stored.manifest;
                let total = manifest.sources.iter().map(|source| source.bytes).sum();
                table.row(vec![
                    id,
                    state(manifest.state).to_owned() + if gone.contains(&manifest.id) { ", let go" } else { "" },
                    from(manifest),
                    plain(manifest.release.to.version.as_str()),
                    manifest.sources.len().to_string(),
                    bytes(total),
                    time(manifest.created_at),
                ]);
            }
            Err(error) => {
                table.row([id, "unreadable".to_owned()].into_iter().chain(vec![String::new(); 5]).collect());
                let _ = writeln!(notes, "{} {}", style.paint("unreadable:", AnsiColor::Red), plain(&error.chain()));
            }
        }
    }
    heading_and_rows(&table, style) + &notes
}

/// Renders what `reconcile` came to.
pub fn reconcile(manifest: &Manifest, event: &Event, style: Style) -> String {
    let Event::Reconciled { at, expected, outcome, instances, explanation } = event else { return String::new() };
    let version = match expected {
        Side::To => plain(manifest.release.to.version.as_str()),
        Side::From => from(manifest),
    };
    let mut text = head(manifest, style);
    let _ = writeln!(text, "expected     {version} ({})\nobserved     {}", side(*expected), time(*at));
    for instance in instances {
        let _ = writeln!(text, "  {}", instance_line(instance));
    }
    let _ = writeln!(text, "\n{}: {}", paint_outcome(*outcome, style), plain(explanation));
    text
}

/// Renders findings, one or two lines each, as they stand.
pub fn findings(findings: &[Finding], style: Style) -> String {
    let mut text = String::new();
    if !findings.is_empty() {
        text.push('\n');
    }
    for finding in findings {
        let (word, color) = match finding.level {
            Level::Refusal => ("refusal", AnsiColor::Red),
            Level::Warning => ("warning", AnsiColor::Yellow),
            Level::Info => ("info   ", AnsiColor::Cyan),
        };
        let source = finding.source.as_ref().map(|source| plain(source) + ": ").unwrap_or_default();
        let code = style.dim(&format!("[{}]", finding.code));
        let _ = writeln!(text, "{}  {source}{} {code}", style.paint(word, color), plain(&finding.message));
        if let Some(hint) = &finding.hint {
            let _ = writeln!(text, "         {} {}", style.paint("hint:", AnsiColor::Cyan), plain(hint));
        }
    }
    text
}

fn head(manifest: &Manifest, style: Style) -> String {
    let name = format!("{} → {}", plain(&manifest.application), plain(&manifest.environment.name));
    let to = &manifest.release.to;
    let step = format!("{} → {}", from(manifest), plain(to.version.as_str()));
    let commit = plain(to.commit.get(..12).unwrap_or(&to.commit));
    let name = style.paint(&name, AnsiColor::BrightWhite);
    format!(
        "{name}   {step}   {}\n{}\n",
        style.dim(&format!("commit {commit}")),
        style.dim(&format!("release {}", manifest.id))
    )
}

/// Returns the version that ran before, or what is known instead.
fn from(manifest: &Manifest) -> String {
    use crate::model::manifest::ProbeKind;
    match (&manifest.release.from.version, manifest.release.from.probe) {
        (Some(version), _) => plain(version.as_str()),
        (None, ProbeKind::First) => "(first)".to_owned(),
        (None, _) => "(unknown)".to_owned(),
    }
}

fn sources(sources: &[SourceRecord], style: Style) -> String {
    use Align::{Left, Right};
    if sources.is_empty() {
        return "\nno sources\n".to_owned();
    }
    let mut table = Table::new(&[
        ("source", Left),
        ("outcome", Left),
        ("size", Right),
        ("change", Right),
        ("added", Right),
        ("files", Right),
        ("read back", Right),
        ("snapshot", Left),
    ]);
    for source in sources {
        table.row(vec![
            plain(&source.name),
            outcome(source.outcome).to_owned(),
            bytes(source.bytes),
            source.change.as_ref().and_then(|known| known.ratio).map(change).unwrap_or_default(),
            if source.stand_in.is_some() { String::new() } else { bytes(source.bytes_added) },
            count(source.items),
            source.verification.as_ref().map(|proof| bytes(proof.bytes_read)).unwrap_or_default(),
            source.snapshot.as_ref().map(|snapshot| plain(short(&snapshot.id))).unwrap_or_default(),
        ]);
    }
    format!("\n{}", heading_and_rows(&table, style))
}

pub(super) fn heading_and_rows(table: &Table, style: Style) -> String {
    let lines = table.lines();
    let Some((heading, rows)) = lines.split_first() else { return String::new() };
    let mut text = style.dim(heading) + "\n";
    for row in rows {
        text += row;
        text.push('\n');
    }
    text
}

fn roll_back(manifest: &Manifest, events: &[EventRecord], style: Style) -> String {
    let mut text = format!("\n{}\n", style.paint("can we roll back now?", AnsiColor::BrightWhite));
    let back = way_back::way_back(manifest, events);
    let _ = writeln!(text, "{}", plain(&back.headline));
    for why in &back.why {
        let _ = writeln!(text, "{}", plain(why));
    }
    if back.answer == way_back::Answer::No {
        return text;
    }
    let _ = writeln!(text, "\n{}", plain(&manifest.rollback.summary));
    if let Some(at) = manifest.rollback.data_loss_from {
        let _ = writeln!(text, "data written after {} is lost", time(at));
    }
    for step in &manifest.rollback.steps {
        let danger = if step.destructive { " (overwrites data)" } else { "" };
        let owner = step.owner.as_ref().map(|owner| format!(", {}", plain(owner))).unwrap_or_default();
        let _ = writeln!(text, "{:>3}. {}{danger}{owner}", step.order, plain(&step.action));
        if let Some(command) = &step.command {
            let _ = writeln!(text, "     $ {}", plain(command));
        }
    }
    for way in elsewhere(manifest) {
        let _ = writeln!(text, "{}:\n     $ {}", plain(&way.when), plain(&way.command));
    }
    for left in &manifest.rollback.not_reverted {
        let _ = writeln!(text, "not reverted: {}", plain(left));
    }
    text
}

fn verdict(manifest: &Manifest, style: Style) -> String {
    let to = plain(manifest.release.to.version.as_str());
    let environment = plain(&manifest.environment.name);
    match manifest.decision.result {
        Verdict::Pass => {
            let measured = &manifest.measured;
            let took = duration(measured.capture_seconds + measured.verify_seconds);
            // Nobody shall take one for the other.
            let (by, color) = match &manifest.decision.overridden {
                Some(overridden) => (plain(&format!(" BY OVERRIDE of {}", overridden.approved_by)), AnsiColor::Yellow),
                None => (String::new(), AnsiColor::Green),
            };
            let pass = style.paint("pass", color);
            let here = manifest.sources.iter().filter(|source| source.was_captured_here());
            let mut proofs = here.filter_map(|source| source.verification.as_ref());
            let read = if proofs.any(|proof| proof.mode != VerifyMode::None) { " and read back" } else { "" };
            let captured = manifest.sources.iter().any(SourceRecord::was_captured_here);
            let what = match manifest.sources.iter().any(|source| source.stand_in.is_some()) {
                true if captured => format!("captured{read}, and older snapshots seen to be whole,"),
                true => "older snapshots seen to be whole".to_owned(),
                false => format!("captured{read}"),
            };
            format!("{pass}{by}: {to} may go to {environment}; {what} in {took}\n")
        }
        Verdict::Refuse => {
            let refused = style.paint(state(manifest.state), AnsiColor::Red);
            format!("{refused}: {to} must not go to {environment}\n")
        }
    }
}

pub(super) fn state(state: State) -> &'static str {
    match state {
        State::Passed => "passed",
        State::Refused => "refused",
        State::TimedOut => "timed out",
        State::Cancelled => "cancelled",
        State::Error => "error",
    }
}

fn outcome(outcome: SourceOutcome) -> &'static str {
    match outcome {
        SourceOutcome::Verified => "verified",
        SourceOutcome::StoodIn => "older snapshot",
        SourceOutcome::Unverified => "unverified",
        SourceOutcome::Failed => "failed",
        SourceOutcome::NotCaptured => "not captured",
    }
}

fn paint_outcome(outcome: Outcome, style: Style) -> String {
    match outcome {
        Outcome::Matched => style.paint("matched", AnsiColor::Green),
        Outcome::Unchanged => style.paint("unchanged", AnsiColor::Yellow),
        Outcome::Partial => style.paint("partial", AnsiColor::Red),
        Outcome::Drifted => style.paint("drifted", AnsiColor::Red),
        Outcome::Unknown => style.paint("unknown", AnsiColor::Red),
    }
}

fn side(side: Side) -> &'static str {
    match side {
        Side::To => "the new version",
        Side::From => "the version before",
    }
}

fn instance_line(instance: &Instance) -> String {
    let name = plain(&instance.name);
    match (&instance.version, &instance.error) {
        (Some(version), _) => match &instance.commit {
            Some(commit) => format!("{name}  {} ({})", plain(version.as_str()), plain(commit)),
            None => format!("{name}  {}", plain(version.as_str())),
        },
        (None, Some(error)) => format!("{name}  no answer: {}", plain(error)),
        (None, None) => format!("{name}  no version"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::html::Standing;
    use super::super::sample;
    use super::*;

    fn page<'a>(manifest: &'a Manifest, events: &'a [EventRecord]) -> Page<'a> {
        Page {
            manifest,
            events,
            as_of: "2026-11-20T22:15:00Z".parse().unwrap(),
            signature: "unsigned",
            standing: Standing::Unknown,
        }
    }

    const PLAIN: Style = Style { color: false };

    #[test]
    fn a_pass_reads_well() {
        insta::assert_snapshot!(gate(&sample::passed(), PLAIN));
    }

    #[test]
    fn a_refusal_reads_well() {
        insta::assert_snapshot!(gate(&sample::refused(), PLAIN));
    }

    #[test]
    fn a_release_is_shown_with_its_events() {
        let event = sample::reconciled("2026-11-20T21:45:00Z", Side::To, Outcome::Matched);
        insta::assert_snapshot!(show(&page(&sample::passed(), std::slice::from_ref(&event)), PLAIN));
        insta::assert_snapshot!(reconcile(&sample::passed(), &event.event, PLAIN));
    }

    #[test]
    fn a_ledger_is_a_table_in_which_damage_shows() {
        use crate::error::{Error, ErrorCode};
        let listed = |manifest: Manifest| Listed {
            id: manifest.id.clone(),
            record: Ok(crate::ledger::Stored { key: String::new(), digest: String::new(), bytes: vec![], manifest }),
        };
        let broken = Error::new(ErrorCode::ManifestInvalid, "manifest releases/x/manifest.json is truncated");
        let broken = Listed { id: sample::passed().id, record: Err(broken) };
        insta::assert_snapshot!(releases(
            &[listed(sample::refused()), broken, listed(sample::passed())],
            &BTreeSet::new(),
            PLAIN
        ));
        let gone = BTreeSet::from([sample::passed().id]);
        assert!(releases(&[listed(sample::passed())], &gone, PLAIN).contains("passed, let go"));
        assert_eq!(releases(&[], &gone, PLAIN), "no releases yet\n");
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        let manifest = sample::hostile();
        assert!(!gate(&manifest, PLAIN).contains('\u{1b}') && !show(&page(&manifest, &[]), PLAIN).contains('\u{1b}'));
        assert!(gate(&manifest, Style { color: true }).contains("\u{1b}[1m\u{1b}[32mpass"));
    }
}
