//! The values of a few rows, as the text of a dump has them.

use crate::source::migrations::Rows;

/// The most bytes of a table of migrations that are kept.
const MOST_KEPT: usize = 16 << 20;

/// The rows of one table as the dump has them: all of them, or nothing once they are too many, since the newest, which
/// count, come last.
#[derive(Debug)]
pub(super) struct KeptRows {
    text: Option<Vec<u8>>,
    /// Whether a backslash in a text is a backslash.
    pub backslash_is_plain: bool,
}

impl Default for KeptRows {
    fn default() -> Self {
        Self { text: Some(Vec::new()), backslash_is_plain: false }
    }
}

impl KeptRows {
    /// Takes more of the text.
    pub(super) fn take(&mut self, text: &[u8]) {
        if let Some(kept) = &mut self.text {
            kept.extend_from_slice(text);
            if kept.len() > MOST_KEPT {
                self.text = None;
            }
        }
    }

    /// Returns the rows; `None` if they were too many.
    pub(super) fn rows(&self, columns: Vec<String>) -> Option<Rows> {
        Some(rows(self.text.as_deref()?, columns, self.backslash_is_plain))
    }
}

/// Reads rows: `(1,'x',NULL),(2,…)`, of which the last may be cut off.
fn rows(text: &[u8], columns: Vec<String>, backslash_is_plain: bool) -> Rows {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut value = Vec::new();
    let mut is_text = false;
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\'' => {
                // What stands before a text names its character set, such as `_binary`.
                if !is_text {
                    value.clear();
                }
                is_text = true;
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'\\' if !backslash_is_plain => value.extend(bytes.next().map(unescaped)),
                        b'\'' if bytes.next_if_eq(&b'\'').is_some() => value.push(b'\''),
                        b'\'' => break,
                        other => value.push(other),
                    }
                }
            }
            b'(' => row.clear(),
            b',' | b')' => {
                let taken = String::from_utf8_lossy(&value).into_owned();
                row.push((is_text || taken != "NULL").then_some(taken));
                value.clear();
                is_text = false;
                if byte == b')' {
                    rows.push(std::mem::take(&mut row));
                    bytes.next_if_eq(&b',');
                }
            }
            b' ' | b'\n' => {}
            other => value.push(other),
        }
    }
    Rows { columns, rows }
}

fn unescaped(byte: u8) -> u8 {
    match byte {
        b'0' => 0,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'Z' => 26,
        other => other,
    }
}

/// Returns the columns of `CREATE TABLE`, of which each has a line of its own.
pub(super) fn columns(create: &str) -> Vec<String> {
    create.lines().filter_map(|line| first_name(line.trim_start())).collect()
}

/// Returns the columns that the beginning of an `INSERT` names after the table.
pub(super) fn named_columns(insert: &str) -> Option<Vec<String>> {
    let (_, list) = insert.split_once("` (")?;
    Some(list.split(',').filter_map(|column| first_name(column.trim_start())).collect())
}

fn first_name(text: &str) -> Option<String> {
    let mut chars = text.strip_prefix('`')?.chars().peekable();
    let mut name = String::new();
    while let Some(c) = chars.next() {
        if c == '`' && chars.next_if_eq(&'`').is_none() {
            return Some(name);
        }
        name.push(c);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read() {
        let found = rows(b"(1,'a\\'b''c\\n',NULL),(-2.5,'NULL',_binary 'x'),(3,", vec!["a".to_owned()], false);
        let expected = [vec![Some("1"), Some("a'b'c\n"), None], vec![Some("-2.5"), Some("NULL"), Some("x")]];
        assert_eq!(
            found.rows,
            expected.map(|row| row.into_iter().map(|value| value.map(str::to_owned)).collect::<Vec<_>>())
        );
    }

    #[test]
    fn too_many_rows_are_none() {
        let mut kept = KeptRows::default();
        kept.take(&vec![b' '; MOST_KEPT - 3]);
        kept.take(b"(1)");
        assert_eq!(kept.rows(Vec::new()).unwrap().rows.len(), 1);
        kept.take(b"(");
        kept.take(b"2)");
        assert!(kept.text.is_none() && kept.rows(Vec::new()).is_none());
    }

    #[test]
    fn columns_are_found() {
        assert_eq!(columns("CREATE TABLE `t` (\n  `a``b` int,\n  `c` text,\n  PRIMARY KEY (`c`)\n)"), ["a`b", "c"]);
        assert_eq!(named_columns("INSERT INTO `t` (`a`, `b`) ").unwrap(), ["a", "b"]);
        assert_eq!(named_columns("INSERT INTO `t` "), None);
    }
}
