use std::net::Ipv4Addr;

use super::*;

const fn moment(seconds: u64) -> Duration {
    Duration::from_secs(1_000_000 + seconds)
}

fn v4(bits: u32) -> IpAddr {
    Ipv4Addr::from_bits(bits).into()
}

#[test]
fn rate_trips_above_the_limit() {
    let mut ceiling = Ceiling::new(10);
    for _ in 0..10 {
        assert!(ceiling.admits(true, moment(0)));
    }
    assert!(!ceiling.admits(true, moment(59)));
    assert_eq!(
        ceiling.trip(moment(59)),
        Some(Trip::Rate {
            offences: 11,
            limit: 10
        })
    );
}

#[test]
fn another_limit_counts_at_once() {
    let mut ceiling = Ceiling::new(10);
    for _ in 0..10 {
        ceiling.admits(true, moment(0));
    }
    ceiling.set_limit(9);
    let (offences, limit) = (10, 9);
    assert_eq!(
        ceiling.trip(moment(0)),
        Some(Trip::Rate { offences, limit })
    );
    ceiling.set_limit(11);
    assert_eq!(ceiling.trip(moment(0)), None);
}

#[test]
fn listed_addresses_are_not_new() {
    let mut ceiling = Ceiling::new(10);
    for _ in 0..1000 {
        assert!(ceiling.admits(false, moment(0)));
    }
}

#[test]
fn rate_recovers_when_the_last_minute_is_under_the_limit() {
    let mut ceiling = Ceiling::new(10);
    ceiling.admits(true, moment(0));
    ceiling.admits(true, moment(1));
    for _ in 0..9 {
        ceiling.admits(true, moment(30));
    }
    assert!(ceiling.trip(moment(59)).is_some());
    // Ten offences are left in the minute, which is not below the limit.
    assert!(ceiling.trip(moment(60)).is_some());
    assert!(ceiling.trip(moment(61)).is_none());
    assert!(ceiling.admits(true, moment(61)));
}

#[test]
fn rate_stays_tripped_while_offences_go_on() {
    let mut ceiling = Ceiling::new(60);
    for second in 0..600 {
        for _ in 0..2 {
            ceiling.admits(true, moment(second));
        }
        assert_eq!(
            ceiling.trip(moment(second)).is_some(),
            second >= 30,
            "{second}"
        );
    }
}

#[test]
fn a_long_silence_empties_the_minute() {
    let mut ceiling = Ceiling::new(1);
    ceiling.admits(true, moment(0));
    ceiling.admits(true, moment(0));
    assert!(ceiling.trip(moment(0)).is_some());
    assert!(ceiling.trip(moment(1_000_000_000)).is_none());
}

fn with_known(sources: u32) -> Ceiling {
    let mut ceiling = Ceiling::new(6000);
    for n in 0..sources {
        ceiling.know(v4(n), Since::Before, moment(0));
        ceiling.accepted(v4(n), Duration::ZERO, moment(0));
    }
    ceiling
}

#[test]
fn share_trips_at_five_sources_and_a_fifth() {
    let mut ceiling = with_known(25);
    for n in 0..4 {
        ceiling.refused(v4(n), moment(1));
    }
    assert!(ceiling.admits(true, moment(1)));
    ceiling.refused(v4(4), moment(1));
    assert!(!ceiling.admits(true, moment(1)));
    assert_eq!(
        ceiling.trip(moment(1)),
        Some(Trip::Share {
            refused: 5,
            known: 25
        })
    );
}

#[test]
fn share_needs_five_sources() {
    let mut ceiling = with_known(4);
    for n in 0..4 {
        ceiling.refused(v4(n), moment(1));
    }
    assert!(ceiling.admits(true, moment(1)));
}

#[test]
fn share_needs_a_fifth() {
    let mut ceiling = with_known(26);
    for n in 0..5 {
        ceiling.refused(v4(n), moment(1));
    }
    assert!(ceiling.admits(true, moment(1)));
}

/// Each bot has a mail accepted before a blocklist lists it.
#[test]
fn bots_do_not_trip_the_share() {
    for bots in [5, 50, 200] {
        let mut ceiling = with_known(20);
        for bot in 1000..1000 + bots {
            ceiling.accepted(v4(bot), Duration::ZERO, moment(1));
        }
        for bot in 1000..1000 + bots {
            ceiling.refused(v4(bot), moment(60));
            assert!(ceiling.admits(true, moment(60)), "{bots}");
        }
    }
}

#[test]
fn a_reset_ends_both_trips() {
    let mut ceiling = with_known(5);
    for n in 0..5 {
        ceiling.refused(v4(n), moment(1));
    }
    assert!(ceiling.trip(moment(1)).is_some());
    ceiling.reset();
    assert!(!ceiling.is_tripped() && ceiling.trip(moment(1)).is_none());
    let mut ceiling = Ceiling::new(1);
    ceiling.admits(true, moment(0));
    assert!(!ceiling.admits(true, moment(0)));
    ceiling.reset();
    assert!(ceiling.admits(true, moment(0)));
    assert!(!ceiling.admits(true, moment(0)));
}

#[test]
fn share_recovers_under_half_of_the_bar() {
    let mut ceiling = with_known(100);
    for n in 0..20 {
        ceiling.refused(v4(n), moment(1));
    }
    assert!(ceiling.trip(moment(1)).is_some());
    for n in 0..10 {
        ceiling.accepted(v4(n), Duration::ZERO, moment(2));
    }
    assert!(ceiling.trip(moment(2)).is_some());
    ceiling.accepted(v4(10), Duration::ZERO, moment(3));
    assert!(ceiling.trip(moment(3)).is_none());
    // After recovery, the full limit applies again.
    ceiling.refused(v4(10), moment(4));
    assert!(ceiling.trip(moment(4)).is_none());
}

#[test]
fn share_recovers_when_the_refused_are_forgotten() {
    let mut ceiling = with_known(10);
    for n in 0..10 {
        ceiling.refused(v4(n), moment(1));
    }
    assert!(ceiling.trip(moment(23 * 3600)).is_some());
    assert!(ceiling.trip(moment(24 * 3600 + 60)).is_none());
}

#[test]
fn trip_reads_as_a_sentence() {
    let rate = Trip::Rate {
        offences: 6001,
        limit: 6000,
    };
    assert_eq!(
        rate.to_string(),
        "6001 offences by new addresses in the last minute, limit 6000"
    );
    let share = Trip::Share {
        refused: 5,
        known: 25,
    };
    assert_eq!(
        share.to_string(),
        "5 of the 25 known senders of the last 24 h are refused now"
    );
}
