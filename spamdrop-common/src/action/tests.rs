use super::*;

const TTL: u32 = 600;
const START: MonotonicNs = MonotonicNs::from_second(5_000);

fn after(seconds: u32) -> MonotonicNs {
    START.plus_seconds(seconds)
}

fn entry() -> Entry {
    Entry {
        expires: expiry(START, TTL, 0),
        ttl_s: TTL,
        ..Entry::default()
    }
}

fn step(time: MonotonicNs, ns: i64) -> MonotonicNs {
    MonotonicNs::from_ns(time.ns().wrapping_add_signed(ns))
}

#[test]
fn age_of_exactly_ttl_matches_and_one_more_does_not() {
    assert!(is_live(entry().expires, after(TTL)));
    assert!(!is_live(entry().expires, step(after(TTL), 1)));
}

#[test]
fn a_prefix_matches_through_its_last_second() {
    let prefix = CidrEntry {
        expires_s: 10,
        ..CidrEntry::default()
    };
    let end = MonotonicNs::from_second(11);
    assert!(is_cidr_live(&prefix, step(end, -1)));
    assert!(!is_cidr_live(&prefix, end));
}

#[test]
fn an_expiry_is_the_sooner_of_ttl_and_limit() {
    assert_eq!(expiry(START, TTL, 0), after(TTL));
    assert_eq!(expiry(START, TTL, 5_599), after(599));
    assert_eq!(expiry(START, TTL, 5_600), after(TTL));
    assert_eq!(expiry(START, TTL, 5_601), after(TTL));
}

#[test]
fn every_packet_slides_by_the_ttl() {
    let now = after(300);
    let expires = after(300 + TTL);
    assert_eq!(slide(&entry(), now, false, Refresh::Packet), expires);
    assert_eq!(slide(&entry(), now, true, Refresh::Packet), expires);
}

#[test]
fn refresh_modes_choose_the_packets_that_slide() {
    let (entry, now) = (entry(), after(300));
    assert_eq!(slide(&entry, now, false, Refresh::Syn), entry.expires);
    assert!(slide(&entry, now, true, Refresh::Syn) > entry.expires);
    assert_eq!(slide(&entry, now, true, Refresh::Never), entry.expires);
}

#[test]
fn a_move_of_less_than_a_second_is_skipped() {
    let entry = entry();
    let just_under = step(after(1), -1);
    let slid = slide(&entry, just_under, true, Refresh::Packet);
    assert_eq!(slid, entry.expires);
    let slid = slide(&entry, after(1), true, Refresh::Packet);
    assert_eq!(slid, entry.expires.plus_seconds(1));
}

#[test]
fn nothing_slides_past_the_hard_limit_or_backwards() {
    let limited = Entry {
        hard_until_s: 5_700,
        ..entry()
    };
    let now = after(500);
    assert_eq!(slide(&limited, now, true, Refresh::Packet), after(700));
    let beyond = Entry {
        hard_until_s: 5_400,
        ..entry()
    };
    assert_eq!(slide(&beyond, now, true, Refresh::Packet), beyond.expires);
}

#[test]
fn a_ttl_of_zero_is_fixed() {
    let fixed = Entry {
        ttl_s: 0,
        ..entry()
    };
    let slid = slide(&fixed, after(300), true, Refresh::Packet);
    assert_eq!(slid, fixed.expires);
    // A hit after its expiry does not move it either.
    let slid = slide(&fixed, after(TTL + 9), true, Refresh::Packet);
    assert_eq!(slid, fixed.expires);
}

/// Checks the guarantees of [`quiet_until`] in the last nanosecond before the time that it
/// returns. Returns how long from `now` a recent drop may answer.
fn assert_quiet(entry: &Entry, now: MonotonicNs) -> Duration {
    let [packet, syn, never] = [Refresh::Packet, Refresh::Syn, Refresh::Never].map(|refresh| {
        let end = quiet_until(entry, now, refresh);
        if end > now {
            let last = step(end, -1);
            assert!(is_live(entry.expires, last));
            let exact = expiry(last, entry.ttl_s, entry.hard_until_s).max(entry.expires);
            let slid = slide(entry, last, true, refresh);
            let early = slid.elapsed_since(entry.expires);
            assert!(early <= answer(entry.ttl_s), "{early:?} early");
            if refresh != Refresh::Never {
                assert_eq!(slid_by_recent_drop(entry, last), exact);
            }
        }
        assert!(end <= now.plus(LONGEST_ANSWER));
        end.elapsed_since(now)
    });
    assert_eq!(packet, syn);
    let left = step(entry.expires, 1).elapsed_since(now);
    assert_eq!(never, LONGEST_ANSWER.min(left));
    packet
}

fn answer(ttl_s: u32) -> Duration {
    Duration::from_nanos(answer_ns(ttl_s))
}

#[test]
fn a_recent_drop_answers_for_a_32nd_of_the_ttl_from_a_second_to_sixteen() {
    for (ttl_s, ms) in [
        (0, 1_000),
        (1, 1_000),
        (32, 1_000),
        (33, 1_031),
        (64, 2_000),
        (512, 16_000),
        (TTL, 16_000),
        (u32::MAX, 16_000),
    ] {
        assert_eq!(answer(ttl_s).as_millis(), ms, "{ttl_s}");
    }
}

