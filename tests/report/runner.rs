//! GitHub's runner, as far as it reads what a step wrote: files of outputs, and commands in the log.

use std::collections::BTreeMap;
use std::path::Path;

/// A command of the log: its name, its properties as they were written, its data unescaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub name: String,
    pub properties: String,
    pub data: String,
}

/// Reads a file of outputs as the runner does; panics where the runner would fail the step.
pub fn outputs(path: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.split('\n');
    let mut outputs = BTreeMap::new();
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let equals = line.find('=').unwrap_or(usize::MAX);
        match line.split_once("<<") {
            Some((name, delimiter)) if name.len() < equals => {
                let value: Vec<_> = lines.by_ref().take_while(|line| *line != delimiter).collect();
                outputs.insert(name.to_owned(), value.join("\n"));
            }
            _ => {
                let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("{line:?} is no output"));
                outputs.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    outputs
}

/// The commands that the runner knows.
const KNOWN: [&str; 14] = [
    "add-mask",
    "add-matcher",
    "add-path",
    "debug",
    "echo",
    "endgroup",
    "error",
    "group",
    "internal-set-repo-path",
    "notice",
    "save-state",
    "set-env",
    "set-output",
    "warning",
];

/// Returns the commands in a log, in both forms: `::name properties::data` at the start of a line, and
/// `##[name properties]data` anywhere in it.
pub fn commands(log: &str) -> Vec<Command> {
    log.split(['\n', '\r']).filter_map(|line| new_form(line).or_else(|| old_form(line))).collect()
}

fn new_form(line: &str) -> Option<Command> {
    let (information, data) = line.trim_start().strip_prefix("::")?.split_once("::")?;
    command(information, &data.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%"))
}

fn old_form(line: &str) -> Option<Command> {
    let (_, rest) = line.split_once("##[")?;
    let (information, data) = rest.split_once(']')?;
    command(information, data)
}

fn command(information: &str, data: &str) -> Option<Command> {
    let (name, properties) = information.split_once(' ').unwrap_or((information, ""));
    let known = KNOWN.contains(&name) || name == "stop-commands";
    known.then(|| Command { name: name.to_owned(), properties: properties.to_owned(), data: data.to_owned() })
}

#[test]
fn commands_are_found_as_the_runner_finds_them() {
    let found = |log: &str| commands(log).into_iter().map(|found| found.name).collect::<Vec<_>>();
    assert_eq!(
        found("a\n  ::set-output name=x::y\rb ##[set-env name=x]y\n ::unknown::x\na ::error::b"),
        ["set-output", "set-env"]
    );
}
