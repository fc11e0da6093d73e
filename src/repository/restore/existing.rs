//! Comparing the content of a file that exists with the blobs that it should have.

use super::plan::Use;
use crate::repository::id::Id;
use rustix::fs::{Advice, SeekFrom, Stat, fadvise, seek};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// How much is read at once.
const BUFFER: usize = 256 << 10;

/// What one thread keeps.
pub(super) struct Comparer {
    buffer: Vec<u8>,
    /// The ids of so many zeros.
    zeros: HashMap<u64, Id>,
}

impl Comparer {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; BUFFER], zeros: HashMap::new() }
    }

    /// Says whether the bytes at the place of a blob are that blob. A file that ends before it has another one.
    pub(super) fn holds(&mut self, file: &File, stat: &Stat, one: &Use) -> std::io::Result<bool> {
        let mut left = one.blob.plain_length() as u64;
        if is_sparse(stat) && in_hole(file, one.at, left) {
            let size = u64::try_from(stat.st_size).unwrap_or(0);
            return Ok(one.at.saturating_add(left) <= size && self.zeros(left) == one.blob.id);
        }
        let mut at = one.at;
        let mut digest = Sha256::new();
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let buffer = self.buffer.get_mut(..most).unwrap_or_default();
            match file.read_at(buffer, at) {
                Ok(0) => return Ok(false),
                Ok(read) => {
                    digest.update(buffer.get(..read).unwrap_or_default());
                    at += read as u64;
                    left -= read as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Id::from_bytes(digest.finalize().into()) == one.blob.id)
    }

    /// Returns the id of so many zeros, which nobody need read to know.
    fn zeros(&mut self, length: u64) -> Id {
        let Self { buffer, zeros } = self;
        *zeros.entry(length).or_insert_with(|| {
            buffer.fill(0);
            let mut digest = Sha256::new();
            let mut left = length;
            while left > 0 {
                let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                digest.update(buffer.get(..most).unwrap_or_default());
                left -= most as u64;
            }
            Id::from_bytes(digest.finalize().into())
        })
    }
}

/// Says whether a file has holes.
fn is_sparse(stat: &Stat) -> bool {
    stat.st_blocks.saturating_mul(512) < stat.st_size
}

/// Says whether a region lies in a hole as a whole. A file system that cannot tell says that all of it is data.
fn in_hole(file: &File, at: u64, length: u64) -> bool {
    match seek(file, SeekFrom::Data(at)) {
        Ok(data) => data >= at.saturating_add(length),
        Err(rustix::io::Errno::NXIO) => true,
        Err(_) => false,
    }
}

/// Makes the next reads of a file come from the medium, as far as its pages were written there.
pub(super) fn forget(file: &File) {
    // A file system without a cache has nothing to drop.
    let _ = fadvise(file, 0, None, Advice::DontNeed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::index::Index;
    use crate::repository::pack::{BlobLocation, BlobType};

    #[test]
    fn a_hole_is_zeros_and_an_end_is_not() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(3 << 20).unwrap();
        file.write_all_at(b"x", 2 << 20).unwrap();
        let stat = rustix::fs::fstat(&file).unwrap();
        let pack = Index::default().add(Id::of(b"a pack"), &[]).unwrap();
        let mut comparer = Comparer::new();
        let mut holds = |plain: &[u8], at| {
            let length = u32::try_from(plain.len()).unwrap();
            let id = Id::of(plain);
            let blob = BlobLocation { kind: BlobType::Data, id, offset: 0, length: 0, uncompressed_length: length };
            comparer.holds(&file, &stat, &Use { pack, blob, file: 0, at }).unwrap()
        };
        let zeros = vec![0; 1 << 20];
        assert!(holds(&zeros, 0));
        assert!(holds(&zeros, 1 << 20));
        assert!(!holds(&zeros, 2 << 20));
        assert!(!holds(&zeros[1..], (2 << 20) + 1 + 1));
        assert!(!holds(b"x", 0));
        let mut data = zeros.clone();
        data[0] = b'x';
        assert!(holds(&data, 2 << 20));
        assert!(!holds(&data, 0));
        assert!(!holds(&zeros, 5 << 20));
    }
}
