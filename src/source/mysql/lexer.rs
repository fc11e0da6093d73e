//! The statements of a dump, told apart as the client program does it.
//!
//! Rules: MySQL's manual, "Lexical Structure" and "Comments"; `DELIMITER` is the client program's.

use super::input::Input;
use crate::error::Error;
use memchr::{memchr, memchr2, memmem};

/// How much of the text of one statement is kept; what a statement is stands at its beginning.
const KEPT: usize = 256 * 1024;
/// The longest text that is compared at once, and the longest delimiter.
pub(super) const LONGEST: usize = 32;
/// The command that forbids a client program to leave the database; it has no delimiter.
const SANDBOX: &[u8] = b"/*M!999999\\-";

/// Why there are no more statements.
pub(super) enum Fault {
    /// The stream cannot be read.
    Read(Error),
    /// The stream is not a dump, or is cut off.
    Broken(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Read(error)
    }
}

/// What stands next in a dump; its text is in [`Lexer::text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    /// A line of comment, without its dashes.
    Comment,
    /// A statement, without comments and without the frame of conditional ones.
    Statement,
    /// The beginning of an `INSERT`, up to `VALUES`: [`Lexer::rows`] comes next.
    Insert,
}

/// Takes a dump apart.
pub(super) struct Lexer<'r> {
    pub input: Input<'r>,
    /// The text of the last item, lossless but for its length.
    pub text: Vec<u8>,
    delimiter: Vec<u8>,
    /// Whether a backslash in a text is a backslash, as the mode of the session may say.
    pub backslash_is_plain: bool,
}

impl<'r> Lexer<'r> {
    pub(super) fn new(input: Input<'r>) -> Self {
        Self { input, text: Vec::new(), delimiter: b";".to_vec(), backslash_is_plain: false }
    }

