//! The action for a frame, in the kernel: every rule of the filter by
//! `BPF_PROG_TEST_RUN`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod pause;

use std::net::IpAddr;
use std::time::Duration;

use spamdrop::clock;
use spamdrop_common::counter::Reason;
use spamdrop_common::entry::{ORIGIN_LOG, Origin, SEALED};
use spamdrop_common::settings::Refresh;
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::owners::OwnerBit;
use spamdrop_core::target::Target;
use spamdrop_core::term::Term;
use spamdrop_filter::{CAPACITY, DROP, Filter, PASS, ago};
use spamdrop_lab::frame::{ACK, FIN, FrameSpec, PSH, RST, SYN, tcp_frame};

const LISTED: &str = "192.0.2.1";
const CLEAN: &str = "192.0.2.2";
const LISTED6: &str = "2001:db8:0:7::66";
const TTL: u32 = 600;
/// Age in seconds of an entry whose refresh is due.
const OLD: u64 = 30;
/// A tick of the coarse clock at HZ=100, the slowest.
const JIFFY: Duration = Duration::from_millis(10);

fn spec(source: &str) -> FrameSpec {
    let dest = if source.contains(':') {
        "2001:db8::25"
    } else {
        "198.51.100.25"
    };
    FrameSpec::syn(source.parse().unwrap(), dest.parse().unwrap())
}

fn syn(source: &str) -> Vec<u8> {
    tcp_frame(&spec(source))
}

fn packet(source: &str, flags: u8) -> Vec<u8> {
    tcp_frame(&FrameSpec {
        flags,
        ..spec(source)
    })
}

#[test]
fn another_address_and_another_port_are_never_dropped() {
    let mut filter = Filter::new();
    filter.add(LISTED, TTL, 0, true);
    filter.add(LISTED6, TTL, 0, true);
    assert_eq!(filter.run(&syn(LISTED)), (DROP, Reason::SealedDropped));
    assert_eq!(filter.run(&syn(CLEAN)), (PASS, Reason::NotBlocked));
    assert_eq!(
        filter.run(&syn("2001:db8:0:8::66")),
        (PASS, Reason::NotBlocked)
    );
    for dport in (0..=u16::MAX).step_by(13).filter(|port| *port != 25) {
        let frame = tcp_frame(&FrameSpec {
            dport,
            ..spec(LISTED)
        });
        assert_eq!(filter.action(&frame, 1), PASS, "port {dport}");
    }
    let frame = tcp_frame(&FrameSpec {
        dport: 465,
        ..spec(LISTED)
    });
    assert_eq!(filter.run(&frame), (PASS, Reason::OtherPort));
}

#[test]
fn several_ports_are_watched() {
    let mut filter = Filter::new();
    filter.add(LISTED, TTL, 0, true);
    let ports = [25, 465, 587, 2525, 26, 27, 28, 65_535];
    filter.configure(&ports, Refresh::Packet);
    for dport in ports {
        let frame = tcp_frame(&FrameSpec {
            dport,
            ..spec(LISTED)
        });
        assert_eq!(filter.run(&frame), (DROP, Reason::SealedDropped));
    }
    let frame = tcp_frame(&FrameSpec {
        dport: 24,
        ..spec(LISTED)
    });
    assert_eq!(filter.run(&frame), (PASS, Reason::OtherPort));
}

#[test]
fn an_open_entry_drops_new_connections_and_a_sealed_one_everything() {
    let mut filter = Filter::new();
    filter.add(LISTED, TTL, 0, false);
    let later = [ACK, ACK | PSH, ACK | FIN, RST, SYN | ACK];
    assert_eq!(filter.run(&syn(LISTED)), (DROP, Reason::OpenDropped));
    for flags in later {
        assert_eq!(
            filter.run(&packet(LISTED, flags)),
            (PASS, Reason::OpenPassed)
        );
    }
    let target = Target::from(LISTED.parse::<IpAddr>().unwrap());
    filter.list.seal(&filter.turn, target).unwrap();
    for flags in later.into_iter().chain([SYN]) {
        assert_eq!(
            filter.run(&packet(LISTED, flags)),
            (DROP, Reason::SealedDropped)
        );
    }
    assert_eq!(filter.entry(LISTED).hits, 12);
}

