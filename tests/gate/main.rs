//! The rules of the gate, in the kernel and by `BPF_PROG_TEST_RUN`: which new
//! connections pass while the server's slots run out.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "a measurement is shown")]

mod day;
mod fragments;
mod nat64;
mod other_hosts;
mod pause;
mod prediction;
mod responder;

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use spamdrop::clock;
use spamdrop::kernel::blocklist::GateMaps;
use spamdrop_common::counter::Reason;
use spamdrop_common::gate::{
    FRESH_FOR, Gate, GateMode, GateStats, RESPONDER_IPV4, RESPONDER_IPV6, SHARE_ONE, Standing,
    Verdict, host_bits,
};
use spamdrop_common::settings::Refresh;
use spamdrop_core::target::Target;
use spamdrop_filter::{DROP, Filter, PASS, pin_dir};
use spamdrop_lab::frame::{ACK, FrameSpec, SYN, tcp_frame};

const KNOWN: &str = "192.0.2.1";
const KNOWN6: &str = "2001:db8:1:1::5";
const STRANGER: &str = "198.51.100.9";
const NEIGHBOUR: &str = "192.0.2.77";
const WINDOWS: u8 = 128;
const UNIX: u8 = 64;
/// The limits of the three classes for 40 slots.
const LIMITS: [u32; 3] = [32, 28, 24];
const ADMITTED: (u32, Reason) = (PASS, Reason::NotBlocked);
const PREFERRED: (u32, Reason) = (PASS, Reason::GateKnownOrAllowed);
const REFUSED: (u32, Reason) = (DROP, Reason::GateRefused);

struct Site {
    filter: Filter,
    gate_maps: GateMaps,
}

impl Site {
    fn new() -> Self {
        let filter = Filter::new();
        let mut gate_maps = filter.on_host(|| GateMaps::open(&pin_dir()).unwrap());
        gate_maps
            .know_exactly([KNOWN, KNOWN6].map(|addr| addr.parse().unwrap()))
            .unwrap();
        Self { filter, gate_maps }
    }

    /// Writes a fresh gate with this number of open connections.
    fn open(&mut self, open: u32) {
        self.tend(open, |_| {});
    }

    fn tend(&mut self, open: u32, change: impl FnOnce(&mut Gate)) {
        let mut gate = Gate {
            written: clock::monotonic_ns(),
            admitted: self.stats().admitted,
            mode: GateMode::On as u32,
            open,
            limits: LIMITS,
            share: SHARE_ONE,
            ..Gate::default()
        };
        change(&mut gate);
        self.gate_maps.set(gate).unwrap();
    }

    fn stats(&self) -> GateStats {
        self.gate_maps.stats().unwrap()
    }

    fn judge(&mut self, source: &str, standing: Standing) {
        let verdict = Verdict {
            host: match source.parse().unwrap() {
                IpAddr::V4(_) => 0,
                IpAddr::V6(addr) => host_bits(true, addr.octets()),
            },
            until: clock::monotonic_ns().plus(Duration::from_secs(60)),
            standing: standing as u32,
            zone: 0,
        };
        self.gate_maps.set_verdict(target(source), verdict).unwrap();
    }

    fn syn(&mut self, source: &str, ttl: u8) -> (u32, Reason) {
        self.filter.run(&tcp_frame(&spec(source, ttl)))
    }

    /// Reads the look-up requests: each source whose class had to wait, and
    /// whether it has a verdict.
    fn waited(&mut self) -> Vec<(IpAddr, bool)> {
        let requests = std::iter::from_fn(|| self.gate_maps.next_lookup_request());
        requests
            .map(|(source, request)| (source, request.has_verdict == 1))
            .collect()
    }

    fn asked(&mut self) -> Vec<IpAddr> {
        let waited = self.waited().into_iter();
        let asked = waited.filter_map(|(source, judged)| (!judged).then_some(source));
        asked.collect()
    }
}

fn target(addr: &str) -> Target {
    addr.parse().unwrap()
}

fn spec(source: &str, ttl: u8) -> FrameSpec {
    let dest = if source.contains(':') {
        "2001:db8::25"
    } else {
        "203.0.113.25"
    };
    FrameSpec {
        ttl,
        ..FrameSpec::syn(source.parse().unwrap(), dest.parse().unwrap())
    }
}

