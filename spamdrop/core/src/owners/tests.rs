#![expect(clippy::unwrap_used, reason = "a test may panic")]
use spamdrop_common::entry::{Entry, ORIGIN_HAND, ORIGIN_LOG, ORIGIN_MASK, SEALED};
use spamdrop_common::time::MonotonicNs;

use super::*;

const NOW: u64 = 10_000;

fn moment(second: u64) -> MonotonicNs {
    MonotonicNs::from_second(u32::try_from(second).unwrap())
}

fn fixed(second: u64) -> Hold {
    Hold {
        ends: moment(second),
        hard_until_s: 0,
        ttl_s: 0,
    }
}

/// A hold that slides by ten minutes, up to a limit.
fn sliding(ends: u64, hard_until_s: u32) -> Hold {
    Hold {
        ends: moment(ends),
        hard_until_s,
        ttl_s: 600,
    }
}

fn drop_list() -> OwnerBit {
    OwnerBit::new(5).unwrap()
}

/// An entry with these holds, as the map has it.
fn entry(holds: &[OwnerHold]) -> Entry {
    let entry = Entry {
        hits: 7,
        flags: SEALED,
        ..Entry::default()
    };
    combine(&entry, holds).unwrap()
}

fn kept(left: LetGo) -> Entry {
    match left {
        LetGo::Kept(entry, _) => entry,
        LetGo::Removed => panic!("it was removed"),
    }
}

#[test]
fn owners_are_read_as_they_are_shown() {
    for (text, shown) in [
        ("log", "log"),
        ("hand", "hand"),
        ("fifo", "fifo"),
        ("drop", "import:drop"),
        ("import:drop", "import:drop"),
        ("f2b:postfix-sasl", "f2b:postfix-sasl"),
        ("import:log", "import:log"),
        ("unnamed:17", "unnamed:17"),
    ] {
        let owner: EntryOwner = text.parse().unwrap();
        assert_eq!(owner.to_string(), shown);
        assert_eq!(owner.to_string().parse::<EntryOwner>().unwrap(), owner);
    }
    let long = "x".repeat(LONGEST_NAME + 1);
    for text in [
        "",
        "import:",
        "f2b:",
        "other:x",
        "a b",
        "a/b",
        "a\"b",
        "a\n",
        "é",
        "a:b:c",
        "Log:x",
        &long,
        "unnamed:",
        "unnamed:4",
        "unnamed:64",
        "unnamed:x",
    ] {
        assert!(text.parse::<EntryOwner>().is_err(), "{text}");
    }
    let at_most: EntryOwner = "x".repeat(LONGEST_NAME).parse().unwrap();
    assert!(at_most.fixed_bit().is_none());
    let escaped = "a\x1bb".parse::<EntryOwner>().unwrap_err().to_string();
    assert!(
        escaped.starts_with(r"`a\x1bb` is not an owner"),
        "{escaped}"
    );
}

#[test]
fn a_set_is_empty_or_shared_by_its_number_of_owners() {
    let one = OwnerMask::from(OwnerBit::LOG);
    for (mask, is_empty, is_shared) in [
        (OwnerMask::default(), true, false),
        (one.without(OwnerBit::LOG), true, false),
        (one, false, false),
        (one.and(OwnerBit::LOG), false, false),
        (one.and(drop_list()), false, true),
    ] {
        let found = (mask.is_empty(), mask.is_shared());
        assert_eq!(found, (is_empty, is_shared), "{mask:?}");
    }
}

#[test]
fn each_fixed_bit_is_that_of_one_owner() {
    for owner in [EntryOwner::Log, EntryOwner::Hand, EntryOwner::Fifo] {
        let bit = owner.fixed_bit().unwrap();
        assert_eq!(EntryOwner::of_fixed_bit(bit), Some(owner));
        assert!(!NAMED_BITS.contains(&bit.get()));
    }
    assert_eq!(EntryOwner::of_fixed_bit(drop_list()), None);
    assert_eq!((OwnerBit::new(64), NAMED_BITS.count()), (None, 59));
}

#[test]
fn an_entry_without_owners_belongs_to_its_origin() {
    let of = |flags| {
        OwnerMask::from_entry(&Entry {
            flags,
            ..Entry::default()
        })
    };
    assert_eq!(of(ORIGIN_LOG | SEALED), OwnerBit::LOG.into());
    assert_eq!(of(ORIGIN_HAND), OwnerBit::HAND.into());
    assert_eq!(of(0), OwnerBit::HAND.into());
}

