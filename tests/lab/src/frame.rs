//! Ethernet frames with a TCP segment, for `BPF_PROG_TEST_RUN`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{
    EtherType, Ethernet2Header, IpAuthHeader, IpFragOffset, IpNumber, Ipv4Header, Ipv4Options,
    Ipv6FragmentHeader, Ipv6Header, Ipv6RawExtHeader, SingleVlanHeader, TcpHeader, VlanId,
};

/// TCP flag: no more data from the sender.
pub const FIN: u8 = 0x01;
/// TCP flag: a new connection, or with [`ACK`] the answer to one.
pub const SYN: u8 = 0x02;
/// TCP flag: reset.
pub const RST: u8 = 0x04;
/// TCP flag: push.
pub const PSH: u8 = 0x08;
/// TCP flag: the acknowledgement number is valid.
pub const ACK: u8 = 0x10;

const AUTHENTICATION: u8 = 51;
const FRAGMENT: u8 = 44;

/// The contents of a frame; start from [`FrameSpec::syn`].
#[derive(Clone, Debug)]
pub struct FrameSpec {
    /// The source address.
    pub source: IpAddr,
    /// The destination address, of the same family.
    pub dest: IpAddr,
    /// The source port.
    pub sport: u16,
    /// The destination port.
    pub dport: u16,
    /// The TCP flags: [`SYN`], [`ACK`] and so on.
    pub flags: u8,
    /// The sequence number.
    pub sequence: u32,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// The VLAN tags, outermost first: TPID, such as 0x8100 and 0x88a8, and
    /// VLAN id, at most 4095.
    pub vlans: Vec<(u16, u16)>,
    /// The IPv4 options: a multiple of 4 bytes, at most 40.
    pub ipv4_options: Vec<u8>,
    /// The IPv6 extension headers, outermost first: protocol number and length
    /// in bytes; they are filled with zeros. A length is a multiple of 8 from 8
    /// to 2048. That of an authentication header (51) is a multiple of 4 from
    /// 12, that of a fragment header (44) is 8. A fragment header describes an
    /// unfragmented packet.
    pub ipv6_extensions: Vec<(u8, usize)>,
    /// The fragment: its offset in units of 8 bytes, and whether more follow.
    /// For IPv6 it adds a fragment header after the extensions.
    pub fragment: Option<(u16, bool)>,
    /// The bytes after the TCP header.
    pub payload: Vec<u8>,
}

impl FrameSpec {
    /// A SYN to port 25, without tags, options or extensions.
    #[must_use]
    pub fn syn(source: IpAddr, dest: IpAddr) -> Self {
        Self {
            source,
            dest,
            sport: 40_000,
            dport: 25,
            flags: SYN,
            sequence: 1,
            ttl: 64,
            vlans: Vec::new(),
            ipv4_options: Vec::new(),
            ipv6_extensions: Vec::new(),
            fragment: None,
            payload: Vec::new(),
        }
    }
}

/// Encodes `spec` as a frame with correct lengths and checksums.
///
/// # Panics
///
/// `spec` cannot be encoded: mixed families, or a length out of range.
#[must_use]
pub fn tcp_frame(spec: &FrameSpec) -> Vec<u8> {
    let packet = match (spec.source, spec.dest) {
        (IpAddr::V4(source), IpAddr::V4(dest)) => ipv4(spec, source, dest),
        (IpAddr::V6(source), IpAddr::V6(dest)) => ipv6(spec, source, dest),
        _ => panic!("{} and {} are of two families", spec.source, spec.dest),
    };
    [ethernet(spec), packet].concat()
}

fn ethernet(spec: &FrameSpec) -> Vec<u8> {
    let ip = if spec.source.is_ipv4() {
        EtherType::IPV4
    } else {
        EtherType::IPV6
    };
    let tpids = spec.vlans.iter().map(|&(tpid, _)| EtherType(tpid));
    let mut types = tpids.chain([ip]);
    let header = Ethernet2Header {
        source: [2, 0, 0, 0, 0, 1],
        destination: [2, 0, 0, 0, 0, 2],
        ether_type: types.next().unwrap_or(ip),
    };
    let mut bytes = header.to_bytes().to_vec();
    for (&(_, id), ether_type) in spec.vlans.iter().zip(types) {
        let tag = SingleVlanHeader {
            vlan_id: VlanId::try_new(id).expect("a VLAN id is at most 4095"),
            ether_type,
            ..Default::default()
        };
        bytes.extend(tag.to_bytes());
    }
    bytes
}