#[test]
fn every_packet_refreshes_and_counts() {
    let mut filter = Filter::new();
    filter.add(LISTED, TTL, OLD, false);
    let before = clock::monotonic_ns();
    filter.run(&packet(LISTED, ACK));
    let entry = filter.entry(LISTED);
    let slid = entry.expires.minus(Duration::from_secs(TTL.into()));
    assert!(slid.plus(JIFFY) >= before && slid <= clock::monotonic_ns());
    assert_eq!((entry.hits, entry.refreshes), (1, 1));
    // Less than a second later, no new expiry is stored, but the hit counts.
    filter.run(&syn(LISTED));
    let again = filter.entry(LISTED);
    assert_eq!(
        (again.hits, again.refreshes, again.expires),
        (2, 1, entry.expires)
    );
}

#[test]
fn refresh_modes() {
    let mut filter = Filter::new();
    for (refresh, flags, slides) in [
        (Refresh::Packet, ACK, true),
        (Refresh::Syn, ACK, false),
        (Refresh::Syn, SYN, true),
        (Refresh::Never, SYN, false),
    ] {
        filter.configure(&[25], refresh);
        filter.add(LISTED, TTL, OLD, false);
        let before = filter.entry(LISTED);
        filter.run(&packet(LISTED, flags));
        let after = filter.entry(LISTED);
        assert_eq!(
            after.expires > before.expires,
            slides,
            "{refresh:?} {flags:#x}"
        );
        assert_eq!(after.hits, 1);
    }
}

#[test]
fn each_entry_has_its_own_ttl_and_a_fixed_one_never_slides() {
    let mut filter = Filter::new();
    filter.add(LISTED, 30, 10, true);
    filter.add(CLEAN, 3000, 10, true);
    let fixed = Term {
        start: ago(10),
        ttl_s: 30,
        slides: false,
        hard_limit_s: 0,
    };
    filter.add_for("192.0.2.3", fixed, true);
    let now = clock::monotonic_ns();
    for source in [LISTED, CLEAN, "192.0.2.3"] {
        filter.run(&syn(source));
    }
    let left = |source| {
        let left = filter.entry(source).expires.elapsed_since(now);
        left.as_secs_f64().ceil() as u64
    };
    assert!((30..=31).contains(&left(LISTED)), "{}", left(LISTED));
    assert!((3000..=3001).contains(&left(CLEAN)), "{}", left(CLEAN));
    assert!((20..=21).contains(&left("192.0.2.3")));
    assert_eq!(filter.entry("192.0.2.3").refreshes, 0);
}

#[test]
fn nothing_slides_past_the_hard_limit() {
    let mut filter = Filter::new();
    let start = ago(OLD);
    let term = Term {
        start,
        ttl_s: TTL,
        slides: true,
        hard_limit_s: TTL + 10,
    };
    let addr: IpAddr = LISTED.parse().unwrap();
    filter
        .list
        .block(
            &filter.turn,
            (addr, addr.into()),
            OwnerBit::LOG,
            term,
            false,
            &Origin::default(),
        )
        .unwrap();
    assert_eq!(filter.run(&syn(LISTED)), (DROP, Reason::OpenDropped));
    let entry = filter.entry(LISTED);
    let limit = MonotonicNs::from_second(start.second() + TTL + 10);
    assert_eq!((entry.expires, entry.refreshes), (limit, 1));
    assert_eq!(entry.flags, ORIGIN_LOG);
}

#[test]
fn expired_entries_pass_and_are_not_revived() {
    let mut filter = Filter::new();
    filter.add(LISTED, 10, 11, true);
    let before = filter.entry(LISTED);
    assert_eq!(filter.run(&syn(LISTED)), (PASS, Reason::Expired));
    assert_eq!(filter.run(&packet(LISTED, ACK)), (PASS, Reason::Expired));
    assert_eq!(filter.entry(LISTED), before);
}

/// A packet is dropped until the expiry and passes after it, exact to one tick.
#[test]
fn the_boundary_is_exact_to_one_jiffy() {
    let mut filter = Filter::new();
    filter.configure(&[25], Refresh::Never);
    filter.add(LISTED, 2, 1, true);
    let expires = filter.entry(LISTED).expires;
    let frame = syn(LISTED);
    let mut last_drop = MonotonicNs::default();
    loop {
        let before = clock::monotonic_ns();
        let action = filter.action(&frame, 1);
        let after = clock::monotonic_ns();
        if action == PASS {
            let early = expires.elapsed_since(after);
            assert!(after > expires, "passed {early:?} too early");
            break;
        }
        let late = before.elapsed_since(expires);
        assert!(late <= JIFFY, "dropped {late:?} too late");
        last_drop = before;
    }
    assert!(
        last_drop.plus(JIFFY) >= expires,
        "no drop in the last jiffy: {last_drop:?} {expires:?}"
    );
}

