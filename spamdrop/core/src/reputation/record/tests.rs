#![expect(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;

/// 2026-11-23, midnight.
const MIDNIGHT: u64 = 1_795_392_000;
const DAY: u64 = 86_400;

fn unix(seconds: u64) -> UnixSeconds {
    UnixSeconds::new(seconds)
}

#[derive(Clone, Copy, Debug)]
enum Fact {
    Accepted(u64),
    /// The recipient is a small number.
    Delivered(u64, u8),
    Demoted(u64),
}

/// A reference implementation of the documented rule, which stores all events
/// and counts them.
fn by_the_book(facts: &[Fact], now: u64) -> bool {
    let demoted = facts.iter().filter_map(|fact| match fact {
        Fact::Demoted(at) => Some(*at),
        _ => None,
    });
    let demoted = demoted.max().unwrap_or(0);
    let counts = |at: &u64| *at > demoted && now <= *at + 36 * DAY;
    let delivered = || {
        facts.iter().filter_map(|fact| match fact {
            Fact::Delivered(at, recipient) if counts(at) => Some((at / DAY, recipient)),
            _ => None,
        })
    };
    if delivered().any(|(day, to)| delivered().any(|other| other.0 != day && other.1 != to)) {
        return true;
    }
    let mut counting: Vec<u64> = facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Accepted(at) => Some(*at),
            _ => None,
        })
        .filter(counts)
        .collect();
    counting.sort_unstable();
    counting.dedup();
    let mut days: Vec<u64> = counting.iter().map(|at| at / DAY).collect();
    days.dedup();
    counting.len() >= 3 && days.len() >= 2
}

fn recipient(number: u8) -> Recipient {
    Recipient::from_mailbox(Some(&[number]))
}

fn record(fact: &Fact) -> Record {
    match *fact {
        Fact::Accepted(at) => Record::accepted(unix(at)),
        Fact::Delivered(at, to) => Record::delivered(unix(at), recipient(to)),
        Fact::Demoted(at) => Record::demoted(unix(at)),
    }
}

fn joined(facts: &[Fact]) -> Record {
    facts
        .iter()
        .map(record)
        .fold(Record::default(), Record::join)
}

/// Times within some months, with ties and several on a day.
fn stamp() -> impl Strategy<Value = u64> {
    let day = prop_oneof![3 => 0..2u64, 1 => 30..40u64, 1 => 0..80u64];
    let second = prop_oneof![Just(0), Just(DAY - 1), 0..4u64, 0..DAY];
    (day, second).prop_map(|(day, second)| MIDNIGHT + day * DAY + second)
}

fn facts() -> impl Strategy<Value = Vec<Fact>> {
    let fact = prop_oneof![
        6 => stamp().prop_map(Fact::Accepted),
        1 => stamp().prop_map(Fact::Demoted),
        4 => (stamp(), 0..4u8).prop_map(|(at, to)| Fact::Delivered(at, to)),
    ];
    prop_oneof![
        prop::collection::vec(fact.clone(), 0..6),
        prop::collection::vec(fact, 0..24),
    ]
}

proptest! {
    #[test]
    fn the_rule_holds_at_any_time(facts in facts(), later in prop::collection::vec(stamp(), 1..8)) {
        let record = joined(&facts);
        for now in later.iter().flat_map(|at| [*at, at + 36 * DAY, at + 36 * DAY + 1]) {
            prop_assert_eq!(record.standing(unix(now)).is_known(), by_the_book(&facts, now), "{}", now);
        }
        let until = record.known_until().get();
        prop_assert_eq!(until != 0, by_the_book(&facts, until.saturating_sub(36 * DAY)));
        if until != 0 {
            prop_assert!(by_the_book(&facts, until) && !by_the_book(&facts, until + 1));
        }
    }

    #[test]
    fn order_and_repetition_do_not_matter(
        (facts, order, again) in facts().prop_flat_map(|facts| {
            let count = facts.len();
            let shuffled = Just(facts.clone()).prop_shuffle();
            (Just(facts.clone()), shuffled, subsequence(facts, 0..=count))
        }),
        split in any::<prop::sample::Index>(),
    ) {
        let whole = joined(&facts);
        let (left, right) = order.split_at(split.index(order.len() + 1));
        let joined = joined(left).join(joined(right)).join(joined(&again));
        prop_assert_eq!(joined, whole);
    }
}

fn known(days: &[u64]) -> Record {
    let facts: Vec<Fact> = days
        .iter()
        .enumerate()
        .map(|(n, day)| Fact::Accepted(MIDNIGHT + day * DAY + u64::try_from(n).unwrap()))
        .collect();
    joined(&facts)
}

#[test]
fn three_mails_on_two_days_make_a_source_known() {
    let now = MIDNIGHT + 9 * DAY;
    for (days, expected) in [
        (&[][..], SenderStanding::Void),
        (&[1], SenderStanding::Unproven),
        (&[1, 2], SenderStanding::Unproven),
        (&[1, 1, 1, 1], SenderStanding::Unproven),
        (&[1, 1, 2], SenderStanding::Known),
        (&[1, 2, 2, 2, 2], SenderStanding::Known),
    ] {
        assert_eq!(known(days).standing(unix(now)), expected, "{days:?}");
    }
}

