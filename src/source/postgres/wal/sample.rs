//! A log for tests, written as a server would.

use super::page::PAGE;
use super::position::{Lsn, SegmentName};
use crc::{CRC_32_ISCSI, Crc};

/// A log of small segments.
pub struct Log {
    timeline: u32,
    at: u64,
    start: u64,
    previous: u64,
    /// What is left of the record that is being written.
    left: u32,
    bytes: Vec<u8>,
}

impl Log {
    /// The size of its segments, in bytes.
    pub const SEGMENT: u32 = 64 * 1024;
    /// The server that it is of.
    pub const SYSTEM: u64 = 7_311_111_111_111_111_111;

    /// Begins a log with its third segment.
    pub fn new(timeline: u32) -> Self {
        let start = u64::from(Self::SEGMENT) * 2;
        let mut log = Self { timeline, at: start, start, previous: 0, left: 0, bytes: Vec::new() };
        log.page_header();
        log
    }

    /// Returns where the first record begins.
    pub fn start(&self) -> Lsn {
        Lsn(self.start + 40)
    }

    /// Writes a record; returns the position after it.
    pub fn record(&mut self, manager: u8, info: u8, body: &[u8]) -> Lsn {
        if self.at.is_multiple_of(PAGE as u64) {
            self.page_header();
        }
        let start = self.at;
        let size = u32::try_from(24 + body.len()).unwrap();
        let mut header = [0; 24];
        header[..4].copy_from_slice(&size.to_le_bytes());
        header[8..16].copy_from_slice(&self.previous.to_le_bytes());
        (header[16], header[17]) = (info, manager);
        let crc = Crc::<u32>::new(&CRC_32_ISCSI);
        let mut digest = crc.digest();
        digest.update(body);
        digest.update(&header[..20]);
        header[20..].copy_from_slice(&digest.finalize().to_le_bytes());
        self.left = size;
        for byte in header.iter().chain(body) {
            if self.at.is_multiple_of(PAGE as u64) {
                self.page_header();
            }
            self.bytes.push(*byte);
            self.at += 1;
            self.left -= 1;
        }
        while !self.at.is_multiple_of(8) {
            self.bytes.push(0);
            self.at += 1;
        }
        self.previous = start;
        Lsn(self.at)
    }

    /// Writes a restore point; returns the position after it.
    pub fn restore_point(&mut self, name: &str) -> Lsn {
        let mut body = vec![255, 72];
        body.extend([0; 8]);
        body.extend(name.bytes());
        body.resize(2 + 72, 0);
        self.record(0, 0x70, &body)
    }

    /// Ends the segment.
    pub fn switch(&mut self) {
        self.record(0, 0x40, &[]);
        let end = self.at.next_multiple_of(u64::from(Self::SEGMENT));
        while self.at < end {
            if self.at.is_multiple_of(PAGE as u64) {
                self.page_header();
            }
            self.bytes.push(0);
            self.at += 1;
        }
    }

    /// Returns the segments, the last filled up with zeros.
    pub fn segments(&self) -> Vec<(SegmentName, Vec<u8>)> {
        let mut bytes = self.bytes.clone();
        bytes.resize(bytes.len().next_multiple_of(Self::SEGMENT as usize), 0);
        let name = |index: usize| {
            let position = Lsn(self.start + u64::from(Self::SEGMENT) * index as u64);
            SegmentName::of(self.timeline, position, Self::SEGMENT)
        };
        bytes.chunks(Self::SEGMENT as usize).enumerate().map(|(index, bytes)| (name(index), bytes.to_vec())).collect()
    }

    fn page_header(&mut self) {
        let is_long = self.at.is_multiple_of(u64::from(Self::SEGMENT));
        let info = u16::from(self.left > 0) | if is_long { 2 } else { 0 };
        let mut header = Vec::new();
        header.extend(0xD110_u16.to_le_bytes());
        header.extend(info.to_le_bytes());
        header.extend(self.timeline.to_le_bytes());
        header.extend(self.at.to_le_bytes());
        header.extend(self.left.to_le_bytes());
        header.extend([0; 4]);
        if is_long {
            header.extend(Self::SYSTEM.to_le_bytes());
            header.extend(Self::SEGMENT.to_le_bytes());
            header.extend(u32::try_from(PAGE).unwrap().to_le_bytes());
        }
        self.at += header.len() as u64;
        self.bytes.extend(header);
    }
}