#[test]
fn the_end_is_the_latest_and_the_origin_is_the_log_only_alone() {
    let log = (OwnerBit::LOG, sliding(NOW + 600, 13_600));
    let alone = entry(&[log]);
    assert_eq!(alone.flags, ORIGIN_LOG | SEALED);
    assert_eq!((alone.ttl_s, alone.hard_until_s), (600, 13_600));
    let both = entry(&[log, (drop_list(), fixed(NOW + 86_400))]);
    assert_eq!(both.expires, moment(NOW + 86_400));
    // The terms of the log stay, for hits near the fixed end and later.
    assert_eq!((both.ttl_s, both.hard_until_s), (600, 13_600));
    assert_eq!(both.flags & ORIGIN_MASK, ORIGIN_HAND);
    assert_eq!(both.owners, 0b10_0001);
    let hand = (OwnerBit::HAND, sliding(NOW + 60, 0));
    let unlimited = entry(&[log, hand]);
    assert_eq!((unlimited.ttl_s, unlimited.hard_until_s), (600, 0));
}

#[test]
fn an_offence_adds_an_owner_and_never_shortens() {
    let hand = entry(&[(OwnerBit::HAND, fixed(NOW + 86_400))]);
    let both = with_hold(&hand, OwnerBit::LOG, sliding(NOW + 600, 13_600));
    assert_eq!(both.expires, moment(NOW + 86_400));
    assert_eq!(
        OwnerMask::from_entry(&both),
        OwnerMask::from(OwnerBit::LOG).and(OwnerBit::HAND)
    );
    assert_eq!((both.hits, both.flags), (7, ORIGIN_HAND | SEALED));
    // If the log is the only owner, its new terms replace the old ones, except the end.
    let log = entry(&[(OwnerBit::LOG, sliding(NOW + 900, 13_600))]);
    let again = with_hold(&log, OwnerBit::LOG, sliding(NOW + 600, 14_000));
    assert_eq!(
        (again.expires, again.hard_until_s),
        (moment(NOW + 900), 14_000)
    );
}

#[test]
fn the_entry_falls_back_to_the_latest_of_the_rest() {
    let stored = [
        (OwnerBit::LOG, sliding(NOW + 600, 13_600)),
        (OwnerBit::HAND, fixed(NOW + 3_600)),
        (drop_list(), fixed(NOW + 86_400)),
    ];
    let shared = entry(&stored);
    let left = let_go(&shared, &stored, drop_list().into(), moment(NOW));
    let left = kept(left);
    assert_eq!(left.expires, moment(NOW + 3_600));
    assert_eq!(
        (left.owners, left.hits, left.flags),
        (0b11, 7, ORIGIN_HAND | SEALED)
    );
    let LetGo::Kept(left, holds) = let_go(&left, &stored, OwnerBit::HAND.into(), moment(NOW))
    else {
        panic!("it was removed");
    };
    assert_eq!(left.expires, moment(NOW + 600));
    assert_eq!((left.ttl_s, left.hard_until_s), (600, 13_600));
    assert_eq!((left.flags, holds), (ORIGIN_LOG | SEALED, vec![stored[0]]));
    assert_eq!(
        let_go(&left, &[], OwnerBit::LOG.into(), moment(NOW)),
        LetGo::Removed
    );
    // An owner that does not hold the entry changes nothing when it lets go.
    assert_eq!(
        kept(let_go(&left, &[], OwnerBit::FIFO.into(), moment(NOW))),
        left
    );
}

#[test]
fn an_owner_whose_hold_is_over_goes_with_it() {
    let stored = [
        (OwnerBit::LOG, sliding(NOW - 1, 0)),
        (drop_list(), fixed(NOW + 100)),
    ];
    let shared = entry(&stored);
    let left = kept(let_go(&shared, &stored, OwnerMask::default(), moment(NOW)));
    assert_eq!((left.owners, left.ttl_s), (1 << 5, 0));
    assert_eq!(
        let_go(&shared, &stored, drop_list().into(), moment(NOW)),
        LetGo::Removed
    );
}

#[test]
fn a_hit_extends_the_holds_that_slide() {
    let stored = [
        (OwnerBit::LOG, sliding(NOW - 2_000, 13_600)),
        (
            OwnerBit::HAND,
            Hold {
                ttl_s: 300,
                ..sliding(NOW - 2_000, 0)
            },
        ),
        (drop_list(), fixed(NOW - 1_000)),
    ];
    let mut shared = entry(&stored);
    // The last packet came 100 s ago.
    shared.expires = moment(NOW - 100 + 600);
    let holds = holds(&shared, &stored, moment(NOW));
    let ends: Vec<MonotonicNs> = holds.iter().map(|(_, hold)| hold.ends).collect();
    assert_eq!(
        ends,
        [moment(NOW + 500), moment(NOW + 200), moment(NOW - 1_000)]
    );
    let left = kept(let_go(&shared, &stored, OwnerBit::LOG.into(), moment(NOW)));
    assert_eq!((left.expires, left.owners), (moment(NOW + 200), 0b10));
}

