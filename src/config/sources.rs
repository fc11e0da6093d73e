//! `[[source]]`.

use super::keys::{EXPECT, LATER_SOURCES, SOURCES};
use super::servers;
use super::types::{
    BaseBackup, CaptureIn, CommandConfig, Expect, FilesConfig, PostgresConfig, PostgresMethod, SourceConfig,
    SourceKind, SqliteConfig,
};
use super::walk::{Table, Value};
use std::collections::{BTreeMap, HashSet};
use std::path::{Component, Path, PathBuf};

/// The values of `capture`.
const CAPTURE_IN: [(&str, CaptureIn); 3] =
    [("always", CaptureIn::Every), ("gate", CaptureIn::Gate), ("snapshot", CaptureIn::Snapshot)];

/// Reads every source; names are unique among those returned.
pub(super) fn sources(list: &Value<'_>) -> Vec<SourceConfig> {
    let mut names = HashSet::new();
    let mut sources = Vec::new();
    for item in list.list().unwrap_or_default() {
        let Some((kind, table)) = item.kind(SOURCES, LATER_SOURCES) else {
            continue;
        };
        let name = table.get("name").and_then(|value| {
            let name = value.name()?;
            if !names.insert(name) {
                value.mistake(format!("two sources are named \"{name}\""));
            }
            Some(name.to_owned())
        });
        let kind = match kind {
            "files" => files(&table).map(SourceKind::Files),
            "command" => command(&table).map(SourceKind::Command),
            "sqlite" => sqlite(&table).map(SourceKind::Sqlite),
            server => servers::server(server, &table),
        };
        let required = table.get("required").and_then(|value| value.boolean()).unwrap_or(true);
        let capture = table.get("capture").map_or(Some(None), |value| value.choice(&CAPTURE_IN).map(Some));
        let owner = table.get("owner").and_then(|value| value.string());
        let restore_order = table.get("restore_order").and_then(|value| value.integer(0, u32::MAX));
        let expect = table.get("expect").map_or_else(Expect::default, |value| expect(&value));
        let when_changed = table.get("when_changed").and_then(|value| globs(&value));
        let drill_server = table.get("drill_server").and_then(|value| value.text());
        if let (Some(name), Some(kind), Some(capture)) = (name, kind, capture) {
            let capture = capture.unwrap_or_else(|| usual_capture(&kind));
            sources.push(SourceConfig {
                name,
                kind,
                required,
                capture,
                owner,
                restore_order,
                expect,
                when_changed,
                drill_server,
            });
        }
    }
    for mistake in sources.iter().filter_map(|source| leans_on_nothing(source, &sources, &names)) {
        list.mistake(mistake);
    }
    sources
}

/// Returns in which runs a source is captured unless the file says otherwise. A restore point is of use to whoever rolls a
/// release back, and needs a base backup that a scheduled run may be about to make.
fn usual_capture(kind: &SourceKind) -> CaptureIn {
    match kind {
        SourceKind::Postgres(PostgresConfig { method: PostgresMethod::RestorePoint(_), .. }) => CaptureIn::Gate,
        _ => CaptureIn::Every,
    }
}

/// Says what is wrong with the source that a restore point names for its base backups.
fn leans_on_nothing(source: &SourceConfig, all: &[SourceConfig], names: &HashSet<&str>) -> Option<String> {
    let SourceKind::Postgres(PostgresConfig { method: PostgresMethod::RestorePoint(point), .. }) = &source.kind else {
        return None;
    };
    let BaseBackup::Source(base) = &point.base_backup else { return None };
    let is_base = |source: &SourceConfig| {
        matches!(&source.kind, SourceKind::Postgres(PostgresConfig { method: PostgresMethod::BaseBackup, .. }))
    };
    let name = &source.name;
    match all.iter().find(|source| source.name == *base) {
        Some(source) if is_base(source) => None,
        Some(_) => {
            Some(format!("`base_backup` of \"{name}\": the source \"{base}\" is not of method = \"base-backup\""))
        }
        // One that is there and has mistakes of its own needs no second message.
        None if names.contains(base.as_str()) => None,
        None => Some(format!("`base_backup` of \"{name}\": there is no source \"{base}\"")),
    }
}

fn expect(value: &Value<'_>) -> Expect {
    let default = Expect::default();
    let Some(table) = value.table(&EXPECT) else {
        return default;
    };
    Expect {
        min_bytes: table.get("min_bytes").and_then(|value| value.bytes()).unwrap_or(default.min_bytes),
        max_shrink: table.get("max_shrink").and_then(|value| value.percent()).unwrap_or(default.max_shrink),
        min_tables: table.get("min_tables").and_then(count).unwrap_or(default.min_tables),
        min_rows: table.get("min_rows").map(rows).unwrap_or_default(),
        identity: table.get("identity").and_then(|value| value.string()),
    }
}

