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
    // Written by another clock: a time namespace has an offset.
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
        ..Gate::default()
    };
    assert_eq!(gate.held(u64::MAX), 20);
    assert_eq!(gate.held(3), 24);
    assert_eq!(gate.held(u64::MAX - 1), 20);
    assert_eq!(
        [0, 1, 2].map(|class| gate.admits(class, 24)),
        [true, true, false]
    );
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
fn a_class_saves_up_for_two_strangers() {
    let mut next = MonotonicNs::default();
    let start = MonotonicNs::from_second(1_000);
    let mut passes = |now| match starvation_admit(next, now) {
        Some(then) => {
            next = then;
            true
        }
        None => false,
    };
    let at_once = [passes(start), passes(start), passes(start)];
    assert_eq!(at_once, [true, true, false]);
    let again = start.plus(STARVATION_PERIOD);
    assert!(!passes(again.minus(NANOSECOND)));
    assert!(passes(again));
    assert!(!passes(again));
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

#[test]
fn a_syn_is_repeated_by_the_same_one_only() {
    let key = [0, 0, 0, 0, 192, 0, 2, 9];
    let locate = |port, sequence, seed, eighths: u64| {
        let at = MonotonicNs::from_ns(eighths * SYN_TICK);
        RecentSyn::locate(key, port, sequence, seed, at)
    };
    let (slot, first) = locate(4711, 1, 99, 800);
    assert_eq!(first.seen, 800);
    let again = |eighths: u64| locate(4711, 1, 99, 800 + eighths);
    assert_eq!(again(128).0, slot);
    assert!(!again(5).1.repeats(first));
    assert!(again(6).1.repeats(first));
    assert!(again(8).1.repeats(first));
    assert!(again(128).1.repeats(first));
    assert!(!again(129).1.repeats(first));
    assert!(!locate(4711, 2, 99, 808).1.repeats(first));
    assert!(!locate(4712, 1, 99, 808).1.repeats(first));
    assert!(!locate(4711, 1, 98, 808).1.repeats(first));
    assert!(!again(8).1.repeats(RecentSyn::default()));
    let (_, other) = RecentSyn::locate([1; 8], 4711, 1, 99, MonotonicNs::from_second(101));
    assert!(!other.repeats(first));
}

#[test]
fn a_slot_in_use_has_a_tag() {
    for sequence in 0..10_000 {
        let (slot, syn) = RecentSyn::locate([0; 8], 0, sequence, 0, MonotonicNs::default());
        assert!(slot < RECENT_SYN_SLOTS);
        assert_ne!(syn.tag, 0);
    }
}

#[test]
fn syns_are_spread_over_the_slots_and_tags() {
    let (mut slots, mut tags) = ([false; 1024], [false; 1024]);
    for sequence in 0..1024 {
        let key = [0, 0, 0, 0, 10, 0, 0, 1];
        let (slot, syn) = RecentSyn::locate(key, 1025, sequence, 1, MonotonicNs::default());
        slots[(slot % 1024) as usize] = true;
        tags[(syn.tag / 2 % 1024) as usize] = true;
    }
    // Random slots fill a share of 1 - 1/e.
    for used in [slots, tags].map(|used| used.iter().filter(|used| **used).count()) {
        assert!((600..700).contains(&used), "{used}");
    }
}

#[test]
fn the_seed_decides_which_syns_share_a_slot() {
    let slot = |seed| RecentSyn::locate([7; 8], 1025, 1, seed, MonotonicNs::default()).0;
    let slots: std::collections::HashSet<u32> = (0..256).map(slot).collect();
    assert!(slots.len() > 250, "{}", slots.len());
    // The finaliser belongs to the splitmix64 generator; these are its first
    // two numbers for seed 0.
    assert_eq!(mix(0x9e37_79b9_7f4a_7c15), 0xe220_a839_7b1d_cdaf);
    assert_eq!(mix(0x3c6e_f372_fe94_f82a), 0x6e78_9e6a_a1b9_65f4);
}

/// Expected values from an independent computation: the slots of a pinned map
/// must keep their meaning. The key is the same in both byte orders.
#[test]
fn a_syn_has_its_slot_and_tag() {
    let now = MonotonicNs::from_second(100);
    for (sequence, slot, tag) in [
        (0xdead_0000, 106_597, 0x94c3_b3b3),
        // The lowest bit of the hash is 0.
        (0xdead_0002, 86_553, 0xe4ef_f6cb),
    ] {
        let key = [9, 2, 0, 192, 192, 0, 2, 9];
        let found = RecentSyn::locate(key, 4711, sequence, 0xcafe_1234, now);
        assert_eq!(found, (slot, RecentSyn { tag, seen: 800 }));
    }
}
