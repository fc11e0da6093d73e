//! What is wrong with a configuration, and where.

use crate::error::{Error, ErrorCode};
use std::fmt;
use std::path::{Path, PathBuf};

/// One mistake in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Every mistake in one configuration, in the order of the file; the cause of the error of [`super::parse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    /// The file.
    pub path: PathBuf,
    /// The mistakes; never empty.
    pub list: Vec<Mistake>,
}

impl Mistakes {
    /// Locates mistakes, each given by its byte offset in `text`; `None` if there are none.
    pub(super) fn locate(path: &Path, text: &str, mut found: Vec<(usize, String)>) -> Option<Self> {
        found.sort();
        found.dedup();
        let list: Vec<_> = found
            .into_iter()
            .map(|(offset, message)| {
                let (line, column) = position(text, offset);
                Mistake { line, column, message }
            })
            .collect();
        (!list.is_empty()).then(|| Self { path: path.to_owned(), list })
    }

    /// Turns the mistakes into the error that shows all of them.
    pub(super) fn into_error(self) -> Error {
        let name = self.path.display();
        let count = match self.list.len() {
            1 => "1 mistake".to_owned(),
            number => format!("{number} mistakes"),
        };
        // The list ends the message and is the cause too: printed once, and still there as data.
        Error::new(ErrorCode::Config, format!("{name} has {count}\n{self}"))
            .caused_by(self)
            .hint("correct the file; `holdpoint schema config` describes every key")
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, mistake) in self.list.iter().enumerate() {
            let end_of_last = if number == 0 { "" } else { "\n" };
            let Mistake { line, column, message } = mistake;
            write!(f, "{end_of_last}{}:{line}:{column}: {message}", self.path.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Returns line and column, both from 1, of a byte offset; an offset past the end is the end.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = text.get(..end).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (line, before.get(line_start..).unwrap_or_default().chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let text = "ab\nä = ö\n";
        for (offset, expected) in
            [(0, (1, 1)), (2, (1, 3)), (3, (2, 1)), (5, (2, 2)), (4, (2, 1)), (12, (3, 1)), (99, (3, 1))]
        {
            assert_eq!(position(text, offset), expected, "{offset}");
        }
    }

    #[test]
    fn the_error_shows_every_mistake_once_and_keeps_them_as_data() {
        let found = vec![(3, "two".to_owned()), (0, "one".to_owned())];
        let error = Mistakes::locate(Path::new("h.toml"), "a\nb", found).unwrap().into_error();
        assert_eq!(error.chain(), "h.toml has 2 mistakes\nh.toml:1:1: one\nh.toml:2:2: two");
        let data = std::error::Error::source(&error).unwrap().downcast_ref::<Mistakes>().unwrap();
        assert_eq!(data.list.len(), 2);
        assert!(Mistakes::locate(Path::new("h.toml"), "", Vec::new()).is_none());
    }
}