fn count(value: Value<'_>) -> Option<u64> {
    value.integer(0, u32::MAX).map(u64::from)
}

fn rows(value: Value<'_>) -> BTreeMap<String, u64> {
    value.map().into_iter().filter_map(|(table, value)| Some((table.to_owned(), count(value)?))).collect()
}

fn files(table: &Table<'_>) -> Option<FilesConfig> {
    let switch = |value: Option<Value<'_>>| value.and_then(|value| value.boolean()).unwrap_or(false);
    let exclude = table.get("exclude").and_then(|value| value.list()).unwrap_or_default();
    let exclude = exclude.iter().filter_map(glob).collect();
    let exclude_caches = switch(table.get("exclude_caches"));
    let exclude_larger_than = table.get("exclude_larger_than").and_then(|value| value.bytes());
    let git_ignore = switch(table.get("git_ignore"));
    let paths = table.get("paths")?.full_list()?.iter().filter_map(captured_path).collect();
    Some(FilesConfig { paths, exclude, exclude_caches, exclude_larger_than, git_ignore })
}

/// Reads a path to capture; the root of the file system is none.
fn captured_path(value: &Value<'_>) -> Option<PathBuf> {
    let path = value.path()?;
    if is_root(&path) {
        value.mistake("`paths` holds `/`, the whole machine: name the directories that the application owns");
        return None;
    }
    Some(path)
}

/// Says whether an absolute path is `/`, in whatever spelling: the whole machine is never what an application owns.
pub fn is_root(path: &Path) -> bool {
    let depth = path.components().try_fold(0_usize, |depth, component| match component {
        Component::RootDir => Some(0),
        Component::ParentDir => Some(depth.saturating_sub(1)),
        Component::Normal(_) => Some(depth + 1),
        Component::CurDir => Some(depth),
        Component::Prefix(_) => None,
    });
    path.is_absolute() && depth == Some(0)
}

/// Reads paths of the working tree, as lines of a `.gitignore`; such that match nothing are noted.
pub(super) fn globs(value: &Value<'_>) -> Option<Vec<String>> {
    let lines: Vec<_> = value.full_list()?.iter().filter_map(glob).collect();
    for line in &lines {
        let climbs = |line: &str| Path::new(line).components().any(|part| part == Component::ParentDir);
        if climbs(line.trim_start_matches('!').trim_start_matches("../")) {
            value.mistake(format!("{line:?} matches no path: `..` stands at the beginning only"));
        }
    }
    if !lines.is_empty() && lines.iter().all(|line| line.starts_with('!')) {
        value.mistake(format!("`{}` holds exceptions only, and matches no path", value.name));
    }
    Some(lines)
}

/// Reads a line of what to leave out; what a `.gitignore` would not take, or would skip, is a mistake.
fn glob(value: &Value<'_>) -> Option<String> {
    let line = value.string()?;
    if line.starts_with('#') {
        value.mistake(format!("{line:?} would be a comment: write `\\\\#` for a name that begins with #"));
        return None;
    }
    match ignore::gitignore::GitignoreBuilder::new("").add_line(None, &line) {
        Ok(_) => Some(line),
        Err(error) => {
            value.mistake(format!("{line:?} is not a glob: {error}"));
            None
        }
    }
}

fn command(table: &Table<'_>) -> Option<CommandConfig> {
    let restore = table.get("restore").and_then(|value| value.arguments());
    let env = table.get("env").map(|value| value.variables()).unwrap_or_default();
    let directory = table.get("directory").and_then(|value| value.path());
    let command = table.get("command")?.arguments()?;
    Some(CommandConfig { command, restore, env, directory })
}

fn sqlite(table: &Table<'_>) -> Option<SqliteConfig> {
    let schema_version_query = table.get("schema_version_query").and_then(|value| value.string());
    Some(SqliteConfig { path: table.get("path")?.path()?, schema_version_query })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_known_in_every_spelling() {
        for path in ["/", "//", "/.", "/..", "/a/..", "/a/../../b/.."] {
            assert!(is_root(Path::new(path)), "{path}");
        }
        for path in [".", "..", "a", "/a", "/a/../b", "a/.."] {
            assert!(!is_root(Path::new(path)), "{path}");
        }
    }
}
