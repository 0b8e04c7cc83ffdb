use super::*;

#[test]
fn line_and_tag_tell_every_source_apart() {
    for line_bits in [LEAST_LINE_BITS, 15, 18, 29, 31] {
        for source in [
            [0; 4],
            [0, 0, 0, 1],
            [192, 0, 2, 1],
            [127, 1, 255, 0],
            [255; 4],
        ] {
            let place = Place::from_source(source, line_bits);
            assert!(place.line < 1 << line_bits);
            assert_eq!(place.source(line_bits), source);
        }
    }
}

#[test]
fn neighbours_are_spread_over_the_lines() {
    // A /15 of neighbouring addresses, at three bit positions.
    const LINES: usize = 1 << LEAST_LINE_BITS;
    for shift in [0, 8, 13] {
        let mut used = [0; LINES];
        for number in 0..4 * LINES as u32 {
            let place = Place::from_source((number << shift).to_be_bytes(), LEAST_LINE_BITS);
            used[place.line as usize] += 1;
        }
        let most = used.iter().max().copied().unwrap_or(0);
        assert!(most <= SLOTS, "{most} in a line, shift {shift}");
    }
}

#[test]
fn homes_and_terms_are_spread() {
    let (mut homes, mut terms) = ([0; SLOTS], [0; MOST_UNITS as usize + 1]);
    const NUMBER: u32 = 1 << 16;
    for number in 0..NUMBER {
        let source = u32::to_be_bytes(number.wrapping_mul(0x2545_f491));
        let place = Place::from_source(source, LEAST_LINE_BITS);
        homes[place.home() as usize] += 1;
        terms[place.spread(MOST_UNITS) as usize] += 1;
        for few in 0..4 {
            assert_eq!(place.spread(few), few);
        }
    }
    let least = homes.iter().min().copied().unwrap_or(0);
    assert!(least > NUMBER as usize / SLOTS * 9 / 10, "{homes:?}");
    let (shortest, longest) = (MOST_UNITS * 3 / 4, MOST_UNITS);
    assert_eq!(terms[..shortest as usize], [0; 47]);
    assert!(terms[longest as usize] > 0);
    let most = terms.iter().max().copied().unwrap_or(0);
    assert!(most <= NUMBER as usize / 8, "{terms:?}");
}

#[test]
fn homes_of_a_line_are_different() {
    // With this many lines, a line's number contains three bits of the tag.
    let line_bits = LEAST_LINE_BITS + 3;
    let mut seen = [false; SLOTS];
    for number in 0..1 << 24 {
        let place = Place::from_source(u32::to_be_bytes(number), line_bits);
        if place.line == 5 {
            seen[place.home() as usize] = true;
        }
    }
    assert_eq!(seen, [true; SLOTS]);
}

const FULL: RecentDrop = RecentDrop {
    tag: mask(TAG_BITS),
    from: mask(FROM_BITS),
    units: MOST_UNITS,
    last: MOST_UNITS,
    hits: MOST_HITS,
};

#[test]
fn a_slot_is_read_as_it_was_written() {
    let zero = RecentDrop::default();
    for slot in [
        zero,
        RecentDrop {
            tag: FULL.tag,
            ..zero
        },
        RecentDrop {
            from: FULL.from,
            ..zero
        },
        RecentDrop {
            units: FULL.units,
            ..zero
        },
        RecentDrop {
            last: FULL.last,
            ..zero
        },
        RecentDrop {
            hits: FULL.hits,
            ..zero
        },
        FULL,
    ] {
        assert_eq!(RecentDrop::from_word(slot.word()), slot);
        let place = Place {
            line: 3,
            tag: slot.tag,
        };
        assert!(place.is_of(slot.word()));
        let tag = slot.tag ^ 1;
        assert!(!Place { tag, ..place }.is_of(slot.word()));
    }
    assert_eq!(FULL.word(), u64::MAX);
}

#[test]
fn a_slot_is_valid_for_its_units_and_after_the_epoch() {
    // With the second of these, the bits of `from` wrap around while the slot is valid.
    for from in [1_000, (1 << FROM_BITS) - 3, (3 << FROM_BITS) + 1] {
        let slot = RecentDrop {
            from,
            units: 5,
            ..RecentDrop::default()
        };
        let slot = RecentDrop::from_word(slot.word());
        for (epoch, now, is_valid) in [
            (from - 1, from, true),
            (from - 1, from + 4, true),
            (0, from + 4, true),
            (from - 1, from + 5, false),
            (from, from + 4, false),
            (from + 6, from + 4, false),
            (from - 1, from - 1, false),
            (0, from + 1_000, false),
        ] {
            assert_eq!(slot.is_valid(epoch, now), is_valid, "{epoch} {now}");
        }
    }
    let slot = RecentDrop {
        from: 1_000,
        units: 5,
        ..RecentDrop::default()
    };
    assert!(slot.may_answer(999, 1_005) && !slot.may_answer(999, 1_006));
    assert!(!slot.may_answer(1_000, 1_002));
    assert!(!RecentDrop::default().may_answer(0, 1 << FROM_BITS));
    let half = 1 << (FROM_BITS - 1);
    assert!(slot.is_old(1_000 + half) && !slot.is_old(999 + half));
    // The filter may write a slot after user space has read the time.
    assert!(!slot.is_old(999) && !slot.is_old(1_000 - MOST_UNITS));
    assert!(!RecentDrop::default().is_valid(0, 0));
    assert!(!RecentDrop::default().is_valid(0, 1));
}

#[test]
fn the_last_hit_is_told_by_its_unit() {
    let mut slot = RecentDrop {
        from: 60,
        units: MOST_UNITS,
        ..RecentDrop::default()
    };
    assert_eq!(slot.last_age(60), None);
    slot = slot.hit(60, false);
    assert_eq!((slot.last_age(70), slot.hits), (None, 1));
    slot = slot.hit(61, true);
    assert_eq!((slot.last_age(61), slot.hits), (Some(0), 2));
    slot = slot.hit(99, false);
    assert_eq!((slot.last_age(99), slot.hits), (Some(38), 3));
    let latest = 60 + MOST_UNITS - 1;
    slot = RecentDrop::from_word(slot.hit(latest, true).word());
    assert_eq!((slot.last_age(latest + 100), slot.hits), (Some(100), 4));
}

#[test]
fn a_unit_is_as_long_as_a_slot_needs_it_and_not_longer() {
    for (hz, bits, most_s) in [
        (100, 4, 10),
        (250, 6, 16),
        (300, 6, 13),
        (1_000, 8, 16),
        (1_200, 8, 13),
    ] {
        let tick_ns = 1_000_000_000 / hz;
        assert_eq!(unit_bits(tick_ns), bits, "{hz}");
        let most = u64::from(tick_ns << bits) * u64::from(MOST_UNITS);
        assert_eq!(most / 1_000_000_000, most_s, "{hz}");
    }
    assert_eq!(unit_bits(0), 0);
}

#[test]
fn there_are_as_many_slots_as_entries_at_least() {
    for (entries, bits) in [
        (1, LEAST_LINE_BITS),
        (8 << LEAST_LINE_BITS, LEAST_LINE_BITS),
        ((8 << LEAST_LINE_BITS) + 1, LEAST_LINE_BITS + 1),
        (1_000_000, 17),
        (u32::MAX, 29),
    ] {
        assert_eq!(line_bits(entries), bits, "{entries}");
    }
}
