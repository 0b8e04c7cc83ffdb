#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::net::Ipv4Addr;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const NOW: Duration = Duration::from_secs(1_000_000);

fn v4(bits: u32) -> IpAddr {
    Ipv4Addr::from_bits(bits).into()
}

fn known(senders: u32) -> KnownSenders {
    let mut known = KnownSenders::default();
    for n in 0..senders {
        known.add(v4(n), Since::Before, NOW);
    }
    known
}

#[test]
fn mail_and_refusals_of_known_senders_count_for_a_day() {
    let mut known = known(3);
    known.accept(v4(0), Duration::ZERO, NOW);
    known.accept(v4(1), HOUR, NOW);
    known.accept(v4(2), DAY, NOW);
    known.refuse(v4(9), NOW);
    known.accept(v4(9), Duration::ZERO, NOW);
    assert_eq!(known.count(NOW), (0, 2), "one is too old, one is unknown");
    known.refuse(v4(0), NOW + HOUR);
    assert_eq!(known.count(NOW + HOUR), (1, 2));
    assert_eq!(known.count(NOW + 23 * HOUR), (1, 1));
    assert_eq!(known.count(NOW + HOUR + DAY), (0, 0));
    // Mail that was accepted before the machine started.
    known.accept(v4(0), 23 * HOUR, HOUR);
    assert_eq!(known.count(NOW).1, 1);
}

#[test]
fn a_sender_that_became_known_within_a_day_does_not_count() {
    let mut known = known(1);
    known.replace([v4(0), v4(1)].into_iter(), NOW);
    for addr in [v4(0), v4(1)] {
        known.refuse(addr, NOW + DAY - HOUR);
    }
    assert_eq!(known.count(NOW + DAY - HOUR), (1, 1));
    known.replace([v4(0), v4(1)].into_iter(), NOW + HOUR);
    known.refuse(v4(1), NOW + DAY);
    assert_eq!(known.count(NOW + DAY), (2, 2));
}

#[test]
fn who_is_refused_counts_also_when_it_was_demoted() {
    let mut known = known(2);
    known.refuse(v4(0), NOW);
    known.replace(std::iter::empty(), NOW + HOUR);
    assert_eq!(known.count(NOW + HOUR), (1, 1));
    assert_eq!(known.senders.len(), 1, "the other one is forgotten");
    assert_eq!(known.count(NOW + DAY), (0, 0));
    assert_eq!(known.senders.len(), 0);
}

#[test]
fn an_acceptance_and_a_pardon_end_a_refusal() {
    let mut known = known(2);
    known.refuse(v4(0), NOW);
    known.refuse(v4(0), NOW);
    known.refuse(v4(1), NOW);
    assert_eq!(known.count(NOW), (2, 2));
    known.accept(v4(0), Duration::ZERO, NOW);
    assert_eq!(known.count(NOW), (1, 2));
    known.pardon();
    assert_eq!(known.count(NOW), (0, 2));
    known.refuse(v4(1), NOW);
    assert_eq!(known.count(NOW), (1, 2));
}

#[test]
fn a_64_is_one_sender() {
    let addr = |text: &str| -> IpAddr { text.parse().unwrap() };
    let mut known = KnownSenders::default();
    known.add(addr("2001:db8::1"), Since::Before, NOW);
    known.accept(addr("2001:db8::2"), Duration::ZERO, NOW);
    known.accept(addr("2001:db8:0:1::1"), Duration::ZERO, NOW);
    known.refuse(addr("2001:db8::3"), NOW);
    assert_eq!(known.count(NOW), (1, 1));
}

#[test]
fn their_number_is_bounded_and_each_takes_little_memory() {
    let many = u32::try_from(CAPACITY).unwrap() + 9;
    assert_eq!(known(many).senders.len(), CAPACITY);
    assert_eq!(size_of::<(u64, Sender)>(), 24);
}
