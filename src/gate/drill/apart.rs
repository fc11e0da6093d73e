//! Is the place of a drill really apart from where the data came from? Looked at before the restore, and after it.

use super::Request;
use super::database::Met;
use crate::config::SourceKind;
use crate::error::{IoContext, Result};
use crate::model::finding::{Finding, FindingCode};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

/// Everything that a place must have nothing to do with.
#[derive(Debug)]
pub(super) struct Origin {
    /// Paths of sources and of the store, as they are named and as they really are.
    paths: Vec<PathBuf>,
    /// What those are on their file systems, so that another way to them is seen, too.
    nodes: HashMap<(u64, u64), PathBuf>,
}

/// A directory as it was when it was made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Private {
    path: PathBuf,
    node: (u64, u64),
}

impl Origin {
    /// Collects the paths: those that the configuration names, those that the snapshots were taken from (`captured`), and
    /// those of the store.
    pub(super) fn of(request: &Request, captured: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut paths = request.place.never_captured();
        for source in &request.config.sources {
            let named: Vec<&Path> = match &source.kind {
                SourceKind::Files(files) => files.paths.iter().map(PathBuf::as_path).collect(),
                SourceKind::Sqlite(sqlite) => vec![sqlite.path.as_path()],
                _ => Vec::new(),
            };
            paths.extend(named.into_iter().map(|path| without_glob(&request.directory.join(path))));
        }
        paths.extend(captured);
        let real: Vec<_> = paths.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
        paths.extend(real);
        paths.sort();
        paths.dedup();
        let node = |path: &PathBuf| Some((node(path)?, path.clone()));
        let nodes = paths.iter().filter_map(node).collect();
        Self { paths, nodes }
    }

    /// Returns how many paths there are.
    pub(super) fn count(&self) -> usize {
        self.paths.len()
    }

    /// Says whether a path is one of the origin's, or below one, by its words alone.
    fn holds(&self, path: &Path) -> bool {
        self.paths.iter().any(|origin| path.starts_with(origin))
    }

    /// Says what a directory has to do with the origin, if it has.
    pub(super) fn meets(&self, directory: &Path) -> Option<String> {
        let shown = directory.display();
        let by_name = |path: &&PathBuf| path.starts_with(directory) || directory.starts_with(path);
        if let Some(path) = self.paths.iter().find(by_name) {
            return Some(format!("{shown} is at, above or below {}", path.display()));
        }
        // A mount may lead to the same place under another name.
        let above = directory.ancestors().filter(|path| path.parent().is_some());
        let met = above.filter_map(node).find_map(|node| self.nodes.get(&node));
        met.map(|path| format!("{shown} leads to {} by another name", path.display()))
    }
}

/// Returns the part of a path before the first component that is a pattern.
fn without_glob(path: &Path) -> PathBuf {
    let is_plain = |part: &std::path::Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    path.components().take_while(is_plain).collect()
}

fn node(path: impl AsRef<Path>) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

impl Private {
    /// Remembers a directory that was just made.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub(super) fn of(directory: &Path) -> Result<Self> {
        let cannot = || format!("cannot look at {}", directory.display());
        let path = fs::canonicalize(directory).io_context(cannot)?;
        let meta = fs::symlink_metadata(&path).io_context(cannot)?;
        Ok(Self { path, node: (meta.dev(), meta.ino()) })
    }

    /// Says why a directory is not private, or has to do with the origin.
    pub(super) fn doubt(&self, directory: &Path, origin: &Origin) -> Option<String> {
        match Self::of(directory) {
            Ok(now) if now == *self => {}
            _ => return Some(format!("{} is not the directory that was made", directory.display())),
        }
        let is_private = fs::metadata(&self.path).is_ok_and(|meta| {
            meta.uid() == rustix::process::geteuid().as_raw() && meta.permissions().mode() & 0o077 == 0
        });
        if !is_private {
            return Some(format!("others may use {}", directory.display()));
        }
        origin.meets(&self.path)
    }
}

/// What a look at a place came to.
#[derive(Debug)]
pub(super) enum Seen {
    /// It may not be apart: why.
    Doubt(String),
    /// It is, as far as can be told: what was compared, in words, and what could not be.
    Apart { proved: String, unknown: Option<String> },
}

impl Seen {
    /// Puts together what is known of the directory of a place and, if it has a database, of that.
    pub(super) fn of(directory: Option<String>, database: Option<Met>, origin: &Origin) -> Self {
        let paths = format!("apart from {} paths of the sources and the store", origin.count());
        match (directory, database) {
            (Some(why), _) | (None, Some(Met::Doubt(why))) => Self::Doubt(why),
            (None, None) => Self::Apart { proved: paths, unknown: None },
            (None, Some(Met::Apart(words))) => Self::Apart { proved: paths + &words, unknown: None },
            (None, Some(Met::Unknown(why))) => {
                let proved = format!("{paths}; whether its server is the origin's is not known: {why}");
                Self::Apart { proved, unknown: Some(why) }
            }
        }
    }
}

