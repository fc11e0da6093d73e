//! Which paths of a working tree a list of patterns means: the lines of a `.gitignore`, counted from a directory.

use crate::error::{Error, ErrorCode, Result};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::path::{Path, PathBuf};

/// Patterns that paths are compared with.
///
/// A pattern means what it means as a line of a `.gitignore` (git-scm.com/docs/gitignore) in the directory that it
/// counts from, so that a directory stands for all that is below it. One that begins with `../` counts from the
/// directory above, which no `.gitignore` knows. It is anchored there.
#[derive(Debug)]
pub struct Patterns {
    /// By directory, counted from the top of the working tree.
    groups: Vec<(PathBuf, Gitignore)>,
}

impl Patterns {
    /// Reads the patterns of `lines`, which count from `directory`, itself counted from the top of the working tree.
    ///
    /// # Errors
    /// `config`: a line is no pattern, or leads out of the working tree.
    pub fn new(lines: &[String], directory: &Path) -> Result<Self> {
        let mut builders: Vec<(PathBuf, GitignoreBuilder)> = Vec::new();
        for line in lines {
            let (directory, line) = anchored(line, directory)?;
            let place = builders.iter().position(|(of, _)| of == directory).unwrap_or_else(|| {
                builders.push((directory.to_owned(), GitignoreBuilder::new("")));
                builders.len() - 1
            });
            if let Some((_, builder)) = builders.get_mut(place) {
                builder.add_line(None, &line).map_err(|error| bad(&line, &error))?;
            }
        }
        let built = |(directory, builder): (PathBuf, GitignoreBuilder)| {
            Ok((directory, builder.build().map_err(|error| bad("the list", &error))?))
        };
        Ok(Self { groups: builders.into_iter().map(built).collect::<Result<_>>()? })
    }

    /// Says whether a path, counted from the top of the working tree, is meant.
    pub fn is_match(&self, path: &str) -> bool {
        self.groups.iter().any(|(directory, patterns)| {
            let below = Path::new(path).strip_prefix(directory);
            below.is_ok_and(|below| patterns.matched_path_or_any_parents(below, false).is_ignore())
        })
    }

    /// Returns the paths that are meant.
    pub fn matching<'a>(&self, paths: &'a [String]) -> Vec<&'a str> {
        paths.iter().map(String::as_str).filter(|path| self.is_match(path)).collect()
    }
}

/// Returns the directory that a line counts from, and the line as it stands there.
fn anchored<'a>(line: &str, directory: &'a Path) -> Result<(&'a Path, String)> {
    let (sign, pattern) = line.strip_prefix('!').map_or(("", line), |pattern| ("!", pattern));
    if let Some(pattern) = pattern.strip_prefix("./") {
        return Ok((directory, format!("{sign}/{pattern}")));
    }
    let (mut from, mut rest) = (directory, pattern);
    while let Some(above) = rest.strip_prefix("../") {
        from = from.parent().ok_or_else(|| {
            Error::new(ErrorCode::Config, format!("{line:?} leads out of the git working tree"))
                .hint("paths that change are those of the working tree: count from the configuration's directory")
        })?;
        rest = above;
    }
    match (rest == pattern, rest) {
        (true, _) => Ok((directory, line.to_owned())),
        (false, "") => Ok((from, format!("{sign}/**"))),
        (false, rest) => Ok((from, format!("{sign}/{rest}"))),
    }
}

fn bad(line: &str, error: &ignore::Error) -> Error {
    Error::new(ErrorCode::Config, format!("{line:?} is not a pattern of paths: {error}"))
        .hint("write it as a line of a .gitignore")
}

/// Says in words which paths: the first few by name, the rest by their number.
pub fn in_words<T: AsRef<str>>(paths: &[T]) -> String {
    const SHOWN: usize = 5;
    let shown = paths.iter().take(SHOWN).map(|path| path.as_ref().escape_debug().to_string());
    let shown = shown.collect::<Vec<_>>().join(", ");
    match paths.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(lines: &[&str], directory: &str, path: &str) -> bool {
        let lines: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
        Patterns::new(&lines, Path::new(directory)).unwrap().is_match(path)
    }

    #[test]
    fn patterns_are_lines_of_a_gitignore() {
        for (line, path, expected) in [
            ("migrations/**", "migrations/1.sql", true),
            ("migrations/**", "migrations/a/b/1.sql", true),
            ("migrations/**", "db/migrations/1.sql", false),
            ("migrations/", "db/migrations/1.sql", true),
            ("migrations/", "migrations", false),
            ("/migrations", "db/migrations/1.sql", false),
            ("migrations", "migrations", true),
            ("*.sql", "a/b/c.sql", true),
            ("*.sql", "a/b/c.sql/d", true),
            ("*.sql", "a/b/c.sqlx", false),
            ("db/*.sql", "db/a/b.sql", false),
            ("db/**/b.sql", "db/b.sql", true),
            ("./db", "db/b.sql", true),
            ("./db", "a/db/b.sql", false),
            ("[ab].txt", "b.txt", true),
            ("\\#x", "#x", true),
            ("caf\u{e9}/", "caf\u{e9}/x", true),
            ("a?c", "abc", true),
            ("A", "a", false),
        ] {
            assert_eq!(meant(&[line], "", path), expected, "{line} {path}");
        }
        let but = ["db/**", "!db/README.md"];
        assert!(meant(&but, "", "db/a") && !meant(&but, "", "db/README.md"));
    }

    #[test]
    fn patterns_count_from_the_directory_of_the_configuration() {
        for (line, path, expected) in [
            ("migrations/**", "apps/shop/migrations/1.sql", true),
            ("migrations/**", "migrations/1.sql", false),
            ("*.sql", "apps/shop/db/1.sql", true),
            ("*.sql", "apps/web/1.sql", false),
            ("*.sql", "apps/shopping/1.sql", false),
            ("../web/**", "apps/web/1.sql", true),
            ("../*.sql", "apps/1.sql", true),
            ("../*.sql", "apps/web/1.sql", false),
            ("../../shared", "shared/a/b", true),
            ("../", "apps/web/1.sql", true),
            ("../../**", "apps/shop/x", true),
            ("../../**", "README.md", true),
        ] {
            assert_eq!(meant(&[line], "apps/shop", path), expected, "{line} {path}");
        }
        assert!(meant(&["*.sql"], "a[b]/*", "a[b]/*/x.sql"), "a directory is no pattern");
        let but = ["../**", "!../web/docs/**"];
        assert!(meant(&but, "apps/shop", "apps/web/x") && !meant(&but, "apps/shop", "apps/web/docs/x"));
        let out = Patterns::new(&["../../../x".to_owned()], Path::new("apps/shop")).unwrap_err();
        assert_eq!(out.code(), ErrorCode::Config);
    }

    #[test]
    fn many_paths_are_counted() {
        assert_eq!(in_words::<&str>(&[]), "");
        assert_eq!(in_words(&["a", "b\n"]), "a, b\\n");
        assert_eq!(in_words(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
    }
}
