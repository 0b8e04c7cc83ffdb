#![expect(clippy::unwrap_used, reason = "a test may panic")]

extern crate std;

use std::vec;
use std::vec::Vec;

use super::*;

const SOURCE4: [u8; 4] = [192, 0, 2, 1];
const SOURCE6: [u8; 16] = [
    0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0x66,
];

fn ethernet(tags: &[u16], kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x02; 12];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 7]);
    }
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame
}

fn tcp_header(port: u16, flags: u8) -> Vec<u8> {
    let mut header = vec![0; 20];
    header[..2].copy_from_slice(&40_000u16.to_be_bytes());
    header[2..4].copy_from_slice(&port.to_be_bytes());
    header[12] = 5 << 4;
    header[13] = flags;
    header
}

fn ipv4_packet(options: usize, fragment: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 20 + options];
    packet[0] = 0x40 | u8::try_from(packet.len() / 4).unwrap();
    let total = u16::try_from(packet.len() + payload.len()).unwrap();
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    packet[6..8].copy_from_slice(&fragment.to_be_bytes());
    packet[8] = 64;
    packet[9] = protocol;
    packet[12..16].copy_from_slice(&SOURCE4);
    packet.extend(payload);
    packet
}

/// `extensions`: protocol numbers in order. Each header is 8 bytes long.
fn ipv6_packet(extensions: &[u8], fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 40];
    packet[0] = 0x60;
    let length = u16::try_from(extensions.len() * 8 + payload.len()).unwrap();
    packet[4..6].copy_from_slice(&length.to_be_bytes());
    let following = extensions.iter().skip(1).chain([&TCP]);
    packet[6] = *extensions.first().unwrap_or(&TCP);
    packet[8..24].copy_from_slice(&SOURCE6);
    for (extension, next) in extensions.iter().zip(following) {
        let mut header = [0; 8];
        header[0] = *next;
        match extension {
            44 => header[2..4].copy_from_slice(&fragment.to_be_bytes()),
            // 8 bytes are two units, and the field counts the units minus 2.
            51 => header[1] = 0,
            _ => {}
        }
        packet.extend(header);
    }
    packet.extend(payload);
    packet
}

#[test]
fn a_plain_frame_is_read_as_any_other() {
    let mut frame = v4_frame(0);
    for (at, byte) in frame.iter_mut().enumerate().skip(24) {
        // Bytes 46 and 47 stay: the length of the TCP header, and the flags.
        if !(46..48).contains(&at) {
            *byte = u8::try_from(at).unwrap();
        }
    }
    // 34 is the shortest length with flags. 35 is too short for the flags if more fragments
    // follow, 36 is not. 40 has a whole TCP header.
    for (length, flags) in [(34, SYN), (34, ACK), (35, ACK), (36, ACK), (40, SYN)] {
        (frame[17], frame[47]) = (length, flags);
        let read = any(&frame[..], Link::Ethernet).unwrap();
        let segment = |frame: &[u8], link| plain(frame, link).map(Plain::segment);
        assert_eq!(segment(&frame, Link::Ethernet), Some(read));
        assert_eq!(segment(&frame, Link::Ip), None);
        let plain = plain(&frame[..], Link::Ethernet).unwrap();
        assert_eq!(plain.source4(), read.source4());
        assert_eq!(plain.destination4(), read.destination4);
        assert_eq!((plain.port(), plain.syn()), (read.port, read.syn));
        let mut missed = 0;
        for at in 0..frame.len() {
            let is_whole = at >= plain::END;
            assert_eq!(Plain::read(&frame[..at]).is_some(), is_whole, "{at}");
            for byte in 0..=255 {
                let mut changed = frame.clone();
                changed[at] = byte;
                let read = any(&changed[..], Link::Ethernet);
                match Plain::read(&changed[..]) {
                    Some(plain) => assert_eq!(Ok(plain.segment()), read, "{at} {byte}"),
                    None => missed += usize::from(read.is_ok()),
                }
            }
        }
        // The fast path misses only another length of the IP header, and first fragments.
        assert!(missed < 40, "{missed}");
    }
}

