//! Frame → TCP segment, on links with an Ethernet header and without one.
//!
//! The same code runs in the kernel, where the verifier must be able to follow
//! it. Hence plain `while` loops, headers copied as byte arrays, and no enum
//! with payloads.

use crate::counter::Reason;
use crate::gate::SMTP_PORT;

/// Read access to the bytes of a frame by offset.
pub trait Packet {
    /// The `N` bytes at `offset`; `None` if the frame ends before.
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;
}

impl Packet for [u8] {
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..)?.first_chunk().copied()
    }
}

/// The fields of a TCP segment that the filter needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Whether the source is an IPv6 address.
    pub v6: bool,
    /// The source in network order; an IPv4 address occupies the first four
    /// bytes.
    pub source: [u8; 16],
    /// Destination port in host byte order.
    pub port: u16,
    /// Whether the segment opens a connection: SYN without ACK.
    pub syn: bool,
    /// Time to live or hop limit, as received.
    pub ttl: u8,
    /// Source port in host byte order.
    pub source_port: u16,
    /// Sequence number in host byte order.
    pub sequence: u32,
}

impl Segment {
    /// The source as an IPv4 address; meaningful only if `v6` is false.
    #[inline(always)]
    #[must_use]
    pub const fn source4(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.source;
        [a, b, c, d]
    }
}

const VLAN: u16 = 0x8100;
const QINQ: u16 = 0x88a8;
const MORE_FRAGMENTS: u16 = 0x2000;
const MAX_TAGS: usize = 2;
const MAX_EXTENSIONS: usize = 8;

const TCP: u8 = 6;
/// Length of the TCP header up to and including its flags.
const TCP_FLAGS_END: usize = 14;
/// Length of the TCP header up to and including the sequence number.
const TCP_SEQUENCE_END: usize = 8;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// Finds the TCP segment in an Ethernet frame with up to two VLAN tags (802.1Q
/// or 802.1ad), IPv4 with options, or IPv6 with up to eight extension headers.
/// A PPPoE frame is not parsed: its packet arrives again on the PPP interface.
///
/// # Errors
///
/// The reason for which any other frame is passed.
#[inline(always)]
pub fn parse<P: Packet + ?Sized>(packet: &P) -> Result<Segment, Reason> {
    let mut offset = 12;
    let mut kind = u16::from_be_bytes(load(packet, offset)?);
    let mut tags = 0;
    while tags < MAX_TAGS && (kind == VLAN || kind == QINQ) {
        offset += 4;
        kind = u16::from_be_bytes(load(packet, offset)?);
        tags += 1;
    }
    match kind {
        0x0800 => ipv4(packet, offset + 2),
        0x86dd => ipv6(packet, offset + 2),
        _ => Err(Reason::NotIp),
    }
}

/// Finds the TCP segment in a packet that begins with its IP header, as on
/// links without a link-layer header (PPP, tun, WireGuard, GRE, SIT).
///
/// # Errors
///
/// The reason for which any other packet is passed.
#[inline(always)]
pub fn parse_ip<P: Packet + ?Sized>(packet: &P) -> Result<Segment, Reason> {
    // The shortest header: the verifier cannot follow the check of one byte.
    let [version_and_length, ..]: [u8; 20] = load(packet, 0)?;
    match version_and_length >> 4 {
        4 => ipv4(packet, 0),
        6 => ipv6(packet, 0),
        _ => Err(Reason::NotIp),
    }
}

#[inline(always)]
fn load<P: Packet + ?Sized, const N: usize>(packet: &P, offset: usize) -> Result<[u8; N], Reason> {
    packet.load(offset).ok_or(Reason::Truncated)
}

#[inline(always)]
fn ipv4<P: Packet + ?Sized>(packet: &P, offset: usize) -> Result<Segment, Reason> {
    let header: [u8; 20] = load(packet, offset)?;
    let header_len = usize::from(header[0] & 0x0f) * 4;
    let total_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[0] >> 4 != 4 || header_len < 20 || total_len < header_len {
        return Err(Reason::Truncated);
    }
    let fragment = u16::from_be_bytes([header[6], header[7]]);
    if fragment & 0x1fff != 0 {
        return Err(Reason::LaterFragment);
    }
    if header[9] != TCP {
        return Err(Reason::NotTcp);
    }
    // The receiver rounds the payload of a fragment with successors down to
    // eight bytes, so one that ends in the next eight has no flags.
    let has_flags = fragment & MORE_FRAGMENTS == 0 || total_len >= header_len + 16;
    let needed = if has_flags {
        TCP_FLAGS_END
    } else {
        TCP_SEQUENCE_END
    };
    if total_len < header_len + needed {
        return Err(Reason::Truncated);
    }
    let mut source = [0; 16];
    source[0] = header[12];
    source[1] = header[13];
    source[2] = header[14];
    source[3] = header[15];
    let offset = offset + header_len;
    if has_flags {
        tcp(packet, offset, false, source, header[8])
    } else {
        tcp_without_flags(packet, offset, source, header[8])
    }
}

