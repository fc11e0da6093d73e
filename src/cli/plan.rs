//! `plan`: what the gate would do, and why.

use super::gate;
use super::options::Format;
use super::output;
use super::session::Session;
use crate::error::{Error, ErrorCode, ExitCode, Result};
use crate::gate::plan::{self, Action, Plan, PlannedSource};
use crate::model::finding::FindingCode;
use crate::model::verdict::Verdict;
use crate::report::closing::Closing;
use crate::report::explain::{self, Explanation};
use crate::report::{text, units};
use std::time::Duration;

/// What is planned, and what is explained.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    #[command(flatten)]
    gate: gate::GateOptions,
    /// Explain a finding's code or a rule's name, and what made it so in this plan
    #[arg(long, value_name = "CODE")]
    explain: Option<String>,
}

/// Runs `plan`.
pub fn run(session: &Session, options: &Options) -> anyhow::Result<ExitCode> {
    let request = gate::gate_request(session, &options.gate)?;
    let plan = plan::plan(&request, &session.cancel, session.runtime.handle())?;
    match (session.format(), &options.explain) {
        (Format::Json, None) => output::print_json(&plan)?,
        (Format::Json, Some(code)) => output::print_json(&explained(code, &plan)?)?,
        (Format::Text, None) => output::print(&text_of(&plan, session))?,
        (Format::Text, Some(code)) => {
            output::print(&explain::explanation(&explained(code, &plan)?, session.style()))?;
        }
    }
    let (_, exit) = Verdict::of(&plan.findings);
    output::close(exit, Closing { has_verdict: true, ..session.closing("plan") });
    Ok(exit)
}

fn explained<'a>(code: &'a str, plan: &'a Plan) -> Result<Explanation<'a>> {
    Explanation::of(code, &plan.findings, &plan.rules).ok_or_else(|| {
        let mut rules: Vec<_> = plan.rules.iter().map(|rule| rule.name.as_str()).collect();
        rules.dedup();
        let codes = FindingCode::ALL.iter().map(|code| code.as_str());
        let near = codes.chain(rules.iter().copied()).map(|known| (strsim::osa_distance(known, code), known)).min();
        let near = near.filter(|(distance, _)| *distance <= 3);
        let near = near.map(|(_, known)| format!("; did you mean {known}?")).unwrap_or_default();
        Error::new(ErrorCode::Usage, format!("--explain: there is no finding code and no rule {code:?}{near}"))
            .hint(format!("the rules of this plan are {}; the codes are in docs/findings.md", rules.join(", ")))
    })
}

fn text_of(plan: &Plan, session: &Session) -> String {
    let from = plan.from.version.as_ref().map_or("(unknown)", |version| version.as_str());
    let commit = plan.commit.get(..12).unwrap_or(&plan.commit);
    let timeout = units::duration(Duration::from_secs(plan.timeout_seconds).as_secs_f64());
    let mut lines = vec![
        format!("{} → {}   {from} → {}   commit {commit}", plan.application, plan.environment, plan.to),
        format!("store {}, deadline {timeout}, severity {}", plan.store, plan.severity.as_str()),
        String::new(),
    ];
    lines.extend(plan.sources.iter().map(line));
    let mut text = lines.join("\n") + "\n";
    if !plan.rules.is_empty() {
        text += "\nrules:\n";
        text += &explain::rules(plan.rules.iter());
    }
    text + &text::findings(&plan.findings, session.style())
}

fn line(source: &PlannedSource) -> String {
    let what = source.identity.as_deref().map(|identity| format!(" of {identity}")).unwrap_or_default();
    let before = match source.bytes_before {
        Some(bytes) => format!("{} last time", units::bytes(bytes)),
        None => "never captured before".to_owned(),
    };
    let required = if source.required { "" } else { ", not required" };
    let action = match source.action {
        Action::Capture => "capture",
        Action::StandIn => "reuse",
    };
    let older = source.stand_in.as_ref().map(|older| format!(", the snapshot of {}", units::time(older.captured_at)));
    let older = older.unwrap_or_default();
    format!("{action} {}: {} by {}{what}, {before}{older}{required}", source.name, source.kind, source.method)
}
