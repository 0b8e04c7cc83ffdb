//! Finds the reason for a frame by the rules of the design, which the comments quote,
//! and with etherparse. It shares no code with the parser under test.
//!
//! The design ranks no reasons. Where several are true, the first field that decides
//! about the packet gives the reason: a UDP packet that ends within its IP options is
//! `NotTcp`, and a later fragment of it is `LaterFragment`. Lengths that contradict each
//! other decide as soon as they are read.
//!
//! etherparse takes only whole headers. Where the frame ends behind the fields that
//! matter, etherparse gets zeros for the rest ([`whole`]).

use std::net::IpAddr;

use etherparse::ether_type::{IPV4, IPV6, PROVIDER_BRIDGING, VLAN_TAGGED_FRAME};
use etherparse::ip_number::{
    AUTHENTICATION_HEADER, IPV6_DEST_OPTIONS, IPV6_FRAGMENTATION_HEADER, IPV6_HEADER_HOP_BY_HOP,
    IPV6_ROUTE_HEADER, MOBILITY_HEADER, TCP,
};
use etherparse::{
    Ethernet2Slice, IpAuthHeaderSlice, IpNumber, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice,
    Ipv6HeaderSlice, Ipv6RawExtHeaderSlice, SingleVlanSlice, TcpHeaderSlice,
};
use spamdrop_common::counter::Reason;

/// The fields of a TCP segment that the design's rules need.
pub struct Segment {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub port: u16,
    /// SYN without ACK.
    pub syn: bool,
}

/// The segment in a frame, or why there is none.
pub fn parse(frame: &[u8]) -> Result<Segment, Reason> {
    let ethernet = Ethernet2Slice::from_slice_without_fcs(frame).map_err(|_| Reason::Truncated)?;
    let (mut kind, mut rest) = (ethernet.ether_type(), ethernet.payload_slice());
    // "Up to 2 VLAN tags". By itself, etherparse would take three, and also tags of
    // type 0x9100, which no standard has.
    for _ in 0..2 {
        if kind == VLAN_TAGGED_FRAME || kind == PROVIDER_BRIDGING {
            let tag = SingleVlanSlice::from_slice(rest).map_err(|_| Reason::Truncated)?;
            (kind, rest) = (tag.ether_type(), tag.payload_slice());
        }
    }
    match kind {
        IPV4 => ipv4(rest),
        IPV6 => ipv6(rest),
        _ => Err(Reason::NotIp),
    }
}

/// As [`parse`], for a packet without a link-layer header. No IP header is shorter
/// than 20 bytes, whatever its version.
pub fn parse_ip(packet: &[u8]) -> Result<Segment, Reason> {
    match packet.first_chunk::<20>().ok_or(Reason::Truncated)?[0] >> 4 {
        4 => ipv4(packet),
        6 => ipv6(packet),
        _ => Err(Reason::NotIp),
    }
}

fn ipv4(packet: &[u8]) -> Result<Segment, Reason> {
    let fixed = packet.first_chunk::<20>().ok_or(Reason::Truncated)?;
    let fixed = whole::<60>(fixed);
    // If etherparse refuses this header, its version or its IHL is wrong.
    let header = Ipv4HeaderSlice::from_slice(&fixed).map_err(|_| Reason::Truncated)?;
    let (start, end) = (header.slice().len(), usize::from(header.total_len()));
    // etherparse does not check the total length here.
    if end < start {
        return Err(Reason::Truncated);
    }
    if header.fragments_offset().value() != 0 {
        return Err(Reason::LaterFragment);
    }
    // "IPv4 (any IHL)": only IPv6 has extension headers. By itself, etherparse would
    // also read IPv4's authentication header, and what follows it.
    if header.protocol() != TCP {
        return Err(Reason::NotTcp);
    }
    // The bytes behind the total length are Ethernet's padding.
    let packet = &packet[..end.min(packet.len())];
    let segment = packet.get(start..);
    // "The first fragment of an IPv4 SYN that is too short for the flags counts
    // as a SYN": Linux cuts such a fragment to a multiple of 8 bytes.
    if header.more_fragments() && end - start < 16 {
        let ports = segment.and_then(|segment| segment.first_chunk::<8>());
        let ports = ports.ok_or(Reason::Truncated)?;
        return Ok(Segment {
            source: header.source().into(),
            destination: header.destination().into(),
            port: u16::from_be_bytes([ports[2], ports[3]]),
            syn: true,
        });
    }
    tcp(
        segment,
        (header.source().into(), header.destination().into()),
    )
}

