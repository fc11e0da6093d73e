//! Is the place of a drill really apart from where the data came from? Looked at before the restore, and after it.

use super::Request;
use crate::config::{SourceKind, Text};
use crate::error::{IoContext, Result};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::SourceRecord;
use crate::source::Target;
use crate::source::isolation::Isolated;
use crate::source::throwaway::PREFIX;
use percent_encoding::percent_decode_str;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// How the databases begin that a drill makes on a server that it was given; 16 hexadecimal digits follow.
const DATABASE: &str = "holdpoint_drill_";

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

/// Says why a place of a database may not be apart from the origin. `is_restored`: the data is there by now, and with a
/// whole cluster came its identity.
pub(super) fn doubt(
    isolated: &dyn Isolated,
    record: &SourceRecord,
    own_url: Option<&Text>,
    origin: &Origin,
    is_restored: bool,
) -> Option<String> {
    let target = isolated.target();
    let is_ours = match &target {
        Target::Origin => return Some("it is where the source came from".to_owned()),
        Target::Directory(path) if !is_ours(&path.display().to_string()) => {
            return Some(format!("{} is not private", path.display()));
        }
        Target::Directory(path) => match origin.meets(path) {
            Some(met) => return Some(met),
            None => true,
        },
        Target::Url(url) => is_ours(&percent_decode_str(url).decode_utf8_lossy()),
    };
    if let Target::Url(url) = &target {
        if !is_ours && !is_scratch(url) {
            return Some("its server is none of our own, and its database is none that we made".to_owned());
        }
        // One that cannot be had here cannot be met, either.
        let own = own_url.and_then(|url| url.resolve().ok());
        if own.is_some_and(|own| place_of(url).is_some_and(|place| Some(place) == place_of(&own))) {
            return Some("it is the database that the source's own `url` names".to_owned());
        }
    }
    let identity = isolated.identity().filter(|identity| Some(identity) == record.identity.as_ref());
    let identity = identity.filter(|_| !(is_ours && is_restored));
    identity.map(|identity| format!("it calls itself {identity}, as the origin does"))
}

/// Says whether a path, or a URL with the path of a socket, leads into a private directory that this process made. A
/// server that does not run as root has one of its own.
fn is_ours(text: &str) -> bool {
    text.contains(&format!("/{PREFIX}{}-", std::process::id()))
}

/// Says whether a URL names a database that only a drill makes.
fn is_scratch(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let digits = name.strip_prefix(DATABASE).unwrap_or_default();
    digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns server and database of a URL.
fn place_of(url: &str) -> Option<(String, Option<u16>, String)> {
    let url = url::Url::parse(url).ok()?;
    Some((url.host_str()?.to_ascii_lowercase(), url.port(), url.path().to_owned()))
}

/// Makes the refusal of a place that may not be apart.
pub(super) fn refusal(source: &str, why: &str) -> Finding {
    Finding::refusal(FindingCode::DrillNotIsolated, format!("the place of the drill is not isolated: {why}"))
        .of_source(source)
        .hint("let TMPDIR name a directory apart from every source, and `drill_server` a server that is not the origin")
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
    fn only_a_database_that_a_drill_makes_is_a_scratch_database() {
        for (url, expected) in [
            ("postgres://u:p@h:5/holdpoint_drill_0123456789abcdef?sslmode=require", true),
            ("mysql://h/holdpoint_drill_0123456789abcdef", true),
            ("postgres://h/shop", false),
            ("postgres://h/holdpoint_drill_", false),
            ("postgres://h/shop?options=holdpoint_drill_0123456789abcdef", false),
            ("postgres://h/holdpoint_drill_0123456789abcdef/shop", false),
        ] {
            assert_eq!(is_scratch(url), expected, "{url}");
        }
        let place = |url| place_of(url);
        assert_eq!(place("postgres://a:b@H:5432/shop?x=1"), place("postgres://c@h:5432/shop"));
        assert_ne!(place("postgres://h/shop"), place("postgres://h/shop2"));
        let own = format!("postgres://u@%2Ftmp%2F{PREFIX}{}-x%2F0/db", std::process::id());
        assert!(is_ours(&percent_decode_str(&own).decode_utf8_lossy()) && !is_ours("postgres://u@h/db"));
    }
}