fn ipv4(spec: &FrameSpec, source: Ipv4Addr, dest: Ipv4Addr) -> Vec<u8> {
    let mut tcp = tcp_header(spec);
    tcp.checksum = tcp
        .calc_checksum_ipv4_raw(source.octets(), dest.octets(), &spec.payload)
        .expect("a segment is shorter than 64 KiB");
    let options = Ipv4Options::try_from(spec.ipv4_options.as_slice());
    let (offset, more_fragments) = spec.fragment.unwrap_or_default();
    let mut header = Ipv4Header {
        time_to_live: spec.ttl,
        protocol: IpNumber::TCP,
        source: source.octets(),
        destination: dest.octets(),
        options: options.expect("options are a multiple of 4 bytes, at most 40"),
        fragment_offset: fragment_offset(offset),
        dont_fragment: spec.fragment.is_none(),
        more_fragments,
        ..Default::default()
    };
    header
        .set_payload_len(tcp.header_len() + spec.payload.len())
        .expect("a packet is shorter than 64 KiB");
    header.header_checksum = header.calc_header_checksum();
    [&header.to_bytes()[..], &tcp.to_bytes(), &spec.payload].concat()
}

fn ipv6(spec: &FrameSpec, source: Ipv6Addr, dest: Ipv6Addr) -> Vec<u8> {
    let mut tcp = tcp_header(spec);
    tcp.checksum = tcp
        .calc_checksum_ipv6_raw(source.octets(), dest.octets(), &spec.payload)
        .expect("a segment is shorter than 4 GiB");
    let mut bytes = [&tcp.to_bytes()[..], &spec.payload].concat();
    let mut next_header = IpNumber::TCP;
    // Built from the inside out, because each header names the next one.
    if let Some((offset, more)) = spec.fragment {
        let header = Ipv6FragmentHeader::new(next_header, fragment_offset(offset), more, 1);
        bytes.splice(0..0, header.to_bytes());
        next_header = IpNumber(FRAGMENT);
    }
    for &(number, length) in spec.ipv6_extensions.iter().rev() {
        bytes.splice(0..0, extension(number, length, next_header));
        next_header = IpNumber(number);
    }
    let header = Ipv6Header {
        payload_length: bytes.len().try_into().expect("a packet is at most 64 KiB"),
        next_header,
        hop_limit: spec.ttl,
        source: source.octets(),
        destination: dest.octets(),
        ..Default::default()
    };
    [&header.to_bytes()[..], &bytes].concat()
}

fn extension(number: u8, length: usize, next_header: IpNumber) -> Vec<u8> {
    let zeros = |fixed: usize| vec![0; length.saturating_sub(fixed)];
    match number {
        FRAGMENT => Ipv6FragmentHeader::new(next_header, IpFragOffset::ZERO, false, 1)
            .to_bytes()
            .to_vec(),
        AUTHENTICATION => IpAuthHeader::new(next_header, 0, 0, &zeros(12))
            .expect("an authentication header is a multiple of 4 bytes")
            .to_bytes()
            .to_vec(),
        _ => Ipv6RawExtHeader::new_raw(next_header, &zeros(2))
            .expect("an extension header is a multiple of 8 bytes")
            .to_bytes()
            .to_vec(),
    }
}

fn tcp_header(spec: &FrameSpec) -> TcpHeader {
    let set = |flag| spec.flags & flag != 0;
    TcpHeader {
        fin: set(FIN),
        syn: set(SYN),
        rst: set(RST),
        psh: set(PSH),
        ack: set(ACK),
        ..TcpHeader::new(spec.sport, spec.dport, spec.sequence, u16::MAX)
    }
}

fn fragment_offset(offset: u16) -> IpFragOffset {
    IpFragOffset::try_new(offset).expect("a fragment offset has 13 bits")
}

#[cfg(test)]
mod tests;
