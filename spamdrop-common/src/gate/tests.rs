use super::*;

const WRITTEN: MonotonicNs = MonotonicNs::from_second(10);
const NANOSECOND: Duration = Duration::from_nanos(1);

fn later(time: MonotonicNs) -> MonotonicNs {
    time.plus(NANOSECOND)
}

#[test]
fn a_gate_that_nobody_tends_is_open() {
    let gate = Gate {
        written: WRITTEN,
        mode: GateMode::On as u32,
        ..Gate::default()
    };
    let last = WRITTEN.plus(FRESH_FOR);
    assert_eq!(gate.mode(last), GateMode::On);
    assert_eq!(gate.mode(later(last)), GateMode::Off);
    // The coarse clocks of two CPUs may differ by a tick.
    assert_eq!(gate.mode(WRITTEN.minus(NANOSECOND)), GateMode::On);
    // A daemon in a time namespace has another clock, which may be ahead by its offset.
    let first = WRITTEN.minus(FRESH_FOR);
    assert_eq!(gate.mode(first), GateMode::On);
    assert_eq!(gate.mode(first.minus(NANOSECOND)), GateMode::Off);
    assert_eq!(Gate::default().mode(MonotonicNs::default()), GateMode::Off);
}

#[test]
fn a_gate_that_nobody_tends_has_no_responder() {
    let gate = Gate {
        written: WRITTEN,
        responders: RESPONDER_IPV4,
        ..Gate::default()
    };
    let last = WRITTEN.plus(FRESH_FOR);
    assert!(gate.has_responder_now(false, last));
    assert!(!gate.has_responder_now(true, last));
    assert!(!gate.has_responder_now(false, later(last)));
}

#[test]
fn each_family_has_its_own_responder() {
    for (responders, v4, v6) in [
        (0, false, false),
        (RESPONDER_IPV4, true, false),
        (RESPONDER_IPV6, false, true),
        (RESPONDER_IPV4 | RESPONDER_IPV6, true, true),
    ] {
        let gate = Gate {
            responders,
            ..Gate::default()
        };
        assert_eq!([false, true].map(|v6| gate.has_responder(v6)), [v4, v6]);
    }
}

#[test]
fn gate_modes_are_read_back() {
    for mode in [GateMode::Off, GateMode::Observe, GateMode::On] {
        assert_eq!(GateMode::from_number(mode as u32), mode);
    }
    assert_eq!(GateMode::from_number(3), GateMode::Off);
}

#[test]
fn connections_admitted_since_the_count_are_held() {
    let gate = Gate {
        open: 20,
        admitted: u64::MAX,
        limits: [32, 28, 24],
        share: SHARE_ONE,
        ..Gate::default()
    };
    assert_eq!(gate.held(u64::MAX), 20);
    assert_eq!(gate.held(3), 24);
    assert_eq!(gate.held(u64::MAX - 1), 20);
    assert_eq!(
        [0, 1, 2].map(|class| gate.admits(class, 24)),
        [true, true, false]
    );
    let flooded = Gate {
        share: SHARE_ONE / 1_024,
        ..gate
    };
    assert_eq!(flooded.held(1_022), 20);
    assert_eq!(flooded.held(1_023), 21);
    assert_eq!(
        flooded.held(u64::MAX / 2 - 1),
        20 + u64::from(u32::MAX / 1_024)
    );
}

#[test]
fn a_64_is_known_as_a_whole_unless_it_is_flagged() {
    assert!(KnownSender::default().is_whole());
    for (flags, is_whole) in [(KnownSender::NOT_WHOLE, false), (2, true), (3, false)] {
        assert_eq!(KnownSender { flags }.is_whole(), is_whole, "{flags}");
    }
}

#[test]
fn strangers_are_classed_by_network_standing_and_ttl() {
    let unlisted = Some(Standing::Unlisted);
    for (near, standing, ttl, expected) in [
        (true, None, 128, 0),
        (true, Some(Standing::Listed), 64, 2),
        (false, unlisted, 64, 0),
        (false, unlisted, 65, 1),
        (false, Some(Standing::Unnamed), 64, 1),
        (false, Some(Standing::Confirmed), 128, 0),
        (false, None, 52, 1),
        (false, None, 116, 2),
        (false, Some(Standing::Listed), 52, 2),
    ] {
        assert_eq!(
            stranger_class(near, standing, ttl),
            expected,
            "{near} {standing:?} {ttl}"
        );
    }
}

#[test]
fn a_verdict_holds_through_its_last_nanosecond() {
    let until = MonotonicNs::from_ns(7);
    for standing in [
        Standing::Listed,
        Standing::Unlisted,
        Standing::Unnamed,
        Standing::Confirmed,
    ] {
        let verdict = Verdict {
            until,
            standing: standing as u32,
            ..Verdict::default()
        };
        assert_eq!(verdict.standing(until), Some(standing));
        assert_eq!(verdict.standing(later(until)), None);
    }
    let unknown = Verdict {
        until,
        standing: 5,
        ..Verdict::default()
    };
    assert_eq!(unknown.standing(until), None);
    let now = MonotonicNs::default();
    assert_eq!(Verdict::default().standing(now), None);
}

#[test]
fn only_the_address_that_is_listed_is_rejected() {
    let until = MonotonicNs::from_ns(7);
    let address = [32, 1, 13, 184, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    let neighbour = [32, 1, 13, 184, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13];
    let verdict = |standing: Standing, v6| Verdict {
        until,
        host: host_bits(v6, address),
        standing: standing as u32,
        zone: 0,
    };
    assert!(verdict(Standing::Listed, true).rejects(true, address, until));
    assert!(!verdict(Standing::Listed, true).rejects(true, neighbour, until));
    assert!(!verdict(Standing::Listed, true).rejects(true, address, later(until)));
    assert!(!verdict(Standing::Unlisted, true).rejects(true, address, until));
    // An IPv4 address shares its verdict with no other address.
    assert!(verdict(Standing::Listed, false).rejects(false, neighbour, until));
}

#[test]
fn host_bits_are_the_last_eight_bytes_of_an_ipv6_address() {
    let address = [32, 1, 13, 184, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    let bits = host_bits(true, address).to_ne_bytes();
    assert_eq!(bits, [5, 6, 7, 8, 9, 10, 11, 12]);
    assert_eq!(host_bits(false, address), 0);
}

#[test]
fn keys_of_both_families_differ() {
    let v4 = source_key(false, [192, 0, 2, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    assert_eq!(v4, [0, 0, 0, 0, 192, 0, 2, 9]);
    assert_eq!(net_key(false, v4), [0, 0, 0, 0, 192, 0, 2, 0]);
    let v6 = source_key(
        true,
        [32, 1, 13, 184, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    );
    assert_eq!(v6, [32, 1, 13, 184, 1, 2, 3, 4]);
    assert_eq!(net_key(true, v6), [32, 1, 13, 184, 1, 2, 0, 0]);
}
