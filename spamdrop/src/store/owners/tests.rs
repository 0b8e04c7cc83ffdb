#![expect(clippy::unwrap_used, reason = "a test may panic")]

use tempfile::TempDir;

use super::*;
use crate::store::{FILE, VERB_WAIT};

fn open() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join(FILE), VERB_WAIT).unwrap();
    (dir, store)
}

/// A time of this boot.
fn moment(second: u32) -> BootTime {
    BootTime {
        boot: "this".into(),
        clocks: Clocks {
            unix: UnixSeconds::new(1_795_392_000 + u64::from(second)),
            mono: MonotonicNs::from_second(second),
        },
    }
}

fn ends(second: u32) -> Hold {
    Hold {
        ends: MonotonicNs::from_second(second),
        hard_until_s: 0,
        ttl_s: 600,
    }
}

fn write(store: &mut Store, target: Target, held: OwnerHold, kind: HoldChangeKind, set: &BootTime) {
    let change = HoldChange {
        target,
        holds: vec![held],
        kind,
        set: set.clocks,
    };
    store.change_holds(&[change], &set.boot).unwrap();
}

fn write_fifo(store: &mut Store, target: Target, end: u32, kind: HoldChangeKind, set: &BootTime) {
    write(store, target, (OwnerBit::FIFO, ends(end)), kind, set);
}

fn read_holds(store: &Store, target: Target, now: &BootTime) -> Vec<OwnerHold> {
    let mut holds = store.holds([&target], now).unwrap();
    holds.remove(&target).unwrap()
}

#[test]
fn a_name_keeps_its_bit_and_a_new_one_gets_a_free_one() {
    let (_dir, mut store) = open();
    let none = OwnerMask::default();
    let mut register = |name: &str, in_use: OwnerMask| {
        let bit = store.register_owner(&name.parse().unwrap(), in_use);
        bit.map(OwnerBit::get).map_err(|error| format!("{error:#}"))
    };
    assert_eq!(register("drop", none), Ok(5));
    assert_eq!(
        register("f2b:drop", OwnerBit::new(6).unwrap().into()),
        Ok(7)
    );
    assert_eq!(register("import:drop", none), Ok(5));
    assert_eq!(register("hand", none), Ok(1));
    for number in 0..57 {
        register(&format!("list{number}"), none).unwrap();
    }
    // Every bit has a name now. Bit 5, that of `drop`, has entries, so bit 6 is given to `more`.
    assert_eq!(register("more", OwnerBit::new(5).unwrap().into()), Ok(6));
    let all = (0..64).filter_map(OwnerBit::new);
    let all = all.fold(none, OwnerMask::and);
    let error = register("one-more", all).unwrap_err();
    assert!(error.contains("flush --owner"), "{error}");
    let names = store.owner_names().unwrap();
    assert_eq!(names.named().count(), 59);
    assert_eq!(names.bit(&"list0".parse().unwrap()), None);
}

#[test]
fn holds_are_kept_by_entry_and_owner_and_the_newest_counts() {
    let (_dir, mut store) = open();
    let [one, other]: [Target; 2] = ["192.0.2.1", "192.0.2.0/24"].map(|it| it.parse().unwrap());
    let (log, hand) = (OwnerBit::LOG, OwnerBit::HAND);
    let (some, all) = (HoldChangeKind::Some, HoldChangeKind::All);
    write(&mut store, one, (log, ends(100)), some, &moment(10));
    write(&mut store, one, (hand, ends(200)), some, &moment(10));
    write(&mut store, other, (hand, ends(300)), all, &moment(10));
    let now = moment(20);
    assert_eq!(
        read_holds(&store, one, &now),
        [(log, ends(100)), (hand, ends(200))]
    );
    // A change that was decided on earlier, and is written later, as by the disk thread
    // after a command, replaces nothing.
    write(&mut store, one, (hand, ends(1)), some, &moment(9));
    assert_eq!(
        read_holds(&store, one, &now),
        [(log, ends(100)), (hand, ends(200))]
    );
    assert_eq!(store.ended_holds(&moment(100)).unwrap(), []);
    assert_eq!(store.ended_holds(&moment(201)).unwrap(), [one]);
    write(&mut store, one, (log, ends(500)), all, &moment(11));
    assert_eq!(read_holds(&store, one, &now), [(log, ends(500))]);
    // A hold that was set after the time of the removal stays.
    assert_eq!(store.forget_holds([&one], &moment(10)).unwrap(), 0);
    assert_eq!(store.forget_holds([&one], &moment(11)).unwrap(), 1);
    assert_eq!(store.forget_holds([&one], &moment(11)).unwrap(), 0);
    store.clear_holds(&moment(9)).unwrap();
    assert_eq!(read_holds(&store, other, &now), [(hand, ends(300))]);
    store.clear_holds(&moment(10)).unwrap();
    assert_eq!(read_holds(&store, other, &now), []);
}