    /// Finds the next item; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Item>, Fault> {
        loop {
            self.text.clear();
            let ahead = self.input.ahead(LONGEST)?;
            let Some(&first) = ahead.first() else { return Ok(None) };
            if first.is_ascii_whitespace() {
                self.input.consume(1);
            } else if is_line_comment(ahead) {
                self.line()?;
                return Ok(Some(Item::Comment));
            } else if ahead.starts_with(SANDBOX) || (ahead.starts_with(b"/*") && conditional(ahead).is_none()) {
                self.block_comment()?;
            } else if starts_with_word(ahead, b"DELIMITER") {
                self.line()?;
                let delimiter = self.text.get(b"DELIMITER".len()..).unwrap_or_default().trim_ascii();
                if delimiter.is_empty() || delimiter.len() > LONGEST {
                    return Err(self.broken("a delimiter was expected"));
                }
                self.delimiter = delimiter.to_vec();
            } else if starts_with_word(ahead, b"INSERT") {
                self.insert_head()?;
                return Ok(Some(Item::Insert));
            } else {
                self.statement()?;
                if !self.text.trim_ascii().is_empty() {
                    return Ok(Some(Item::Statement));
                }
            }
        }
    }

    /// Reads a statement up to and with its delimiter.
    fn statement(&mut self) -> Result<(), Fault> {
        let mut open = 0_u32;
        loop {
            let ahead = self.input.ahead(LONGEST)?;
            let Some(&byte) = ahead.first() else { return Err(self.cut_off()) };
            if ahead.starts_with(&self.delimiter) {
                self.input.consume(self.delimiter.len());
                return Ok(());
            }
            match byte {
                b'\'' | b'"' | b'`' => self.quoted(byte)?,
                b'-' | b'#' if is_line_comment(ahead) => {
                    self.skip_line()?;
                    self.keep(b" ");
                }
                b'/' if ahead.starts_with(b"/*") => match conditional(ahead) {
                    Some(length) => {
                        open += 1;
                        self.input.consume(length);
                    }
                    None => self.block_comment()?,
                },
                b'*' if open > 0 && ahead.starts_with(b"*/") => {
                    open -= 1;
                    self.input.consume(2);
                    self.keep(b" ");
                }
                other => self.keep_one(other),
            }
        }
    }

    /// Reads a quoted text or name; a doubled quote begins another right after.
    pub(super) fn quoted(&mut self, quote: u8) -> Result<(), Fault> {
        self.keep_one(quote);
        let has_escapes = quote != b'`' && !self.backslash_is_plain;
        loop {
            let rest = self.input.buffered();
            let found = if has_escapes { memchr2(quote, b'\\', rest) } else { memchr(quote, rest) };
            let is_escape = found.and_then(|at| rest.get(at)) == Some(&b'\\');
            let length = found.map_or(rest.len(), |at| at + 1);
            self.keep_ahead(length);
            match found {
                Some(_) if is_escape => {
                    let Some(&next) = self.input.ahead(1)?.first() else { return Err(self.cut_off()) };
                    self.keep_one(next);
                }
                Some(_) => return Ok(()),
                None => {
                    if !self.input.fill()? {
                        return Err(self.cut_off());
                    }
                }
            }
        }
    }

    /// Reads a line without its newline; the last one may have none.
    fn line(&mut self) -> Result<(), Fault> {
        loop {
            let found = memchr(b'\n', self.input.buffered());
            self.keep_ahead(found.unwrap_or(self.input.buffered().len()));
            if found.is_some() {
                self.input.consume(1);
                return Ok(());
            }
            if !self.input.fill()? {
                return Ok(());
            }
        }
    }

    fn skip_line(&mut self) -> Result<(), Fault> {
        loop {
            let rest = self.input.buffered();
            let found = memchr(b'\n', rest);
            let length = found.map_or(rest.len(), |at| at + 1);
            self.input.consume(length);
            if found.is_some() || !self.input.fill()? {
                return Ok(());
            }
        }
    }

    fn block_comment(&mut self) -> Result<(), Fault> {
        self.input.consume(2);
        loop {
            let rest = self.input.ahead(2)?;
            if let Some(at) = memmem::find(rest, b"*/") {
                self.input.consume(at + 2);
                return Ok(());
            }
            // Its last byte may be the first half of the end.
            let length = rest.len().saturating_sub(1);
            self.input.consume(length);
            if !self.input.fill()? {
                return Err(self.cut_off());
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.text.len() < KEPT {
            self.text.extend_from_slice(bytes);
        }
    }

    pub(super) fn keep_one(&mut self, byte: u8) {
        self.keep(&[byte]);
        self.input.consume(1);
    }

    fn keep_ahead(&mut self, length: usize) {
        if self.text.len() < KEPT {
            self.text.extend_from_slice(self.input.buffered().get(..length).unwrap_or_default());
        }
        self.input.consume(length);
    }

    pub(super) fn broken(&self, what: &str) -> Fault {
        Fault::Broken(format!("{what} at byte {}", self.input.offset()))
    }

    pub(super) fn cut_off(&self) -> Fault {
        Fault::Broken(format!("it is cut off after {} bytes", self.input.offset()))
    }
}

/// Says whether a comment begins that goes to the end of its line: `#`, or two dashes before white space.
fn is_line_comment(ahead: &[u8]) -> bool {
    match ahead {
        [b'#', ..] | [b'-', b'-'] => true,
        [b'-', b'-', next, ..] => next.is_ascii_whitespace(),
        _ => false,
    }
}

/// Returns the length of what opens a conditional comment, such as `/*!50003` or `/*M!100100`.
fn conditional(ahead: &[u8]) -> Option<usize> {
    let opening = [&b"/*!"[..], b"/*M!"].into_iter().find(|opening| ahead.starts_with(opening))?.len();
    let digits = ahead.iter().skip(opening).take(6).take_while(|byte| byte.is_ascii_digit()).count();
    Some(opening + digits)
}

pub(super) fn starts_with_word(ahead: &[u8], word: &[u8]) -> bool {
    let begins = ahead.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    begins && ahead.get(word.len()).is_some_and(|next| !next.is_ascii_alphanumeric() && *next != b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancel;
    use std::io::Read;

    /// Gives a few bytes at a time, so that everything falls on an edge once.
    struct Drops<'a>(&'a [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    /// Returns the items in short: `# comment`, `statement`, `insert … × rows`.
    fn items(sql: &str, size: usize) -> Result<Vec<String>, String> {
        let (mut reader, cancel) = (Drops(sql.as_bytes(), size), Cancel::new());
        let mut lexer = Lexer::new(Input::new(&mut reader, &cancel));
        let mut found = Vec::new();
        loop {
            let item = match lexer.next() {
                Ok(Some(item)) => item,
                Ok(None) => return Ok(found),
                Err(Fault::Broken(what)) => return Err(what),
                Err(Fault::Read(error)) => panic!("{error}"),
            };
            let text = String::from_utf8(lexer.text.clone()).unwrap();
            found.push(match item {
                Item::Comment => format!("#{}", text.trim_start_matches(['-', '#'])),
                Item::Statement => text.split_whitespace().collect::<Vec<_>>().join(" "),
                Item::Insert => match lexer.rows(None) {
                    Ok(rows) => format!("{} × {rows}", text.trim()),
                    Err(Fault::Broken(what)) => return Err(what),
                    Err(Fault::Read(error)) => panic!("{error}"),
                },
            });
        }
    }

    #[test]
    fn statements_are_told_apart_on_any_edge() {
        let sql = "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump\n--\n\n/*!40101 SET NAMES utf8mb4 */;\n\
            CREATE TABLE `a;``b` (\n  `x` text DEFAULT ';\\'' COMMENT 'it''s; --'\n);\n\
            INSERT INTO `a;``b` VALUES\n(1,'x;\\n\\'y),(',0x00FF),\n(2,NULL,''''),(3,(4),'\\\\');\n\
            INSERT INTO `c` (`d`, `VALUES`) VALUES (1);\n\
            DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`r`@`%`*/ /*!50003 TRIGGER t /* ;; */ BEGIN -- it's ;;\n SET x=';;'; # `\nEND */;;\nDELIMITER ;\n\
            SELECT 5--1;\n-- Dump completed";
        let expected = [
            "# MariaDB dump",
            "#",
            "SET NAMES utf8mb4",
            "CREATE TABLE `a;``b` ( `x` text DEFAULT ';\\'' COMMENT 'it''s; --' )",
            "INSERT INTO `a;``b` × 3",
            "INSERT INTO `c` (`d`, `VALUES`) × 1",
            "CREATE DEFINER=`r`@`%` TRIGGER t BEGIN SET x=';;'; END",
            "SELECT 5--1",
            "# Dump completed",
        ];
        for size in [1, 2, 3, 7, 64, 100_000] {
            assert_eq!(items(sql, size).unwrap(), expected, "{size} bytes at a time");
        }
    }

    #[test]
    fn what_is_cut_off_is_told_wherever() {
        let sql = "CREATE TABLE `a` (x int);\nINSERT INTO `a` VALUES (1,'\\'a'),(2,'b');\n/* c */ SELECT \"x\" ;\n";
        let whole = items(sql, 1000).unwrap().len();
        for length in 1..sql.len() {
            match items(&sql[..length], 1000) {
                Ok(found) => assert!(sql[..length].trim().ends_with([';', '/']) && found.len() <= whole, "{length}"),
                Err(what) => assert!(what.starts_with("it is cut off after"), "{length}: {what}"),
            }
        }
        assert!(items("INSERT INTO `a` VALUES 1;", 1000).unwrap_err().starts_with("a row was expected"));
        assert!(items("INSERT INTO `a` SELECT 1;", 1000).unwrap_err().starts_with("rows were expected"));
    }
}
