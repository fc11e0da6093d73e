//! The pattern lists of OpenSSH (`ssh_config(5)`, PATTERNS), as the option `namespaces` of allowed signers has them.

/// Says whether `text` matches one of the comma-separated patterns and none that begins with `!`.
pub(super) fn matches_list(text: &str, list: &str) -> bool {
    let (mut matched, mut negated) = (false, false);
    for pattern in list.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) => negated |= matches(text.as_bytes(), pattern.as_bytes()),
            None => matched |= matches(text.as_bytes(), pattern.as_bytes()),
        }
    }
    matched && !negated
}

/// Says whether `text` matches a pattern in which `*` stands for any characters and `?` for one.
fn matches(text: &[u8], pattern: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => {
            (0..=text.len()).any(|skipped| text.get(skipped..).is_some_and(|left| matches(left, rest)))
        }
        Some((first, rest)) => match text.split_first() {
            Some((byte, left)) => (*first == b'?' || first == byte) && matches(left, rest),
            None => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_match_as_in_openssh() {
        for (list, matched) in [
            ("holdpoint@manifest", true),
            ("git,holdpoint@manifest", true),
            ("*", true),
            ("holdpoint@*", true),
            ("holdpoint?manifest", true),
            ("holdpoint@*,!*@manifest", false),
            ("!git", false),
            ("git", false),
            ("", false),
            ("holdpoint", false),
            ("holdpoint@manifest2", false),
        ] {
            assert_eq!(matches_list("holdpoint@manifest", list), matched, "{list}");
        }
    }
}
