#![expect(clippy::unwrap_used, reason = "a test may panic")]

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use super::*;

fn v4() -> FrameSpec {
    let address = |last| IpAddr::from([192, 0, 2, last]);
    FrameSpec::syn(address(7), address(9))
}

fn v6() -> FrameSpec {
    let address = |last| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
    FrameSpec::syn(address(7), address(9))
}

#[test]
fn plain_syn_is_byte_exact() {
    let dest = IpAddr::from([198, 51, 100, 9]);
    let frame = tcp_frame(&FrameSpec { dest, ..v4() });
    #[rustfmt::skip]
    let expected = [
        0x02, 0, 0, 0, 0, 0x02,  0x02, 0, 0, 0, 0, 0x01,  0x08, 0x00,
        0x45, 0, 0, 40,  0, 0, 0x40, 0,  64, 6, 0x4e, 0x8c,
        192, 0, 2, 7,  198, 51, 100, 9,
        0x9c, 0x40, 0, 25,  0, 0, 0, 1,  0, 0, 0, 0,
        0x50, SYN, 0xff, 0xff,  0x27, 0x44, 0, 0,
    ];
    assert_eq!(frame, expected);
}

#[test]
fn vlan_tags_nest_outermost_first() {
    let vlans = vec![(0x88a8, 100), (0x8100, 4095)];
    let frame = tcp_frame(&FrameSpec { vlans, ..v6() });
    assert_eq!(
        frame[12..22],
        [0x88, 0xa8, 0, 100, 0x81, 0, 0x0f, 0xff, 0x86, 0xdd]
    );
    assert_eq!(frame.len(), 22 + 40 + 20);
}

#[test]
fn options_lengthen_the_ipv4_header() {
    let ipv4_options = vec![1; 40];
    let payload = b"EHLO".to_vec();
    let frame = tcp_frame(&FrameSpec {
        ipv4_options,
        payload,
        ..v4()
    });
    assert_eq!(frame[14], 0x4f);
    assert_eq!(frame[16..18], [0, 60 + 20 + 4]);
    assert_eq!(frame.len(), 14 + 60 + 20 + 4);
}

#[test]
fn extensions_chain_in_order() {
    let ipv6_extensions = vec![(0, 8), (60, 16), (51, 24), (44, 8), (43, 2048)];
    let frame = tcp_frame(&FrameSpec {
        ipv6_extensions,
        ..v6()
    });
    let extensions = 8 + 16 + 24 + 8 + 2048;
    assert_eq!(frame.len(), 14 + 40 + extensions + 20);
    assert_eq!(
        frame[18..20],
        u16::try_from(extensions + 20).unwrap().to_be_bytes()
    );
    // The next header, and the length in the unit of each header.
    for (offset, expected) in [
        (0, [60, 0]),
        (8, [51, 1]),
        (24, [44, 4]),
        (48, [43, 0]),
        (56, [6, 255]),
    ] {
        let header = 14 + 40 + offset;
        assert_eq!(frame[header..header + 2], expected, "at {offset}");
    }
    assert_eq!(frame[20], 0);
    // An atomic fragment: offset 0 and no further fragment.
    assert_eq!(frame[14 + 40 + 50..14 + 40 + 52], [0, 0]);
}

#[test]
fn fragments_have_offset_and_more() {
    let fragment = Some((3, true));
    let frame = tcp_frame(&FrameSpec { fragment, ..v4() });
    assert_eq!(frame[20..22], [0x20, 3]);

    let frame = tcp_frame(&FrameSpec { fragment, ..v6() });
    assert_eq!(frame[20], 44);
    assert_eq!(frame[54..58], [6, 0, 0, 3 << 3 | 1]);
}

#[test]
fn an_independent_reader_finds_the_segment() {
    let frame = tcp_frame(&FrameSpec {
        flags: SYN | ACK,
        vlans: vec![(0x8100, 5)],
        payload: b"hi".to_vec(),
        ..v6()
    });
    let packet = SlicedPacket::from_ethernet(&frame).unwrap();
    let Some(NetSlice::Ipv6(ip)) = &packet.net else {
        panic!("{packet:?}");
    };
    assert_eq!(IpAddr::from(ip.header().source_addr()), v6().source);
    assert_eq!(IpAddr::from(ip.header().destination_addr()), v6().dest);
    let Some(TransportSlice::Tcp(tcp)) = &packet.transport else {
        panic!("{packet:?}");
    };
    assert_eq!((tcp.source_port(), tcp.destination_port()), (40_000, 25));
    assert!(tcp.syn() && tcp.ack() && !tcp.fin() && !tcp.rst() && !tcp.psh());
    // Calculated by hand, with RFC 9293's pseudo-header.
    assert_eq!(tcp.checksum(), 0x4f8b);
    assert_eq!(tcp.payload(), b"hi");
}