fn v4_frame(options: usize) -> Vec<u8> {
    ethernet(
        &[],
        0x0800,
        &ipv4_packet(options, 0, TCP, &tcp_header(25, SYN)),
    )
}

fn reason(frame: &[u8]) -> Reason {
    parse(frame, Link::Ethernet).unwrap_err()
}

fn assert_v4(frame: &[u8]) {
    let segment = parse(frame, Link::Ethernet).unwrap();
    assert_eq!(segment.source4(), SOURCE4);
    assert_eq!(segment.source[4..], [0; 12]);
    assert!(!segment.v6 && segment.port == 25 && segment.syn);
}

fn assert_v6(frame: &[u8]) {
    let segment = parse(frame, Link::Ethernet).unwrap();
    assert_eq!(segment.source, SOURCE6);
    assert!(segment.v6 && segment.port == 25 && segment.syn);
}

#[test]
fn ipv4_with_any_options() {
    for options in (0..=40).step_by(4) {
        assert_v4(&v4_frame(options));
    }
}

#[test]
fn up_to_two_vlan_tags() {
    let packet = ipv4_packet(0, 0, TCP, &tcp_header(25, SYN));
    assert_v4(&ethernet(&[VLAN], 0x0800, &packet));
    assert_v4(&ethernet(&[QINQ, VLAN], 0x0800, &packet));
    assert_v4(&ethernet(&[VLAN, VLAN], 0x0800, &packet));
    let three = ethernet(&[QINQ, VLAN, VLAN], 0x0800, &packet);
    assert_eq!(reason(&three), Reason::NotIp);
    let two = ethernet(&[QINQ, VLAN], 0x0800, &packet);
    let found = ip_header(two.as_slice(), Link::Ethernet);
    assert_eq!(found, Ok((V4, LAST_IP_HEADER)));
}

#[test]
fn without_a_link_layer_header_the_version_tells_ipv4_from_ipv6() {
    let v4 = ipv4_packet(8, 0, TCP, &tcp_header(25, SYN));
    let v6 = ipv6_packet(&[0, 60], 0, &tcp_header(25, SYN));
    let segment = parse(v4.as_slice(), Link::Ip).unwrap();
    assert_eq!(
        (segment.v6, segment.source4(), segment.port),
        (false, SOURCE4, 25)
    );
    let segment = parse(v6.as_slice(), Link::Ip).unwrap();
    assert_eq!(
        (segment.v6, segment.source, segment.port),
        (true, SOURCE6, 25)
    );
    for version in (0..16).filter(|version| ![4, 6].contains(version)) {
        let mut packet = v4.clone();
        packet[0] = version << 4 | 5;
        assert_eq!(
            parse(packet.as_slice(), Link::Ip),
            Err(Reason::NotIp),
            "{version}"
        );
    }
    for length in 0..20 {
        assert_eq!(
            parse(&v4[..length], Link::Ip),
            Err(Reason::Truncated),
            "{length}"
        );
    }
    // An Ethernet header in front is no IP header.
    assert_eq!(parse(v4_frame(0).as_slice(), Link::Ip), Err(Reason::NotIp));
}

#[test]
fn ipv6_with_up_to_eight_extension_headers() {
    let tcp = tcp_header(25, SYN);
    for count in 0..=8 {
        let kinds: Vec<u8> = [0, 43, 60, 135, 51, 44, 60, 60][..count].to_vec();
        assert_v6(&ethernet(&[], 0x86dd, &ipv6_packet(&kinds, 0, &tcp)));
    }
    let nine = ipv6_packet(&[60; 9], 0, &tcp);
    assert_eq!(
        reason(&ethernet(&[], 0x86dd, &nine)),
        Reason::TooManyHeaders
    );
}

