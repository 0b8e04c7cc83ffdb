//! IPv4 senders behind NAT64. The blocks and the gate treat each as its IPv4 address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::other_hosts::to_other;
use crate::{ADMITTED, KNOWN, NEIGHBOUR, PREFERRED, REFUSED, STRANGER, Site, WINDOWS};
use spamdrop_common::counter::Reason;
use spamdrop_common::gate::{RESPONDER_IPV4, RESPONDER_IPV6, Standing};
use spamdrop_filter::{DROP, PASS};

const SEALED: (u32, Reason) = (DROP, Reason::SealedDropped);

/// The address of an IPv4 sender as 64:ff9b::/96 shows it.
fn translated(source: &str) -> String {
    let [a, b, c, d] = source.parse::<Ipv4Addr>().unwrap().octets();
    Ipv6Addr::from([0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]).to_string()
}

#[test]
fn only_the_blocked_ipv4_address_behind_nat64_is_dropped() {
    let mut site = Site::new();
    site.filter.add(STRANGER, 600, 0, true);
    for hits in 1..4 {
        assert_eq!(site.syn(&translated(STRANGER), WINDOWS), SEALED);
        assert_eq!(site.syn(&translated(NEIGHBOUR), WINDOWS), ADMITTED);
        assert_eq!(site.filter.entry(STRANGER).hits, hits);
    }
    site.filter.add("192.0.2.0/24", 600, 0, true);
    let dropped = site.syn(&translated(NEIGHBOUR), WINDOWS);
    assert_eq!(dropped, (DROP, Reason::CidrDropped));
}

/// The filter's cache remembers a drop with the packet's destination. An IPv4
/// destination must not be taken for that of an IPv6 packet.
#[test]
fn what_is_remembered_of_ipv4_packets_says_nothing_of_ipv6_ones() {
    let mut site = Site::new();
    site.filter.apply_only_to(&["203.0.113.25/32"]);
    site.filter.add(STRANGER, 600, 0, true);
    for _ in 0..3 {
        assert_eq!(site.syn(STRANGER, WINDOWS), SEALED);
        let passed = (PASS, Reason::OtherHost);
        assert_eq!(site.syn(&translated(STRANGER), WINDOWS), passed);
    }
    site.filter.apply_only_to(&["2001:db8::25/128"]);
    for _ in 0..3 {
        assert_eq!(site.syn(&translated(STRANGER), WINDOWS), SEALED);
        let other = site.filter.run(&to_other(&translated(STRANGER)));
        assert_eq!(other, (PASS, Reason::OtherHost));
        assert_eq!(site.syn(STRANGER, WINDOWS), (PASS, Reason::OtherHost));
    }
}

#[test]
fn the_gate_sees_the_ipv4_address() {
    let mut site = Site::new();
    site.open(1_000);
    assert_eq!(site.syn(&translated(KNOWN), WINDOWS), PREFERRED);
    assert_eq!(site.syn(&translated(STRANGER), WINDOWS), REFUSED);
    let stranger: IpAddr = STRANGER.parse().unwrap();
    assert_eq!(site.asked(), [stranger]);
}

#[test]
fn the_responder_of_the_packets_family_answers() {
    let mut site = Site::new();
    site.judge(STRANGER, Standing::Listed);
    let answered = (PASS, Reason::GateAnswered);
    for (responders, expected) in [(RESPONDER_IPV6, answered), (RESPONDER_IPV4, ADMITTED)] {
        site.tend(0, |gate| gate.responders = responders);
        let found = site.syn(&translated(STRANGER), WINDOWS);
        assert_eq!(found, expected, "{responders}");
    }
}
