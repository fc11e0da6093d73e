//! Writing the content of files, in the order of the packs that hold it.

use super::folders::{Folders, failed};
use super::look::{Held, Look};
use super::metadata::Setter;
use super::plan::{FileEntry, Plan, Use};
use super::remove::remove;
use super::target::Target;
use crate::error::{Error, ErrorCode, Result};
use crate::repository::blobs::{BlobOpener, Indexed};
use crate::repository::files::FileType;
use crate::repository::id::Id;
use crate::repository::inode;
use crate::repository::parallel::Workers;
use crate::repository::trees::missing;
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::{Mutex, PoisonError};

/// The most that is read from a pack at once, unless a single blob is longer.
const RANGE: u64 = 4 << 20;
/// What is read and thrown away rather than read around.
const GAP: u64 = 64 << 10;
/// Runs of zeros of this size, at multiples of it, become holes.
const BLOCK: usize = 64 << 10;
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// What a restore writes with, shared by all threads.
pub(super) struct Writer<'a> {
    pub(super) indexed: &'a Indexed,
    pub(super) plan: &'a Plan,
    pub(super) target: &'a Target,
    pub(super) setter: &'a Setter,
    /// What is there already.
    pub(super) look: &'a Look,
    /// What the repository could not give: the first error of each file.
    pub(super) damage: Mutex<Vec<(u32, Error)>>,
    /// Bytes that were written.
    pub(super) written: AtomicU64,
}

impl Writer<'_> {
    /// Writes the files `numbers`. Damage is noted and the rest goes on; an error of the target or the store ends it.
    pub(super) fn run(&self, numbers: &[u32], workers: &Workers<'_>) -> Result<()> {
        let mut order = Vec::new();
        // Files of which there is something already, and those without content.
        let mut begun = Vec::new();
        for number in numbers {
            let file = self.file(*number)?;
            let held = self.look.held(*number);
            if held != Held::None || file.blobs == 0 {
                begun.push(*number);
            }
            order.extend((file.first..).zip(self.plan.uses_of(file)).enumerate().filter_map(|(place, (at, _))| {
                let needed = match held {
                    Held::None => true,
                    Held::All => false,
                    Held::These(held) => !held.get(place).copied().unwrap_or(false),
                };
                needed.then_some(at)
            }));
        }
        let lost = Mutex::new(Vec::new());
        workers.each(
            &begun,
            || Worker::new(self, workers),
            |worker, number| {
                let file = self.file(*number)?;
                if file.blobs == 0 {
                    worker.write_empty(*number, file)
                } else {
                    worker.write_held(*number, file, &lost)
                }
            },
        )?;
        order.extend(lost.into_inner().unwrap_or_else(PoisonError::into_inner));
        let mut uses = order.into_iter().filter_map(|at| self.plan.uses.get(at)).collect::<Vec<_>>();
        uses.sort_unstable_by_key(|one| (one.pack, one.blob.offset, one.file, one.at));
        workers.each(&ranges(&uses), || Worker::new(self, workers), |worker, range| worker.write_range(range))
    }

    fn file(&self, number: u32) -> Result<&FileEntry> {
        let file = self.plan.files.get(number as usize);
        file.ok_or_else(|| Error::new(ErrorCode::Internal, "a file is not in its plan"))
    }
}

/// Cuts the uses, which are in the order of packs, into what is read at once.
fn ranges<'u, 'p>(uses: &'u [&'p Use]) -> Vec<&'u [&'p Use]> {
    let mut ranges = Vec::new();
    let mut rest = uses;
    while let Some(first) = rest.first() {
        let start = u64::from(first.blob.offset);
        let mut end = start;
        let fits = |one: &&&Use| {
            let offset = u64::from(one.blob.offset);
            let one_end = offset + u64::from(one.blob.length);
            let near = one.pack == first.pack
                && offset <= end + GAP
                && (one_end - start <= RANGE || end == start || one_end <= end);
            end = end.max(one_end);
            near
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (range, tail) = rest.split_at(count);
        ranges.push(range);
        rest = tail;
    }
    ranges
}

/// What one thread keeps.
struct Worker<'a> {
    writer: &'a Writer<'a>,
    workers: &'a Workers<'a>,
    folders: Folders<'a>,
    opener: BlobOpener<'a>,
    plain: Vec<u8>,
    /// The file that was written last: its next blob often follows in the same pack.
    current: Option<(u32, File)>,
}