#[test]
fn first_fragments_have_ports_and_later_ones_pass() {
    let tcp = tcp_header(25, SYN);
    let more = 0x2000;
    assert_v4(&ethernet(&[], 0x0800, &ipv4_packet(0, more, TCP, &tcp)));
    let later = ethernet(&[], 0x0800, &ipv4_packet(0, more | 185, TCP, &tcp));
    assert_eq!(reason(&later), Reason::LaterFragment);
    assert_v6(&ethernet(&[], 0x86dd, &ipv6_packet(&[44], 1, &tcp)));
    let later = ethernet(&[], 0x86dd, &ipv6_packet(&[44], 1480 | 1, &tcp));
    assert_eq!(reason(&later), Reason::LaterFragment);
}

#[test]
fn the_destination_is_found_behind_tags_and_without_a_link_layer_header() {
    let mut v4 = ipv4_packet(8, 0, TCP, &tcp_header(25, SYN));
    v4[16..20].copy_from_slice(&[198, 51, 100, 25]);
    let mut v6 = ipv6_packet(&[60], 0, &tcp_header(25, SYN));
    let dest: [u8; 16] = core::array::from_fn(|index| index as u8);
    v6[24..40].copy_from_slice(&dest);
    let assert_found = |v4: &[u8], v6: &[u8], link| {
        assert_eq!(parse(v4, link).unwrap().destination4, [198, 51, 100, 25]);
        assert_eq!(destination6(v6, link), Some(dest));
        assert_eq!(destination6(v4, link), None);
    };
    for tags in [&[][..], &[VLAN], &[QINQ, VLAN]] {
        let frames = [ethernet(tags, 0x0800, &v4), ethernet(tags, 0x86dd, &v6)];
        assert_found(&frames[0], &frames[1], Link::Ethernet);
    }
    assert_found(&v4, &v6, Link::Ip);
    assert_eq!(destination6(&v6[..39], Link::Ip), None);
}

