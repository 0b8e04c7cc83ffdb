//! A file's fingerprint: a hash of its first bytes.

use serde::{Deserialize, Serialize};

/// Maximum number of bytes that a fingerprint covers. The first line of a mail
/// log, with its time and process number, is seldom longer and hardly ever
/// repeats.
pub(super) const MAX: usize = 256;

/// FNV-1a, 64 bits (draft-eastlake-fnv). The hash must stay the same across
/// releases. It need only resist accidental collisions, not attacks.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// The hash of the first bytes of a file, as far as they were read, at most
/// 256. An inode number may be reused when its file is deleted, and a truncated
/// file keeps its number; the first bytes change in both cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Number of bytes covered.
    pub length: usize,
    hash: u64,
}

impl Default for Head {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Head {
    /// The fingerprint of no bytes, which every file matches.
    pub const EMPTY: Self = Self {
        length: 0,
        hash: BASIS,
    };

    /// The fingerprint of a file's first bytes.
    pub fn from_start(bytes: &[u8]) -> Self {
        let mut head = Self::EMPTY;
        head.extend(0, bytes);
        head
    }

    /// Extends the fingerprint by bytes that were read at `offset`.
    pub fn extend(&mut self, offset: u64, bytes: &[u8]) {
        // Bytes after a gap are not part of the head.
        let Some(covered) = (self.length as u64).checked_sub(offset) else {
            return;
        };
        let covered = usize::try_from(covered).unwrap_or(usize::MAX);
        let room = MAX.saturating_sub(self.length);
        for byte in bytes.iter().skip(covered).take(room) {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(PRIME);
            self.length += 1;
        }
    }
}
