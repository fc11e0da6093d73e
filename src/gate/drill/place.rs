//! Where one source of a drill is restored to.

use crate::error::Result;
use crate::source::Context;
use crate::source::isolation::Isolated;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How the variables begin that are known by the names of sources, too; others are for client programs.
const OURS: &str = "HOLDPOINT_DRILL_";
/// What leads a check's program to files.
const DIRECTORY: &str = "HOLDPOINT_DRILL_DIRECTORY";

/// One place, to be removed in the end.
pub(super) struct Place {
    /// The source.
    pub(super) source: String,
    /// What was made.
    pub(super) made: Made,
    /// For calls of the source.
    pub(super) context: Context,
    /// Whether the source was restored there, and can be asked.
    pub(super) is_restored: bool,
}

/// What a place is.
pub(super) enum Made {
    /// A directory for files, which are below it under their absolute paths.
    Directory(PathBuf),
    /// What the source made.
    Isolated(Box<dyn Isolated>),
}

impl Place {
    /// Returns the variables that lead a check's program here.
    fn variables(&self) -> Vec<(String, String)> {
        match &self.made {
            Made::Directory(path) => vec![(DIRECTORY.to_owned(), path.display().to_string())],
            Made::Isolated(isolated) => isolated.variables(),
        }
    }

    /// Removes everything but the directory, whatever was cancelled.
    ///
    /// # Errors
    /// What is left, and where.
    pub(super) fn remove(self) -> Result<()> {
        match self.made {
            Made::Directory(_) => Ok(()),
            Made::Isolated(isolated) => isolated.remove(&self.context),
        }
    }
}

/// Returns the variables of a check's program: those of `source`, if it looks at one, and those of every source with its
/// name at the end. Two sources whose names come to the same have none: it could be the wrong one.
pub(super) fn variables(places: &[Place], source: Option<&str>) -> BTreeMap<String, String> {
    let mut named: BTreeMap<String, Option<String>> = BTreeMap::new();
    for place in places.iter().filter(|place| place.is_restored) {
        let ours = place.variables().into_iter().filter(|(name, _)| name.starts_with(OURS));
        for (name, value) in ours {
            let name = format!("{name}_{}", suffix(&place.source));
            named.entry(name).and_modify(|known| *known = None).or_insert(Some(value));
        }
    }
    let own = places.iter().find(|place| Some(place.source.as_str()) == source);
    let own = own.into_iter().flat_map(Place::variables);
    named.into_iter().filter_map(|(name, value)| Some((name, value?))).chain(own).collect()
}

/// Writes the name of a source as the end of a variable's name.
fn suffix(source: &str) -> String {
    source.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancel;

    #[test]
    fn a_program_is_led_to_its_source_and_to_all_by_name() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let place = |source: &str, is_restored| Place {
            source: source.to_owned(),
            made: Made::Directory(format!("/{source}").into()),
            context: Context::new(Cancel::new(), PathBuf::new(), runtime.handle().clone()).unwrap(),
            is_restored,
        };
        let places = [place("uploads", true), place("a-b", true), place("a b", true), place("lost", false)];
        let of = |source| variables(&places, source).into_iter().collect::<Vec<_>>();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(of(None), [pair("HOLDPOINT_DRILL_DIRECTORY_UPLOADS", "/uploads")]);
        assert_eq!(
            of(Some("a b")),
            [pair("HOLDPOINT_DRILL_DIRECTORY", "/a b"), pair("HOLDPOINT_DRILL_DIRECTORY_UPLOADS", "/uploads")]
        );
    }
}