fn ipv6(packet: &[u8]) -> Result<Segment, Reason> {
    let header = Ipv6HeaderSlice::from_slice(packet).map_err(|_| Reason::Truncated)?;
    // "Up to 8 extension headers", in any order and also several of one kind. By itself,
    // etherparse would demand the order of the standard.
    let mut next = header.next_header();
    let (mut start, end) = (0, usize::from(header.payload_length()));
    let payload = &packet[40..];
    let mut count = 0;
    while is_extension(next) {
        let extension = Extension::read(next, payload.get(start..).unwrap_or_default())?;
        start += extension.length;
        if end < start {
            return Err(Reason::Truncated);
        }
        if extension.later_fragment {
            return Err(Reason::LaterFragment);
        }
        next = extension.next;
        // The port may be in a later fragment: Linux reassembles a packet that
        // is cut between two extension headers.
        if extension.first_fragment && is_extension(next) {
            return Ok(Segment {
                source: header.source_addr().into(),
                destination: header.destination_addr().into(),
                port: 25,
                syn: true,
            });
        }
        count += 1;
        // The ninth header is read first, because it may be truncated.
        if count > 8 {
            return Err(Reason::TooManyHeaders);
        }
    }
    if next != TCP {
        return Err(Reason::NotTcp);
    }
    let payload = &payload[..end.min(payload.len())];
    let addresses = (
        header.source_addr().into(),
        header.destination_addr().into(),
    );
    tcp(payload.get(start..), addresses)
}

/// Whether this is an extension header of RFC 8200 or of Mobile IPv6. For etherparse,
/// HIP (139) and SHIM6 (140) are extension headers, too; the design has them pass as
/// unknown protocols.
fn is_extension(number: IpNumber) -> bool {
    [
        IPV6_HEADER_HOP_BY_HOP,
        IPV6_ROUTE_HEADER,
        IPV6_FRAGMENTATION_HEADER,
        AUTHENTICATION_HEADER,
        IPV6_DEST_OPTIONS,
        MOBILITY_HEADER,
    ]
    .contains(&number)
}

struct Extension {
    next: IpNumber,
    length: usize,
    later_fragment: bool,
    /// Whether the packet is the first of several fragments.
    first_fragment: bool,
}

impl Extension {
    /// Reads the next-header field and the length; of a fragment header, also the offset.
    fn read(number: IpNumber, rest: &[u8]) -> Result<Self, Reason> {
        let needed = match number {
            IPV6_FRAGMENTATION_HEADER => 4,
            _ => 2,
        };
        let fields = rest.get(..needed).ok_or(Reason::Truncated)?;
        let header = whole::<2048>(fields);
        let plain = |next, length| Self {
            next,
            length,
            later_fragment: false,
            first_fragment: false,
        };
        Ok(match number {
            IPV6_FRAGMENTATION_HEADER => {
                let header = Ipv6FragmentHeaderSlice::from_slice(&header).unwrap();
                let later_fragment = header.fragment_offset().value() != 0;
                Self {
                    later_fragment,
                    first_fragment: header.more_fragments() && !later_fragment,
                    ..plain(header.next_header(), header.slice().len())
                }
            }
            AUTHENTICATION_HEADER => match IpAuthHeaderSlice::from_slice(&header) {
                Ok(header) => plain(header.next_header(), header.slice().len()),
                // etherparse refuses an authentication header of 8 bytes, which has no
                // room for its sequence number. The design and Linux accept it.
                Err(_) => plain(IpNumber(fields[0]), 8),
            },
            _ => {
                let header = Ipv6RawExtHeaderSlice::from_slice(&header).unwrap();
                plain(header.next_header(), header.slice().len())
            }
        })
    }
}

/// A TCP header needs its bytes up to the flags, the 14th byte, and may have any data
/// offset. etherparse wants 20 bytes and an offset of at least 5.
fn tcp(segment: Option<&[u8]>, (source, destination): (IpAddr, IpAddr)) -> Result<Segment, Reason> {
    let flags_end = segment.and_then(|segment| segment.first_chunk::<14>());
    let mut header = whole::<20>(flags_end.ok_or(Reason::Truncated)?);
    header[12] = 5 << 4;
    let header = TcpHeaderSlice::from_slice(&header).unwrap();
    Ok(Segment {
        source,
        destination,
        port: header.destination_port(),
        syn: header.syn() && !header.ack(),
    })
}

/// `start`, filled up with zeros.
fn whole<const N: usize>(start: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes[..start.len()].copy_from_slice(start);
    bytes
}
