//! The roles that statements about privileges and policies name.

use std::collections::BTreeSet;

/// A list of roles follows.
const BEFORE_ROLES: [&str; 3] = ["TO", "FROM", "ROLE"];
/// The condition of a policy follows, which may hold anything.
const BEFORE_CONDITION: [&str; 2] = ["USING", "CHECK"];
/// What stands where a role would be, and is none.
const NO_ROLES: [&str; 4] = ["PUBLIC", "CURRENT_USER", "CURRENT_ROLE", "SESSION_USER"];

/// A part of a statement.
#[derive(Debug, PartialEq)]
enum Token {
    /// A word without quotes.
    Word(String),
    /// A name in quotes.
    Quoted(String),
    /// A mark, such as a comma.
    Mark(char),
}

/// Adds the roles in statements such as `GRANT SELECT ON TABLE t TO a, "b c" WITH GRANT OPTION;`,
/// `ALTER DEFAULT PRIVILEGES FOR ROLE o IN SCHEMA s GRANT SELECT ON TABLES TO a;` or
/// `CREATE POLICY p ON t FOR SELECT TO a USING (true);`.
pub(super) fn named_in(statements: &str, roles: &mut BTreeSet<String>) {
    let mut tokens = tokens(statements).into_iter().peekable();
    while let Some(token) = tokens.next() {
        let Token::Word(word) = token else { continue };
        if BEFORE_CONDITION.contains(&word.as_str()) {
            while tokens.next_if(|token| *token != Token::Mark(';')).is_some() {}
        }
        if !BEFORE_ROLES.contains(&word.as_str()) {
            continue;
        }
        loop {
            match tokens.next_if(|token| !matches!(token, Token::Mark(_))) {
                Some(Token::Word(name)) if NO_ROLES.contains(&name.as_str()) => {}
                Some(Token::Word(name) | Token::Quoted(name)) => drop(roles.insert(name)),
                Some(Token::Mark(_)) | None => {}
            }
            if tokens.next_if_eq(&Token::Mark(',')).is_none() {
                break;
            }
        }
    }
}

/// Takes statements apart; texts in single quotes are left out.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' | '\'' => {
                let mut name = String::new();
                while let Some(inner) = characters.next() {
                    if inner == character && characters.next_if_eq(&character).is_none() {
                        break;
                    }
                    name.push(inner);
                }
                if character == '"' {
                    tokens.push(Token::Quoted(name));
                }
            }
            blank if blank.is_whitespace() => {}
            start if is_of_word(start) => {
                let mut word = String::from(start);
                while let Some(next) = characters.next_if(|next| is_of_word(*next)) {
                    word.push(next);
                }
                tokens.push(Token::Word(word));
            }
            mark => tokens.push(Token::Mark(mark)),
        }
    }
    tokens
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '$')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_found_where_statements_name_them() {
        for (statements, expected) in [
            ("GRANT SELECT ON TABLE public.\"TO x\" TO a,\"b \"\"c\" WITH GRANT OPTION;\n", &["a", "b \"c"][..]),
            ("REVOKE ALL ON SCHEMA public FROM PUBLIC;\nGRANT ALL ON SCHEMA public TO app;\n", &["app"]),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE owner IN SCHEMA s GRANT SELECT ON TABLES  TO reader;\n",
                &["owner", "reader"],
            ),
            ("CREATE POLICY p ON s.t FOR SELECT TO clerk USING ((x <> ' TO y;'::text));\nSELECT 1;", &["clerk"]),
            ("CREATE POLICY p ON s.t USING ((EXISTS ( SELECT 1 FROM u)));\n", &[]),
            ("SET SESSION AUTHORIZATION a;\nGRANT SELECT(id) ON TABLE t TO b;\nRESET SESSION AUTHORIZATION;", &["b"]),
        ] {
            let mut roles = BTreeSet::new();
            named_in(statements, &mut roles);
            assert_eq!(roles.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{statements}");
        }
    }
}
