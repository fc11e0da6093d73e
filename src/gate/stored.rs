//! The streams of a snapshot, as their source reads them back.

use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::repository::stream::open_stream;
use crate::repository::{Id, Indexed};
use crate::source::Stored;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// The files at the root of a snapshot.
pub struct StoredStreams<'a> {
    indexed: &'a Arc<Indexed>,
    root: Id,
    names: Vec<String>,
    base: Option<Box<StoredStreams<'a>>>,
    cancel: &'a Cancel,
}

impl<'a> StoredStreams<'a> {
    /// Lists the streams below the tree `root`.
    ///
    /// # Errors
    /// `damaged`: the tree is not that of streams; the store's own.
    pub fn of(indexed: &'a Arc<Indexed>, root: Id, cancel: &'a Cancel) -> Result<Self> {
        let name = |node: &crate::repository::tree::Node| {
            let name = node.content.as_ref().and_then(|_| node.name.to_str());
            name.map(str::to_owned).ok_or_else(|| {
                Error::new(ErrorCode::Damaged, format!("{} is not a stream of a source", node.name.display()))
            })
        };
        let names = indexed.read_tree(&root)?.nodes.iter().map(name).collect::<Result<_>>()?;
        Ok(Self { indexed, root, names, base: None, cancel })
    }

    /// Adds the snapshot that this one leans on.
    #[must_use]
    pub fn leaning_on(mut self, base: Option<Self>) -> Self {
        self.base = base.map(Box::new);
        self
    }
}

impl Stored for StoredStreams<'_> {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn open(&self, name: &str) -> Result<Box<dyn Read + '_>> {
        let threads = self.indexed.repository().readers();
        Ok(Box::new(open_stream(self.indexed, self.root, Path::new(name), threads, self.cancel)?))
    }

    fn base(&self) -> Option<&dyn Stored> {
        self.base.as_deref().map(|base| base as &dyn Stored)
    }
}
