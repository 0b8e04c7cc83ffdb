//! The fast path of the parser: most frames have the same headers.

use super::{Aligned, IpFields, MIN_HEADER, Packet, Segment, TCP, TCP_FLAGS_END, is_syn, source4};

/// A plain frame: IPv4 without VLAN tag, options and fragmentation. Its words stay in
/// registers until the whole segment is needed.
#[derive(Clone, Copy, Debug)]
pub struct Plain {
    // Little-endian: the first byte of a word is in the lowest bits.
    length: u64,
    addresses: u64,
    ports: u64,
    flags: u64,
}

impl Plain {
    /// `None`: the rest of the parser must read the frame. Here, one check of the frame's end
    /// is enough, and each word is loaded once.
    #[inline(always)]
    pub(super) fn read<P: Packet + ?Sized>(packet: &P) -> Option<Self> {
        let Aligned(start) = packet.load::<END>(0)?;
        let [_, kind, length, addresses, ports, flags] = words(&start);
        let [a, b, ..] = length.to_le_bytes();
        let is_plain = kind >> 32 & 0xff_ffff == KIND
            && length & MASK == PROTOCOL
            && usize::from(u16::from_be_bytes([a, b])) >= MIN_HEADER + TCP_FLAGS_END;
        is_plain.then_some(Self {
            length,
            addresses,
            ports,
            flags,
        })
    }

    /// The source in network order.
    #[inline(always)]
    #[must_use]
    pub const fn source4(self) -> [u8; 4] {
        ((self.addresses >> 16) as u32).to_le_bytes()
    }

    /// The destination in network order.
    #[inline(always)]
    #[must_use]
    pub const fn destination4(self) -> [u8; 4] {
        ((self.addresses >> 48 | self.ports << 16) as u32).to_le_bytes()
    }

    /// As [`Segment::port`].
    #[inline(always)]
    #[must_use]
    pub const fn port(self) -> u16 {
        ((self.ports >> 32) as u16).swap_bytes()
    }

    /// As [`Segment::syn`].
    #[inline(always)]
    #[must_use]
    pub const fn syn(self) -> bool {
        is_syn((self.flags >> 56) as u8)
    }

    /// The segment with all fields.
    #[inline(always)]
    #[must_use]
    pub const fn segment(self) -> Segment {
        let [_, _, _, _, _, _, ttl, _] = self.length.to_le_bytes();
        let ip = IpFields {
            v6: false,
            source: source4(self.source4()),
            destination4: self.destination4(),
            ttl,
        };
        let ports_and_sequence = (self.ports >> 16 | self.flags << 48).to_le_bytes();
        super::segment(ports_and_sequence, ip, self.syn())
    }
}

/// The offset at which the TCP flags of a plain frame end.
pub(super) const END: usize = 14 + MIN_HEADER + TCP_FLAGS_END;
/// EtherType, IP version and header length of a plain frame: bytes 4 to 6 of the second word.
const KIND: u64 = 0x45_00_08;
/// The bits of the fragment offset, "more fragments" and the protocol in the third word.
const MASK: u64 = 0xff00_ff3f_0000_0000;
const PROTOCOL: u64 = (TCP as u64) << 56;

#[inline(always)]
fn words(bytes: &[u8; END]) -> [u64; END / 8] {
    let mut words = [0; END / 8];
    let mut index = 0;
    while index < words.len() {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[index * 8..index * 8 + 8]);
        words[index] = u64::from_le_bytes(word);
        index += 1;
    }
    words
}
