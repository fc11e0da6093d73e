//! As much of BSON as the headers of an archive need: flat documents of texts, numbers and truths.

/// A value of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(i64),
    Truth(bool),
}

/// Reads a whole document, from its length to its last byte; `None` if that is not what it is, or it is not flat.
pub(super) fn fields(document: &[u8]) -> Option<Vec<(String, Value)>> {
    let (length, rest) = document.split_first_chunk()?;
    if usize::try_from(u32::from_le_bytes(*length)).ok()? != document.len() {
        return None;
    }
    let mut rest = rest.strip_suffix(&[0])?;
    let mut fields = Vec::new();
    while let Some((kind, after)) = rest.split_first() {
        let end = memchr::memchr(0, after)?;
        let name = std::str::from_utf8(after.get(..end)?).ok()?.to_owned();
        let after = after.get(end + 1..)?;
        let value;
        (value, rest) = match kind {
            0x02 => {
                let (length, after) = after.split_first_chunk()?;
                let (text, after) = after.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
                (Value::Text(std::str::from_utf8(text.strip_suffix(&[0])?).ok()?.to_owned()), after)
            }
            0x08 => {
                let (truth, after) = after.split_first()?;
                (Value::Truth(*truth != 0), after)
            }
            0x10 => {
                let (number, after) = after.split_first_chunk()?;
                (Value::Number(i32::from_le_bytes(*number).into()), after)
            }
            0x12 => {
                let (number, after) = after.split_first_chunk()?;
                (Value::Number(i64::from_le_bytes(*number)), after)
            }
            _ => return None,
        };
        fields.push((name, value));
    }
    Some(fields)
}

/// Writes a flat document.
#[cfg(test)]
pub(super) fn document(fields: &[(&str, Value)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let (kind, bytes) = match value {
            Value::Text(text) => {
                let length = u32::try_from(text.len() + 1).unwrap().to_le_bytes();
                (0x02, [&length[..], text.as_bytes(), &[0]].concat())
            }
            Value::Number(number) => (0x12, number.to_le_bytes().to_vec()),
            Value::Truth(truth) => (0x08, vec![u8::from(*truth)]),
        };
        body.extend([&[kind], name.as_bytes(), &[0], &bytes].concat());
    }
    let length = u32::try_from(body.len() + 5).unwrap().to_le_bytes();
    [&length[..], &body, &[0]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_documents_are_read_and_others_are_not() {
        let written = document(&[("a", Value::Text("ä".into())), ("b", Value::Number(-1)), ("c", Value::Truth(true))]);
        let read = fields(&written).unwrap();
        assert_eq!(read[0], ("a".to_owned(), Value::Text("ä".to_owned())));
        assert_eq!(read[2], ("c".to_owned(), Value::Truth(true)));
        assert_eq!(fields(b"\x0c\0\0\0\x10n\0\x07\0\0\0\0").unwrap(), [("n".to_owned(), Value::Number(7))]);
        for length in 0..written.len() {
            assert_eq!(fields(&written[..length]), None, "{length}");
        }
        // A double is not of a header.
        assert_eq!(fields(b"\x10\0\0\0\x01n\0\0\0\0\0\0\0\0\0\0"), None);
    }
}
