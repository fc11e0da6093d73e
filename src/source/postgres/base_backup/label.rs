//! `backup_label`: where a recovery of a base backup begins.

use crate::source::postgres::wal::Lsn;

/// What the server noted at the start of the backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BackupLabel {
    /// The position in the log from which it is replayed.
    pub start: Lsn,
    /// The timeline then.
    pub timeline: u32,
}

impl BackupLabel {
    /// Reads the lines `START WAL LOCATION: 0/2000028 (file …)` and `START TIMELINE: 1`.
    pub fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let start = Lsn::parse(value("START WAL LOCATION")?.split(' ').next()?)?;
        Some(Self { start, timeline: value("START TIMELINE")?.trim().parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_read() {
        let text = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nCHECKPOINT LOCATION: 0/2000060\n\
            BACKUP METHOD: streamed\nLABEL: holdpoint\nSTART TIMELINE: 7\n";
        assert_eq!(BackupLabel::parse(text), Some(BackupLabel { start: Lsn(0x200_0028), timeline: 7 }));
        assert_eq!(BackupLabel::parse("LABEL: x\n"), None);
    }
}
