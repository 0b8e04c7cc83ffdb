use super::*;

const SLOTS: u32 = 40;
const START: u64 = 1_000_000;

fn moment(ms: u64) -> MonotonicNs {
    MonotonicNs::from_ns((START + ms) * 1_000_000)
}

fn syn(number: u8) -> RefusedSyn {
    RefusedSyn {
        source: [192, 0, 2, number].into(),
        source_port: 4711,
        sequence: 1,
    }
}

fn open(open: u32) -> Occupancy {
    Occupancy {
        open,
        ..Occupancy::default()
    }
}

const FULL: Occupancy = Occupancy {
    open: SLOTS,
    waiting: 1,
    opened: 0,
    pending: 0,
    listeners: 1,
};

/// The last parts of the addresses that are admitted.
fn admitted(strangers: &mut WaitingStrangers, seen: Occupancy, ms: u64) -> Vec<u8> {
    admitted_by(strangers, seen, WhenFull::Waits, ms)
}

fn admitted_by(
    strangers: &mut WaitingStrangers,
    seen: Occupancy,
    when_full: WhenFull,
    ms: u64,
) -> Vec<u8> {
    let admits = strangers.admit(seen, SLOTS, when_full, moment(ms));
    let mut numbers: Vec<u8> = admits
        .iter()
        .map(|admit| match admit.source {
            IpAddr::V4(addr) => addr.octets()[3],
            IpAddr::V6(_) => 0,
        })
        .collect();
    numbers.sort_unstable();
    numbers
}

/// Strangers with these numbers send a SYN at each of these times.
fn waiting(numbers: std::ops::Range<u8>, class: usize, times: &[u64]) -> WaitingStrangers {
    let mut strangers = WaitingStrangers::default();
    for &ms in times {
        for number in numbers.clone() {
            strangers.refused(syn(number), class, moment(ms + u64::from(number)));
        }
    }
    strangers
}

#[test]
fn the_wait_counts_from_the_first_syn_that_is_repeated() {
    let mut strangers = WaitingStrangers::default();
    let mut waited = |syn, ms| strangers.refused(syn, 0, moment(ms)).as_millis();
    assert_eq!(waited(syn(1), 0), 0);
    // No kernel repeats a SYN as fast as that.
    assert_eq!(waited(syn(1), 749), 0);
    assert_eq!(waited(syn(1), 1_000), 1_000);
    assert_eq!(waited(syn(1), 3_000), 3_000);
    let others = [
        syn(2),
        RefusedSyn {
            source_port: 4712,
            ..syn(1)
        },
        RefusedSyn {
            sequence: 2,
            ..syn(1)
        },
    ];
    for other in others {
        assert_eq!(waited(other, 3_000), 0);
    }
}

#[test]
fn a_stranger_that_has_repeated_its_syn_twice_is_promised_the_next() {
    let mut strangers = waiting(1..2, 0, &[0, 1_000]);
    // At the slow rate, one stranger of the class passes every ten seconds.
    assert_eq!(admitted(&mut strangers, open(30), 1_200), [1]);
    strangers.refused(syn(2), 0, moment(1_300));
    strangers.refused(syn(2), 0, moment(2_300));
    assert_eq!(admitted(&mut strangers, open(30), 2_400), []);
    strangers.refused(syn(2), 0, moment(4_300));
    let expected = AdmitNext {
        source: syn(2).source,
        until: moment(9_300),
    };
    assert_eq!(
        strangers.admit(open(30), SLOTS, WhenFull::Waits, moment(4_400)),
        [expected]
    );
    assert_eq!(admitted(&mut strangers, open(30), 6_000), []);
}

/// Their kernels repeat each SYN 1, 3, 7 and 15 s after the first one.
#[test]
fn seven_that_wait_pass_within_fifteen_seconds() {
    let mut strangers = WaitingStrangers::default();
    let mut passed = Vec::new();
    let mut promised: Vec<u8> = Vec::new();
    for ms in (0..15_200).step_by(200) {
        if [0, 1_000, 3_000, 7_000, 15_000].contains(&ms) {
            passed.append(&mut promised);
            for number in (1..8).filter(|number| !passed.contains(number)) {
                strangers.refused(syn(number), 0, moment(ms));
            }
        }
        promised.extend(admitted(&mut strangers, open(30), ms));
    }
    passed.sort_unstable();
    assert_eq!(passed, [1, 2, 3, 4, 5, 6, 7]);
}

