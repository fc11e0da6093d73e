//! The records of the log, read in order, each compared with its checksum: as far as that goes, a recovery can go.

use super::page::{PAGE, PageHeader, SegmentHeader, field};
use super::position::{Lsn, SegmentName};
use crate::error::{IoContext, Result};
use crc::{CRC_32_ISCSI, Crc, Digest, Table};
use std::io::{ErrorKind, Read};

/// The size of the header of a record (`SizeOfXLogRecord`), in bytes.
const HEADER: usize = 24;
/// Where in the header its checksum is: CRC-32C of the record after its header, then of the header before it.
const CHECKSUM_AT: usize = 20;
/// Records begin at multiples of this.
const ALIGNMENT: usize = 8;
/// How much of a record is kept to look at: enough for the name of a restore point.
const KEPT: usize = 128;
/// How much is read at once: 32 pages.
const CHUNK: usize = 32 * PAGE;

/// The resource manager of records about the log itself, and two of their kinds (`pg_control.h`).
const ABOUT_THE_LOG: u8 = 0;
const SWITCH: u8 = 0x40;
const RESTORE_POINT: u8 = 0x70;
/// Marks the data of a record that is shorter than 256 bytes (`XLR_BLOCK_ID_DATA_SHORT`); its length follows.
const SHORT_DATA: u8 = 255;

static CRC32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// One record, whole and as it was written.
#[derive(Debug)]
pub(in crate::source::postgres) struct Record<'a> {
    /// The position after its last byte, as the server returns it from functions such as `pg_create_restore_point`.
    pub end: Lsn,
    manager: u8,
    kind: u8,
    body: &'a [u8],
}

impl Record<'_> {
    /// Returns the name of the restore point, if the record is one (`xl_restore_point`).
    pub fn restore_point(&self) -> Option<&str> {
        let [SHORT_DATA, _, data @ ..] = self.body else { return None };
        if (self.manager, self.kind) != (ABOUT_THE_LOG, RESTORE_POINT) {
            return None;
        }
        // A time stamp of 8 bytes is before it; zeros are after it.
        let name = data.get(8..)?;
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        std::str::from_utf8(name.get(..end)?).ok()
    }

    fn is_switch(&self) -> bool {
        (self.manager, self.kind) == (ABOUT_THE_LOG, SWITCH)
    }
}

/// Reads the log from a position on, segment by segment. What follows the last intact record is not an error here:
/// segments are used again, and the rest of one may be of another time.
pub(in crate::source::postgres) struct Records {
    start: Lsn,
    intact_until: Lsn,
    /// The segment that has to come next, by the position of its first byte.
    next_segment: Option<Lsn>,
    header: Option<SegmentHeader>,
    magic: Option<u16>,
    record: Option<Partial>,
    /// Where the last record began, which the next one repeats.
    previous: Option<Lsn>,
    /// Why reading ended.
    stopped: Option<String>,
}

/// A record of which the first bytes were read.
struct Partial {
    start: Lsn,
    header: [u8; HEADER],
    /// How many bytes of it were read, and how many there are.
    read: usize,
    size: usize,
    checksum: Digest<'static, u32, Table<16>>,
    kept: [u8; KEPT],
}

impl Records {
    /// Begins at a position where a record begins.
    pub fn from(start: Lsn) -> Self {
        Self {
            start,
            intact_until: start,
            next_segment: None,
            header: None,
            magic: None,
            record: None,
            previous: None,
            stopped: None,
        }
    }

    /// Returns the position after the last record that was found whole.
    pub fn intact_until(&self) -> Lsn {
        self.intact_until
    }

    /// Returns what the segments say of themselves; `None` before the first.
    pub fn header(&self) -> Option<SegmentHeader> {
        self.header
    }

