//! Words as a POSIX shell takes them, for commands that people copy.

/// Writes an argument list so that a POSIX shell reads it back as it is.
pub fn line(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// Quotes a word where a shell would not take it as it is.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_needed() {
        for (word, expected) in
            [("/a/b-1.0", "/a/b-1.0"), ("a b", "'a b'"), ("", "''"), ("it's", r"'it'\''s'"), ("$x", "'$x'")]
        {
            assert_eq!(quoted(word), expected);
        }
    }

    #[test]
    fn a_shell_reads_back_what_is_quoted() {
        let hostile = ["a b", "it's", "$(id)", "", "ünï", "--flag=x", "a\nb", "*", "~"].map(str::to_owned);
        let line = format!("printf '%s\\0' {}", line(&hostile));
        let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
        let read = String::from_utf8(output.stdout).unwrap();
        assert_eq!(read.split_terminator('\0').collect::<Vec<_>>(), hostile);
    }
}
