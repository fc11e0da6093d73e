//! Whether a copy would be lost together with the store.

use super::CopyStore;
use crate::error::{Error, ErrorCode, Result};
use crate::gate::place::Place;
use crate::model::finding::{Finding, FindingCode};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What two stores have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shared {
    Nothing,
    Bucket,
    FileSystem,
    Location,
}

/// Says what speaks against each copy of `store`: a refusal for one that is the store itself, a warning for one that
/// would be lost together with it.
pub fn findings(store: &Place, copies: &[CopyStore]) -> Vec<Finding> {
    copies.iter().filter_map(|copy| finding(store, copy)).collect()
}

/// Says what speaks against one copy.
pub fn finding(store: &Place, copy: &CopyStore) -> Option<Finding> {
    let (name, location) = (&copy.name, copy.place.location());
    let warning = |what: &str, hint: &str| {
        let message = format!("copy {name}: {location} is {what} the store, and would be lost together with it");
        Some(Finding::warning(FindingCode::CopySameFailureDomain, message).hint(hint))
    };
    match shared(store, &copy.place) {
        Shared::Nothing => None,
        Shared::Bucket => warning("in the same bucket as", "use another bucket, best in another region and account"),
        Shared::FileSystem => warning("on the same file system as", "use another disk or machine, or a bucket"),
        Shared::Location => {
            let message = format!("copy {name}: {location} is the store itself");
            Some(Finding::refusal(FindingCode::CopySameFailureDomain, message).hint(format!(
                "name another location; where the copy has become the store, take [store.copies.{name}] out"
            )))
        }
    }
}

/// Makes sure that a copy is not the store itself.
///
/// # Errors
/// `usage`: it is.
pub fn check_distinct(store: &Place, copy: &CopyStore) -> Result<()> {
    match shared(store, &copy.place) {
        Shared::Location => Err(Error::new(
            ErrorCode::Usage,
            format!("{} is the store itself, and no copy of it", copy.place.location()),
        )
        .hint("name another location")),
        _ => Ok(()),
    }
}

fn shared(one: &Place, two: &Place) -> Shared {
    match (one.directory(), two.directory()) {
        (Some(one), Some(two)) => directories(one, two),
        (None, None) if one.restic_location() == two.restic_location() => Shared::Location,
        (None, None) if bucket(one) == bucket(two) => Shared::Bucket,
        _ => Shared::Nothing,
    }
}

fn directories(one: &Path, two: &Path) -> Shared {
    let ((one, one_device), (two, two_device)) = (resolve(one), resolve(two));
    if one == two {
        Shared::Location
    } else if one_device.is_some() && one_device == two_device {
        Shared::FileSystem
    } else {
        Shared::Nothing
    }
}

/// Resolves the links of a path whose end need not exist; also returns the file system that it is or will be on.
fn resolve(path: &Path) -> (PathBuf, Option<u64>) {
    for existing in path.ancestors() {
        let Ok(canonical) = existing.canonicalize() else { continue };
        let device = canonical.metadata().ok().map(|metadata| metadata.dev());
        let rest = path.strip_prefix(existing).unwrap_or(Path::new(""));
        let whole = if rest.as_os_str().is_empty() { canonical } else { canonical.join(rest) };
        return (whole, device);
    }
    (path.to_owned(), None)
}

/// Returns the server and the bucket of a store, `s3:SERVER/BUCKET`.
fn bucket(place: &Place) -> String {
    let (location, restic) = (place.location(), place.restic_location());
    let path = location.strip_prefix("s3://").unwrap_or_default();
    let (bucket, _) = path.split_once('/').unwrap_or((path, ""));
    format!("{}{bucket}", restic.strip_suffix(path).unwrap_or(&restic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_compared_by_where_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("one")).unwrap();
        std::os::unix::fs::symlink(path("one"), path("link")).unwrap();
        assert_eq!(directories(&path("one"), &path("link")), Shared::Location);
        assert_eq!(directories(&path("one/new/store"), &path("link/new/store")), Shared::Location);
        // Neither has to exist.
        assert_eq!(directories(&path("two/store"), &path("three")), Shared::FileSystem);
        assert_eq!(directories(&path("one"), Path::new("/proc")), Shared::Nothing);
    }
}