/// The crowd, 39 strangers of class 1, has waited longer than the others.
#[test]
fn a_crowd_of_a_worse_class_does_not_delay_a_better_one() {
    let mut strangers = waiting(1..40, 1, &[0, 1_000, 3_000]);
    for number in 40..44 {
        for ms in [2_000, 3_000, 5_000] {
            strangers.refused(syn(number), 0, moment(ms));
        }
    }
    let mut passed = admitted(&mut strangers, open(30), 5_000);
    for ms in [5_500, 6_000, 6_500, 7_000] {
        passed.extend(admitted(&mut strangers, open(30), ms));
    }
    passed.sort_unstable();
    assert_eq!(passed, [1, 40, 41, 42, 43]);
}

#[test]
fn of_many_one_of_each_class_passes_in_ten_seconds_first_the_longest_waiting_then_the_soonest() {
    let mut strangers = waiting(1..20, 0, &[0, 1_000, 3_000]);
    for number in 21..29 {
        for ms in [2_000, 3_000] {
            strangers.refused(syn(number), 2, moment(ms + u64::from(number)));
        }
    }
    assert_eq!(admitted(&mut strangers, open(30), 3_100), [1, 21]);
    assert_eq!(admitted(&mut strangers, open(30), 4_200), []);
    for number in 1..20 {
        strangers.refused(syn(number), 0, moment(7_000));
    }
    assert_eq!(admitted(&mut strangers, open(30), 13_099), []);
    // The later the first SYN was, the sooner the next one comes.
    assert_eq!(admitted(&mut strangers, open(30), 13_100), [19]);
    for number in 1..20 {
        strangers.refused(syn(number), 0, moment(15_000));
    }
    // Stranger 1 was refused again, so it still waits longest.
    assert_eq!(admitted(&mut strangers, open(30), 23_100), [1]);
}

#[test]
fn a_full_server_admits_slowly() {
    let mut strangers = waiting(1..4, 0, &[0, 1_000, 3_000]);
    assert_eq!(admitted(&mut strangers, FULL, 3_100), [1]);
    assert_eq!(admitted(&mut strangers, FULL, 4_200), []);
    // No more than a tenth of the slots is free, and a connection waited in the queue
    // a moment ago.
    assert_eq!(admitted(&mut strangers, open(36), 4_400), []);
    assert_eq!(admitted(&mut strangers, open(35), 4_600), [2]);
}

/// More connections than `slots` are served, so `slots` is set too low.
#[test]
fn a_server_that_accepts_at_once_has_room() {
    let mut strangers = waiting(1..4, 0, &[0, 1_000, 3_000, 7_000]);
    assert_eq!(admitted(&mut strangers, open(60), 7_100), [1]);
    assert_eq!(admitted(&mut strangers, open(60), 8_100), []);
    for number in 2..4 {
        strangers.refused(syn(number), 0, moment(15_000));
    }
    assert_eq!(admitted(&mut strangers, open(60), 17_099), []);
    assert_eq!(admitted(&mut strangers, open(60), 17_100), [2, 3]);
}

#[test]
fn a_server_that_refuses_when_it_is_full_keeps_slots_free() {
    let mut strangers = waiting(1..9, 0, &[0, 1_000, 3_000, 7_000]);
    let mut admitted = |seen, ms| admitted_by(&mut strangers, seen, WhenFull::Refuses, ms);
    assert_eq!(admitted(open(SLOTS), 7_100), []);
    // A tenth of the slots stays free.
    assert_eq!(admitted(open(36), 7_200), []);
    assert_eq!(admitted(open(35), 7_300), [1]);
    // One slot is promised to stranger 1.
    assert_eq!(admitted(open(35), 8_000), []);
    assert_eq!(admitted(open(34), 8_100), [2]);
    assert_eq!(admitted(open(34), 9_000), []);
    assert_eq!(strangers.promised(), 2);
    strangers.connected(syn(1).source);
    assert_eq!(strangers.promised(), 1);
    let again = admitted_by(&mut strangers, open(34), WhenFull::Refuses, 9_100);
    assert_eq!(again, [3]);
}

/// The sources of the flood repeat their SYNs as kernels do, but never connect.
#[test]
fn promises_in_a_flood_hold_no_slots() {
    let mut strangers = waiting(1..9, 0, &[0, 1_000, 3_000, 7_000]);
    strangers.set_share(SHARE_ONE / 50);
    let mut admitted = Vec::new();
    for ms in (7_100..11_000).step_by(600) {
        admitted.extend(admitted_by(&mut strangers, open(34), WhenFull::Refuses, ms));
        assert_eq!(strangers.promised(), 1);
    }
    assert_eq!(admitted, (1..9).collect::<Vec<u8>>());
}

