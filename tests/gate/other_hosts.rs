//! Packets for other hosts, as on a bridge or a router: neither gated nor
//! dropped.

use std::net::IpAddr;

use crate::{REFUSED, STRANGER, Site, WINDOWS, spec};
use spamdrop_common::counter::Reason;
use spamdrop_filter::{DROP, PASS};
use spamdrop_lab::frame::{FrameSpec, tcp_frame};

const OURS: [&str; 2] = ["203.0.113.25/32", "2001:db8::25/128"];
const PASSED: (u32, Reason) = (PASS, Reason::OtherHost);

/// A stranger's SYN to a virtual machine behind the same interface.
pub fn to_other(source: &str) -> Vec<u8> {
    let other: IpAddr = match source.contains(':') {
        true => "2001:db8::26".parse().unwrap(),
        false => "203.0.113.26".parse().unwrap(),
    };
    tcp_frame(&FrameSpec {
        dest: other,
        ..spec(source, WINDOWS)
    })
}

#[test]
fn syns_to_other_hosts_are_neither_refused_nor_counted_nor_looked_up() {
    let mut site = Site::new();
    site.filter.apply_only_to(&OURS);
    site.open(1_000);
    let before = site.stats();
    for source in [STRANGER, "2001:db8:77::1"] {
        for _ in 0..100 {
            assert_eq!(site.filter.run(&to_other(source)), PASSED);
        }
    }
    assert_eq!(site.stats(), before);
    assert_eq!(site.asked(), Vec::<IpAddr>::new());
    for source in [STRANGER, "2001:db8:77::1"] {
        assert_eq!(site.syn(source, WINDOWS), REFUSED);
    }
}

#[test]
fn a_blocked_source_reaches_other_hosts_even_after_a_drop() {
    let mut site = Site::new();
    site.filter.apply_only_to(&OURS);
    for (source, v6) in [(STRANGER, false), ("2001:db8:77::1", true)] {
        site.filter.add(source, 600, 0, true);
        for _ in 0..3 {
            let dropped = site.syn(source, WINDOWS);
            assert_eq!(dropped, (DROP, Reason::SealedDropped), "{v6}");
            assert_eq!(site.filter.run(&to_other(source)), PASSED, "{v6}");
        }
        assert_eq!(site.filter.entry(source).hits, 3, "{v6}");
    }
    site.filter.add("198.51.100.0/25", 600, 0, true);
    let neighbour = "198.51.100.10";
    assert_eq!(site.syn(neighbour, WINDOWS), (DROP, Reason::CidrDropped));
    assert_eq!(site.filter.run(&to_other(neighbour)), PASSED);
}

#[test]
fn a_destination_counts_from_the_moment_it_is_told() {
    let mut site = Site::new();
    site.filter.add(STRANGER, 600, 0, true);
    site.filter.apply_only_to(&OURS);
    for _ in 0..2 {
        assert_eq!(site.syn(STRANGER, WINDOWS).0, DROP);
        site.filter.apply_only_to(&["203.0.113.0/29"]);
        assert_eq!(site.syn(STRANGER, WINDOWS), PASSED);
        site.filter
            .apply_only_to(&["203.0.113.24/31", "192.0.2.0/24"]);
    }
}
