//! `kind = "files"`: files and directories, captured as a tree.

use super::write::absolute;
use super::{Capture, Context, Facts, Source, Stored, Target, TreeCapture};
use crate::config::FilesConfig;
use crate::error::{Error, ErrorCode, Result};
use crate::model::exclude::Exclude;
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::Consistency;
use ignore::gitignore::GitignoreBuilder;
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Files and directories.
#[derive(Debug)]
pub(super) struct FilesSource {
    /// What relative paths count from.
    directory: PathBuf,
    /// As configured, but absolute.
    named: Vec<PathBuf>,
    /// Those of them that no other one contains, sorted.
    roots: Vec<PathBuf>,
    exclude: Exclude,
}

impl FilesSource {
    /// Creates the source; relative paths count from `directory`.
    pub(super) fn new(config: &FilesConfig, directory: &Path) -> Self {
        let named: Vec<PathBuf> = config.paths.iter().map(|path| absolute(directory, path)).collect();
        let mut sorted = named.clone();
        sorted.sort_unstable();
        let mut roots: Vec<PathBuf> = Vec::with_capacity(sorted.len());
        for path in sorted {
            if !roots.iter().any(|root| path.starts_with(root)) {
                roots.push(path);
            }
        }
        let exclude = Exclude {
            globs: config.exclude.clone(),
            caches: config.exclude_caches,
            larger_than: config.exclude_larger_than,
            git_ignore: config.git_ignore,
            paths: Vec::new(),
        };
        Self { directory: directory.to_owned(), named, roots, exclude }
    }

    /// Checks that a path exists and can be read.
    fn check_path(&self, path: &Path) -> Option<Finding> {
        let text = match path.symlink_metadata().and_then(|meta| open(path, &meta)) {
            Ok(()) => return None,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                let missing = Finding::refusal(FindingCode::PathMissing, format!("{} does not exist", path.display()));
                return Some(missing.hint(format!("relative paths count from {}", self.directory.display())));
            }
            Err(error) => format!("cannot read {}: {error}", path.display()),
        };
        Some(Finding::refusal(FindingCode::SourceUnreadable, text).hint("run as a user who may read all of it"))
    }

    /// Checks that what was named below another root is captured with that one.
    fn check_nested(&self, path: &Path) -> Option<Finding> {
        let root = self.roots.iter().find(|root| path.starts_with(root))?;
        if path == root {
            return None;
        }
        let refusal = |text: String| Finding::refusal(FindingCode::PreflightFailed, text);
        let parents = path.ancestors().skip(1).take_while(|parent| parent.starts_with(root));
        if let Some(link) = parents.filter(|parent| parent.is_symlink()).last() {
            let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            let text = format!(
                "{} is reached by the symbolic link {}, which is captured as a link",
                path.display(),
                link.display()
            );
            return Some(refusal(text).hint(format!("name {} instead", real.display())));
        }
        let mut globs = GitignoreBuilder::new(root);
        for glob in &self.exclude.globs {
            // One that cannot be read has a finding of its own.
            let _ = globs.add_line(None, glob);
        }
        let excluded =
            globs.build().is_ok_and(|globs| globs.matched_path_or_any_parents(path, path.is_dir()).is_ignore());
        excluded.then(|| {
            refusal(format!("{} is named as a path and left out by `exclude`", path.display()))
                .hint("remove one of the two, or give the path a source of its own")
        })
    }

    /// Checks that a root is not a mere link to data that is not captured.
    fn check_link(&self, root: &Path) -> Option<Finding> {
        let meta = root.symlink_metadata().ok()?;
        if !meta.is_symlink() {
            return None;
        }
        let real = root.canonicalize().ok()?;
        let captured = |other: &PathBuf| {
            other.canonicalize().is_ok_and(|other_real| other != root && real.starts_with(other_real))
        };
        if self.roots.iter().any(captured) {
            return None;
        }
        let text = format!("{} is a symbolic link; only the link is captured, not what it leads to", root.display());
        // Among other data the link may be what is wanted; alone it is no data at all.
        let finding = if self.roots.iter().all(|root| root.is_symlink()) {
            Finding::refusal(FindingCode::PreflightFailed, text)
        } else {
            Finding::warning(FindingCode::PreflightFailed, text)
        };
        Some(finding.hint(format!("name {} to capture what it leads to", real.display())))
    }

    fn check_glob(glob: &str) -> Option<Finding> {
        let mut builder = GitignoreBuilder::new("/");
        builder.allow_unclosed_class(false);
        let error = builder.add_line(None, glob).err()?;
        let text = format!("`{glob}` is not a glob: {error}");
        Some(Finding::refusal(FindingCode::PreflightFailed, text).hint("`exclude` takes lines as in a .gitignore file"))
    }
}