#[test]
fn evidence_lapses_after_36_days() {
    let record = known(&[0, 1, 1]);
    let last = MIDNIGHT + 36 * DAY;
    assert_eq!(record.known_until(), unix(last));
    assert_eq!(record.standing(unix(last)), SenderStanding::Known);
    assert_eq!(record.standing(unix(last + 1)), SenderStanding::Unproven);
    assert_eq!(
        record.standing(unix(last + DAY + 2)),
        SenderStanding::Unproven
    );
    assert_eq!(record.standing(unix(last + DAY + 3)), SenderStanding::Void);
}

#[test]
fn a_demoted_source_begins_anew() {
    let now = MIDNIGHT + 9 * DAY;
    let demoted = known(&[1, 2, 3]).join(Record::demoted(unix(now)));
    assert_eq!(demoted.standing(unix(now)), SenderStanding::Demoted);
    assert_eq!(
        demoted.standing(unix(now + 36 * DAY + 1)),
        SenderStanding::Void
    );
    assert_eq!(demoted.join(known(&[1, 2, 3])), demoted);
    assert_eq!(demoted.last_accepted(), known(&[1, 2, 3]).last_accepted());
    let again = [1, DAY, 2 * DAY].map(|later| Record::accepted(unix(now + later)));
    let again = again.into_iter().fold(demoted, Record::join);
    assert_eq!(again.standing(unix(now + 2 * DAY)), SenderStanding::Known);
}

#[test]
fn only_a_source_with_positive_evidence_is_of_interest() {
    let at = unix(MIDNIGHT);
    let delivered = Record::delivered(at, recipient(1));
    for (record, expected) in [
        (Record::default(), false),
        (Record::demoted(at), false),
        (Record::accepted(at), true),
        (delivered, true),
        (Record::default().added(at), true),
    ] {
        assert_eq!(record.is_of_interest(), expected, "{record:?}");
        let demoted = record.join(Record::demoted(unix(MIDNIGHT + 1)));
        assert_eq!(demoted.is_of_interest(), expected, "{record:?}");
    }
}

#[test]
fn deliveries_on_two_days_make_known_for_36_days_until_demoted() {
    let delivered = |day: u64, to| Record::delivered(unix(MIDNIGHT + day * DAY), recipient(to));
    let first = delivered(0, 1);
    assert_eq!(first.standing(unix(MIDNIGHT)), SenderStanding::Unproven);
    assert_eq!((first.known_until(), first.is_good()), (NEVER, true));
    let record = first.join(delivered(1, 2));
    let last = MIDNIGHT + 36 * DAY;
    assert_eq!(record.standing(unix(last)), SenderStanding::Known);
    assert_eq!(record.standing(unix(last + 1)), SenderStanding::Unproven);
    assert_eq!(record.standing(unix(last + DAY + 1)), SenderStanding::Void);
    assert_eq!(record.known_until(), unix(last));
    assert_eq!(record.last(), unix(MIDNIGHT + DAY));
    let demoted = record.join(Record::demoted(unix(MIDNIGHT + DAY)));
    assert_eq!(demoted.standing(unix(last)), SenderStanding::Demoted);
    assert_eq!((demoted.known_until(), demoted.is_good()), (NEVER, false));
    assert_eq!(demoted.last_delivered(), unix(MIDNIGHT + DAY));
    // The demoted record still has its deliveries.
    assert!(demoted.is_of_interest());
    let again = demoted.join(delivered(2, 1)).join(delivered(3, 2));
    assert_eq!(again.standing(unix(last)), SenderStanding::Known);
    let removed = again.removed(unix(MIDNIGHT + DAY));
    assert_eq!(removed.standing(unix(last)), SenderStanding::Demoted);
}

#[test]
fn a_hand_adds_and_removes_within_one_second() {
    let now = MIDNIGHT;
    let hand = Record::default().added(unix(now));
    assert_eq!(
        hand.standing(unix(now + 1000 * DAY)),
        SenderStanding::ByHand
    );
    let removed = hand.removed(unix(now));
    assert_eq!(removed.standing(unix(now)), SenderStanding::Demoted);
    let added = removed.added(unix(now));
    assert_eq!(added.standing(unix(now)), SenderStanding::ByHand);
    assert_eq!(added.join(added), added);
    assert_eq!(
        added.removed(unix(now)).standing(unix(now)),
        SenderStanding::Demoted
    );
    // Its mail does not count any more either.
    let accepted = Record::accepted(unix(now)).removed(unix(now + 1));
    assert_eq!(accepted.last_accepted, NEVER);
    // Only a hand removes what a hand has added.
    let listed = added.join(Record::demoted(unix(now + 2)));
    assert_eq!(listed.standing(unix(now + 2)), SenderStanding::ByHand);
    let removed = listed.removed(unix(now + 1));
    assert_eq!(removed.standing(unix(now + 2)), SenderStanding::Demoted);
    assert_eq!(
        removed.join(added).standing(unix(now + 2)),
        SenderStanding::Demoted
    );
}