impl<'a> Worker<'a> {
    fn new(writer: &'a Writer<'a>, workers: &'a Workers<'a>) -> Result<Self> {
        let opener = BlobOpener::new(writer.indexed.repository())?;
        let folders = Folders::new(writer.plan, writer.target);
        Ok(Self { writer, workers, folders, opener, plain: Vec::new(), current: None })
    }

    fn write_empty(&mut self, number: u32, file: &FileEntry) -> Result<()> {
        let open = self.open(number, file, OFlags::EXCL)?;
        self.finish(number, file, &open)
    }

    /// Takes from the old file what it has at the same place. What turns out to be something else by now goes to `lost`.
    fn write_held(&mut self, number: u32, file: &FileEntry, lost: &Mutex<Vec<usize>>) -> Result<()> {
        let Writer { plan, look, .. } = *self.writer;
        let held = look.held(number);
        let dir = self.folders.get(file.entry.dir)?;
        let old = inode::open(dir.as_fd(), &file.entry.name, OFlags::empty()).map(File::from);
        for (place, (at, one)) in (file.first..).zip(plan.uses_of(file)).enumerate() {
            if let Held::These(held) = held
                && !held.get(place).copied().unwrap_or(false)
            {
                continue;
            }
            self.workers.cancel.check()?;
            let mut plain = std::mem::take(&mut self.plain);
            plain.resize(one.blob.plain_length(), 0);
            let read = old.as_ref().is_ok_and(|old| old.read_exact_at(&mut plain, one.at).is_ok());
            let written = match read && Id::of(&plain) == one.blob.id {
                true => self.write(one, &plain),
                false => {
                    lost.lock().unwrap_or_else(PoisonError::into_inner).push(at);
                    Ok(())
                }
            };
            self.plain = plain;
            written?;
        }
        Ok(())
    }

    /// Reads a part of a pack and writes its blobs to where they belong.
    fn write_range(&mut self, uses: &[&Use]) -> Result<()> {
        let Some(first) = uses.first() else { return Ok(()) };
        let pack = self.writer.plan.packs.get(&first.pack);
        let pack = *pack.ok_or_else(|| Error::new(ErrorCode::Internal, "a pack is not in its plan"))?;
        let start = u64::from(first.blob.offset);
        let end = uses.iter().map(|one| u64::from(one.blob.offset) + u64::from(one.blob.length)).max().unwrap_or(start);
        let mut blobs = uses.chunk_by(|one, two| one.blob == two.blob);
        match self.read(&pack, start, end - start) {
            Ok(mut data) => blobs.try_for_each(|uses| self.write_blob(&pack, start, &mut data, uses)),
            Err(error) if error.code() != ErrorCode::Damaged => Err(error),
            // Of a pack that was cut, the blobs before the cut are still there.
            Err(_) if uses.iter().any(|one| one.blob != first.blob) => {
                blobs.try_for_each(|uses| self.write_range(uses))
            }
            Err(error) => uses.iter().try_for_each(|one| self.lose(one, &error)),
        }
    }

    fn read(&self, pack: &Id, start: u64, length: u64) -> Result<Vec<u8>> {
        let length = usize::try_from(length)
            .map_err(|error| Error::new(ErrorCode::Damaged, "a blob is larger than memory").caused_by(error))?;
        let storage = self.writer.indexed.repository().storage();
        storage.get_range(&FileType::Pack.key(pack), start, length)?.ok_or_else(|| missing(pack))
    }

    /// Opens one blob in `data`, which starts at `start` of the pack, and writes it to all files that hold it.
    fn write_blob(&mut self, pack: &Id, start: u64, data: &mut [u8], uses: &[&Use]) -> Result<()> {
        let Some(Use { blob, .. }) = uses.first() else { return Ok(()) };
        let from = usize::try_from(u64::from(blob.offset) - start).unwrap_or(usize::MAX);
        let sealed = data.get_mut(from..from.saturating_add(blob.length as usize)).ok_or_else(|| missing(pack))?;
        let mut plain = std::mem::take(&mut self.plain);
        let opened = self.opener.open(pack, blob, sealed, &mut plain);
        let written = uses.iter().try_for_each(|one| match &opened {
            Ok(()) => {
                self.workers.progress.add_bytes(plain.len() as u64);
                self.write(one, &plain)
            }
            Err(error) => self.lose(one, error),
        });
        self.plain = plain;
        written
    }

