//! Walks the raw tables of the file, collecting mistakes with their places.

use super::keys::{Kind, Section};
use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What one walk through a file needs and gathers.
pub(super) struct Walk<'a> {
    /// The directory that relative paths count from.
    pub(super) directory: PathBuf,
    /// Looks up an environment variable.
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    mistakes: RefCell<Vec<(usize, String)>>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(directory: &Path, variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { directory: directory.to_owned(), variable, mistakes: RefCell::default() }
    }

    /// Notes a mistake at a byte offset.
    pub(super) fn mistake(&self, at: &Range<usize>, message: impl Into<String>) {
        self.mistakes.borrow_mut().push((at.start, message.into()));
    }

    pub(super) fn into_mistakes(self) -> Vec<(usize, String)> {
        self.mistakes.into_inner()
    }
}

/// A table whose keys are known.
pub(super) struct Table<'a> {
    pub(super) walk: &'a Walk<'a>,
    /// Where the table begins.
    pub(super) at: Range<usize>,
    entries: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    /// Opens a table: notes every key that `section` does not have, and every required one that is missing.
    pub(super) fn open(walk: &'a Walk<'a>, section: &Section, at: Range<usize>, entries: &'a DeTable<'a>) -> Self {
        let table = Self { walk, at, entries };
        for key in entries.keys() {
            let name: &str = key.get_ref();
            if section.later.contains(&name) {
                walk.mistake(&key.span(), format!("`{name}` is not supported by this version"));
            } else if !section.all().any(|known| known.name == name) {
                let near = nearest(name, section.all().map(|known| known.name));
                walk.mistake(&key.span(), format!("unknown key `{name}` in {}{near}", section.name));
            }
        }
        for key in section.all().filter(|key| key.required) {
            if !entries.contains_key(key.name) {
                walk.mistake(&table.at, format!("`{}` is missing from {}", key.name, section.name));
            }
        }
        table
    }

    /// Returns the value of a key, if it is there.
    pub(super) fn get(&self, name: &'static str) -> Option<Value<'a>> {
        let (_, item) = self.entries.get_key_value(name)?;
        Some(Value::new(self.walk, name, item))
    }
}

/// The value of a key, or one item of a list.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) walk: &'a Walk<'a>,
    /// The key, for messages.
    pub(super) name: &'a str,
    item: &'a Spanned<DeValue<'a>>,
}

impl<'a> Value<'a> {
    fn new(walk: &'a Walk<'a>, name: &'a str, item: &'a Spanned<DeValue<'a>>) -> Self {
        Self { walk, name, item }
    }

    /// Returns the raw value.
    pub(super) fn raw(&self) -> &'a DeValue<'a> {
        self.item.get_ref()
    }

    /// Notes a mistake about this value.
    pub(super) fn mistake(&self, message: impl Into<String>) {
        self.walk.mistake(&self.item.span(), message);
    }

    /// Notes that the value has another form than it must have; returns nothing, for use at the end of a reader.
    pub(super) fn must_be<T>(&self, form: &str) -> Option<T> {
        let found = match self.raw() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.mistake(format!("`{}` must be {form}, not {found}", self.name));
        None
    }

    /// Reads a list; a wrong type is noted.
    pub(super) fn list(&self) -> Option<Vec<Value<'a>>> {
        match self.raw() {
            DeValue::Array(items) => Some(items.iter().map(|item| Value { item, ..*self }).collect()),
            _ => self.must_be("a list"),
        }
    }

    /// Reads a list that must have an item; an empty one is noted.
    pub(super) fn full_list(&self) -> Option<Vec<Value<'a>>> {
        let items = self.list()?;
        if items.is_empty() {
            self.mistake(format!("`{}` is empty", self.name));
            return None;
        }
        Some(items)
    }

    /// Reads a table with any keys; an empty or unprintable key and a wrong type are noted.
    pub(super) fn map(&self) -> Vec<(&'a str, Value<'a>)> {
        let DeValue::Table(entries) = self.raw() else {
            return self.must_be("a table").unwrap_or_default();
        };
        let mut items = Vec::new();
        for (key, item) in entries {
            let name: &str = key.get_ref();
            if name.trim().is_empty() || name.contains(char::is_control) {
                let message =
                    format!("{name:?} in `{}` is not a name: it is empty or has control characters", self.name);
                self.walk.mistake(&key.span(), message);
            } else {
                items.push((name, Value::new(self.walk, name, item)));
            }
        }
        items
    }

    /// Reads a table with any keys, and notes nothing.
    pub(super) fn map_quietly(&self) -> Vec<(&'a str, Value<'a>)> {
        let DeValue::Table(entries) = self.raw() else { return Vec::new() };
        let items = entries.iter().map(|(key, item)| (key.get_ref().as_ref(), item));
        items.map(|(name, item)| (name, Value::new(self.walk, name, item))).collect()
    }

    /// Returns the value of a key, if this is a table that has it; notes nothing.
    pub(super) fn field(&self, name: &str) -> Option<Value<'a>> {
        self.map_quietly().into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Reads a table of known keys; a wrong type is noted.
    pub(super) fn table(&self, section: &Section) -> Option<Table<'a>> {
        match self.raw() {
            DeValue::Table(entries) => Some(Table::open(self.walk, section, self.item.span(), entries)),
            _ => self.must_be("a table"),
        }
    }

    /// Reads a table whose `kind` decides which keys it has; returns the kind beside it.
    ///
    /// Nothing but the kind is noted while the kind is wrong: which keys are right depends on it.
    pub(super) fn kind(&self, kinds: &'static [Kind], later: &[&str]) -> Option<(&'static str, Table<'a>)> {
        let DeValue::Table(entries) = self.raw() else {
            return self.must_be("a table");
        };
        let names = || kinds.iter().map(|kind| kind.name);
        let Some((_, item)) = entries.get_key_value("kind") else {
            let known = names().collect::<Vec<_>>().join("\", \"");
            self.mistake(format!("`kind` is missing: one of \"{known}\""));
            return None;
        };
        let value = Value::new(self.walk, "kind", item);
        let name = value.name()?;
        if let Some(kind) = kinds.iter().find(|kind| kind.name == name) {
            return Some((kind.name, Table::open(self.walk, &kind.section, self.item.span(), entries)));
        }
        if later.contains(&name) {
            value.mistake(format!("kind \"{name}\" is not supported by this version"));
        } else {
            let known = names().collect::<Vec<_>>().join("\", \"");
            let near = nearest(name, names());
            value.mistake(format!("unknown kind \"{name}\": this version has \"{known}\"{near}"));
        }
        None
    }
}

/// Returns `; did you mean …` for a name that is close to a known one, else nothing.
fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> String {
    // Two slips are forgiven, but never more than a third of the word.
    let allowed = |candidate: &str| (candidate.chars().count().max(name.chars().count()) / 3).min(2);
    known
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= allowed(candidate))
        .min()
        .map_or_else(String::new, |(_, candidate)| format!("; did you mean `{candidate}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_names_are_offered_and_others_are_not() {
        let known = ["paths", "exclude", "name", "restore_order"];
        let offer = |name| nearest(name, known.into_iter());
        assert_eq!(offer("path"), "; did you mean `paths`?");
        assert_eq!(offer("exlcude"), "; did you mean `exclude`?");
        assert_eq!(offer("restore-order"), "; did you mean `restore_order`?");
        assert_eq!(offer("colour"), "");
        assert_eq!(offer(""), "");
    }
}
