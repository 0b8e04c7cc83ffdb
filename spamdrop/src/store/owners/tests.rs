#![expect(clippy::unwrap_used, reason = "a test may panic")]

use tempfile::TempDir;

use super::*;
use crate::store::{FILE, VERB_WAIT};

fn open() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join(FILE), VERB_WAIT).unwrap();
    (dir, store)
}

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

fn ends(second: u64) -> StoredHold {
    StoredHold {
        ends: UnixSeconds::new(second),
        hard_end: UnixSeconds::new(0),
        ttl_s: 600,
    }
}

fn change(target: Target, bit: OwnerBit, hold: StoredHold, is_all: bool) -> [HoldChange; 1] {
    [HoldChange {
        target,
        holds: vec![(bit, hold)],
        is_all,
    }]
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
    // Every bit has a name now, and that of `drop` has entries.
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
    store
        .change_holds(&change(one, log, ends(100), false), at(10))
        .unwrap();
    store
        .change_holds(&change(one, hand, ends(200), false), at(10))
        .unwrap();
    store
        .change_holds(&change(other, hand, ends(300), true), at(10))
        .unwrap();
    let of = |store: &Store, target| store.holds([&target]).unwrap().remove(&target).unwrap();
    assert_eq!(of(&store, one), [(log, ends(100)), (hand, ends(200))]);
    // The disk thread writes what the daemon decided on before a verb did.
    store
        .change_holds(&change(one, hand, ends(1), false), at(9))
        .unwrap();
    assert_eq!(of(&store, one), [(log, ends(100)), (hand, ends(200))]);
    assert_eq!(store.ended_holds(UnixSeconds::new(100)).unwrap(), []);
    assert_eq!(store.ended_holds(UnixSeconds::new(201)).unwrap(), [one]);
    store
        .change_holds(&change(one, log, ends(500), true), at(11))
        .unwrap();
    assert_eq!(of(&store, one), [(log, ends(500))]);
    assert_eq!(store.forget_holds([&one]).unwrap(), 1);
    assert_eq!(store.forget_holds([&one]).unwrap(), 0);
    assert_eq!(of(&store, other), [(hand, ends(300))]);
    store.clear_holds().unwrap();
    assert_eq!(of(&store, other), []);
}

#[test]
fn a_bit_with_a_new_name_has_no_holds_of_the_old_one() {
    let (_dir, mut store) = open();
    let target = "192.0.2.1".parse().unwrap();
    let bit = store
        .register_owner(&"drop".parse().unwrap(), OwnerMask::default())
        .unwrap();
    store
        .change_holds(&change(target, bit, ends(100), true), at(10))
        .unwrap();
    for number in 0..59 {
        let name = format!("list{number}").parse().unwrap();
        store.register_owner(&name, OwnerMask::default()).unwrap();
    }
    assert_eq!(store.holds([&target]).unwrap().remove(&target).unwrap(), []);
}
