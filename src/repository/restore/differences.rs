//! What differs between a snapshot and what is in a directory.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

/// The most names that are kept.
pub(super) const MAX_NAMES: usize = 100;

/// In which ways a name is otherwise than the snapshot has it; none at all if it is the same.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Aspects(u16);

impl Aspects {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The name does not exist.
    pub const MISSING: Self = Self(1);
    /// It is something else, such as a directory instead of a file.
    pub const KIND: Self = Self(1 << 1);
    /// Its content, the target of a link, or the number of a device is another, or cannot be read.
    pub const CONTENT: Self = Self(1 << 2);
    /// It shares its inode with other names than it should.
    pub const LINKS: Self = Self(1 << 3);
    /// Its permissions are others.
    pub const MODE: Self = Self(1 << 4);
    /// Its owner or group is another.
    pub const OWNER: Self = Self(1 << 5);
    /// Its time of modification is another.
    pub const TIME: Self = Self(1 << 6);
    /// Its extended attributes are others.
    pub const ATTRIBUTES: Self = Self(1 << 7);
    /// The snapshot has no such name.
    pub const ADDITIONAL: Self = Self(1 << 8);

    /// What cannot be mended in place: the name must be made anew.
    pub(super) const REPLACE: Self = Self(Self::MISSING.0 | Self::KIND.0 | Self::CONTENT.0 | Self::LINKS.0);

    /// Says whether any of `these` is among them.
    pub fn has(self, these: Self) -> bool {
        self.0 & these.0 != 0
    }

    /// Says whether nothing differs.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Returns both together.
    #[must_use]
    pub fn and(self, these: Self) -> Self {
        Self(self.0 | these.0)
    }

    /// Returns these if `yes`, else none.
    pub(super) fn when(self, yes: bool) -> Self {
        if yes { self } else { Self::NONE }
    }

    /// Returns the words for people and documents, such as `content` and `time`.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let all = [
            (Self::MISSING, "missing"),
            (Self::KIND, "kind"),
            (Self::CONTENT, "content"),
            (Self::LINKS, "links"),
            (Self::MODE, "permissions"),
            (Self::OWNER, "owner"),
            (Self::TIME, "time"),
            (Self::ATTRIBUTES, "attributes"),
            (Self::ADDITIONAL, "additional"),
        ];
        all.into_iter().filter(move |(aspect, _)| self.has(*aspect)).map(|(_, word)| word)
    }
}

impl fmt::Display for Aspects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Debug for Aspects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Aspects({self})")
    }
}

/// The aspects of many names, turned by many threads.
pub(super) struct Marks(Vec<AtomicU16>);

impl Marks {
    pub(super) fn new(count: usize) -> Self {
        Self(std::iter::repeat_with(AtomicU16::default).take(count).collect())
    }

    pub(super) fn add(&self, number: u32, aspects: Aspects) {
        if let Some(mark) = self.0.get(number as usize) {
            mark.fetch_or(aspects.0, Relaxed);
        }
    }

    pub(super) fn get(&self, number: u32) -> Aspects {
        Aspects(self.0.get(number as usize).map_or(0, |mark| mark.load(Relaxed)))
    }

    pub(super) fn into_aspects(self) -> Vec<Aspects> {
        self.0.into_iter().map(|mark| Aspects(mark.into_inner())).collect()
    }
}

/// One name that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The path inside the directory.
    pub path: PathBuf,
    /// In which ways it differs.
    pub what: Aspects,
}

/// What differs between a snapshot and a directory. Each name is counted once, where it weighs most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// Names that were compared.
    pub names: u64,
    /// Files among them, hard links counted.
    pub files: u64,
    /// The sizes of the files in the snapshot, added up, in bytes.
    pub bytes: u64,
    /// Names that do not exist.
    pub missing: u64,
    /// Names of something else.
    pub kind: u64,
    /// Names whose content is another.
    pub content: u64,
    /// Names that share their inode with others than they should.
    pub links: u64,
    /// Names of which only permissions, owner, time or extended attributes differ.
    pub metadata: u64,
    /// Names that the snapshot does not have; counted only if asked for.
    pub additional: u64,
    /// The first names that differ, at most a hundred: directories, files, everything else, hard links, additional names.
    pub first: Vec<Difference>,
}

impl Differences {
    /// Says whether everything is as in the snapshot.
    pub fn is_none(&self) -> bool {
        self.total() == 0
    }

    /// Returns how many names differ.
    pub fn total(&self) -> u64 {
        self.of_substance() + self.metadata
    }

    /// Returns how many names differ in more than their metadata.
    pub fn of_substance(&self) -> u64 {
        self.missing + self.kind + self.content + self.links + self.additional
    }

    /// Counts a name that differs, or does not.
    pub(super) fn count(&mut self, what: Aspects, path: impl FnOnce() -> PathBuf) {
        let counter = match what {
            what if what.is_none() => return,
            what if what.has(Aspects::MISSING) => &mut self.missing,
            what if what.has(Aspects::KIND) => &mut self.kind,
            what if what.has(Aspects::CONTENT) => &mut self.content,
            what if what.has(Aspects::LINKS) => &mut self.links,
            what if what.has(Aspects::ADDITIONAL) => &mut self.additional,
            _ => &mut self.metadata,
        };
        *counter += 1;
        if self.first.len() < MAX_NAMES {
            self.first.push(Difference { path: path(), what });
        }
    }
}

impl fmt::Display for Differences {
    /// One line: `nothing differs`, or the counts and the first three names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("nothing differs");
        }
        write!(f, "{} of {} names differ (", self.total(), self.names)?;
        let counts = [
            (self.missing, "missing"),
            (self.kind, "of another kind"),
            (self.content, "in content"),
            (self.links, "in hard links"),
            (self.metadata, "in metadata"),
            (self.additional, "additional"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        write!(f, "{})", counts.collect::<Vec<_>>().join(", "))?;
        for (place, one) in self.first.iter().take(3).enumerate() {
            write!(f, "{} {} ({})", if place == 0 { ":" } else { "," }, one.path.display(), one.what)?;
        }
        f.write_str(if self.total() > 3 { ", …" } else { "" })
    }
}