/// Makes the warning of a server that could not be told from that of the origin.
pub(super) fn unknown(source: &str, why: &str) -> Finding {
    let message = format!("whether `drill_server` is the server of the origin is not known: {why}");
    Finding::warning(FindingCode::DrillNotIsolated, message)
        .of_source(source)
        .hint("see for yourself that it is another server, or leave `drill_server` out where a drill can start its own")
}

/// Counts the symbolic links in a restored tree, below `place`, that lead into the origin: who follows one, such as a
/// check, is not in isolation any more. The second part of the answer is one of them. Links that cannot be read count
/// as none.
pub(super) fn links_out(place: &Path, origin: &Origin) -> Option<(usize, PathBuf)> {
    let mut open = vec![place.to_owned()];
    let mut found: Option<(usize, PathBuf)> = None;
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_symlink()
                && let Ok(target) = fs::read_link(entry.path())
                && origin.holds(&plainly(&directory.join(target)))
            {
                found = Some(found.map_or_else(|| (1, entry.path()), |(count, first)| (count + 1, first)));
            }
        }
    }
    found
}

/// Makes the warning of [`links_out`].
pub(super) fn links(source: &str, place: &Path, (count, first): (usize, PathBuf)) -> Finding {
    let first = Path::new("/").join(first.strip_prefix(place).unwrap_or(&first));
    let message = format!(
        "{count} symbolic links lead to where the sources or the store are, and not into the restored tree; one of them is {}",
        first.display()
    );
    Finding::warning(FindingCode::DrillNotIsolated, message)
        .of_source(source)
        .hint("let checks not follow them, or make them relative in the source")
}

/// Takes `.` and `..` out of a path by its words alone.
fn plainly(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            _ => plain.push(part),
        }
        plain
    })
}

/// Makes the refusal of a place that may not be apart.
pub(super) fn refusal(source: &str, why: &str) -> Finding {
    Finding::refusal(FindingCode::DrillNotIsolated, format!("the place of the drill is not isolated: {why}"))
        .of_source(source)
        .hint(
            "let TMPDIR name a directory apart from every source, and `drill_server` another server than the origin's",
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(paths: &[&Path]) -> Origin {
        let paths: Vec<PathBuf> = paths.iter().map(|&path| path.to_owned()).collect();
        let nodes = paths.iter().filter_map(|path| Some((node(path)?, path.clone()))).collect();
        Origin { paths, nodes }
    }

    #[test]
    fn a_directory_at_above_or_below_the_origin_is_seen_also_by_another_name() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        for name in ["data/tmp", "other"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        let of = origin(&[&root.join("data")]);
        for (name, meets) in [("data", true), ("data/tmp", true), ("", true), ("other", false), ("data2", false)] {
            assert_eq!(of.meets(&root.join(name)).is_some(), meets, "{name}");
        }
        // A link has the node of what it leads to, as the other end of a mount has.
        std::os::unix::fs::symlink(root.join("data"), root.join("link")).unwrap();
        assert!(of.meets(&root.join("link/tmp")).unwrap().contains("by another name"));
        assert_eq!(without_glob(Path::new("/srv/db/*.sqlite")), Path::new("/srv/db"));
    }

    #[test]
    fn a_directory_that_was_changed_for_another_is_not_private() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("place");
        fs::create_dir(&place).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
        let private = Private::of(&place).unwrap();
        let nowhere = origin(&[]);
        assert_eq!(private.doubt(&place, &nowhere), None);
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(private.doubt(&place, &nowhere).unwrap().starts_with("others may use"));
        fs::rename(&place, directory.path().join("away")).unwrap();
        fs::create_dir(&place).unwrap();
        assert!(private.doubt(&place, &nowhere).unwrap().contains("is not the directory that was made"));
    }

    #[test]
    fn links_that_lead_to_the_origin_are_counted() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let (data, place) = (root.join("data"), root.join("place"));
        fs::create_dir_all(place.join("sub")).unwrap();
        let of = origin(&[&data]);
        let link = |target: &Path, name: &str| std::os::unix::fs::symlink(target, place.join(name)).unwrap();
        link(Path::new("sub"), "within");
        link(Path::new("/etc/hostname"), "elsewhere");
        assert_eq!(links_out(&place, &of), None);
        link(&data.join("gone"), "sub/absolute");
        link(Path::new("../../data"), "sub/relative");
        let (count, first) = links_out(&place, &of).unwrap();
        assert_eq!(count, 2);
        let warning = links("uploads", &place, (count, first));
        assert!(warning.message.starts_with("2 symbolic links") && warning.message.contains("is /sub/"), "{warning:?}");
    }
}
