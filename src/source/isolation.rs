//! Places for drills: somewhere to restore a source to that nothing else uses, and that leaves nothing behind.

use super::{Context, Target};
use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::Content;
use std::path::PathBuf;

/// How a source is to be isolated.
#[derive(Debug, Clone)]
pub struct Isolation {
    /// An empty private directory for this source alone; whoever made it deletes it after [`Isolated::remove`].
    pub directory: PathBuf,
    /// The URL of a server on which a database may be made and dropped; without one, the source starts a server of its
    /// own inside `directory`, which listens on a socket there and nowhere else.
    pub server: Option<String>,
}

/// A place of a drill, from [`super::Source::isolate`]. Whatever happens, [`Isolated::remove`] is called in the end;
/// dropping it without that ends what can be ended, and tells nobody.
pub trait Isolated: Send {
    /// Returns where to restore to.
    fn target(&self) -> Target;

    /// Says what the place is, such as `PostgreSQL 16.1 of its own, on a socket in a private directory`.
    fn description(&self) -> String;

    /// Returns what tells the place from others, in the words of [`super::Facts::identity`], as far as it can tell. The
    /// drill compares it with that of the origin.
    fn identity(&self) -> Option<String>;

    /// Returns the variables that lead a check's program here, such as `HOLDPOINT_DRILL_URL`.
    fn variables(&self) -> Vec<(String, String)>;

    /// Called after the restore and before anything looks at it, such as to start a server on what was restored.
    ///
    /// # Errors
    /// `restore-failed`: what was restored cannot be used.
    fn start(&mut self, _context: &Context) -> Result<()> {
        Ok(())
    }

    /// Returns what the restored data say of themselves, in the words of the manifest's `content`.
    ///
    /// # Errors
    /// `restore-failed`: they cannot be read.
    fn look(&self, context: &Context) -> Result<Content>;

    /// Asks a question in SQL, or in the server's own words, and returns the answer: fields parted by `|`, rows by line
    /// ends, as `psql --tuples-only --no-align` prints them.
    ///
    /// # Errors
    /// `restore-failed`, with what the server said; `usage`: nothing here answers questions.
    fn ask(&self, _context: &Context, _question: &str) -> Result<String> {
        Err(Error::new(ErrorCode::Usage, "files answer no SQL").hint("use `command` in this check"))
    }

    /// Removes everything: databases, processes, sockets. Does not look at [`Context::cancel`].
    ///
    /// # Errors
    /// `restore-failed`: what is left, and where.
    fn remove(self: Box<Self>, context: &Context) -> Result<()>;
}