    /// Returns why nothing more could be read, in words.
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// Reads one segment to its end; returns its size in bytes. Segments come in the order of the log.
    ///
    /// # Errors
    /// `stream` could not be read.
    pub fn segment(
        &mut self,
        name: SegmentName,
        stream: &mut dyn Read,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<u64> {
        let mut buffer = vec![0; CHUNK];
        let mut size = 0;
        loop {
            let count =
                fill(stream, &mut buffer).io_context(|| format!("cannot read the segment {name} of the log"))?;
            for page in buffer.get(..count).unwrap_or_default().chunks(PAGE) {
                if self.stopped.is_none()
                    && let Err(why) = self.page(name, size, page, each)
                {
                    self.stopped = Some(why);
                }
                size += page.len() as u64;
            }
            if count < buffer.len() {
                break;
            }
        }
        if let Some(header) = self.header.filter(|_| self.stopped.is_none())
            && size != u64::from(header.segment_size)
        {
            self.stopped = Some(format!("{name} has {size} bytes and should have {}", header.segment_size));
        }
        Ok(size)
    }

    /// Reads the page at `offset` of a segment.
    fn page(
        &mut self,
        name: SegmentName,
        offset: u64,
        page: &[u8],
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), String> {
        let read = || PageHeader::read(page).map_err(|why| format!("page {} of {name}: {why}", offset / PAGE as u64));
        if offset == 0 {
            self.enter(name, &read()?)?;
        }
        let Some(segment) = self.header else { return Err(format!("{name} has no header")) };
        let address = Lsn(name.start(segment.segment_size).0 + offset);
        // Before the first record, or after the last of a segment: there may be anything.
        if address.0 + PAGE as u64 <= self.intact_until.0 {
            return Ok(());
        }
        let header = read()?;
        let at = |what: &str| format!("{what} at {address} in {name}");
        if header.address != address {
            return Err(at("a page of another time begins"));
        }
        if header.timeline > name.timeline || *self.magic.get_or_insert(header.magic) != header.magic {
            return Err(at("a page of another timeline or server version begins"));
        }
        let mut at_byte = header.size;
        match (&self.record, header.continued) {
            (Some(_), _) if header.overwrites => self.record = None,
            (Some(record), Some(left)) if left as usize == record.size - record.read => {}
            (Some(record), _) => return Err(format!("the record at {} is not continued", record.start)),
            (None, _) if address <= self.start => {
                let within = usize::try_from(self.start.0 - address.0).unwrap_or(PAGE);
                at_byte = at_byte.max(within);
            }
            (None, Some(_)) => return Err(at("a record goes on that did not begin")),
            (None, None) => {}
        }
        while at_byte < page.len() {
            let rest = page.get(at_byte..).unwrap_or_default();
            let used = match &mut self.record {
                Some(record) => record.take(rest),
                None => {
                    let (record, used) = Partial::begin(Lsn(address.0 + at_byte as u64), rest)?;
                    self.record = Some(record);
                    used
                }
            };
            at_byte += used;
            if let Some(record) = self.record.take_if(|record| record.read == record.size) {
                at_byte = at_byte.next_multiple_of(ALIGNMENT);
                let end = Lsn(address.0 + at_byte as u64);
                if self.complete(&record, end, each)? {
                    // The rest of the segment is not used: the next record begins in the next one.
                    self.intact_until = Lsn(name.start(segment.segment_size).0 + u64::from(segment.segment_size));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Makes sure that a segment is the one that comes next, and of the same server.
    fn enter(&mut self, name: SegmentName, header: &PageHeader) -> Result<(), String> {
        let Some(segment) = header.segment else { return Err(format!("{name} does not begin as a segment does")) };
        if !segment.segment_size.is_power_of_two() || (segment.segment_size as usize) < PAGE {
            return Err(format!("{name} names an impossible size of segments, {}", segment.segment_size));
        }
        let first = *self.header.get_or_insert(segment);
        if first != segment {
            return Err(format!("{name} is of another server than the segment before it"));
        }
        let size = segment.segment_size;
        let expected =
            self.next_segment.unwrap_or_else(|| SegmentName::of(name.timeline, self.start, size).start(size));
        if name.start(size) != expected {
            let expected = SegmentName::of(name.timeline, expected, size);
            return Err(format!("the segment {expected} is missing: {name} follows"));
        }
        self.next_segment = Some(Lsn(expected.0 + u64::from(size)));
        Ok(())
    }

    /// Compares a record with its checksum, and tells of it. Says whether the segment ends with it.
    fn complete(&mut self, record: &Partial, end: Lsn, each: &mut dyn FnMut(&Record<'_>)) -> Result<bool, String> {
        let Partial { start, header, size, kept, .. } = record;
        let mut checksum = record.checksum.clone();
        checksum.update(header.get(..CHECKSUM_AT).unwrap_or_default());
        if checksum.finalize() != u32::from_le_bytes(field(header, CHECKSUM_AT).unwrap_or_default()) {
            return Err(format!("the record at {start} does not have its checksum"));
        }
        let before = Lsn(u64::from_le_bytes(field(header, 8).unwrap_or_default()));
        if self.previous.is_some_and(|previous| previous != before) {
            return Err(format!("the record at {start} does not follow the one before it"));
        }
        self.previous = Some(*start);
        self.intact_until = end;
        let body = kept.get(..(size - HEADER).min(KEPT)).unwrap_or_default();
        let [kind, manager] = field(header, 16).unwrap_or_default();
        let record = Record { end, manager, kind: kind & 0xF0, body };
        each(&record);
        Ok(record.is_switch())
    }
}

impl Partial {
    /// Begins a record; returns how many bytes were used.
    fn begin(start: Lsn, bytes: &[u8]) -> Result<(Self, usize), String> {
        let size = field(bytes, 0).map_or(0, |size| u32::from_le_bytes(size) as usize);
        if size < HEADER {
            return Err(format!("no record begins at {start}"));
        }
        let checksum = CRC32C.digest();
        let mut record = Self { start, header: [0; HEADER], read: 0, size, checksum, kept: [0; KEPT] };
        let used = record.take(bytes);
        Ok((record, used))
    }

    /// Takes as much of `bytes` as belongs to the record; returns how much that is.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let bytes = bytes.get(..self.size - self.read).unwrap_or(bytes);
        let (header, body) = bytes.split_at(bytes.len().min(HEADER.saturating_sub(self.read)));
        copy(&mut self.header, self.read, header);
        self.read += header.len();
        if !body.is_empty() {
            copy(&mut self.kept, self.read - HEADER, body);
            self.checksum.update(body);
            self.read += body.len();
        }
        bytes.len()
    }
}

/// Copies as much as fits.
fn copy(to: &mut [u8], at: usize, from: &[u8]) {
    let to = to.get_mut(at..).unwrap_or_default();
    let count = to.len().min(from.len());
    if let (Some(to), Some(from)) = (to.get_mut(..count), from.get(..count)) {
        to.copy_from_slice(from);
    }
}

/// Reads until the buffer is full or the stream ends.
fn fill(stream: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::super::sample::Log;
    use super::*;

    fn read(start: Lsn, segments: &[(SegmentName, Vec<u8>)]) -> (Records, Vec<String>) {
        let mut records = Records::from(start);
        let mut points = Vec::new();
        for (name, bytes) in segments {
            let mut each = |record: &Record<'_>| {
                points.extend(record.restore_point().map(|point| format!("{point} {}", record.end)));
            };
            assert_eq!(records.segment(*name, &mut bytes.as_slice(), &mut each).unwrap(), bytes.len() as u64);
        }
        (records, points)
    }

    #[test]
    fn records_are_read_over_pages_and_segments() {
        let mut log = Log::new(3);
        log.record(9, 0, &[7; 100]);
        log.record(9, 0, &vec![8; 20_000]);
        log.record(9, 0, &vec![9; Log::SEGMENT as usize]);
        let end = log.restore_point("here");
        log.switch();
        let last = log.record(9, 0, &[1; 10]);
        let (records, points) = read(log.start(), &log.segments());
        assert_eq!(points, [format!("here {end}")]);
        assert_eq!((records.intact_until(), records.header().unwrap().system_identifier), (last, Log::SYSTEM));
        assert!(records.stopped().unwrap().contains("no record begins"), "{:?}", records.stopped());
    }

    #[test]
    fn a_flipped_byte_ends_the_log_where_it_is() {
        let mut log = Log::new(1);
        let intact = log.record(9, 0, &[7; 100]);
        log.record(9, 0, &vec![8; 20_000]);
        log.record(9, 0, &[9; 50]);
        let mut segments = log.segments();
        let at = usize::try_from(intact.0 - segments[0].0.start(Log::SEGMENT).0).unwrap() + 9_000;
        segments[0].1[at] ^= 1;
        let (records, _) = read(log.start(), &segments);
        assert_eq!(records.intact_until(), intact);
        assert!(records.stopped().unwrap().contains("checksum"), "{:?}", records.stopped());
    }

    #[test]
    fn a_missing_short_or_foreign_segment_ends_the_log() {
        let mut log = Log::new(1);
        for _ in 0..3 {
            log.record(9, 0, &vec![9; Log::SEGMENT as usize / 2]);
        }
        log.switch();
        let end = log.record(9, 0, &[1]);
        let segments = log.segments();
        assert!(segments.len() >= 3);
        assert_eq!(read(log.start(), &segments).0.intact_until(), end);
        let stopped = |segments: &[(SegmentName, Vec<u8>)]| {
            let (records, _) = read(log.start(), segments);
            assert!(records.intact_until() < end);
            records.stopped().unwrap().to_owned()
        };
        let mut gap = segments.clone();
        gap.remove(1);
        assert!(stopped(&gap).contains("is missing"));
        let mut short = segments.clone();
        short[0].1.truncate(PAGE * 2);
        assert!(stopped(&short).contains("should have"));
        let mut foreign = segments.clone();
        foreign[1].1[24] ^= 1;
        assert!(stopped(&foreign).contains("another server"));
        let mut recycled = segments;
        recycled[1].1[PAGE + 8] ^= 1;
        assert!(stopped(&recycled).contains("another time"));
    }
}