#[test]
fn a_gate_that_is_off_or_not_tended_refuses_nobody() {
    let mut site = Site::new();
    assert_eq!(site.syn(STRANGER, WINDOWS), ADMITTED);
    site.tend(1_000, |gate| gate.mode = GateMode::Off as u32);
    assert_eq!(site.syn(STRANGER, WINDOWS), ADMITTED);
    assert_eq!(site.stats(), GateStats::default());
    site.open(1_000);
    assert_eq!(site.syn(STRANGER, WINDOWS), REFUSED);
    site.tend(1_000, |gate| {
        gate.written = gate.written.minus(FRESH_FOR + Duration::from_millis(100))
    });
    assert_eq!(site.syn(STRANGER, WINDOWS), ADMITTED);
}

#[test]
fn below_the_lowest_limit_everybody_passes() {
    let mut site = Site::new();
    site.open(LIMITS[2] - 1);
    assert_eq!(site.syn(STRANGER, WINDOWS), ADMITTED);
    assert_eq!(site.stats().admitted, 1);
    assert_eq!(site.asked(), [] as [IpAddr; 0]);
}

#[test]
fn each_class_has_its_own_limit() {
    let mut site = Site::new();
    site.open(1_000);
    for (source, ttl, standing, class) in [
        (NEIGHBOUR, WINDOWS, None, 0),
        ("198.51.100.1", UNIX, Some(Standing::Unlisted), 0),
        ("198.51.100.2", WINDOWS, Some(Standing::Unlisted), 1),
        ("198.51.100.3", WINDOWS, Some(Standing::Confirmed), 0),
        ("198.51.100.4", UNIX, Some(Standing::Unnamed), 1),
        ("198.51.100.5", UNIX, None, 1),
        ("198.51.100.6", WINDOWS, None, 2),
        ("198.51.100.7", UNIX, Some(Standing::Listed), 2),
        ("2001:db8:2::1", UNIX, None, 1),
        ("2001:db8:1:77::1", WINDOWS, None, 0),
    ] {
        if let Some(standing) = standing {
            site.judge(source, standing);
        }
        let limit = LIMITS[class];
        let before = site.stats().refused[class];
        site.open(limit - 1);
        assert_eq!(site.syn(source, ttl), ADMITTED, "{source}");
        site.open(limit);
        assert_eq!(site.syn(source, ttl), REFUSED, "{source}");
        assert_eq!(site.stats().refused[class], before + 1, "{source}");
    }
}

#[test]
fn who_passes_counts_until_connections_are_counted_again() {
    let mut site = Site::new();
    site.open(1_000);
    site.open(LIMITS[2] - 2);
    let passed = [(); 4].map(|()| site.syn(STRANGER, WINDOWS));
    assert_eq!(passed, [ADMITTED, ADMITTED, REFUSED, REFUSED]);
    // SYNs of known senders count as well.
    site.open(LIMITS[2] - 2);
    for _ in 0..2 {
        assert_eq!(site.syn(KNOWN, UNIX), ADMITTED);
    }
    assert_eq!(site.syn(KNOWN, UNIX), PREFERRED);
    assert_eq!(site.syn(STRANGER, WINDOWS), REFUSED);
}

#[test]
fn known_and_trusted_senders_always_pass() {
    let mut site = Site::new();
    let trusted: IpNet = "203.0.113.0/24".parse().unwrap();
    let trusted6: IpNet = "2001:db8:9::/48".parse().unwrap();
    let turn = &site.filter.turn;
    site.filter
        .list
        .allow_exactly(turn, &[(trusted, false), (trusted6, false)])
        .unwrap();
    site.open(1_000);
    let before = site.stats();
    let senders = [
        KNOWN,
        KNOWN6,
        "2001:db8:1:1::99",
        "203.0.113.8",
        "2001:db8:9:9::1",
    ];
    for sender in senders {
        assert_eq!(site.syn(sender, WINDOWS), PREFERRED, "{sender}");
    }
    assert_eq!(site.stats().known_or_allowed, before.known_or_allowed + 5);
    assert_eq!(site.stats().admitted, before.admitted + 5);
    assert_eq!(site.asked(), [] as [IpAddr; 0]);
    site.gate_maps.know_exactly([target(KNOWN6)]).unwrap();
    assert_eq!(site.syn(KNOWN, WINDOWS), REFUSED);
    assert_eq!(site.syn(KNOWN6, WINDOWS), PREFERRED);
}