#[test]
fn a_source_behind_nat64_is_its_ipv4_address() {
    let well_known = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1];
    let own = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0x64, 0, 0, 192, 0, 2, 1];
    let mut settings = Settings {
        nat64: [nat64::prefix(own); 4],
        ..Settings::default()
    };
    let source = |settings: &Settings, address: [u8; 16]| {
        let mut packet = ipv6_packet(&[], 0, &tcp_header(25, SYN));
        packet[8..24].copy_from_slice(&address);
        let mut segment = parse(packet.as_slice(), Link::Ip).unwrap();
        segment.translate(settings);
        assert!(segment.packet_v6 && segment.port == 25 && segment.syn);
        (segment.v6, segment.source)
    };
    let v4 = (false, [192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(source(&settings, well_known), v4);
    assert_eq!(source(&settings, own), (true, own));
    settings.nat64_count = 1;
    assert_eq!(source(&settings, own), v4);
    // The local-use prefix of RFC 8215, and another /96 of the same /64.
    for other in [(5, 1), (11, 1)] {
        let mut address = well_known;
        address[other.0] = other.1;
        assert_eq!(source(&settings, address), (true, address));
    }
    // An IPv4 packet stays what it is.
    let segment = parse(v4_frame(0).as_slice(), Link::Ethernet).unwrap();
    let mut translated = segment;
    translated.translate(&settings);
    assert_eq!(translated, segment);
    assert!(!segment.packet_v6);
}

/// Linux rounds a fragment with successors down to a multiple of eight bytes,
/// so that the flags of one with 15 bytes are not those of the segment.
#[test]
fn a_first_ipv4_fragment_without_flags_counts_as_a_syn() {
    let tcp = tcp_header(25, ACK);
    let fragment = |length: usize, more| {
        let packet = ipv4_packet(8, more, TCP, &tcp[..length]);
        parse(
            ethernet(&[VLAN], 0x0800, &packet).as_slice(),
            Link::Ethernet,
        )
    };
    for length in 0..8 {
        assert_eq!(fragment(length, 0x2000), Err(Reason::Truncated), "{length}");
    }
    for length in 8..16 {
        let segment = fragment(length, 0x2000).unwrap();
        assert!(segment.syn && !segment.v6, "{length}");
        assert_eq!(segment.source4(), SOURCE4);
        let read = (segment.port, segment.source_port, segment.ttl);
        assert_eq!(read, (25, 40_000, 64), "{length}");
    }
    assert!(!fragment(16, 0x2000).unwrap().syn);
    // Without successors a short segment is no SYN, but a broken packet.
    for length in 0..TCP_FLAGS_END {
        assert_eq!(fragment(length, 0), Err(Reason::Truncated), "{length}");
    }
    // Ethernet's padding behind a short fragment is not read as flags.
    let mut padded = ethernet(&[], 0x0800, &ipv4_packet(0, 0x2000, TCP, &tcp[..8]));
    padded.extend([0; 18]);
    assert!(parse(padded.as_slice(), Link::Ethernet).unwrap().syn);
}

/// Linux reassembles a packet that is cut between two of its extension headers.
#[test]
fn a_first_ipv6_fragment_with_further_headers_counts_as_a_syn_to_the_smtp_port() {
    let tcp = tcp_header(465, ACK);
    let fragment = |kinds: &[u8], length: u8, field: u16| {
        let mut packet = ipv6_packet(kinds, field, &tcp);
        packet[4..6].copy_from_slice(&[0, length]);
        parse(ethernet(&[], 0x86dd, &packet).as_slice(), Link::Ethernet)
    };
    for next in [0, 43, 44, 51, 60, 135] {
        for length in [8, 16, 24] {
            let segment = fragment(&[44, next, 60], length, 1).unwrap();
            assert!(segment.syn && segment.v6 && segment.port == 25, "{next}");
            assert_eq!((segment.source, segment.ttl), (SOURCE6, 0));
            // This does not hold without successors, nor in a later fragment.
            for field in [0, 8 | 1] {
                assert!(fragment(&[44, next, 60], length, field).is_err(), "{next}");
            }
        }
    }
    // A fragment that ends before the flags passes: Linux discards one without the whole TCP
    // header.
    let whole = fragment(&[60, 44], 16 + 14, 1).unwrap();
    assert!(!whole.syn && whole.port == 465);
    assert_eq!(fragment(&[60, 44], 16 + 13, 1), Err(Reason::Truncated));
    assert_eq!(fragment(&[44, 60], 7, 1), Err(Reason::Truncated));
}

#[test]
fn truncation_at_every_byte_passes() {
    let kinds = [0, 43, 60, 135, 51, 44];
    let frames = [
        ethernet(
            &[QINQ, VLAN],
            0x0800,
            &ipv4_packet(40, 0, TCP, &tcp_header(25, SYN)),
        ),
        ethernet(
            &[VLAN],
            0x86dd,
            &ipv6_packet(&kinds, 0, &tcp_header(25, SYN)),
        ),
    ];
    for frame in frames {
        let flags_end = frame.len() - 20 + TCP_FLAGS_END;
        assert!(parse(&frame[..flags_end], Link::Ethernet).is_ok());
        for length in 0..flags_end {
            assert_eq!(reason(&frame[..length]), Reason::Truncated, "{length}");
        }
    }
}

#[test]
fn lengths_that_contradict_themselves_pass() {
    let mut short_header = v4_frame(0);
    short_header[14] = 0x44;
    let mut short_total = v4_frame(0);
    short_total[17] = 20 + 13;
    let mut version = v4_frame(0);
    version[14] = 0x65;
    let mut short_payload = ethernet(&[], 0x86dd, &ipv6_packet(&[60], 0, &tcp_header(25, SYN)));
    short_payload[19] = 8 + 13;
    for frame in [short_header, short_total, version, short_payload] {
        assert_eq!(reason(&frame), Reason::Truncated);
    }
}

/// Bytes after the payload length, such as Ethernet padding, must not be parsed
/// as extension headers.
#[test]
fn extension_headers_lie_within_the_payload_length() {
    let passed = |kinds: &[u8], next, payload_len| {
        let mut packet = ipv6_packet(kinds, 1480, &[0; 20]);
        packet[4..6].copy_from_slice(&[0, payload_len]);
        packet[40 + 8 * (kinds.len() - 1)] = next;
        reason(&ethernet(&[], 0x86dd, &packet))
    };
    assert_eq!(passed(&[60], 17, 8), Reason::NotTcp);
    assert_eq!(passed(&[60], 17, 7), Reason::Truncated);
    assert_eq!(passed(&[60, 44], TCP, 16), Reason::LaterFragment);
    assert_eq!(passed(&[60, 44], TCP, 15), Reason::Truncated);
    assert_eq!(passed(&[60; 9], 60, 72), Reason::TooManyHeaders);
    assert_eq!(passed(&[60; 9], 60, 71), Reason::Truncated);
}

#[test]
fn the_fixed_ipv6_header_is_read_whole() {
    let mut packet = ipv6_packet(&[], 0, &[]);
    packet[6] = 17;
    let frame = ethernet(&[], 0x86dd, &packet);
    assert_eq!(reason(&frame), Reason::NotTcp);
    assert_eq!(reason(&frame[..frame.len() - 1]), Reason::Truncated);
}

#[test]
fn what_is_not_tcp_over_ip_passes() {
    assert_eq!(reason(&ethernet(&[], 0x0806, &[0; 28])), Reason::NotIp);
    let udp = ipv4_packet(0, 0, 17, &[0; 20]);
    assert_eq!(reason(&ethernet(&[], 0x0800, &udp)), Reason::NotTcp);
    let mut esp = ipv6_packet(&[], 0, &[0; 20]);
    esp[6] = 50;
    assert_eq!(reason(&ethernet(&[], 0x86dd, &esp)), Reason::NotTcp);
}

#[test]
fn arp_is_told_from_ip_and_only_behind_an_ethernet_header() {
    for (tags, kind, expected) in [
        (&[][..], 0x0806, true),
        (&[], 0x0800, false),
        (&[], 0x86dd, false),
        (&[VLAN], 0x0806, false),
    ] {
        let frame = ethernet(tags, kind, &[0; 28]);
        assert_eq!(
            is_arp(frame.as_slice(), Link::Ethernet),
            expected,
            "{kind:#x}"
        );
        assert!(!is_arp(frame.as_slice(), Link::Ip));
        assert!(!is_arp(&frame[..13], Link::Ethernet));
    }
}

#[test]
fn only_syn_without_ack_opens_a_connection() {
    for flags in 0..=0xffu8 {
        let packet = ipv4_packet(0, 0, TCP, &tcp_header(465, flags));
        let segment = parse(ethernet(&[], 0x0800, &packet).as_slice(), Link::Ethernet).unwrap();
        assert_eq!(segment.syn, flags & 0x12 == 0x02, "{flags:#x}");
        assert_eq!(segment.port, 465);
    }
}

/// Source port and sequence number distinguish a repeated SYN from another one. The TTL
/// decides about the class of a stranger.
#[test]
fn ports_sequence_and_ttl_are_read() {
    let mut header = tcp_header(587, SYN);
    header[4..8].copy_from_slice(&0x0102_0304_u32.to_be_bytes());
    let mut v4 = ipv4_packet(4, 0, TCP, &header);
    v4[8] = 113;
    let mut v6 = ipv6_packet(&[0], 0, &header);
    v6[7] = 51;
    for (kind, packet, ttl) in [(0x0800, v4, 113), (0x86dd, v6, 51)] {
        let frame = ethernet(&[], kind, &packet);
        let segment = parse(frame.as_slice(), Link::Ethernet).unwrap();
        assert_eq!((segment.source_port, segment.port), (40_000, 587));
        assert_eq!((segment.sequence, segment.ttl), (0x0102_0304, ttl));
    }
}

#[test]
fn a_packet_may_end_behind_the_tcp_flags_or_behind_its_header() {
    let header = &tcp_header(25, SYN)[..TCP_FLAGS_END];
    assert_v4(&ethernet(&[], 0x0800, &ipv4_packet(4, 0, TCP, header)));
    assert_v6(&ethernet(&[], 0x86dd, &ipv6_packet(&[60], 0, header)));
    let empty = ipv4_packet(0, 0, TCP + 1, &[]);
    assert_eq!(reason(&ethernet(&[], 0x0800, &empty)), Reason::NotTcp);
}