#[test]
fn a_recent_drop_answers_until_a_store_was_postponed_for_long_or_the_entry_expires() {
    for ttl_s in [10, 100, TTL] {
        let entry = Entry {
            expires: expiry(START, ttl_s, 0),
            ttl_s,
            ..Entry::default()
        };
        let answer = answer(ttl_s);
        assert_eq!(assert_quiet(&entry, START), answer);
        assert_eq!(assert_quiet(&entry, START.plus(answer / 4)), answer * 3 / 4);
        assert_eq!(assert_quiet(&entry, START.plus(answer)), Duration::ZERO);
    }
    // The entry was last stored 300 s ago: a store is overdue, so no recent drop may answer.
    assert_eq!(assert_quiet(&entry(), after(300)), Duration::ZERO);
}

#[test]
fn a_recent_drop_of_an_entry_that_does_not_slide_answers_until_it_expires() {
    let fixed = Entry {
        ttl_s: 0,
        ..entry()
    };
    assert_eq!(assert_quiet(&fixed, after(300)), LONGEST_ANSWER);
    assert_eq!(assert_quiet(&fixed, fixed.expires), Duration::from_nanos(1));
    let just_before = step(fixed.expires, -9);
    assert_eq!(assert_quiet(&fixed, just_before), Duration::from_nanos(10));
    let limited = Entry {
        hard_until_s: 5_600,
        ..entry()
    };
    assert_eq!(assert_quiet(&limited, after(300)), LONGEST_ANSWER);
    // A hit does not extend this entry: it was added by hand, and its end is later than
    // the one that a hit would set.
    let long = Entry {
        ttl_s: 10,
        ..entry()
    };
    assert_eq!(assert_quiet(&long, START), LONGEST_ANSWER);
}

#[test]
fn a_postponed_slide_is_added_unless_it_is_not_of_this_entry() {
    let slid = |last| slid_by_recent_drop(&entry(), last).elapsed_since(entry().expires);
    assert_eq!(slid(START), Duration::ZERO);
    assert_eq!(slid(after(7)), Duration::from_secs(7));
    assert_eq!(slid(after(16)), Duration::from_secs(16));
    assert_eq!(slid(after(17)), Duration::from_secs(17));
    assert_eq!(slid(step(after(17), 1)), Duration::ZERO);
    assert_eq!(slid(MonotonicNs::default()), Duration::ZERO);
    let limited = Entry {
        hard_until_s: 5_605,
        ..entry()
    };
    assert_eq!(slid_by_recent_drop(&limited, after(7)), after(605));
    let fixed = Entry {
        ttl_s: 0,
        ..entry()
    };
    assert_eq!(slid_by_recent_drop(&fixed, after(7)), fixed.expires);
}

#[test]
fn open_drops_new_connections_and_sealed_drops_all() {
    assert_eq!(blocked_action(0, true), Reason::OpenDropped);
    assert_eq!(blocked_action(0, false), Reason::OpenPassed);
    assert_eq!(blocked_action(SEALED, true), Reason::SealedDropped);
    assert_eq!(blocked_action(SEALED, false), Reason::SealedDropped);
    assert_eq!(blocked_action(!SEALED, true), Reason::OpenDropped);
}

#[test]
fn an_address_decides_unless_its_64_drops_more() {
    let now = after(1);
    let entry = |flags, is_live: bool| Entry {
        flags,
        expires: if is_live { now } else { step(now, -1) },
        ..Entry::default()
    };
    for (address, net, expected) in [
        (entry(SEALED, true), entry(SEALED, true), true),
        (entry(SEALED, true), entry(0, true), true),
        (entry(0, true), entry(0, true), true),
        (entry(0, true), entry(SEALED, true), false),
        (entry(0, true), entry(SEALED, false), true),
        (entry(SEALED, false), entry(0, true), false),
        (entry(SEALED, false), entry(SEALED, false), false),
    ] {
        assert_eq!(
            decides(&address, &net, now),
            expected,
            "{address:?} {net:?}"
        );
    }
}

/// The seconds at which a blocked host that tries every 240 s reaches the
/// server. The server's 5xx blocks it again.
fn reaches_the_server(hard_limit_s: u32) -> std::vec::Vec<u32> {
    let mut entry = Entry::default();
    let mut reached = std::vec::Vec::new();
    for after_s in (0..=7_200).step_by(240) {
        let now = after(after_s);
        if is_live(entry.expires, now) {
            entry.expires = slide(&entry, now, true, Refresh::Packet);
            continue;
        }
        reached.push(after_s);
        entry.hard_until_s = match hard_limit_s {
            0 => 0,
            limit => now.second() + limit,
        };
        entry.ttl_s = TTL;
        entry.expires = expiry(now, TTL, entry.hard_until_s);
    }
    reached
}

#[test]
fn a_host_that_never_gives_up_is_told_again_after_the_hard_limit() {
    // 3,840 s is the first try after the hard limit of an hour.
    assert_eq!(reaches_the_server(3_600), [0, 3_840]);
    assert_eq!(reaches_the_server(0), [0]);
}
