use super::*;

#[test]
fn a_gate_that_nobody_tends_is_open() {
    let gate = Gate {
        written: 10 * SECOND,
        mode: Mode::On as u32,
        ..Gate::default()
    };
    assert_eq!(gate.mode(10 * SECOND + FRESH), Mode::On);
    assert_eq!(gate.mode(10 * SECOND + FRESH + 1), Mode::Off);
    // Coarse clocks of two CPUs may differ by a tick.
    assert_eq!(gate.mode(10 * SECOND - 1), Mode::On);
    assert_eq!(Gate::default().mode(0), Mode::Off);
}

#[test]
fn a_gate_that_nobody_tends_answers_nobody() {
    let gate = Gate {
        written: 10 * SECOND,
        answers: ANSWERS4,
        ..Gate::default()
    };
    assert!(gate.is_answering(false, 10 * SECOND + FRESH));
    assert!(!gate.is_answering(false, 10 * SECOND + FRESH + 1));
}

#[test]
fn each_family_has_its_own_answer() {
    for (answers, v4, v6) in [
        (0, false, false),
        (ANSWERS4, true, false),
        (ANSWERS6, false, true),
        (ANSWERS4 | ANSWERS6, true, true),
    ] {
        let gate = Gate {
            answers,
            ..Gate::default()
        };
        assert_eq!([false, true].map(|v6| gate.answers(v6)), [v4, v6]);
    }
}

#[test]
fn who_passed_since_the_count_is_held() {
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
fn classes() {
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
            class(near, standing, ttl),
            expected,
            "{near} {standing:?} {ttl}"
        );
    }
}

#[test]
fn a_floor_saves_up_for_two() {
    let mut next = 0;
    let start = 1_000 * SECOND;
    let mut pass = |now| match floor(next, now) {
        Some(then) => {
            next = then;
            true
        }
        None => false,
    };
    assert_eq!([pass(start), pass(start), pass(start)], [true, true, false]);
    assert!(!pass(start + FLOOR_PERIOD - 1));
    assert!(pass(start + FLOOR_PERIOD));
    assert!(!pass(start + FLOOR_PERIOD));
}

#[test]
fn a_verdict_holds_through_its_last_nanosecond() {
    let verdict = Verdict {
        host: 0,
        until: 7,
        standing: Standing::Listed as u32,
        zone: 0,
    };
    assert_eq!(verdict.standing(7), Some(Standing::Listed));
    assert_eq!(verdict.standing(8), None);
    assert_eq!(Verdict::default().standing(0), None);
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
    let of = |port, sequence, seed, at| Syn::of(key, port, sequence, seed, at * SECOND);
    let at_once = Syn::of(key, 4711, 1, 99, 100 * SECOND + SECOND * 5 / 8).1;
    let (slot, first) = of(4711, 1, 99, 100);
    assert!(!at_once.repeats(first));
    assert!(of(4711, 1, 99, 101).1.repeats(first));
    assert_eq!(of(4711, 1, 99, 116).0, slot);
    assert!(of(4711, 1, 99, 116).1.repeats(first));
    assert!(!of(4711, 1, 99, 117).1.repeats(first));
    assert!(!of(4711, 2, 99, 101).1.repeats(first));
    assert!(!of(4712, 1, 99, 101).1.repeats(first));
    assert!(!of(4711, 1, 98, 101).1.repeats(first));
    assert!(!first.repeats(Syn::default()));
}

#[test]
fn syns_are_spread_over_the_slots() {
    let mut slots = [false; 1024];
    for sequence in 0..1024 {
        let (slot, _) = Syn::of([0, 0, 0, 0, 10, 0, 0, 1], 1025, sequence, 1, 0);
        slots[(slot % 1024) as usize] = true;
    }
    // 1 - 1/e of them, if they fall at random.
    let used = slots.iter().filter(|used| **used).count();
    assert!((600..700).contains(&used), "{used}");
}