impl Source for FilesSource {
    fn facts(&self) -> Facts {
        let roots: Vec<String> = self.roots.iter().map(|root| root.display().to_string()).collect();
        Facts {
            identity: Some(roots.join(":")),
            is_bound: false,
            tool_version: None,
            server_version: None,
            method: "walk",
            consistency: Consistency::PerFile,
            estimated_bytes: None,
        }
    }

    fn preflight(&self, _: &Context) -> Vec<Finding> {
        if self.named.is_empty() {
            let empty = Finding::refusal(FindingCode::NoFilesMatched, "the list of paths is empty");
            return vec![empty.hint("name at least one path")];
        }
        let paths = self.named.iter().flat_map(|path| self.check_path(path).or_else(|| self.check_nested(path)));
        let links = self.roots.iter().filter_map(|root| self.check_link(root));
        let globs = self.exclude.globs.iter().filter_map(|glob| Self::check_glob(glob));
        paths.chain(links).chain(globs).collect()
    }

    fn capture(&self, _: &Context) -> Result<Capture> {
        if self.roots.is_empty() {
            return Err(Error::new(ErrorCode::CaptureFailed, "the list of paths is empty"));
        }
        Ok(Capture::Tree(TreeCapture { roots: self.roots.clone(), exclude: self.exclude.clone() }))
    }

    fn restore(&self, _: &Context, _: &dyn Stored, _: &Target, _: bool) -> Result<()> {
        Err(Error::new(ErrorCode::Internal, "a tree of files was restored as a stream"))
    }
}

/// Opens what has content; a FIFO would block and a link or device is not read.
fn open(path: &Path, meta: &Metadata) -> std::io::Result<()> {
    if meta.is_dir() {
        path.read_dir().map(drop)
    } else if meta.is_file() {
        File::open(path).map(drop)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::model::finding::Level;
    use std::os::unix::fs::symlink;

    fn source(directory: &Path, paths: &[&str], exclude: &[&str]) -> FilesSource {
        let config = FilesConfig {
            paths: paths.iter().map(PathBuf::from).collect(),
            exclude: exclude.iter().map(|&glob| glob.to_owned()).collect(),
            ..FilesConfig::default()
        };
        FilesSource::new(&config, directory)
    }

    fn findings(source: &FilesSource) -> Vec<(FindingCode, Level, String)> {
        let context = sample::context("");
        let findings = source.preflight(&context);
        findings.into_iter().map(|finding| (finding.code, finding.level, finding.message)).collect()
    }

    #[test]
    fn roots_are_absolute_and_none_lies_below_another() {
        let source = source(Path::new("/srv/app"), &["b/x", "./b", "../c", "/srv/app/b", "bb"], &[]);
        let roots = ["/srv/app/b", "/srv/app/bb", "/srv/c"].map(PathBuf::from);
        assert_eq!(source.roots, roots);
        assert_eq!(source.facts().identity.unwrap(), "/srv/app/b:/srv/app/bb:/srv/c");
    }

    #[test]
    fn what_cannot_be_captured_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("data")).unwrap();
        assert_eq!(findings(&source(directory.path(), &["data"], &["*.log", "!keep.log"])), []);
        let all = findings(&source(directory.path(), &["data", "missing", "data/cache"], &["[x"]));
        let codes: Vec<_> = all.iter().map(|finding| finding.0).collect();
        assert_eq!(codes, [FindingCode::PathMissing, FindingCode::PathMissing, FindingCode::PreflightFailed]);
        assert!(all[0].2.ends_with("missing does not exist"));
        assert_eq!(findings(&source(directory.path(), &[], &[]))[0].0, FindingCode::NoFilesMatched);
    }

    #[test]
    fn a_path_that_would_silently_not_be_captured_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("app/cache")).unwrap();
        std::fs::create_dir_all(root.join("elsewhere/uploads")).unwrap();
        symlink(root.join("elsewhere"), root.join("app/current")).unwrap();
        let nested = findings(&source(&root, &["app", "app/cache"], &["cache/"]));
        assert_eq!(nested.len(), 1);
        assert!(nested[0].2.contains("left out by `exclude`"), "{nested:?}");
        let linked = findings(&source(&root, &["app", "app/current/uploads"], &[]));
        assert!(linked[0].2.contains("is reached by the symbolic link"), "{linked:?}");
    }

    #[test]
    fn a_link_alone_is_no_data() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("releases/5")).unwrap();
        std::fs::create_dir_all(root.join("other")).unwrap();
        symlink("releases/5", root.join("current")).unwrap();
        assert_eq!(findings(&source(&root, &["current"], &[]))[0].1, Level::Refusal);
        assert_eq!(findings(&source(&root, &["current", "other"], &[]))[0].1, Level::Warning);
        assert_eq!(findings(&source(&root, &["current", "releases"], &[])), []);
    }
}