/// If only an address is known, other hosts may have the other addresses of its /64.
#[test]
fn an_address_that_is_known_alone_does_not_vouch_for_its_64() {
    let mut site = Site::new();
    site.open(1_000);
    let [alone, neighbour] = ["2001:db8:5:5::25", "2001:db8:5:5::26"];
    let address = Target::alone(alone.parse().unwrap());
    let known = site.gate_maps.know_exactly([address]).unwrap();
    assert_eq!(known.len(), 1);
    assert!(known.contains(alone.parse().unwrap()));
    assert!(!known.contains(neighbour.parse().unwrap()));
    assert_eq!(site.syn(alone, WINDOWS), PREFERRED);
    assert_eq!(site.syn(neighbour, WINDOWS), REFUSED);
    // Its /64 becomes known beside it, and is removed again.
    let both = [address, target(alone)];
    let known = site.gate_maps.know_instead(&known, both).unwrap();
    assert_eq!(known.len(), 2);
    assert_eq!(site.syn(neighbour, WINDOWS), PREFERRED);
    let known = site.gate_maps.know_instead(&known, [address]).unwrap();
    assert_eq!(site.syn(alone, WINDOWS), PREFERRED);
    assert_eq!(site.syn(neighbour, WINDOWS), REFUSED);
    site.gate_maps.know_instead(&known, []).unwrap();
    assert_eq!(site.syn(alone, WINDOWS), REFUSED);
}

#[test]
fn a_listed_address_is_not_known_because_of_its_64() {
    let mut site = Site::new();
    site.open(1_000);
    let [listed, neighbour] = ["2001:db8:5:5::66", "2001:db8:5:5::25"];
    site.gate_maps.know_exactly([target(listed)]).unwrap();
    site.judge(listed, Standing::Listed);
    assert_eq!(site.syn(listed, UNIX), REFUSED);
    assert_eq!(site.syn(neighbour, UNIX), PREFERRED);
    site.tend(1_000, |gate| gate.responders = RESPONDER_IPV6);
    assert_eq!(site.syn(listed, UNIX), (PASS, Reason::GateAnswered));
    // A sender that was added by hand stays known when a blocklist lists it.
    let by_hand = Target::alone(listed.parse().unwrap());
    site.gate_maps
        .know_exactly([target(listed), by_hand])
        .unwrap();
    assert_eq!(site.syn(listed, UNIX), PREFERRED);
}

#[test]
fn only_new_connections_come_to_the_gate() {
    let mut site = Site::new();
    site.open(1_000);
    for flags in [ACK, SYN | ACK] {
        let frame = tcp_frame(&FrameSpec {
            flags,
            ..spec(STRANGER, WINDOWS)
        });
        assert_eq!(site.filter.run(&frame), ADMITTED);
    }
    let other_port = tcp_frame(&FrameSpec {
        dport: 80,
        ..spec(STRANGER, WINDOWS)
    });
    assert_eq!(site.filter.run(&other_port), (PASS, Reason::OtherPort));
    // A block takes precedence over the gate.
    site.filter.add(STRANGER, 600, 0, true);
    assert_eq!(site.syn(STRANGER, WINDOWS), (DROP, Reason::SealedDropped));
    site.filter.add("198.51.100.10", 10, 11, true);
    assert_eq!(site.syn("198.51.100.10", WINDOWS), REFUSED);
}

/// The daemon promises strangers that have waited that their next SYN passes.
#[test]
fn a_promised_syn_passes_once_and_in_time() {
    let mut site = Site::new();
    let soon = || clock::monotonic_ns().plus(Duration::from_secs(60));
    for (source, neighbour) in [
        (STRANGER, "198.51.100.10"),
        ("2001:db8:2::1", "2001:db8:3::1"),
    ] {
        site.open(1_000);
        site.gate_maps
            .admit_next(source.parse().unwrap(), soon())
            .unwrap();
        assert_eq!(site.syn(neighbour, UNIX), REFUSED);
        assert_eq!(site.asked().last(), neighbour.parse().ok().as_ref());
        let passed = [(); 3].map(|()| site.syn(source, UNIX));
        assert_eq!(passed, [ADMITTED, REFUSED, REFUSED]);
    }
    assert_eq!(site.stats().starvation_admits, 2);
    let stranger = STRANGER.parse().unwrap();
    // The filter's clock may be a tick behind, so this promise ended a second ago.
    let now = clock::monotonic_ns().minus(Duration::from_secs(1));
    site.gate_maps.admit_next(stranger, now).unwrap();
    assert_eq!(site.syn(STRANGER, UNIX), REFUSED);
    site.gate_maps.admit_next(stranger, soon()).unwrap();
    site.gate_maps.remove_old_admits(now).unwrap();
    assert_eq!(site.syn(STRANGER, UNIX), ADMITTED);
    site.gate_maps.admit_next(stranger, soon()).unwrap();
    let later = soon().plus(Duration::from_secs(1));
    site.gate_maps.remove_old_admits(later).unwrap();
    assert_eq!(site.syn(STRANGER, UNIX), REFUSED);
}

