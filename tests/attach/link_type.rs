//! Interfaces whose packets begin with the IP header, and interfaces whose packets have
//! a header that the filter cannot parse.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{IpHeaders, NetSlice, PacketBuilder, PacketBuilderStep, SlicedPacket};
use spamdrop_lab::interfaces::link_types;
use spamdrop_lab::tun;
use spamdrop_lab::wait::until;

use super::*;

/// `ARPHRD_*` of linux/if_arp.h.
const WITHOUT_HEADER: [(libc::c_ulong, &str); 8] = [
    (0xfffe, "NONE"),
    (512, "PPP"),
    (519, "RAWIP"),
    (768, "TUNNEL"),
    (769, "TUNNEL6"),
    (776, "SIT"),
    (778, "IPGRE"),
    (823, "IP6GRE"),
];
const UNKNOWN: [(libc::c_ulong, &str); 4] = [
    (32, "INFINIBAND"),
    (256, "SLIP"),
    (803, "IEEE80211_RADIOTAP"),
    // No kernel has this type.
    (999, "VOID"),
];

const OURS: [&str; 2] = ["203.0.113.1", "2001:db8:7::1"];
const BLOCKED: [&str; 2] = ["203.0.113.66", "2001:db8:7:66::66"];
const CLEAN: [&str; 2] = ["203.0.113.77", "2001:db8:7:77::77"];

/// Makes the interface ppp0 of this link type; packets go through the file.
fn tun(host: &Host, link_type: libc::c_ulong) -> File {
    let file = tun::open(host, "ppp0", tun::Kind::Tun).unwrap();
    tun::set_link_type(&file, link_type).unwrap();
    host.exec(["ip", "address", "add", "203.0.113.1/24", "dev", "ppp0"])
        .unwrap();
    host.exec([
        "ip",
        "address",
        "add",
        "2001:db8:7::1/48",
        "dev",
        "ppp0",
        "nodad",
    ])
    .unwrap();
    host.exec(["ip", "link", "set", "ppp0", "up"]).unwrap();
    file
}

/// Whether a SYN from this address to port 25 is answered; nobody listens, so
/// the answer is a reset.
fn is_answered(tun: &mut File, source: &str, dest: &str) -> bool {
    let builder: PacketBuilderStep<IpHeaders> =
        match (source.parse().unwrap(), dest.parse().unwrap()) {
            (IpAddr::V4(source), IpAddr::V4(dest)) => {
                PacketBuilder::ipv4(source.octets(), dest.octets(), 64)
            }
            (IpAddr::V6(source), IpAddr::V6(dest)) => {
                PacketBuilder::ipv6(source.octets(), dest.octets(), 64)
            }
            _ => panic!("two families"),
        };
    let mut packet = Vec::new();
    let segment = builder.tcp(4000, 25, 1, 1000).syn();
    segment.write(&mut packet, &[]).unwrap();
    tun.write_all(&packet).unwrap();
    let mut answer = [0; 2048];
    let answered = || {
        let read = tun.read(&mut answer);
        let is_answer = read.is_ok_and(|length| is_to(&answer[..length], source));
        Ok(is_answer.then_some(()))
    };
    until("an answer", WAIT, answered).is_ok()
}

fn is_to(packet: &[u8], dest: &str) -> bool {
    let dest: IpAddr = dest.parse().unwrap();
    match SlicedPacket::from_ip(packet).map(|sliced| (sliced.net, sliced.transport)) {
        Ok((Some(NetSlice::Ipv4(ip)), Some(_))) => {
            dest == IpAddr::from(Ipv4Addr::from(ip.header().destination()))
        }
        Ok((Some(NetSlice::Ipv6(ip)), Some(etherparse::TransportSlice::Tcp(_)))) => {
            dest == IpAddr::from(Ipv6Addr::from(ip.header().destination()))
        }
        _ => false,
    }
}

#[test]
fn packets_that_begin_with_the_ip_header_are_parsed() {
    assert_eq!(
        link_types("the IP header").unwrap(),
        WITHOUT_HEADER.map(|(_, name)| name)
    );
    let pair = Pair::new(1500);
    for (link_type, name) in WITHOUT_HEADER {
        let mut tun = tun(&pair.server, link_type);
        let attached = pair.attach(&["ppp0"], AttachMode::Auto).unwrap();
        assert_eq!(attached[0].interface.framing, Framing::Ip, "{name}");
        let hook = hook(&attached[0]);
        pair.watch_port_25();
        for family in [0, 1] {
            let (ours, blocked) = (OURS[family], BLOCKED[family]);
            assert!(is_answered(&mut tun, blocked, ours), "{name}");
            pair.add(blocked);
            assert!(!is_answered(&mut tun, blocked, ours), "{name}");
            assert!(is_answered(&mut tun, CLEAN[family], ours), "{name}");
        }
        ensure_true("tun", hook, "dropped").unwrap();
        // An Ethernet interface beside ppp0 gets another program.
        let attached = pair.attach(&["eth0", "ppp0"], AttachMode::Auto).unwrap();
        let ids = attached
            .iter()
            .map(|one| one.interface.xdp.unwrap().program_id);
        let ids: Vec<_> = ids.collect();
        assert_ne!(ids[0], ids[1]);
        assert!(!is_answered(&mut tun, BLOCKED[0], OURS[0]), "{name}");
        pair.add("198.51.100.1");
        assert!(pair.dropped("198.51.100.1"), "{name}");
        pair.detach();
    }
}

#[test]
fn other_link_types_are_refused_by_name() {
    for named in link_types("a header that the filter cannot parse").unwrap() {
        assert!(UNKNOWN.iter().any(|(_, name)| *name == named), "{named}");
    }
    let pair = Pair::new(1500);
    for (link_type, name) in UNKNOWN {
        let _tun = tun(&pair.server, link_type);
        for mode in [AttachMode::Auto, AttachMode::Generic] {
            let refusal = pair.refused(&["ppp0"], mode);
            let part = format!("ppp0 has the link type {name}");
            assert!(refusal.contains(&part), "{refusal}");
            assert_eq!(pair.xdp("ppp0"), None);
        }
    }
    ensure_true("another link type", "refused", "passed").unwrap();
}