#[test]
fn a_renewal_keeps_a_later_end_and_a_new_block_does_not() {
    let (_dir, mut store) = open();
    let target = "192.0.2.1".parse().unwrap();
    let fifo = OwnerBit::FIFO;
    write_fifo(&mut store, target, 500, HoldChangeKind::Some, &moment(10));
    write_fifo(
        &mut store,
        target,
        100,
        HoldChangeKind::Renewal,
        &moment(11),
    );
    assert_eq!(read_holds(&store, target, &moment(20)), [(fifo, ends(500))]);
    write_fifo(&mut store, target, 100, HoldChangeKind::Some, &moment(12));
    assert_eq!(read_holds(&store, target, &moment(20)), [(fifo, ends(100))]);
}

#[test]
fn a_step_of_the_wall_clock_moves_no_end_and_ignores_no_renewal() {
    let (_dir, mut store) = open();
    let target = "192.0.2.1".parse().unwrap();
    let fifo = OwnerBit::FIFO;
    write_fifo(&mut store, target, 100, HoldChangeKind::Some, &moment(10));
    for unix in [0, 2_000_000_000] {
        let mut now = moment(20);
        now.clocks.unix = UnixSeconds::new(unix);
        assert_eq!(read_holds(&store, target, &now), [(fifo, ends(100))]);
        assert_eq!(store.ended_holds(&now).unwrap(), []);
    }
    let mut later = moment(30);
    later.clocks.unix = UnixSeconds::new(0);
    write_fifo(&mut store, target, 200, HoldChangeKind::Some, &later);
    assert_eq!(read_holds(&store, target, &moment(40)), [(fifo, ends(200))]);
}

#[test]
fn holds_of_an_earlier_boot_are_stored_anew_and_are_older_than_all_of_this_one() {
    let (_dir, mut store) = open();
    let [one, other]: [Target; 2] = ["192.0.2.1", "192.0.2.2"].map(|it| it.parse().unwrap());
    let (log, hand) = (OwnerBit::LOG, OwnerBit::HAND);
    let mut before = moment(100_000);
    before.boot = "earlier".into();
    before.clocks.unix = UnixSeconds::new(1_795_392_000);
    write(
        &mut store,
        one,
        (log, ends(100_600)),
        HoldChangeKind::Some,
        &before,
    );
    write(
        &mut store,
        one,
        (hand, ends(100_010)),
        HoldChangeKind::Some,
        &before,
    );
    write(
        &mut store,
        other,
        (hand, ends(100_600)),
        HoldChangeKind::Some,
        &before,
    );
    // Since the holds were set, 99 s have passed. They count as 100 s, because the wall
    // clock has whole seconds.
    let now = BootTime {
        clocks: Clocks {
            unix: UnixSeconds::new(1_795_392_099),
            ..moment(20).clocks
        },
        ..moment(20)
    };
    let ended = MonotonicNs::default();
    let expected = [
        (log, ends(520)),
        (
            hand,
            Hold {
                ends: ended,
                ..ends(0)
            },
        ),
    ];
    assert_eq!(read_holds(&store, one, &now), expected);
    assert_eq!(store.ended_holds(&now).unwrap(), [one]);
    // From now on the wall clock does not matter.
    let mut later = now.clone();
    later.clocks.unix = UnixSeconds::new(0);
    assert_eq!(read_holds(&store, one, &later), expected);
    // A change of this boot replaces a converted hold, even if it is written late.
    write(
        &mut store,
        other,
        (hand, ends(40)),
        HoldChangeKind::Some,
        &moment(5),
    );
    assert_eq!(read_holds(&store, other, &now), [(hand, ends(40))]);
}

#[test]
fn a_bit_with_a_new_name_has_no_holds_of_the_old_one() {
    let (_dir, mut store) = open();
    let target = "192.0.2.1".parse().unwrap();
    let bit = store
        .register_owner(&"drop".parse().unwrap(), OwnerMask::default())
        .unwrap();
    write(
        &mut store,
        target,
        (bit, ends(100)),
        HoldChangeKind::All,
        &moment(10),
    );
    for number in 0..59 {
        let name = format!("list{number}").parse().unwrap();
        store.register_owner(&name, OwnerMask::default()).unwrap();
    }
    assert_eq!(read_holds(&store, target, &moment(20)), []);
}
