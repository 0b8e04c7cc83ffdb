//! Frame → TCP segment, on links with an Ethernet header and without one.
//!
//! The same code runs in the kernel, where the verifier must be able to follow
//! it. Hence plain `while` loops, headers copied as byte arrays, and no enum
//! with payloads.

mod plain;

use crate::counter::Reason;
use crate::nat64;
use crate::settings::{SMTP_PORT, Settings};
pub use plain::Plain;

/// Read access to the bytes of a frame by offset.
pub trait Packet {
    /// The `N` bytes at `offset`; `None` if the frame is too short for them.
    fn load<const N: usize>(&self, offset: usize) -> Option<Aligned<N>>;
}

/// Bytes that are aligned as a word, so that the compiler copies whole words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(8))]
pub struct Aligned<const N: usize>(pub [u8; N]);

impl Packet for [u8] {
    fn load<const N: usize>(&self, offset: usize) -> Option<Aligned<N>> {
        self.get(offset..)?.first_chunk().copied().map(Aligned)
    }
}

/// The fields of a TCP segment that the filter needs.
///
/// The source comes first, so that it is aligned as a word. The compiler would copy an
/// unaligned source byte by byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Segment {
    /// The source in network order; an IPv4 address occupies the first four
    /// bytes.
    pub source: [u8; 16],
    /// The destination of an IPv4 packet.
    pub destination4: [u8; 4],
    /// Whether the source is an IPv6 address.
    pub v6: bool,
    /// Whether the packet is IPv6. The packets of a sender behind NAT64 are IPv6, although
    /// `source` is IPv4 after [`Segment::translate`].
    pub packet_v6: bool,
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

    /// If the source is an IPv6 address of a NAT64 translator, replaces it by the IPv4 one in it.
    #[inline(always)]
    pub const fn translate(&mut self, settings: &Settings) {
        if self.v6 && settings.is_nat64(nat64::prefix(self.source)) {
            self.source = source4(nat64::embedded(self.source));
            self.v6 = false;
        }
    }
}

const VLAN: u16 = 0x8100;
const QINQ: u16 = 0x88a8;
const MORE_FRAGMENTS: u16 = 0x2000;
const MAX_TAGS: usize = 2;
const MAX_EXTENSIONS: usize = 8;
/// The highest offset of an IP header, behind an Ethernet header and all VLAN tags.
pub const LAST_IP_HEADER: usize = 14 + 4 * MAX_TAGS;

/// Length of an IPv4 header without options.
const MIN_HEADER: usize = 20;
const TCP: u8 = 6;
/// Length of the TCP header up to and including its flags.
const TCP_FLAGS_END: usize = 14;
/// Length of the TCP header up to and including the sequence number.
const TCP_SEQUENCE_END: usize = 8;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// The first header of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// An Ethernet header with up to two VLAN tags (802.1Q or 802.1ad). A PPPoE
    /// frame is not parsed: its packet arrives again on the PPP interface.
    Ethernet,
    /// The IP header, as on links without a link-layer header (PPP, tun,
    /// WireGuard, GRE, SIT).
    Ip,
}

/// Finds the TCP segment in IPv4 with options, or IPv6 with up to eight
/// extension headers.
///
/// # Errors
///
/// The reason for which any other packet is passed.
#[inline(always)]
pub fn parse<P: Packet + ?Sized>(packet: &P, link: Link) -> Result<Segment, Reason> {
    match plain(packet, link) {
        Some(plain) => Ok(plain.segment()),
        None => any(packet, link),
    }
}

/// The fast path for most frames. `None`: use [`ip_header`] and [`in_ip`] instead.
#[inline(always)]
pub fn plain<P: Packet + ?Sized>(packet: &P, link: Link) -> Option<Plain> {
    match link {
        Link::Ethernet => Plain::read(packet),
        Link::Ip => None,
    }
}

#[inline(always)]
fn any<P: Packet + ?Sized>(packet: &P, link: Link) -> Result<Segment, Reason> {
    let (kind, offset) = ip_header(packet, link)?;
    in_ip(packet, kind, offset)
}

/// The TCP segment in a packet of EtherType `kind`, whose IP header begins at `offset`.
///
/// # Errors
///
/// As [`parse`].
#[inline(always)]
pub fn in_ip<P: Packet + ?Sized>(packet: &P, kind: u16, offset: usize) -> Result<Segment, Reason> {
    match kind {
        V4 => ipv4(packet, offset),
        V6 => ipv6(packet, offset),
        _ => Err(Reason::NotIp),
    }
}

