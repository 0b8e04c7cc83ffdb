//! The values of the maps of blocks, allowlists, destinations and origins. Fields whose
//! names end in `_s` are whole seconds of `CLOCK_MONOTONIC`.

use crate::time::{MonotonicNs, UnixSeconds};

/// A blocked IPv4 address, IPv6 /64 or IPv6 address.
///
/// The fields are in an order that needs no padding. An IPv4 entry takes 104
/// bytes of memory, including the kernel's overhead. The filter stores `expires`,
/// `hits` and `refreshes` only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Entry {
    /// The last nanosecond at which the entry matches.
    pub expires: MonotonicNs,
    /// `expires` never slides past this second; 0: no limit.
    pub hard_until_s: u32,
    /// Seconds by which a hit slides `expires`; 0: the entry does not slide.
    pub ttl_s: u32,
    /// Packets that matched; saturates. The filter writes it without atomics,
    /// so simultaneous packets on two CPUs may count as one.
    pub hits: u32,
    /// Number of hits that moved `expires`; saturates.
    pub refreshes: u16,
    /// [`SEALED`], and the origin in the [`ORIGIN_MASK`] bits.
    pub flags: u16,
    /// Owners of the entry, one bit each; 0: the origin tells the owner.
    pub owners: u64,
}

/// Flag: every packet is dropped. Without it, the entry is open: only new
/// connections are dropped.
pub const SEALED: u16 = 1;
/// The bits of the flags that hold an origin (`ORIGIN_…`).
pub const ORIGIN_MASK: u16 = 0xf0;
/// Origin: a rejection in the mail log.
pub const ORIGIN_LOG: u16 = 0x10;
/// Origin: `spamdrop add`.
pub const ORIGIN_HAND: u16 = 0x20;

/// A blocked prefix. Its expiry does not slide, and it drops every packet.
///
/// All fields are 32-bit words: in a trie, the value directly follows the prefix, so
/// behind the four bytes of an IPv4 prefix it is aligned to four bytes only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CidrEntry {
    /// The last second in which the prefix matches.
    pub expires_s: u32,
    /// Packets that matched; see [`Entry::hits`].
    pub hits: u32,
    /// As [`Entry::owners`]; the low word comes first.
    pub owners: [u32; 2],
    /// No flag is defined yet: 0.
    pub flags: u32,
}

/// The value of the allowlist maps: where a prefix comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct AllowEntry {
    /// 1: spamdrop has found the prefix itself (own addresses, gateways, …); 0: the
    /// prefix is from the administrator's allowlist.
    pub automatic: u32,
}

/// A prefix of destinations to which blocks and the gate apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Destination {
    /// No flag is defined yet: 0.
    pub flags: u32,
}

/// Maximum length of the text of an [`Origin`], in bytes.
pub const TEXT_LEN: usize = 200;

/// The reason why an address is blocked, for `show`. The key in the `origins` map is the
/// full address (IPv4 as `::ffff:a.b.c.d`), because the addresses of a /64 share one
/// [`Entry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Origin {
    /// When the address was first blocked.
    pub first_blocked: UnixSeconds,
    /// The time of the last offence.
    pub last_offence: MonotonicNs,
    /// Offences since the first block.
    pub offences: u32,
    /// 1 while connections of the address may still need to be released.
    pub release_pending: u16,
    /// Length of the used part of `text`, in bytes.
    pub text_len: u16,
    /// The log line, or the reason that the administrator gave; truncated to
    /// [`TEXT_LEN`].
    pub text: [u8; TEXT_LEN],
}

impl Origin {
    /// The used part of `text`.
    #[must_use]
    pub fn used_text(&self) -> &[u8] {
        &self.text[..usize::from(self.text_len).min(TEXT_LEN)]
    }

    /// Replaces the text and truncates it to [`TEXT_LEN`] bytes.
    pub fn set_text(&mut self, text: &[u8]) {
        let len = text.len().min(TEXT_LEN);
        self.text = [0; TEXT_LEN];
        self.text[..len].copy_from_slice(&text[..len]);
        self.text_len = len as u16;
    }
}

impl Default for Origin {
    fn default() -> Self {
        Self {
            first_blocked: UnixSeconds::default(),
            last_offence: MonotonicNs::default(),
            offences: 0,
            release_pending: 0,
            text_len: 0,
            text: [0; TEXT_LEN],
        }
    }
}

const _: () = assert!(size_of::<Entry>() == 32);
const _: () = assert!(size_of::<CidrEntry>() == 20);
const _: () = assert!(size_of::<AllowEntry>() == 4);
const _: () = assert!(size_of::<Destination>() == 4);
const _: () = assert!(size_of::<Origin>() == 24 + TEXT_LEN);

#[cfg(feature = "user")]
mod pod {
    use super::{AllowEntry, CidrEntry, Destination, Entry, Origin};

    // SAFETY: repr(C) without padding (sizes asserted above), integers only.
    unsafe impl aya::Pod for Entry {}
    // SAFETY: as above.
    unsafe impl aya::Pod for CidrEntry {}
    // SAFETY: as above.
    unsafe impl aya::Pod for AllowEntry {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Destination {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Origin {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_until_its_limit_and_replaced_whole() {
        let mut origin = Origin::default();
        assert_eq!(origin.used_text(), b"");
        origin.set_text(b"511 listed");
        assert_eq!(origin.used_text(), b"511 listed");
        origin.set_text(b"no");
        assert_eq!(origin.used_text(), b"no");
        assert_eq!(origin.text[2..], [0; TEXT_LEN - 2]);
        origin.set_text(&[b'x'; TEXT_LEN + 1]);
        assert_eq!(origin.used_text(), [b'x'; TEXT_LEN]);
    }

    #[test]
    fn a_length_beyond_the_text_is_cut() {
        let origin = Origin {
            text_len: u16::MAX,
            text: [b'x'; TEXT_LEN],
            ..Origin::default()
        };
        assert_eq!(origin.used_text().len(), TEXT_LEN);
    }
}
