//! The rows of one table, as COPY writes them: a line each, and a last line that says so.

use crate::source::migrations::{Rows, SchemaVersion, schema_version};

/// What pg_dump writes after the last row (`dumpTableData_copy` in PostgreSQL's `pg_dump.c`).
const END: &[u8; 5] = b"\\.\n\n\n";
/// How many lines that is.
const LINES_OF_END: u64 = 3;
/// The most bytes of a table of migrations that are kept.
const MOST_KEPT: usize = 16 << 20;

/// Counts rows, and keeps those that tell the version of the application's schema.
pub(super) struct RowCounter {
    lines: u64,
    tail: [u8; END.len()],
    kept: Option<Vec<u8>>,
}

impl RowCounter {
    pub(super) fn new(keep: bool) -> Self {
        Self { lines: 0, tail: [0; END.len()], kept: keep.then(Vec::new) }
    }

    /// Takes more of the data.
    #[inline]
    pub(super) fn take(&mut self, data: &[u8]) {
        self.lines += memchr::memchr_iter(b'\n', data).count() as u64;
        match data.last_chunk() {
            Some(tail) => self.tail = *tail,
            None => {
                self.tail.rotate_left(data.len());
                let start = self.tail.len() - data.len();
                self.tail.iter_mut().skip(start).zip(data).for_each(|(place, byte)| *place = *byte);
            }
        }
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(data);
            if kept.len() > MOST_KEPT {
                self.kept = None;
            }
        }
    }

    /// Returns how many rows there were; `None` if the end is not there.
    pub(super) fn rows(&self) -> Option<u64> {
        (self.tail == *END).then(|| self.lines.saturating_sub(LINES_OF_END))
    }

    /// Reads the version of the application's schema from the rows of a tool's table.
    pub(super) fn schema_version(&self, table: &str, columns: &[String]) -> Option<SchemaVersion> {
        let text = String::from_utf8_lossy(self.kept.as_deref()?);
        let lines = text.lines().take_while(|line| *line != "\\.");
        let rows = lines.map(|line| line.split('\t').map(value).collect()).collect();
        schema_version(table, &Rows { columns: columns.to_vec(), rows })
    }
}

/// Returns a value of a row; the notation is that of the text format of COPY.
fn value(text: &str) -> Option<String> {
    if text == "\\N" {
        return None;
    }
    let mut value = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|escaped| match escaped {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\u{b}',
                other => other,
            })),
            other => value.push(other),
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_whatever_the_slices() {
        let data = b"1\ta\\nb\n2\t\\N\n\\.\n\n\n";
        for size in 1..data.len() {
            let mut counter = RowCounter::new(true);
            data.chunks(size).for_each(|slice| counter.take(slice));
            assert_eq!(counter.rows(), Some(2), "{size}");
        }
        let mut cut = RowCounter::new(false);
        cut.take(&data[..data.len() - 1]);
        assert_eq!(cut.rows(), None);
        assert_eq!((value("a\\\\b\\nc"), value("\\N")), (Some("a\\b\nc".to_owned()), None));
    }

    #[test]
    fn the_version_of_a_schema_is_in_its_rows() {
        let mut counter = RowCounter::new(true);
        counter.take(b"20240101\n20250101\n\\.\n\n\n");
        let version = counter.schema_version("schema_migrations", &["version".to_owned()]).unwrap();
        assert_eq!(version.version, "20250101");
    }
}