/// An IPv4 address in the form of [`Segment::source`]. It is made as a number, because for an
/// array the compiler would call a function that sets the bytes one by one.
#[inline(always)]
const fn source4(address: [u8; 4]) -> [u8; 16] {
    (u32::from_le_bytes(address) as u128).to_le_bytes()
}

#[inline(always)]
const fn is_syn(flags: u8) -> bool {
    flags & (SYN | ACK) == SYN
}

/// Whether a packet is ARP. It is not IP, but normal on every Ethernet with
/// IPv4.
#[inline(always)]
pub fn is_arp<P: Packet + ?Sized>(packet: &P, link: Link) -> bool {
    matches!(link, Link::Ethernet) && packet.load(12) == Some(Aligned(ARP))
}

/// The IPv6 destination of a packet, if it has one. It is not in [`Segment`], because most
/// packets do not need it.
#[inline(always)]
pub fn destination6<P: Packet + ?Sized>(packet: &P, link: Link) -> Option<[u8; 16]> {
    match ip_header(packet, link) {
        Ok((V6, offset)) => packet.load(offset + 24).map(|Aligned(bytes)| bytes),
        _ => None,
    }
}

const ARP: [u8; 2] = [0x08, 0x06];
const V4: u16 = 0x0800;
const V6: u16 = 0x86dd;

/// The EtherType of the packet, and the offset of its IP header, at most
/// [`LAST_IP_HEADER`]. Without a link-layer header, the EtherType is that of the
/// packet's IP version; 0 if the version is neither 4 nor 6.
///
/// # Errors
///
/// [`Reason::Truncated`]: the frame is too short.
#[inline(always)]
pub fn ip_header<P: Packet + ?Sized>(packet: &P, link: Link) -> Result<(u16, usize), Reason> {
    if matches!(link, Link::Ip) {
        // Loads 20 bytes, the shortest IP header, although the version is in the
        // first byte: the verifier cannot follow the check of one byte.
        let Aligned([version_and_length, ..]): Aligned<MIN_HEADER> = load(packet, 0)?;
        let kind = match version_and_length >> 4 {
            4 => V4,
            6 => V6,
            _ => 0,
        };
        return Ok((kind, 0));
    }
    let mut offset = 12;
    let Aligned(bytes) = load(packet, offset)?;
    let mut kind = u16::from_be_bytes(bytes);
    let mut tags = 0;
    while tags < MAX_TAGS && (kind == VLAN || kind == QINQ) {
        offset += 4;
        let Aligned(bytes) = load(packet, offset)?;
        kind = u16::from_be_bytes(bytes);
        tags += 1;
    }
    Ok((kind, offset + 2))
}

#[inline(always)]
fn load<P: Packet + ?Sized, const N: usize>(
    packet: &P,
    offset: usize,
) -> Result<Aligned<N>, Reason> {
    packet.load(offset).ok_or(Reason::Truncated)
}

#[inline(always)]
fn ipv4<P: Packet + ?Sized>(packet: &P, offset: usize) -> Result<Segment, Reason> {
    let Aligned(header): Aligned<MIN_HEADER> = load(packet, offset)?;
    let header_len = usize::from(header[0] & 0x0f) * 4;
    let total_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[0] >> 4 != 4 || header_len < MIN_HEADER || total_len < header_len {
        return Err(Reason::Truncated);
    }
    let fragment = u16::from_be_bytes([header[6], header[7]]);
    if fragment & 0x1fff != 0 {
        return Err(Reason::LaterFragment);
    }
    if header[9] != TCP {
        return Err(Reason::NotTcp);
    }
    // The receiver rounds the payload of a fragment with successors down to a
    // multiple of 8 bytes, so the flags at offset 13 need at least 16 bytes.
    let has_flags = fragment & MORE_FRAGMENTS == 0 || total_len >= header_len + 16;
    let needed = if has_flags {
        TCP_FLAGS_END
    } else {
        TCP_SEQUENCE_END
    };
    if total_len < header_len + needed {
        return Err(Reason::Truncated);
    }
    let [.., a, b, c, d, e, f, g, h] = header;
    let ip = IpFields {
        v6: false,
        source: source4([a, b, c, d]),
        destination4: [e, f, g, h],
        ttl: header[8],
    };
    if has_flags {
        tcp(packet, offset + header_len, ip)
    } else {
        tcp_without_flags(packet, offset + header_len, ip)
    }
}