#[test]
fn an_allowlisted_source_is_neither_dropped_nor_refreshed() {
    let mut filter = Filter::new();
    filter.add(LISTED, TTL, OLD, true);
    filter.add(LISTED6, TTL, OLD, true);
    filter.add("192.0.2.0/24", TTL, 0, true);
    let before = (filter.entry(LISTED), filter.entry(LISTED6));
    let allowed = [("192.0.2.0/28", false), ("2001:db8:0:7::66/128", true)];
    let allowed = allowed.map(|(net, automatic)| (net.parse().unwrap(), automatic));
    filter.list.allow_exactly(&filter.turn, &allowed).unwrap();
    for source in [LISTED, LISTED6, "192.0.2.9"] {
        assert_eq!(
            filter.run(&syn(source)),
            (PASS, Reason::Allowed),
            "{source}"
        );
        assert_eq!(
            filter.run(&packet(source, ACK)),
            (PASS, Reason::Allowed),
            "{source}"
        );
    }
    assert_eq!((filter.entry(LISTED), filter.entry(LISTED6)), before);
    // The neighbour in the /64 and the rest of the /24 are not allowed.
    assert_eq!(
        filter.run(&syn("2001:db8:0:7::67")),
        (DROP, Reason::SealedDropped)
    );
    assert_eq!(filter.run(&syn("192.0.2.16")), (DROP, Reason::CidrDropped));
}

#[test]
fn prefixes_drop_everything_until_they_expire() {
    let mut filter = Filter::new();
    filter.add("198.51.100.0/25", TTL, 0, true);
    filter.add("2001:db8:ff00::/40", TTL, 0, true);
    filter.add("203.0.113.0/24", 10, 12, true);
    for source in ["198.51.100.127", "2001:db8:ff12::1"] {
        assert_eq!(filter.run(&syn(source)), (DROP, Reason::CidrDropped));
        assert_eq!(
            filter.run(&packet(source, ACK)),
            (DROP, Reason::CidrDropped)
        );
    }
    assert_eq!(
        filter.run(&syn("198.51.100.128")),
        (PASS, Reason::NotBlocked)
    );
    assert_eq!(filter.run(&syn("2001:db9::1")), (PASS, Reason::NotBlocked));
    assert_eq!(filter.run(&syn("203.0.113.1")), (PASS, Reason::Expired));
    // An expired entry of an address does not hide the prefix around it.
    filter.add("198.51.100.5", 10, 12, true);
    assert_eq!(
        filter.run(&syn("198.51.100.5")),
        (DROP, Reason::CidrDropped)
    );
    // An open entry does not hide the prefix either.
    filter.add("198.51.100.6", TTL, 0, false);
    let ack = packet("198.51.100.6", ACK);
    assert_eq!(filter.run(&ack), (DROP, Reason::CidrDropped));
    // An expired prefix does not hide the open entry of an address in it.
    filter.add("203.0.113.6", TTL, 0, false);
    let ack = packet("203.0.113.6", ACK);
    assert_eq!(filter.run(&ack), (PASS, Reason::OpenPassed));
    let target = "198.51.100.0/25".parse().unwrap();
    assert!(filter.list.remove(&filter.turn, target).unwrap());
    assert_eq!(
        filter.run(&syn("198.51.100.127")),
        (PASS, Reason::NotBlocked)
    );
}

const OFFENDER: &str = "2001:db8:0:9::66/128";
const NEIGHBOUR: &str = "2001:db8:0:9::67";

fn addr_of(net: &str) -> &str {
    net.trim_end_matches("/128")
}

#[test]
fn an_ipv6_address_can_be_blocked_without_its_64() {
    let mut filter = Filter::new();
    let offender = addr_of(OFFENDER);
    filter.add(OFFENDER, TTL, OLD, false);
    assert_eq!(filter.run(&syn(offender)), (DROP, Reason::OpenDropped));
    assert_eq!(
        filter.run(&packet(offender, ACK)),
        (PASS, Reason::OpenPassed)
    );
    assert_eq!(filter.run(&syn(NEIGHBOUR)), (PASS, Reason::NotBlocked));
    let entry = filter.entry(OFFENDER);
    // The first hit moved the entry's expiry.
    assert_eq!((entry.hits, entry.refreshes), (2, 1));
    let target = OFFENDER.parse().unwrap();
    filter.list.seal(&filter.turn, target).unwrap();
    assert_eq!(
        filter.run(&packet(offender, ACK)),
        (DROP, Reason::SealedDropped)
    );
    let allowed = [(OFFENDER.parse().unwrap(), false)];
    filter.list.allow_exactly(&filter.turn, &allowed).unwrap();
    assert_eq!(filter.run(&syn(offender)), (PASS, Reason::Allowed));
    filter.list.allow_exactly(&filter.turn, &[]).unwrap();
    assert!(filter.list.remove(&filter.turn, target).unwrap());
    assert_eq!(filter.run(&syn(offender)), (PASS, Reason::NotBlocked));
}

