//! Pages for users name every command, flag and key, and no other; their examples parse.

use clap::{Arg, Command, CommandFactory, Parser};
use holdpoint::cli::Cli;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns `--long` or `<NAME>` for every argument that the help shows.
fn flags<'a>(arguments: impl Iterator<Item = &'a Arg>) -> BTreeSet<String> {
    arguments.filter_map(|argument| Some(format!("--{}", argument.get_long()?))).collect()
}

/// Returns every `--flag` that a page documents: those at the beginning of a row of a table.
fn documented(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `-")?.split(" | ").next());
    let words = rows.flat_map(|cell| cell.split(['`', ' ', ','])).map(|word| word.trim_start_matches('-'));
    words
        .filter(|word| word.len() > 1 && word.starts_with(char::is_lowercase) && !word.contains(['\\', '…']))
        .map(|word| format!("--{word}"))
        .collect()
}

fn commands() -> Vec<Command> {
    Cli::command().get_subcommands().cloned().collect()
}

#[test]
fn every_command_has_its_page_and_every_page_its_command() {
    let names: BTreeSet<_> = commands().iter().map(|command| format!("{}.md", command.get_name())).collect();
    let pages = std::fs::read_dir(docs().join("commands"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages: BTreeSet<_> = pages.filter(|page| page != "README.md").collect();
    assert_eq!(pages, names);
    let list = read(&docs().join("commands/README.md"));
    for page in names {
        assert!(list.contains(&format!("({page})")), "the list of commands lacks {page}");
    }
}

#[test]
fn every_flag_is_on_its_page_and_no_other() {
    for command in commands() {
        let page = read(&docs().join(format!("commands/{}.md", command.get_name())));
        let below = command.get_subcommands().flat_map(Command::get_arguments);
        let expected = flags(command.get_arguments().chain(below).filter(|argument| !argument.is_global_set()));
        assert_eq!(documented(&page), expected, "{}", command.get_name());
        assert!(page.contains("## Exit codes"), "{}", command.get_name());
    }
    let mut cli = Cli::command();
    cli.build();
    let global = flags(cli.get_arguments());
    assert_eq!(documented(&read(&docs().join("commands/README.md"))), global);
}

/// Returns every `$ holdpoint …` of the pages below a directory.
fn examples(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut examples = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            examples.extend(self::examples(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            let lines = read(&path);
            let lines = lines.lines().filter_map(|line| line.strip_prefix("$ holdpoint "));
            examples.extend(lines.map(|line| (path.clone(), line.to_owned())));
        }
    }
    examples
}

#[test]
fn every_example_is_a_command_line() {
    let examples = examples(&docs());
    assert!(examples.len() > 30, "{examples:#?}");
    for (path, line) in examples {
        let words = shlex::split(&line).unwrap_or_else(|| panic!("{}: {line}", path.display()));
        let parsed = Cli::try_parse_from(std::iter::once("holdpoint".to_owned()).chain(words));
        if let Err(error) = parsed {
            panic!("{}: holdpoint {line}\n{error}", path.display());
        }
    }
}

/// Collects the names of all properties of a JSON Schema.
fn properties(schema: &serde_json::Value, found: &mut BTreeSet<String>) {
    match schema {
        serde_json::Value::Object(members) => {
            for (name, member) in members {
                // What a text may be instead of a string is explained once, in words.
                if name == "$defs" {
                    continue;
                }
                if name == "properties" {
                    found.extend(member.as_object().unwrap().keys().cloned());
                }
                properties(member, found);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| properties(item, found)),
        _ => {}
    }
}

#[test]
fn every_key_of_the_configuration_is_described() {
    let mut keys = BTreeSet::new();
    properties(&holdpoint::config::schema(), &mut keys);
    assert!(keys.len() > 40, "{keys:?}");
    let page = read(&docs().join("configuration.md"));
    let rows = page.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned()));
    assert_eq!(rows.collect::<BTreeSet<_>>(), keys);
}

#[test]
fn every_exit_code_is_listed() {
    use holdpoint::error::ErrorCode;
    use holdpoint::model::finding::FindingCode;
    let page = read(&docs().join("exit-codes.md"));
    let errors = ErrorCode::ALL.iter().map(|code| code.exit().number());
    for code in errors.chain(FindingCode::ALL.iter().map(|code| code.exit().number())) {
        assert!(page.contains(&format!("\n| {code} | ")), "{code}");
    }
}
