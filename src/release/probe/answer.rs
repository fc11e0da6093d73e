//! Finds version and commit in an answer.

use crate::config::Selector;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::Value;

/// What an instance answered.
#[derive(Debug)]
pub(super) struct Answer {
    body: Vec<u8>,
    headers: HeaderMap,
}

impl Answer {
    /// An answer over HTTP.
    pub(super) fn new(body: Vec<u8>, headers: HeaderMap) -> Self {
        Self { body, headers }
    }

    /// An answer without headers.
    pub(super) fn of_text(body: Vec<u8>) -> Self {
        Self::new(body, HeaderMap::new())
    }

    /// Returns the text that a selector finds, without white space around it; `None` if it is not there or empty. Says
    /// in words why the answer cannot be looked into; `what` names what is looked for.
    pub(super) fn select(&self, selector: &Selector, what: &str) -> Result<Option<String>, String> {
        let found = match selector {
            Selector::Whole => Some(self.text()?.to_owned()),
            Selector::Pointer(pointer) => self.at(pointer, what)?,
            Selector::Header(name) => match self.headers.get(name) {
                Some(value) => {
                    Some(value.to_str().map_err(|_| format!("the header {name} is not plain text"))?.to_owned())
                }
                None => None,
            },
            Selector::Regex(regex) => regex.captures(self.text()?).and_then(|captures| {
                let group = if captures.len() > 1 { captures.get(1) } else { captures.get(0) };
                group.map(|group| group.as_str().to_owned())
            }),
        };
        Ok(found.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
    }

    fn text(&self) -> Result<&str, String> {
        std::str::from_utf8(&self.body).map_err(|_| "the answer is not UTF-8 text".to_owned())
    }

    /// Returns the text or whole number at a JSON pointer.
    fn at(&self, pointer: &str, what: &str) -> Result<Option<String>, String> {
        let json: Value = serde_json::from_slice(&self.body).map_err(|error| {
            if self.is_html() {
                "answered HTML where JSON was expected".to_owned()
            } else if self.body.trim_ascii().is_empty() {
                "answered nothing where JSON was expected".to_owned()
            } else {
                format!("answered what is not JSON ({error})")
            }
        })?;
        let kind = match json.pointer(pointer) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => return Ok(Some(text.clone())),
            // 1.10 would be read as 1.1, so that only whole numbers are sure to be what was written.
            Some(Value::Number(number)) if number.is_i64() || number.is_u64() => return Ok(Some(number.to_string())),
            Some(Value::Number(_)) => "a fraction",
            Some(Value::Bool(_)) => "a boolean",
            Some(Value::Array(_)) => "a list",
            Some(Value::Object(_)) => "an object",
        };
        Err(format!("the {what} at {pointer} in the JSON answer is {kind}, not text"))
    }

    fn is_html(&self) -> bool {
        let declared = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        declared.is_some_and(|kind| kind.to_ascii_lowercase().contains("html"))
            || self.body.trim_ascii_start().starts_with(b"<")
    }
}

/// Says in words that a selector found nothing.
pub(super) fn missing(selector: &Selector, what: &str) -> String {
    match selector {
        Selector::Whole => "the answer is empty".to_owned(),
        Selector::Pointer(pointer) => format!("no {what} at {pointer} in the JSON answer"),
        Selector::Header(name) => format!("no {what} in the header {name} of the answer"),
        Selector::Regex(regex) => format!("no {what} in the answer: nothing matches {regex}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn pointer(text: &str) -> Selector {
        Selector::Pointer(text.to_owned())
    }

    fn regex(text: &str) -> Selector {
        Selector::Regex(regex::Regex::new(text).unwrap())
    }

    fn selected(body: &str, selector: &Selector) -> Result<Option<String>, String> {
        Answer::of_text(body.as_bytes().to_vec()).select(selector, "version")
    }

    #[test]
    fn selectors_find_their_text() {
        let json = r#"{"app": {"a/b": [" 1.4.0 "]}, "build": 7, "none": null, "empty": ""}"#;
        for (body, selector, expected) in [
            (" v1.4.0\n", Selector::Whole, Some("v1.4.0")),
            ("", Selector::Whole, None),
            (json, pointer("/app/a~1b/0"), Some("1.4.0")),
            (json, pointer("/build"), Some("7")),
            (json, pointer("/none"), None),
            (json, pointer("/empty"), None),
            (json, pointer("/missing"), None),
            ("shop 1.4.0 (x)", regex(r"\d+\.\d+\.\d+"), Some("1.4.0")),
            ("version=1.4.0;", regex("version=([^;]+)"), Some("1.4.0")),
            ("b", regex("(a)?b"), None),
            ("shop", regex(r"\d"), None),
            ("shop", Selector::Header("X-Version".to_owned()), None),
        ] {
            assert_eq!(selected(body, &selector).unwrap().as_deref(), expected, "{body} {selector:?}");
        }
        let headers = [(HeaderName::from_static("x-version"), HeaderValue::from_static("1.4.0"))].into_iter().collect();
        let answer = Answer::new(Vec::new(), headers);
        assert_eq!(answer.select(&Selector::Header("X-Version".to_owned()), "version").unwrap().unwrap(), "1.4.0");
    }

    #[test]
    fn answers_of_the_wrong_kind_are_explained() {
        for (body, selector, expected) in [
            ("<!doctype html>", pointer("/v"), "answered HTML where JSON was expected"),
            (" \n", pointer("/v"), "answered nothing where JSON was expected"),
            ("1.4.0", pointer("/v"), "answered what is not JSON (expected value at line 1 column 4)"),
            (r#"{"v": 1.10}"#, pointer("/v"), "the version at /v in the JSON answer is a fraction, not text"),
            (r#"{"v": {}}"#, pointer("/v"), "the version at /v in the JSON answer is an object, not text"),
        ] {
            let error = selected(body, &selector).unwrap_err();
            let reason = |text: &str| text.split(" (").next().unwrap_or_default().to_owned();
            assert_eq!(reason(&error), reason(expected));
        }
        let bytes = Answer::of_text(vec![0xff]);
        assert_eq!(bytes.select(&Selector::Whole, "version").unwrap_err(), "the answer is not UTF-8 text");
    }

    proptest::proptest! {
        #[test]
        fn no_answer_makes_the_selectors_panic(body: Vec<u8>, at in "(/[a-z~01]{0,3}){0,3}") {
            let answer = Answer::of_text(body);
            for selector in [Selector::Whole, pointer(&at), regex("(a)|b")] {
                let _ = answer.select(&selector, "version");
            }
        }
    }
}
