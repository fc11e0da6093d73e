//! What `pg_dumpall --globals-only` wrote: whether its end is there, and how many roles it makes.

use crate::cancel::Cancel;
use crate::error::Result;
use crate::source::write::read_all;
use memchr::memmem;
use std::io::Read;

/// The file of a snapshot that holds it.
pub(super) const GLOBALS_FILE: &str = "globals.sql";
/// What pg_dumpall writes last (`main` in PostgreSQL's `pg_dumpall.c`).
const END: &[u8] = b"\n-- PostgreSQL database cluster dump complete\n";
const ROLE: &[u8] = b"\nCREATE ROLE ";
/// How much of one piece is looked at again with the next.
const OVERLAP: usize = ROLE.len() - 1;

/// Reads it to its end; returns how many roles it makes, or `None` if its end is missing.
pub(super) fn count_roles(stream: &mut dyn Read, cancel: &Cancel) -> Result<Option<u64>> {
    let mut roles = 0;
    // The last bytes, in which the end is looked for.
    let mut tail: Vec<u8> = vec![b'\n'];
    read_all(stream, cancel, |data| {
        let seam: Vec<u8> =
            tail.iter().skip(tail.len().saturating_sub(OVERLAP)).chain(data.iter().take(OVERLAP)).copied().collect();
        roles += (memmem::find_iter(data, ROLE).count() + memmem::find_iter(&seam, ROLE).count()) as u64;
        tail.extend_from_slice(data.get(data.len().saturating_sub(2 * END.len())..).unwrap_or_default());
        tail.drain(..tail.len().saturating_sub(2 * END.len()));
        Ok(())
    })?;
    Ok(memmem::find(&tail, END).is_some().then_some(roles))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time.
    struct Drops<'a>(&'a [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.1.min(buffer.len());
            self.0.read(&mut buffer[..count])
        }
    }

    #[test]
    fn roles_are_counted_whatever_the_pieces() {
        let text = b"CREATE ROLE a;\nCREATE ROLE \"b\";\nALTER ROLE a;\nCREATE ROLE c;\n\
            --\n-- PostgreSQL database cluster dump complete\n--\n\n";
        for size in 1..text.len() + 1 {
            let roles = |text| count_roles(&mut Drops(text, size), &Cancel::new()).unwrap();
            assert_eq!(roles(text), Some(3), "{size}");
            assert_eq!(roles(&text[..text.len() - 8]), None, "{size}");
        }
    }
}
