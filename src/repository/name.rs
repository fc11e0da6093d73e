//! Names of files in trees: bytes, written as the inside of a Go string literal.
//!
//! restic writes a name with Go's `strconv.Quote` before it becomes a JSON string, so that bytes which are not UTF-8
//! survive.

use std::fmt::Write;

/// Writes a name as restic does; most names come out as they are.
pub fn quote(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len());
    for part in name.utf8_chunks() {
        for c in part.valid().chars() {
            quote_char(c, &mut out);
        }
        for byte in part.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

fn quote_char(c: char, out: &mut String) {
    match c {
        '"' | '\\' => out.extend(['\\', c]),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        c if (c as u32) < 0x20 || c as u32 == 0x7f => {
            let _ = write!(out, "\\x{:02x}", c as u32);
        }
        // Go escapes what it cannot print; of that, these matter to people who read a listing.
        c if c.is_control() || (c != ' ' && c.is_whitespace()) => {
            let _ = write!(out, "\\u{:04x}", c as u32);
        }
        c => out.push(c),
    }
}

/// Reads a name that [`quote`] or restic wrote; `None` if it is not one.
pub fn unquote(text: &str) -> Option<Vec<u8>> {
    if !text.contains('\\') {
        return Some(text.as_bytes().to_vec());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'\\' {
            out.push(first);
            continue;
        }
        let (&kind, tail) = rest.split_first()?;
        rest = tail;
        match kind {
            b'a' => out.push(0x07),
            b'b' => out.push(0x08),
            b'f' => out.push(0x0c),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(0x0b),
            b'\\' | b'"' | b'\'' => out.push(kind),
            b'x' => out.push(u8::try_from(digits(&mut rest, 2, 16)?).ok()?),
            b'u' | b'U' => {
                let count = if kind == b'u' { 4 } else { 8 };
                let c = char::from_u32(digits(&mut rest, count, 16)?)?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            b'0'..=b'7' => {
                let more = digits(&mut rest, 2, 8)?;
                out.push(u8::try_from(u32::from(kind - b'0') * 64 + more).ok()?);
            }
            _ => return None,
        }
    }
    Some(out)
}

fn digits(rest: &mut &[u8], count: usize, radix: u32) -> Option<u32> {
    let (number, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    number
        .iter()
        .try_fold(0, |sum: u32, &digit| sum.checked_mul(radix)?.checked_add(char::from(digit).to_digit(radix)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_written_as_go_writes_them() {
        assert_eq!(quote("größe 1.txt".as_bytes()), "größe 1.txt");
        assert_eq!(quote(b"a\"b\\c\nd\xff\x01"), r#"a\"b\\c\nd\xff\x01"#);
        assert_eq!(unquote(r"\u00e9\U0001f600\101\x41\'").unwrap(), "é😀AA'".as_bytes());
        for bad in [r"\", r"\x", r"\xg0", r"\q", r"\ud800", r"\777"] {
            assert!(unquote(bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_name_reads_back(name: Vec<u8>) {
            prop_assert_eq!(unquote(&quote(&name)).unwrap(), name);
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = unquote(&text);
        }
    }
}