#[test]
fn an_entry_slides_to_its_hard_limit_without_its_64_as_well() {
    let mut filter = Filter::new();
    let start = ago(OLD);
    let term = Term {
        start,
        ttl_s: TTL,
        slides: true,
        hard_limit_s: TTL + 10,
    };
    filter.add_for(OFFENDER, term, true);
    filter.run(&syn(addr_of(OFFENDER)));
    let limit = MonotonicNs::from_second(start.second() + TTL + 10);
    assert_eq!(filter.entry(OFFENDER).expires, limit);
    filter.add(OFFENDER, 10, 11, true);
    assert_eq!(filter.run(&syn(addr_of(OFFENDER))), (PASS, Reason::Expired));
}

/// Either entry drops, whichever is found first.
#[test]
fn of_an_address_and_its_64_the_entry_decides_that_drops_more() {
    let net = "2001:db8:0:9::/64";
    let offender = addr_of(OFFENDER);
    // For the address and for its /64: whether its entry is sealed, and the entry's age.
    for (address, whole, expected) in [
        ((true, 0), (false, 0), Reason::SealedDropped),
        ((false, 0), (true, 0), Reason::SealedDropped),
        ((false, 0), (false, 0), Reason::OpenPassed),
        ((true, 11), (true, 0), Reason::SealedDropped),
        ((false, 0), (true, 11), Reason::OpenPassed),
        ((true, 11), (true, 11), Reason::Expired),
    ] {
        let mut filter = Filter::new();
        filter.add(OFFENDER, 10, address.1, address.0);
        filter.add(net, 10, whole.1, whole.0);
        let found = filter.run(&packet(offender, ACK)).1;
        assert_eq!(found, expected, "{address:?} {whole:?}");
    }
}

/// The filter looks up single IPv6 addresses only while `addresses6` is not 0.
#[test]
fn the_number_of_addresses_without_their_64_is_kept() {
    let mut filter = Filter::new();
    let number = |filter: &Filter| filter.list.settings().unwrap().addresses6;
    assert_eq!(number(&filter), 0);
    filter.add(OFFENDER, TTL, 0, true);
    filter.add("2001:db8:0:9::67/128", 10, 11, true);
    filter.add(OFFENDER, TTL, 0, true);
    assert_eq!(number(&filter), 2);
    filter.configure(&[25], Refresh::Packet);
    assert_eq!(number(&filter), 2);
    let offender: IpAddr = addr_of(OFFENDER).parse().unwrap();
    let term = Term {
        start: clock::monotonic_ns(),
        ttl_s: TTL,
        slides: true,
        hard_limit_s: 0,
    };
    for addr in [offender, "2001:db8:0:9::68".parse().unwrap()] {
        let (target, origin) = (Target::alone(addr), Origin::default());
        let list = &mut filter.list;
        let (key, owner) = ((addr, target), OwnerBit::LOG);
        list.block(&filter.turn, key, owner, term, true, &origin)
            .unwrap();
    }
    assert_eq!(number(&filter), 3);
    assert_eq!(filter.sweep(), 1);
    assert_eq!(number(&filter), 2);
    let target = OFFENDER.parse().unwrap();
    filter.list.remove(&filter.turn, target).unwrap();
    assert_eq!(number(&filter), 1);
    filter.flush(clock::monotonic_ns());
    assert_eq!(number(&filter), 0);
}

