//! The header that every page of the log begins with.

use super::position::Lsn;

/// The size of a page in bytes: that of every server which was not built otherwise (`--with-wal-blocksize`).
pub(super) const PAGE: usize = 8192;

const SHORT: usize = 24;
const LONG: usize = 40;

/// The first bytes of the page go on with a record of the page before it.
const FIRST_IS_CONTINUED: u16 = 1;
/// The header is a long one: that of the first page of a segment.
const IS_LONG: u16 = 2;
/// The record that the page before it began was given up, because the server crashed in the middle of it.
const OVERWRITES: u16 = 8;

/// What a segment says of itself on its first page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::source::postgres) struct SegmentHeader {
    /// The server that wrote it.
    pub system_identifier: u64,
    /// The size of segments, in bytes.
    pub segment_size: u32,
}

/// The header of a page (`XLogPageHeaderData`, `XLogLongPageHeaderData`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageHeader {
    /// Names the version of the format.
    pub magic: u16,
    /// The timeline that the page was written on.
    pub timeline: u32,
    /// Where the page is in the log.
    pub address: Lsn,
    /// How much of a record of the page before it is left, if the page goes on with one.
    pub continued: Option<u32>,
    /// Whether that record was given up.
    pub overwrites: bool,
    /// What the segment says of itself, on its first page.
    pub segment: Option<SegmentHeader>,
    /// The size of the header, in bytes.
    pub size: usize,
}

impl PageHeader {
    /// Reads the header of a page.
    ///
    /// # Errors
    /// In words, why it is none.
    pub fn read(page: &[u8]) -> Result<Self, String> {
        let short = || "it is cut off".to_owned();
        let magic = u16::from_le_bytes(field(page, 0).ok_or_else(short)?);
        let info = u16::from_le_bytes(field(page, 2).ok_or_else(short)?);
        let timeline = u32::from_le_bytes(field(page, 4).ok_or_else(short)?);
        let address = Lsn(u64::from_le_bytes(field(page, 8).ok_or_else(short)?));
        let left = u32::from_le_bytes(field(page, 16).ok_or_else(short)?);
        // Every version so far has a magic number that begins so; zeros are a page that was never written.
        if magic >> 8 != 0xD1 {
            return Err(format!("it does not begin as a page of the log does (magic number {magic:04X})"));
        }
        let is_long = info & IS_LONG != 0;
        let segment = if is_long {
            let page_size = u32::from_le_bytes(field(page, 36).ok_or_else(short)?);
            if page_size as usize != PAGE {
                return Err(format!("the server was built for pages of {page_size} bytes, which are not understood"));
            }
            Some(SegmentHeader {
                system_identifier: u64::from_le_bytes(field(page, 24).ok_or_else(short)?),
                segment_size: u32::from_le_bytes(field(page, 32).ok_or_else(short)?),
            })
        } else {
            None
        };
        Ok(Self {
            magic,
            timeline,
            address,
            continued: (info & FIRST_IS_CONTINUED != 0).then_some(left),
            overwrites: info & OVERWRITES != 0,
            segment,
            size: if is_long { LONG } else { SHORT },
        })
    }
}

/// Returns the bytes of a field.
pub(super) fn field<const SIZE: usize>(bytes: &[u8], at: usize) -> Option<[u8; SIZE]> {
    bytes.get(at..at.checked_add(SIZE)?)?.try_into().ok()
}