#[test]
fn a_fixed_end_is_no_hit() {
    let stored = [
        (OwnerBit::LOG, sliding(NOW + 60, 13_600)),
        (drop_list(), fixed(NOW + 86_400)),
    ];
    let shared = entry(&stored);
    // The stored ends are 50 s earlier than the entry's end.
    let shifted = stored.map(|(owner, hold)| {
        let ends = hold.ends.ns() - moment(50).ns();
        (
            owner,
            Hold {
                ends: MonotonicNs::from_ns(ends),
                ..hold
            },
        )
    });
    let left = kept(let_go(&shared, &shifted, drop_list().into(), moment(NOW)));
    assert_eq!(left.expires, moment(NOW + 10));
}

#[test]
fn an_unknown_hold_of_the_log_is_short_and_any_other_as_long_as_the_entry() {
    let hand = (OwnerBit::HAND, fixed(NOW + 864_000));
    let list = (drop_list(), fixed(NOW + 86_400));
    let log = (OwnerBit::LOG, sliding(NOW + 3_600, 0));
    let shared = entry(&[hand, list, log]);
    let left = kept(let_go(&shared, &[log], drop_list().into(), moment(NOW)));
    assert_eq!(left.expires, shared.expires);
    let leaving = OwnerMask::from(OwnerBit::HAND).and(drop_list());
    let left = kept(let_go(&shared, &[], leaving, moment(NOW)));
    assert_eq!(left.expires, moment(NOW + 600));
}

#[test]
fn a_fall_back_is_never_longer_than_the_entry() {
    let shared = entry(&[
        (OwnerBit::LOG, sliding(NOW + 60, 0)),
        (drop_list(), fixed(NOW + 86_400)),
    ]);
    let later = [(drop_list(), fixed(NOW + 900_000))];
    let left = kept(let_go(&shared, &later, OwnerBit::LOG.into(), moment(NOW)));
    assert_eq!(left.expires, shared.expires);
}

/// After an `add --for 7d` while the disk was full, the database lacks the new hold.
#[test]
fn rows_that_do_not_explain_the_end_shorten_only_the_log_and_the_fifo() {
    let stored = [
        (OwnerBit::LOG, sliding(NOW + 600, 13_600)),
        (OwnerBit::HAND, sliding(NOW + 600, 0)),
        (OwnerBit::FIFO, fixed(NOW + 300)),
    ];
    for ttl_s in [0, 604_800] {
        let added = Hold {
            ttl_s,
            ..fixed(NOW + 604_800)
        };
        let shared = with_hold(&entry(&stored), OwnerBit::HAND, added);
        for second in [NOW, NOW + 700] {
            let now = moment(second);
            let held = holds(&shared, &stored, now);
            assert_eq!(held[1], (OwnerBit::HAND, Hold::from_entry(&shared)));
            assert!(
                held.iter()
                    .all(|(it, hold)| *it == OwnerBit::HAND || hold.ends <= moment(NOW + 600))
            );
            let left = kept(let_go(&shared, &stored, OwnerMask::default(), now));
            assert_eq!(left.expires, shared.expires);
        }
        let left = kept(let_go(&shared, &stored, OwnerBit::HAND.into(), moment(NOW)));
        assert_eq!(left.expires, moment(NOW + 600));
    }
}

/// The hard limit of the log's hold is over, and the administrator's hold has none.
#[test]
fn a_hit_with_the_terms_of_several_rows_explains_the_end() {
    let short = Hold {
        ttl_s: 300,
        ..sliding(NOW - 2_000, 0)
    };
    let stored = [
        (OwnerBit::LOG, sliding(NOW - 2_000, NOW as u32 - 200)),
        (OwnerBit::HAND, short),
    ];
    let mut shared = entry(&stored);
    // The last packet came 1 ms after the clock was read.
    shared.expires = moment(NOW + 600).plus(std::time::Duration::from_millis(1));
    let ends = shared.expires.minus(std::time::Duration::from_secs(300));
    assert_eq!(
        holds(&shared, &stored, moment(NOW))[1],
        (OwnerBit::HAND, Hold { ends, ..short })
    );
}

#[test]
fn an_owner_of_both_has_its_later_end() {
    let list = (drop_list(), fixed(NOW + 100));
    let some = [(OwnerBit::HAND, fixed(NOW + 300)), list];
    let others = [
        (OwnerBit::HAND, fixed(NOW + 200)),
        (OwnerBit::LOG, sliding(NOW + 60, 0)),
    ];
    let joined = join(&some, &others);
    assert_eq!(joined, [some[0], list, others[1]]);
    let joined = join(&others, &some);
    assert_eq!(joined, [(OwnerBit::HAND, some[0].1), others[1], list]);
}