#[test]
fn options_extensions_tags_and_fragments() {
    let mut filter = Filter::new();
    filter.add(LISTED, TTL, 0, true);
    filter.add(LISTED6, TTL, 0, true);
    let v4 = || spec(LISTED);
    let v6 = || spec(LISTED6);
    let tags = |tpids: &[u16]| tpids.iter().map(|tpid| (*tpid, 7)).collect::<Vec<_>>();
    let extensions = vec![
        (0, 8),
        (60, 64),
        (43, 24),
        (44, 8),
        (51, 24),
        (60, 2048),
        (135, 8),
        (60, 8),
    ];
    let dropped = [
        FrameSpec {
            ipv4_options: vec![1; 4],
            ..v4()
        },
        FrameSpec {
            ipv4_options: vec![1; 40],
            ..v4()
        },
        FrameSpec {
            vlans: tags(&[0x8100]),
            ..v4()
        },
        FrameSpec {
            vlans: tags(&[0x88a8, 0x8100]),
            ..v6()
        },
        FrameSpec {
            ipv6_extensions: extensions[..1].to_vec(),
            ..v6()
        },
        FrameSpec {
            ipv6_extensions: extensions.clone(),
            ..v6()
        },
        FrameSpec {
            fragment: Some((0, true)),
            ..v4()
        },
        FrameSpec {
            fragment: Some((0, true)),
            ..v6()
        },
    ];
    for spec in dropped {
        assert_eq!(
            filter.run(&tcp_frame(&spec)),
            (DROP, Reason::SealedDropped),
            "{spec:?}"
        );
    }
    let nine = [extensions, vec![(60, 8)]].concat();
    let passed = [
        (
            FrameSpec {
                vlans: tags(&[0x88a8, 0x8100, 0x8100]),
                ..v4()
            },
            Reason::NotIp,
        ),
        (
            FrameSpec {
                ipv6_extensions: nine,
                ..v6()
            },
            Reason::TooManyHeaders,
        ),
        (
            FrameSpec {
                ipv6_extensions: vec![(50, 8)],
                ..v6()
            },
            Reason::NotTcp,
        ),
        (
            FrameSpec {
                fragment: Some((185, true)),
                ..v4()
            },
            Reason::LaterFragment,
        ),
        (
            FrameSpec {
                fragment: Some((185, false)),
                ..v6()
            },
            Reason::LaterFragment,
        ),
    ];
    for (spec, reason) in passed {
        assert_eq!(filter.run(&tcp_frame(&spec)), (PASS, reason), "{spec:?}");
    }
}

/// `BPF_PROG_TEST_RUN` rejects frames below 14 bytes; the unit tests of the
/// parser cover them.
#[test]
fn truncation_at_every_byte_passes() {
    let mut filter = Filter::new();
    filter.add(LISTED, TTL, 0, true);
    filter.add(LISTED6, TTL, 0, true);
    let vlans = vec![(0x88a8, 7), (0x8100, 7)];
    let extensions = vec![(0, 8), (51, 24), (60, 16), (44, 8)];
    for spec in [
        FrameSpec {
            vlans: vlans.clone(),
            ipv4_options: vec![1; 40],
            ..spec(LISTED)
        },
        FrameSpec {
            vlans,
            ipv6_extensions: extensions,
            ..spec(LISTED6)
        },
    ] {
        let frame = tcp_frame(&spec);
        // The last six bytes, which follow the TCP flags, are not needed.
        let needed = frame.len() - 6;
        assert_eq!(filter.run(&frame[..needed]).0, DROP);
        for length in 14..needed {
            assert_eq!(
                filter.run(&frame[..length]),
                (PASS, Reason::Truncated),
                "{length}"
            );
        }
    }
}

fn address(number: u32) -> Target {
    Target::V4((0x0a00_0000 + number).to_be_bytes())
}

/// Entries that are hit stay, while twice as many other entries are added as the map can
/// hold. Afterwards, the map is nearly full.
#[test]
fn a_full_map_keeps_what_is_hit() {
    let mut filter = Filter::new();
    let term = Term {
        start: clock::monotonic_ns(),
        ttl_s: TTL,
        slides: true,
        hard_limit_s: 0,
    };
    let hot: Vec<Target> = (0..1000).map(address).collect();
    let frames: Vec<Vec<u8>> = hot.iter().map(|target| syn(&target.to_string())).collect();
    filter.add_all(hot, term, true);
    let cold: Vec<Target> = (0..2 * CAPACITY.v4)
        .map(|number| address(1 << 20 | number))
        .collect();
    for chunk in cold.chunks(512) {
        filter.add_all(chunk.iter().copied(), term, true);
        for frame in &frames {
            filter.action(frame, 1);
        }
    }
    let mut resident = 0;
    filter.list.for_each(|_| resident += 1).unwrap();
    let stayed = frames
        .iter()
        .filter(|frame| filter.action(frame, 1) == DROP)
        .count();
    assert!(
        resident >= CAPACITY.v4 * 9 / 10,
        "{resident} resident of {}",
        CAPACITY.v4
    );
    assert!(
        stayed >= 990,
        "{stayed} of 1000 entries that are hit stayed"
    );
}

#[test]
fn a_refresh_after_the_seal_keeps_it() {
    let mut filter = Filter::new();
    filter.add(LISTED, TTL, OLD, false);
    let target = Target::from(LISTED.parse::<IpAddr>().unwrap());
    filter.list.seal(&filter.turn, target).unwrap();
    filter.run(&packet(LISTED, ACK));
    let entry = filter.entry(LISTED);
    assert_eq!(entry.flags & SEALED, SEALED);
    assert_eq!(entry.refreshes, 1);
}
