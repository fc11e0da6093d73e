//! What an RDB file holds, and whether it is sound.

use super::INCOMPLETE;
use super::rdb::{Broken, Checked, Item, Parser, Problem};
use crate::error::Result;
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::Content;
use crate::source::Inspection;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::Read;

/// Reads a whole file; what is wrong with it is a finding.
///
/// # Errors
/// The store does not give it.
pub(super) fn inspect(stream: Box<dyn Read + '_>) -> Result<Inspection> {
    let mut contents = Contents::default();
    match contents.read(stream) {
        Ok(checked) => {
            let mut findings = Vec::new();
            if checked == Checked::WithoutChecksum {
                let message = "the server writes no checksum into RDB files (rdbchecksum no)";
                findings.push(
                    Finding::warning(FindingCode::IntegrityFailed, message)
                        .hint("set rdbchecksum yes, so that damage before the store sees the bytes is found"),
                );
            }
            if contents.is_incomplete {
                let message = "a restore into the server did not come to its end: what is there is not whole";
                findings.push(Finding::refusal(FindingCode::ContentIncomplete, message).hint(format!(
                    "run the restore again with --force; if what is there is right after all: DEL {INCOMPLETE}"
                )));
            }
            if contents.keys.is_empty() {
                // The gate judges by `expect`; this says it in the words of Redis.
                let message = "the server holds no key in any database";
                findings.push(Finding::info(FindingCode::BelowMinTables, message));
            }
            Ok(Inspection { content: contents.into_content(), findings })
        }
        Err(Broken { problem: Problem::Unreadable(error), .. }) => Err(error),
        Err(broken) => {
            let code = match broken.problem {
                Problem::Truncated => FindingCode::ContentIncomplete,
                _ => FindingCode::IntegrityFailed,
            };
            Ok(Inspection { content: Content::new(), findings: vec![Finding::refusal(code, broken.to_string())] })
        }
    }
}

/// What was counted.
#[derive(Debug, Default)]
struct Contents {
    format: u16,
    facts: BTreeMap<String, String>,
    /// Keys by database.
    keys: BTreeMap<u64, u64>,
    kinds: BTreeMap<&'static str, u64>,
    expiring: u64,
    functions: u64,
    module_data: u64,
    /// Whether a restore was begun in the server and not ended.
    is_incomplete: bool,
}

impl Contents {
    fn read(&mut self, stream: Box<dyn Read + '_>) -> Result<Checked, Broken> {
        let mut parser = Parser::start(stream, false)?;
        self.format = parser.version();
        while let Some(item) = parser.next()? {
            match item {
                Item::Fact { name, value } => {
                    self.facts.insert(name, value);
                }
                Item::Function(_) => self.functions += 1,
                Item::ModuleData => self.module_data += 1,
                Item::Key(key) => {
                    self.is_incomplete |= (key.database, key.name) == (0, INCOMPLETE.as_bytes());
                    *self.keys.entry(key.database).or_default() += 1;
                    *self.kinds.entry(key.kind).or_default() += 1;
                    self.expiring += u64::from(key.expires_at.is_some());
                }
            }
        }
        Ok(parser.checked().unwrap_or(Checked::WithoutChecksum))
    }

    fn into_content(self) -> Content {
        let rows: Map<_, _> =
            self.keys.iter().map(|(database, keys)| (format!("db{database}"), (*keys).into())).collect();
        let kinds: Map<_, _> = self.kinds.iter().map(|(kind, keys)| ((*kind).to_owned(), (*keys).into())).collect();
        let mut content = Content::new();
        let mut add = |name: &str, value: Value| content.insert(name.to_owned(), value);
        add("tables", self.keys.len().into());
        add("rows", rows.into());
        add("keys_by_type", kinds.into());
        add("keys_that_expire", self.expiring.into());
        add("function_libraries", self.functions.into());
        add("rdb_version", self.format.into());
        if self.module_data > 0 {
            add("module_data", self.module_data.into());
        }
        for (name, fact) in [("redis_version", "redis-ver"), ("valkey_version", "valkey-ver")] {
            if let Some(value) = self.facts.get(fact) {
                add(name, value.as_str().into());
            }
        }
        let created = self.facts.get("ctime").and_then(|seconds| seconds.parse().ok());
        if let Some(time) = created.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()) {
            add("captured_at", time.to_string().into());
        }
        content
    }
}