#[inline(always)]
fn ipv6<P: Packet + ?Sized>(packet: &P, offset: usize) -> Result<Segment, Reason> {
    let header: [u8; 40] = load(packet, offset)?;
    let source: [u8; 16] = load(packet, offset + 8)?;
    if header[0] >> 4 != 6 {
        return Err(Reason::Truncated);
    }
    let payload_len = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let mut is_first_fragment = false;
    let found = ipv6_tcp(
        packet,
        offset + 40,
        header[6],
        payload_len,
        &mut is_first_fragment,
    );
    match found.and_then(|at| tcp(packet, offset + 40 + at, true, source, header[7])) {
        Err(Reason::Truncated) if is_first_fragment => Ok(without_ports(source, header[7])),
        found => found,
    }
}

/// Finds the TCP header behind the extension headers, which begin at `offset`
/// with a header of kind `next`. Returns its distance from there.
/// Sets `is_first_fragment` if more fragments follow this one, the first.
#[inline(always)]
fn ipv6_tcp<P: Packet + ?Sized>(
    packet: &P,
    offset: usize,
    mut next: u8,
    payload_len: usize,
    is_first_fragment: &mut bool,
) -> Result<usize, Reason> {
    // Relative to the end of the fixed header: the verifier handles this better
    // than two variable ends.
    let mut at = 0;
    let mut seen = 0;
    while seen <= MAX_EXTENSIONS {
        if next == TCP {
            if payload_len < at + TCP_FLAGS_END {
                return Err(Reason::Truncated);
            }
            return Ok(at);
        }
        let (length, fragment_offset) = match next {
            // Hop-by-hop, routing, destination options, mobility.
            0 | 43 | 60 | 135 => {
                let [following, units] = load(packet, offset + at)?;
                next = following;
                ((usize::from(units) + 1) * 8, 0)
            }
            // Authentication header: its length counts 4-byte units, minus 2.
            51 => {
                let [following, units] = load(packet, offset + at)?;
                next = following;
                ((usize::from(units) + 2) * 4, 0)
            }
            44 => {
                let [following, _, high, low] = load(packet, offset + at)?;
                next = following;
                let field = u16::from_be_bytes([high, low]);
                *is_first_fragment |= field & 0xfff9 == 1;
                (8, field & 0xfff8)
            }
            _ => return Err(Reason::NotTcp),
        };
        at += length;
        if payload_len < at {
            return Err(Reason::Truncated);
        }
        if fragment_offset != 0 {
            return Err(Reason::LaterFragment);
        }
        seen += 1;
    }
    Err(Reason::TooManyHeaders)
}

#[inline(always)]
fn tcp<P: Packet + ?Sized>(
    packet: &P,
    offset: usize,
    v6: bool,
    source: [u8; 16],
    ttl: u8,
) -> Result<Segment, Reason> {
    let header: [u8; TCP_FLAGS_END] = load(packet, offset)?;
    let [a, b, c, d, e, f, g, h, .., flags] = header;
    let syn = flags & (SYN | ACK) == SYN;
    Ok(segment([a, b, c, d, e, f, g, h], v6, source, ttl, syn))
}

/// The first fragment of an IPv4 segment, too short for the flags. It counts as
/// a SYN, because the receiver completes it with later fragments, which carry
/// no ports and pass.
#[inline(always)]
fn tcp_without_flags<P: Packet + ?Sized>(
    packet: &P,
    offset: usize,
    source: [u8; 16],
    ttl: u8,
) -> Result<Segment, Reason> {
    Ok(segment(load(packet, offset)?, false, source, ttl, true))
}

/// The first fragment of an IPv6 packet that ends before the TCP flags. A
/// receiver must discard it (RFC 8200 section 4.5), but Linux 6.18 does not if
/// it ends between two extension headers. It counts as a SYN to the SMTP port.
#[inline(always)]
const fn without_ports(source: [u8; 16], ttl: u8) -> Segment {
    let [high, low] = SMTP_PORT.to_be_bytes();
    segment([0, 0, high, low, 0, 0, 0, 0], true, source, ttl, true)
}

/// A segment whose TCP header begins with these ports and sequence number.
#[inline(always)]
const fn segment(
    [a, b, c, d, e, f, g, h]: [u8; TCP_SEQUENCE_END],
    v6: bool,
    source: [u8; 16],
    ttl: u8,
    syn: bool,
) -> Segment {
    Segment {
        v6,
        source,
        port: u16::from_be_bytes([c, d]),
        syn,
        ttl,
        source_port: u16::from_be_bytes([a, b]),
        sequence: u32::from_be_bytes([e, f, g, h]),
    }
}

#[cfg(test)]
mod tests;
