//! Just enough of Rust's grammar to find the paths that start at the root of the crate.

/// A word or one character of punctuation, and its line.
type Token = (String, usize);

/// Returns the first name after the root in every path of `text`, with its line; test modules are left out.
///
/// `depth` is how many modules the file lies below the root: that many `super` lead to the root as well. `*` and `as`
/// stand for importing the root itself.
pub fn paths_from_the_root(text: &str, depth: usize) -> Vec<(String, usize)> {
    let tokens = without_tests(&tokens(text));
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if let Some(after) = after_the_root(&tokens, at, depth) {
            names(&tokens, after, &mut found);
            at = after;
        } else {
            at += 1;
        }
    }
    found
}

/// Returns the place after `crate ::` or enough `super ::`, if such a path starts at `at`.
fn after_the_root(tokens: &[Token], at: usize, depth: usize) -> Option<usize> {
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|(token, _)| token == word);
    let colons = |at| is(at, ":") && is(at + 1, ":");
    if is(at, "crate") {
        return match () {
            () if colons(at + 1) => Some(at + 3),
            () if is(at + 1, "as") => Some(at + 1),
            () => None,
        };
    }
    let mut after = at;
    for _ in 0..depth {
        if !is(after, "super") || !colons(after + 1) {
            return None;
        }
        after += 3;
    }
    Some(after).filter(|_| depth > 0)
}

/// Adds the name at `at`, or in a group the first name of every branch.
fn names(tokens: &[Token], at: usize, found: &mut Vec<Token>) {
    let Some(first) = tokens.get(at) else { return };
    if first.0 != "{" {
        found.push(first.clone());
        return;
    }
    let (mut nesting, mut starts) = (0, true);
    for token in &tokens[at..] {
        match token.0.as_str() {
            "{" => nesting += 1,
            "}" => nesting -= 1,
            "," => starts = nesting == 1,
            _ if nesting == 1 && std::mem::take(&mut starts) => found.push(token.clone()),
            _ => {}
        }
        if nesting == 0 {
            return;
        }
    }
}

/// Leaves out every item under `#[cfg(test)]`: up to its semicolon or closing brace.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    const ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let here = tokens[at..].iter().map(|(token, _)| token.as_str());
        if here.take(ATTRIBUTE.len()).eq(ATTRIBUTE) {
            at = end_of_item(tokens, at + ATTRIBUTE.len());
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let mut nesting = 0;
    for (at, (token, _)) in tokens.iter().enumerate().skip(start) {
        match token.as_str() {
            "{" => nesting += 1,
            "}" => nesting -= 1,
            _ => {}
        }
        if nesting == 0 && (token == "}" || token == ";") {
            return at + 1;
        }
    }
    tokens.len()
}

/// Splits into words and punctuation, leaving out comments, strings and characters.
fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let length = skipped(rest).unwrap_or_else(|| {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let length = word.max(next.len_utf8());
            if !next.is_whitespace() {
                let line = text[..text.len() - rest.len()].matches('\n').count() + 1;
                found.push((rest[..length].to_owned(), line));
            }
            length
        });
        rest = &rest[length..];
    }
    found
}

/// Returns the length of the comment, string or character that `text` starts with.
fn skipped(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(block_comment(text));
    }
    let raw = ["br", "cr", "r"].into_iter().find_map(|prefix| text.strip_prefix(prefix));
    if let Some(after) = raw {
        let hashes = after.len() - after.trim_start_matches('#').len();
        if after[hashes..].starts_with('"') {
            let start = text.len() - after.len() + hashes + 1;
            let end = format!("\"{}", "#".repeat(hashes));
            return Some(text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()));
        }
    }
    match text.chars().next()? {
        '"' => Some(quoted(text, '"')),
        // A quote starts a character if one follows right behind it, else a lifetime.
        '\'' if text[1..].starts_with('\\') || text[1..].chars().nth(1) == Some('\'') => Some(quoted(text, '\'')),
        _ => None,
    }
}

fn block_comment(text: &str) -> usize {
    let (mut nesting, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            nesting += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            nesting -= 1;
            at += 2;
            if nesting == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == quote {
            return at + character.len_utf8();
        }
    }
    text.len()
}