#[inline(always)]
fn ipv6<P: Packet + ?Sized>(packet: &P, offset: usize) -> Result<Segment, Reason> {
    let Aligned(header): Aligned<40> = load(packet, offset)?;
    let Aligned(source) = load(packet, offset + 8)?;
    if header[0] >> 4 != 6 {
        return Err(Reason::Truncated);
    }
    let payload_len = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let ip = IpFields {
        v6: true,
        source,
        destination4: [0; 4],
        ttl: header[7],
    };
    let mut next = header[6];
    // `at` counts from the end of the fixed header, because the verifier handles this
    // better than two variable offsets.
    let mut at = 0;
    let mut seen = 0;
    while seen <= MAX_EXTENSIONS {
        if next == TCP {
            if payload_len < at + TCP_FLAGS_END {
                return Err(Reason::Truncated);
            }
            return tcp(packet, offset + 40 + at, ip);
        }
        let (length, fragment) = match next {
            // Hop-by-hop, routing, destination options, mobility.
            0 | 43 | 60 | 135 => {
                let Aligned([following, units]) = load(packet, offset + 40 + at)?;
                next = following;
                ((usize::from(units) + 1) * 8, 0)
            }
            // Authentication header: its length counts 4-byte units, minus 2.
            51 => {
                let Aligned([following, units]) = load(packet, offset + 40 + at)?;
                next = following;
                ((usize::from(units) + 2) * 4, 0)
            }
            44 => {
                let Aligned([following, _, high, low]) = load(packet, offset + 40 + at)?;
                next = following;
                (8, u16::from_be_bytes([high, low]))
            }
            _ => return Err(Reason::NotTcp),
        };
        at += length;
        if payload_len < at {
            return Err(Reason::Truncated);
        }
        if fragment & 0xfff8 != 0 {
            return Err(Reason::LaterFragment);
        }
        if fragment & 1 != 0 && is_extension(next) {
            return Ok(split_headers(ip));
        }
        seen += 1;
    }
    Err(Reason::TooManyHeaders)
}

#[inline(always)]
const fn is_extension(number: u8) -> bool {
    matches!(number, 0 | 43 | 44 | 51 | 60 | 135)
}

/// The fields of an IP header that a segment needs.
#[derive(Clone, Copy)]
struct IpFields {
    v6: bool,
    source: [u8; 16],
    destination4: [u8; 4],
    ttl: u8,
}

#[inline(always)]
fn tcp<P: Packet + ?Sized>(packet: &P, offset: usize, ip: IpFields) -> Result<Segment, Reason> {
    let Aligned(header): Aligned<TCP_FLAGS_END> = load(packet, offset)?;
    let [a, b, c, d, e, f, g, h, .., flags] = header;
    Ok(segment([a, b, c, d, e, f, g, h], ip, is_syn(flags)))
}

/// The first fragment of an IPv4 segment, too short for the flags. It counts as
/// a SYN, because the receiver completes it with later fragments, which carry
/// no ports and pass.
#[inline(always)]
fn tcp_without_flags<P: Packet + ?Sized>(
    packet: &P,
    offset: usize,
    ip: IpFields,
) -> Result<Segment, Reason> {
    let Aligned(start) = load(packet, offset)?;
    Ok(segment(start, ip, true))
}

/// The first fragment of several, with extension headers behind its fragment
/// header. It counts as a SYN to the SMTP port, because the ports may be in a
/// later fragment: a receiver must discard such a packet (RFC 8200 section
/// 4.5), but Linux 6.18 does not if it is cut between two extension headers.
/// No mail server sends such headers.
#[inline(always)]
const fn split_headers(ip: IpFields) -> Segment {
    let [high, low] = SMTP_PORT.to_be_bytes();
    segment([0, 0, high, low, 0, 0, 0, 0], ip, true)
}

/// A segment whose TCP header begins with these ports and sequence number.
#[inline(always)]
const fn segment(
    [a, b, c, d, e, f, g, h]: [u8; TCP_SEQUENCE_END],
    ip: IpFields,
    syn: bool,
) -> Segment {
    Segment {
        v6: ip.v6,
        packet_v6: ip.v6,
        source: ip.source,
        destination4: ip.destination4,
        port: u16::from_be_bytes([c, d]),
        syn,
        ttl: ip.ttl,
        source_port: u16::from_be_bytes([a, b]),
        sequence: u32::from_be_bytes([e, f, g, h]),
    }
}

#[cfg(test)]
mod tests;
