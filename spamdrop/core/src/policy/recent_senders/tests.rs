#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::net::Ipv4Addr;

use super::*;

const NOW: Duration = Duration::from_secs(1_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn v4(bits: u32) -> IpAddr {
    Ipv4Addr::from_bits(bits).into()
}

#[test]
fn acceptance_clears_a_refusal() {
    let mut known = RecentSenders::default();
    known.refuse(v4(1));
    assert_eq!(known.count(NOW), (0, 0));
    known.accept(v4(1), Duration::ZERO, NOW);
    known.refuse(v4(1));
    known.refuse(v4(1));
    assert_eq!(known.count(NOW), (1, 1));
    known.accept(v4(1), Duration::ZERO, NOW);
    assert_eq!(known.count(NOW), (0, 1));
}

#[test]
fn sources_and_their_refusals_are_forgotten_after_a_day() {
    let mut known = RecentSenders::default();
    known.accept(v4(1), Duration::ZERO, NOW);
    known.refuse(v4(1));
    known.accept(v4(2), Duration::ZERO, NOW + HOUR);
    assert_eq!(
        known.count(NOW + 24 * HOUR - Duration::from_secs(1)),
        (1, 2)
    );
    assert_eq!(
        known.count(NOW + 24 * HOUR + Duration::from_secs(59)),
        (0, 1)
    );
    assert_eq!(known.count(NOW + 26 * HOUR), (0, 0));
}

#[test]
fn acceptance_counts_from_when_it_was_logged() {
    let mut known = RecentSenders::default();
    assert!(!known.accept(v4(1), 24 * HOUR, NOW));
    assert!(known.accept(v4(2), 23 * HOUR, NOW));
    assert_eq!(known.count(NOW), (0, 1));
    assert_eq!(known.count(NOW + 2 * HOUR), (0, 0));
    // Mail that was accepted before the machine started.
    assert!(known.accept(v4(3), 23 * HOUR, HOUR));
}

#[test]
fn a_64_is_one_source() {
    let mut known = RecentSenders::default();
    let addr = |text: &str| -> IpAddr { text.parse().unwrap() };
    known.accept(addr("2001:db8::1"), Duration::ZERO, NOW);
    known.accept(addr("2001:db8::2"), Duration::ZERO, NOW);
    known.accept(addr("2001:db8:0:1::1"), Duration::ZERO, NOW);
    known.refuse(addr("2001:db8::3"));
    assert_eq!(known.count(NOW), (1, 2));
}

#[test]
fn the_oldest_make_room() {
    let mut known = RecentSenders::default();
    let capacity = u32::try_from(CAPACITY).unwrap();
    for n in 0..2 * capacity {
        // 100 a second, so that several have the same age.
        let now = NOW + Duration::from_secs((n / 100).into());
        known.accept(v4(n), Duration::ZERO, now);
        assert!(known.sources.len() <= CAPACITY);
    }
    let oldest = 2 * capacity - capacity * 7 / 8;
    let kept = (oldest..2 * capacity).filter(|&n| known.sources.contains_key(&key(v4(n))));
    assert_eq!(kept.count(), usize::try_from(capacity * 7 / 8).unwrap());
}

#[test]
fn ages_that_all_tie_make_room_for_no_more_than_needed() {
    let mut known = RecentSenders::default();
    let capacity = u32::try_from(CAPACITY).unwrap();
    for n in 0..=capacity {
        known.accept(v4(n), Duration::ZERO, NOW);
    }
    assert_eq!(known.sources.len(), CAPACITY * 7 / 8 + 1);
}

#[test]
fn a_source_takes_little_memory() {
    assert_eq!(size_of::<(u64, RecentSender)>(), 16);
}