/// Such a server accepts each connection at once, also one that it then refuses.
#[test]
fn a_server_that_refuses_shows_nothing_by_accepting_at_once() {
    for (when_full, expected) in [(WhenFull::Refuses, &[][..]), (WhenFull::Waits, &[3])] {
        let mut strangers = waiting(1..4, 0, &[0, 1_000, 3_000, 7_000]);
        let mut admitted = |seen, ms| admitted_by(&mut strangers, seen, when_full, ms);
        assert_eq!(admitted(open(30), 5_000), [1, 2]);
        for ms in [5_600, 14_999, 15_000] {
            let expected = if ms == 15_000 { expected } else { &[] };
            assert_eq!(admitted(open(60), ms), expected, "{when_full:?}");
        }
    }
}

#[test]
fn a_stranger_that_gave_up_is_forgotten() {
    let mut strangers = waiting(1..2, 0, &[0, 1_000, 3_000]);
    // Its last SYN came at 3,001 ms, 3 s after the first, so it has given up after
    // another 3 s and `LATE`.
    assert_eq!(admitted(&mut strangers.clone(), FULL, 8_001), [1]);
    assert_eq!(admitted(&mut strangers, FULL, 8_002), []);
    assert!(strangers.waiting.is_empty());
}

#[test]
fn a_flood_is_remembered_only_in_part() {
    let mut strangers = WaitingStrangers::default();
    let source = |number: u32| RefusedSyn {
        source: std::net::Ipv4Addr::from_bits(number).into(),
        ..syn(0)
    };
    for number in 0..100_000 {
        strangers.refused(source(number), 0, moment(0));
    }
    assert!(strangers.first.len() <= MAX_FIRST && strangers.older.len() <= MAX_FIRST);
    assert_eq!(
        strangers.refused(source(0), 0, moment(1_000)),
        Duration::ZERO
    );
    let waited = strangers.refused(source(99_999), 0, moment(1_000));
    assert_eq!(waited, Duration::from_secs(1));
    for number in 0..MAX_WAITING as u32 + 9 {
        strangers.refused(source(1 << 20 | number), 0, moment(2_000));
        strangers.refused(source(1 << 20 | number), 0, moment(3_000));
    }
    assert_eq!(strangers.waiting.len(), MAX_WAITING);
}

/// So does a /64 with many hosts.
#[test]
fn a_stranger_with_many_connections_waits_once() {
    let mut strangers = WaitingStrangers::default();
    let of_host = |port: u16| RefusedSyn {
        source_port: port,
        ..syn(1)
    };
    let of_net = |host: u16| RefusedSyn {
        source: [0x2001, 0xdb8, 0, 1, 0, 0, 0, host].into(),
        ..syn(1)
    };
    for ms in [0, 1_000, 3_000] {
        for number in 0..100 {
            strangers.refused(of_host(number), 0, moment(ms));
            strangers.refused(of_net(number), 0, moment(ms));
        }
        strangers.refused(syn(2), 0, moment(ms + 100));
    }
    assert_eq!(strangers.waiting.len(), 3);
    // The later connections of a stranger do not restart its wait.
    let waited = strangers.clone().refused(of_host(0), 0, moment(7_000));
    assert_eq!(waited, Duration::from_secs(7));
    let mut passed = Vec::new();
    for ms in [3_200, 3_700, 4_200] {
        passed.extend(admitted(&mut strangers, open(30), ms));
    }
    passed.sort_unstable();
    assert_eq!(passed, [0, 1, 2]);
}

/// A sender of forged SYNs could repeat one after an hour.
#[test]
fn a_promise_ends_soon() {
    let mut strangers = waiting(1..2, 0, &[0, 3_600_000]);
    let admits = strangers.admit(open(30), SLOTS, WhenFull::Waits, moment(3_600_100));
    assert_eq!(admits.len(), 0, "the first SYN was forgotten");
    strangers.refused(syn(1), 0, moment(3_601_001));
    for seconds in 1..100 {
        strangers.refused(syn(1), 0, moment(3_601_001 + seconds * 60_000));
    }
    let now = moment(3_601_002 + 99 * 60_000);
    let admits = strangers.admit(open(30), SLOTS, WhenFull::Waits, now);
    let latest = now.plus(LONGEST_PAUSE + LATE);
    assert!(
        admits.iter().all(|admit| admit.until <= latest),
        "{admits:?}"
    );
    assert_eq!(admits.len(), 1);
}