#[test]
fn a_syn_counts_as_much_as_recent_ones_became_connections() {
    let mut site = Site::new();
    site.tend(LIMITS[2] - 1, |gate| gate.share = SHARE_ONE / 4);
    let passed = [(); 6].map(|()| site.syn(STRANGER, WINDOWS));
    let passed = passed.iter().take_while(|outcome| **outcome == ADMITTED);
    assert_eq!(passed.count(), 4);
}

#[test]
fn a_refused_syn_is_described() {
    let mut site = Site::new();
    site.open(1_000);
    let spec = FrameSpec {
        sport: 4711,
        sequence: 0x0102_0304,
        ..spec(STRANGER, UNIX)
    };
    assert_eq!(site.filter.run(&tcp_frame(&spec)), REFUSED);
    let (source, request) = site.gate_maps.next_lookup_request().unwrap();
    assert_eq!(source, STRANGER.parse::<IpAddr>().unwrap());
    assert_eq!((request.source_port, request.class), (4711, 1));
    assert_eq!(request.has_verdict, 0);
    let first = request.sequence;
    let again = FrameSpec {
        sequence: spec.sequence + 1,
        ..spec.clone()
    };
    for (spec, is_same) in [(spec, true), (again, false)] {
        site.filter.run(&tcp_frame(&spec));
        let (_, request) = site.gate_maps.next_lookup_request().unwrap();
        assert_eq!(request.sequence == first, is_same);
    }
}

#[test]
fn who_is_refused_without_a_verdict_is_asked_for() {
    let mut site = Site::new();
    site.open(1_000);
    let strangers = ["198.51.100.20", "2001:db8:20:1:2:3:4:5"];
    for stranger in strangers {
        assert_eq!(site.syn(stranger, WINDOWS), REFUSED);
    }
    site.judge("198.51.100.21", Standing::Unlisted);
    assert_eq!(site.syn("198.51.100.21", WINDOWS), REFUSED);
    let expected = [
        (strangers[0], false),
        (strangers[1], false),
        ("198.51.100.21", true),
    ];
    let expected = expected.map(|(addr, judged)| (addr.parse::<IpAddr>().unwrap(), judged));
    assert_eq!(site.waited(), expected);
    // Nobody reads the requests; the filter continues.
    for _ in 0..10_000 {
        assert_eq!(
            site.filter.action(&tcp_frame(&spec(strangers[0], 128)), 1),
            DROP
        );
    }
    assert!((1_000..10_000).contains(&site.asked().len()));
}

/// On other ports, the server's own users submit their mail.
#[test]
fn only_port_25_has_a_gate() {
    let mut site = Site::new();
    site.filter.configure(&[25, 587], Refresh::Packet);
    site.open(1_000);
    let submission = FrameSpec {
        dport: 587,
        ..spec(STRANGER, WINDOWS)
    };
    assert_eq!(site.filter.run(&tcp_frame(&submission)), ADMITTED);
    assert_eq!(site.syn(STRANGER, WINDOWS), REFUSED);
}

#[test]
fn observing_counts_and_passes() {
    let mut site = Site::new();
    site.open(1_000);
    let before = site.stats();
    site.tend(1_000, |gate| gate.mode = GateMode::Observe as u32);
    assert_eq!(site.syn(STRANGER, WINDOWS), ADMITTED);
    let after = site.stats();
    assert_eq!(after.refused[2], before.refused[2] + 1);
    assert_eq!(after.admitted, before.admitted + 1);
    assert_eq!(site.asked().len(), 1);
}

#[test]
fn known_senders_change_without_a_gap_and_up_to_the_capacity() {
    let mut site = Site::new();
    site.open(1_000);
    let many =
        |range: std::ops::Range<u32>| range.map(|n| Target::V4((0x0a00_0000 + n).to_be_bytes()));
    site.gate_maps.know_exactly(many(0..1_024)).unwrap();
    assert_eq!(site.syn("10.0.3.255", WINDOWS), PREFERRED);
    site.gate_maps.know_exactly(many(1_024..2_048)).unwrap();
    assert_eq!(site.syn("10.0.4.0", WINDOWS), PREFERRED);
    assert_eq!(site.syn("10.0.3.255", WINDOWS), REFUSED);
    site.gate_maps.know_exactly(many(0..1_025)).unwrap_err();
}
