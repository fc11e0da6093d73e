//! Reads single values: texts, numbers, durations, sizes. Each notes what is wrong and returns nothing then.

use super::types::Text;
use super::walk::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::de::DeValue;

/// No duration of a configuration is longer; what is longer is a slip, and would not fit a clock.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

impl<'a> Value<'a> {
    /// Reads a string that stands in the file itself, is not empty and has no control characters.
    pub(super) fn name(&self) -> Option<&'a str> {
        let DeValue::String(text) = self.raw() else {
            return self.must_be("a string");
        };
        self.printable(text).then_some(text.as_ref())
    }

    /// Reads a string, or where it is kept. What stands in the file is not empty and has no control characters.
    pub(super) fn text(&self) -> Option<Text> {
        match self.raw() {
            DeValue::String(text) => self.printable(text).then(|| Text::Plain(text.clone().into_owned())),
            DeValue::Table(table) => {
                let mut entries = table.iter();
                let (Some((key, item)), None) = (entries.next(), entries.next()) else {
                    return self.kept_elsewhere();
                };
                let (key, DeValue::String(place)) = (key.get_ref().as_ref(), item.get_ref()) else {
                    return self.kept_elsewhere();
                };
                match key {
                    "env" if is_variable(place) => Some(Text::Env(place.clone().into_owned())),
                    "env" => {
                        self.mistake(format!("{place:?} is not the name of an environment variable"));
                        None
                    }
                    "file" if self.printable(place) => {
                        Some(Text::File(self.walk.directory.join(Path::new(place.as_ref()))))
                    }
                    "file" => None,
                    _ => self.kept_elsewhere(),
                }
            }
            _ => self.must_be("a string, { env = \"NAME\" } or { file = \"PATH\" }"),
        }
    }

    /// Reads a string that is needed now: one that is kept elsewhere is fetched.
    pub(super) fn string(&self) -> Option<String> {
        let text = self.text()?;
        let fetched = match &text {
            Text::Plain(text) => return Some(text.clone()),
            Text::Env(name) => {
                (self.walk.variable)(name).ok_or_else(|| format!("the environment variable {name} is not set"))
            }
            Text::File(_) => text.resolve().map_err(|error| error.chain()),
        };
        match fetched {
            Ok(text) if self.printable(&text) => Some(text),
            Ok(_) => None,
            Err(message) => {
                self.mistake(format!("`{}` cannot be read: {message}", self.name));
                None
            }
        }
    }

    /// Reads a string as [`Value::string`] does, or an empty one that stands in the file itself.
    pub(super) fn text_or_nothing(&self) -> Option<String> {
        match self.raw() {
            DeValue::String(text) if text.is_empty() => Some(String::new()),
            _ => self.string(),
        }
    }

    /// Reads one of a few words.
    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.string()?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
            self.mistake(format!("`{}` must be {known}, not \"{text}\"", self.name));
        }
        found
    }

    /// Reads `true` or `false`.
    pub(super) fn boolean(&self) -> Option<bool> {
        match self.raw() {
            DeValue::Boolean(value) => Some(*value),
            _ => self.must_be("true or false"),
        }
    }

    /// Reads a whole number from `least` to `most`.
    pub(super) fn integer(&self, least: u32, most: u32) -> Option<u32> {
        let DeValue::Integer(number) = self.raw() else {
            return self.must_be("a whole number");
        };
        let value = u32::from_str_radix(number.as_str(), number.radix()).ok();
        let value = value.filter(|value| (least..=most).contains(value));
        if value.is_none() {
            self.mistake(format!("`{}` must be from {least} to {most}, not {number}", self.name));
        }
        value
    }

    /// Reads a duration such as `"1h 30m"`.
    pub(super) fn duration(&self) -> Option<Duration> {
        let (DeValue::String(_) | DeValue::Table(_)) = self.raw() else {
            return self.must_be("a duration such as \"15m\"");
        };
        let text = self.string()?;
        match humantime::parse_duration(&text) {
            Ok(duration) if duration <= LONGEST => Some(duration),
            Ok(_) => {
                self.mistake(format!("`{}` is longer than ten years", self.name));
                None
            }
            Err(_) => {
                self.mistake(format!("`{}` must be a duration such as \"15m\" or \"1h 30m\", not {text:?}", self.name));
                None
            }
        }
    }

    /// Reads a duration that is longer than nothing.
    pub(super) fn some_duration(&self) -> Option<Duration> {
        let duration = self.duration()?;
        if duration.is_zero() {
            self.mistake(format!("`{}` must be longer than zero", self.name));
            return None;
        }
        Some(duration)
    }

    /// Reads a size: a whole number of bytes, or a string such as `"1MiB"`.
    pub(super) fn bytes(&self) -> Option<u64> {
        let text = match self.raw() {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            DeValue::String(_) | DeValue::Table(_) => self.string()?,
            _ => return self.must_be("a size such as \"1MiB\""),
        };
        // The parser saturates; a size that reaches the end of the scale is no size.
        let size = text.parse::<bytesize::ByteSize>().ok().filter(|size| size.as_u64() < u64::MAX);
        if size.is_none() {
            self.mistake(format!("`{}` must be a size such as \"500kB\" or \"1MiB\", not {text:?}", self.name));
        }
        size.map(|size| size.as_u64())
    }

    /// Reads a percentage from `"0%"` to `"100%"` as a ratio from 0 to 1.
    pub(super) fn percent(&self) -> Option<f64> {
        let (DeValue::String(_) | DeValue::Table(_)) = self.raw() else {
            return self.must_be("a percentage such as \"30%\"");
        };
        let text = self.string()?;
        let number = text.strip_suffix('%').map(str::trim).filter(|digits| {
            // `parse` alone would take `inf`, `1e2` and `+5`, too.
            digits.starts_with(|c: char| c.is_ascii_digit()) && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        });
        let ratio = number.and_then(|digits| digits.parse::<f64>().ok()).map(|number| number / 100.0);
        let ratio = ratio.filter(|ratio| (0.0..=1.0).contains(ratio));
        if ratio.is_none() {
            self.mistake(format!("`{}` must be a percentage from \"0%\" to \"100%\", not {text:?}", self.name));
        }
        ratio
    }

    /// Reads a path.
    pub(super) fn path(&self) -> Option<PathBuf> {
        self.string().map(PathBuf::from)
    }

    /// Reads a program and its arguments. They stand in the file itself: arguments of a program can be seen by every
    /// user of the machine, so that what is secret must come by the environment.
    pub(super) fn arguments(&self) -> Option<Vec<String>> {
        if let DeValue::String(_) = self.raw() {
            return self.must_be("a list of program and arguments, as in [\"pg_dump\", \"shop\"] (there is no shell)");
        }
        let items = self.full_list()?;
        let mut arguments = Vec::with_capacity(items.len());
        for (place, item) in items.iter().enumerate() {
            let DeValue::String(text) = item.raw() else {
                let form = "a list of strings (secrets go to `env`: arguments can be seen by other users)";
                item.must_be::<()>(form);
                continue;
            };
            if text.contains('\0') {
                item.mistake(format!("`{}` has a zero byte, which no argument can hold", self.name));
            } else if place == 0 && text.trim().is_empty() {
                item.mistake(format!("`{}` has an empty program", self.name));
            } else {
                arguments.push(text.clone().into_owned());
            }
        }
        (arguments.len() == items.len()).then_some(arguments)
    }

    /// Reads environment variables for a program.
    pub(super) fn variables(&self) -> BTreeMap<String, Text> {
        let mut variables = BTreeMap::new();
        for (name, value) in self.map() {
            if !is_variable(name) {
                value.mistake(format!("{name:?} is not the name of an environment variable"));
            } else if let Some(text) = value.long_text() {
                variables.insert(name.to_owned(), text);
            }
        }
        variables
    }

    /// Reads a text, or where it is kept, that may be empty or have several lines.
    pub(super) fn long_text(&self) -> Option<Text> {
        match self.raw() {
            DeValue::String(text) if !text.contains('\0') => Some(Text::Plain(text.clone().into_owned())),
            _ => self.text(),
        }
    }

    fn kept_elsewhere<T>(&self) -> Option<T> {
        self.mistake(format!("`{}` must be a string, {{ env = \"NAME\" }} or {{ file = \"PATH\" }}", self.name));
        None
    }

    fn printable(&self, text: &str) -> bool {
        if text.trim().is_empty() {
            self.mistake(format!("`{}` is empty", self.name));
            return false;
        }
        if text.contains(char::is_control) {
            self.mistake(format!("`{}` has control characters", self.name));
            return false;
        }
        true
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == '=' || c.is_whitespace() || c.is_control())
}