    /// Writes a blob to one place.
    fn write(&mut self, one: &Use, plain: &[u8]) -> Result<()> {
        let number = one.file;
        let file = self.writer.file(number)?;
        let open = match self.current.take() {
            Some((current, open)) if current == number => open,
            _ if file.blobs == 1 => self.open(number, file, OFlags::EXCL)?,
            _ => self.open(number, file, OFlags::empty())?,
        };
        write_with_holes(&open, plain, one.at)
            .map_err(|error| failed("write", self.writer.plan, &file.entry, error))?;
        self.writer.written.fetch_add(plain.len() as u64, Relaxed);
        if file.pending.fetch_sub(1, AcqRel) != 1 {
            self.current = Some((number, open));
            return Ok(());
        }
        if file.failed.load(Acquire) { self.discard(number, file) } else { self.finish(number, file, &open) }
    }

    /// Notes that a blob of a file cannot be had. What was written of the file is removed in the end.
    fn lose(&mut self, one: &Use, error: &Error) -> Result<()> {
        let file = self.writer.file(one.file)?;
        if !file.failed.swap(true, AcqRel) {
            let error = Error::new(error.code(), error.chain());
            self.writer.damage.lock().unwrap_or_else(PoisonError::into_inner).push((one.file, error));
        }
        if file.pending.fetch_sub(1, AcqRel) == 1 { self.discard(one.file, file) } else { Ok(()) }
    }

    /// Opens a file under its working name, for its owner alone until it is complete.
    fn open(&mut self, number: u32, file: &FileEntry, flags: OFlags) -> Result<File> {
        let dir = self.folders.get(file.entry.dir)?;
        let name = self.writer.target.working_name('f', number as usize, &file.entry.name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | flags;
        let opened = rustix::fs::openat(&dir, &*name, flags, Mode::from_raw_mode(0o600));
        opened.map(File::from).map_err(|error| failed("create", self.writer.plan, &file.entry, error))
    }

    /// Gives a file whose content is complete its size, its metadata and its name.
    fn finish(&mut self, number: u32, file: &FileEntry, open: &File) -> Result<()> {
        let Writer { plan, target, setter, .. } = *self.writer;
        let entry = &file.entry;
        // A hole at the end was not written.
        if file.size >= BLOCK as u64 {
            open.set_len(file.size).map_err(|error| failed("write", plan, entry, error))?;
        }
        setter.set(open.as_fd(), &entry.metadata, &|| plan.path(entry.dir, &entry.name))?;
        if target.replaces() {
            let dir = self.folders.get(entry.dir)?;
            let working = target.working_name('f', number as usize, &entry.name);
            let placed = target.put_in_place(&dir, &working, &entry.name);
            placed.map_err(|error| failed("replace", plan, entry, error))?;
        }
        self.workers.progress.add_items(1);
        Ok(())
    }

    fn discard(&mut self, number: u32, file: &FileEntry) -> Result<()> {
        let dir = self.folders.get(file.entry.dir)?;
        let name = self.writer.target.working_name('f', number as usize, &file.entry.name);
        remove(&dir, &name).map_err(|error| failed("remove", self.writer.plan, &file.entry, error))
    }
}

/// Writes `data` at `offset` of a new file and leaves out its blocks of zeros.
fn write_with_holes(file: &File, data: &[u8], offset: u64) -> std::io::Result<()> {
    if data.len() < BLOCK {
        return file.write_all_at(data, offset);
    }
    let into_block = usize::try_from(offset % BLOCK as u64).unwrap_or_default();
    let head = (BLOCK - into_block) % BLOCK;
    let (head, blocks) = data.split_at_checked(head).unwrap_or((data, &[]));
    file.write_all_at(head, offset)?;
    let mut at = offset + head.len() as u64;
    for run in blocks.chunks(BLOCK).collect::<Vec<_>>().chunk_by(|one, two| is_hole(one) == is_hole(two)) {
        let length: usize = run.iter().map(|block| block.len()).sum();
        if !run.first().is_some_and(|block| is_hole(block)) {
            let from = usize::try_from(at - offset).unwrap_or(usize::MAX);
            file.write_all_at(data.get(from..from.saturating_add(length)).unwrap_or_default(), at)?;
        }
        at += length as u64;
    }
    Ok(())
}

fn is_hole(block: &[u8]) -> bool {
    block == ZEROS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn holes_read_as_zeros(runs in prop::collection::vec((any::<u8>(), 1_usize..200_000), 1..6), offset in 0_u64..200_000) {
            let data: Vec<u8> = runs.iter().flat_map(|(byte, length)| std::iter::repeat_n(byte % 2, *length)).collect();
            let file = tempfile::tempfile().unwrap();
            write_with_holes(&file, &data, offset).unwrap();
            file.set_len(offset + data.len() as u64).unwrap();
            let mut read = vec![9; data.len()];
            file.read_exact_at(&mut read, offset).unwrap();
            prop_assert!(read == data);
        }
    }
}
