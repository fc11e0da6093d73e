//! Modes: the bits of Go's `os.FileMode`, which restic stores, and those of POSIX.

use super::tree::NodeType;

const DIR: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;
const DEVICE: u32 = 1 << 26;
const NAMED_PIPE: u32 = 1 << 25;
const SOCKET: u32 = 1 << 24;
const SETUID: u32 = 1 << 23;
const SETGID: u32 = 1 << 22;
const CHAR_DEVICE: u32 = 1 << 21;
const STICKY: u32 = 1 << 20;

/// Returns what restic stores for a node of `kind` whose POSIX mode is `mode`.
pub fn to_go(kind: NodeType, mode: u32) -> u32 {
    let kind = match kind {
        NodeType::File | NodeType::Irregular => 0,
        NodeType::Dir => DIR,
        NodeType::Symlink => SYMLINK,
        NodeType::Dev => DEVICE,
        NodeType::CharDev => DEVICE | CHAR_DEVICE,
        NodeType::Fifo => NAMED_PIPE,
        NodeType::Socket => SOCKET,
    };
    let bit = |posix: u32, go: u32| if mode & posix != 0 { go } else { 0 };
    kind | (mode & 0o777) | bit(0o4000, SETUID) | bit(0o2000, SETGID) | bit(0o1000, STICKY)
}

/// Returns the twelve permission bits of POSIX that a stored mode means.
pub fn to_posix(go: u32) -> u32 {
    let bit = |go_bit: u32, posix: u32| if go & go_bit != 0 { posix } else { 0 };
    (go & 0o777) | bit(SETUID, 0o4000) | bit(SETGID, 0o2000) | bit(STICKY, 0o1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permission_survives() {
        for mode in 0..0o10000 {
            assert_eq!(to_posix(to_go(NodeType::Dir, mode)), mode);
        }
        assert_eq!(to_go(NodeType::Dir, 0o755), 2_147_484_141);
        assert_eq!(to_go(NodeType::File, 0o644), 420);
    }
}
