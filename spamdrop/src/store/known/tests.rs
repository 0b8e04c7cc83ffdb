#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use spamdrop_core::reputation::Recipient;

use super::*;
use crate::store::{FILE, VERB_WAIT};

const NOW: UnixSeconds = UnixSeconds::new(1_795_392_000);
const DAY: u64 = 86_400;

/// The time `seconds` before [`NOW`].
fn before(seconds: u64) -> UnixSeconds {
    NOW.minus(Duration::from_secs(seconds))
}

fn source(n: u32) -> Target {
    Target::V4(n.to_be_bytes())
}

fn home() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    (dir, path)
}

fn open(path: &Path) -> Result<Store> {
    Store::open(path, VERB_WAIT)
}

fn learned(all: impl IntoIterator<Item = (u32, Record)>) -> Records {
    all.into_iter()
        .map(|(n, record)| (source(n), record))
        .collect()
}

fn join(all: &[Record]) -> Record {
    all.iter().copied().fold(Record::default(), Record::join)
}

fn delivered() -> Record {
    Record::delivered(NOW, Recipient::from_mailbox(Some(b"a@example.org")))
}

fn known(last: UnixSeconds) -> Record {
    let accepted = |ago| Record::accepted(last.minus(Duration::from_secs(ago)));
    join(&[0, 1, DAY].map(accepted))
}

fn sources(store: &Store) -> Vec<Target> {
    store
        .known_senders()
        .unwrap()
        .into_iter()
        .map(|(source, _)| source)
        .collect()
}

#[test]
fn records_are_joined_and_survive() {
    let (_dir, path) = home();
    let v6: Target = "2001:db8::/64".parse().unwrap();
    let first: Records = [(v6, Record::accepted(NOW)), (source(9), known(before(DAY)))]
        .into_iter()
        .collect();
    open(&path).unwrap().merge_known(&first, 9, NOW).unwrap();
    let second = learned([(9, Record::accepted(NOW)), (7, delivered())]);
    open(&path).unwrap().merge_known(&second, 9, NOW).unwrap();
    let store = Store::open_existing(&path, VERB_WAIT).unwrap().unwrap();
    let expected = [
        (source(7), delivered()),
        (source(9), known(before(DAY)).join(Record::accepted(NOW))),
        (v6, Record::accepted(NOW)),
    ];
    assert_eq!(store.known_senders().unwrap(), expected);
}

#[test]
fn sources_of_which_nothing_good_is_known_take_no_room() {
    let (_dir, path) = home();
    let mut store = open(&path).unwrap();
    let listed = learned([(1, Record::demoted(NOW)), (2, Record::demoted(NOW))]);
    store
        .merge_known(&learned([(2, known(before(9)))]), 9, NOW)
        .unwrap();
    store.merge_known(&listed, 9, NOW).unwrap();
    let demoted = known(before(9)).join(Record::demoted(NOW));
    assert_eq!(store.known_senders().unwrap(), [(source(2), demoted)]);
    // The good evidence may also come together with the demotion, as from an old
    // log that is read again.
    let both = learned([(3, demoted)]);
    store.merge_known(&both, 9, NOW).unwrap();
    assert_eq!(store.known_senders().unwrap()[1], (source(3), demoted));
}

#[test]
fn the_most_expendable_are_forgotten() {
    let (_dir, path) = home();
    let mut store = open(&path).unwrap();
    let demoted = |ago| {
        join(&[
            Record::accepted(before(ago + 1)),
            Record::demoted(before(ago)),
        ])
    };
    let kinds = learned([
        (1, Record::default().added(before(99 * DAY))),
        (2, known(before(9))),
        (3, known(before(8))),
        (4, Record::accepted(before(7))),
        (5, Record::accepted(before(6))),
        (6, demoted(5)),
        (7, demoted(4)),
        (8, known(before(40 * DAY))),
    ]);
    // A demotion is stored only for a source with good evidence.
    let good = learned((1..=8).map(|n| (n, Record::accepted(before(50 * DAY)))));
    store.merge_known(&good, 8, NOW).unwrap();
    store.merge_known(&kinds, 8, NOW).unwrap();
    assert_eq!(sources(&store), (1..=8).map(source).collect::<Vec<_>>());
    // Records are deleted one by one in this order.
    let order = [8, 6, 7, 4, 5, 2, 3];
    for gone in 1..=order.len() {
        store
            .merge_known(&Records::default(), 8 - gone, NOW)
            .unwrap();
        let left = (1..=8).filter(|n| !order[..gone].contains(n));
        assert_eq!(
            sources(&store),
            left.map(source).collect::<Vec<_>>(),
            "{gone}"
        );
    }
    store.merge_known(&Records::default(), 0, NOW).unwrap();
    assert_eq!(sources(&store), [source(1)]);
}

#[test]
fn their_number_is_bounded() {
    let (_dir, path) = home();
    let mut store = open(&path).unwrap();
    for round in 0..4 {
        let all = (0..300).map(|n| {
            (
                round * 1000 + n,
                Record::accepted(before(9 - u64::from(round))),
            )
        });
        store.merge_known(&learned(all), 512, NOW).unwrap();
        let left = store.known_senders().unwrap();
        assert!(left.len() <= 512);
        // None of the newest records is missing.
        let newest = left
            .iter()
            .filter(|(_, record)| record.last_accepted() == before(9 - u64::from(round)));
        assert_eq!(newest.count(), 300);
    }
    assert_eq!(store.known_senders().unwrap().len(), 448);
}

#[test]
fn a_merge_tells_who_became_known_and_who_is_known_no_more() {
    let (_dir, path) = home();
    let mut store = open(&path).unwrap();
    let mut changed = |all: &[(u32, Record)]| {
        let evidence = learned(all.iter().copied());
        store.merge_known(&evidence, 9, NOW).unwrap().changed
    };
    let both = changed(&[(1, known(before(9))), (2, Record::accepted(NOW))]);
    assert_eq!(both, [(source(1), true)]);
    assert_eq!(changed(&[(1, Record::accepted(NOW))]), []);
    let demoted = Record::demoted(NOW);
    let both = changed(&[(1, demoted), (2, demoted)]);
    assert_eq!(both, [(source(1), false)]);
}

#[test]
fn a_forgotten_sender_leaves_nothing() {
    let (_dir, path) = home();
    let mut store = open(&path).unwrap();
    let good = learned([(1, known(before(9))), (2, known(before(9)))]);
    store.merge_known(&good, 4, NOW).unwrap();
    store.remove_known(&[source(1)], NOW).unwrap();
    let gone = [source(1).net(), source(9).net()];
    assert_eq!(store.forget_known(&gone).unwrap(), 1);
    assert_eq!(store.forget_known(&gone).unwrap(), 0);
    assert_eq!(sources(&store), [source(2)]);
}

#[test]
fn a_forgotten_64_takes_its_addresses_along_and_an_address_only_itself() {
    let (_dir, path) = home();
    let mut store = open(&path).unwrap();
    let target = |text: &str| -> Target { text.parse().unwrap() };
    let all = [
        "2001:db8::/64",
        "2001:db8::1/128",
        "2001:db8::2/128",
        "2001:db8:0:1::1/128",
    ];
    store.add_known(&all.map(target), 9, NOW).unwrap();
    let mut forget = |text: &str| store.forget_known(&[text.parse().unwrap()]).unwrap();
    assert_eq!(forget("2001:db8::1/128"), 1);
    assert_eq!(forget("2001:db8::/64"), 2);
    assert_eq!(sources(&store), [target("2001:db8:0:1::1/128")]);
}

#[test]
fn a_hand_adds_and_removes() {
    let (_dir, path) = home();
    let mut store = open(&path).unwrap();
    store
        .merge_known(&learned([(1, known(before(9)))]), 4, NOW)
        .unwrap();
    let add = |store: &mut Store, all: &[u32]| {
        let all: Vec<Target> = all.iter().copied().map(source).collect();
        store.add_known(&all, 4, NOW)
    };
    assert_eq!(add(&mut store, &[1, 2]).unwrap(), [source(1), source(2)]);
    assert_eq!(add(&mut store, &[2, 3, 4]).unwrap(), [source(3), source(4)]);
    let error = add(&mut store, &[5]).unwrap_err().to_string();
    assert!(error.contains("`known_capacity` is 4"), "{error}");
    assert_eq!(sources(&store), [1, 2, 3, 4].map(source));
    let gone = [source(1), source(9)];
    assert_eq!(store.remove_known(&gone, NOW).unwrap(), [source(1)]);
    assert_eq!(store.remove_known(&gone, NOW).unwrap(), []);
    // Evidence from before the removal does not make the source known again.
    store
        .merge_known(&learned([(1, known(NOW))]), 4, NOW)
        .unwrap();
    let standing: Vec<SenderStanding> = store
        .known_senders()
        .unwrap()
        .iter()
        .map(|(_, record)| record.standing(NOW))
        .collect();
    assert_eq!(standing[0], SenderStanding::Demoted);
    assert_eq!(standing[1..], [SenderStanding::ByHand; 3]);
}

/// Any bytes give an error or a result, never a panic.
#[test]
fn damage_is_an_error_at_worst() {
    let (_dir, path) = home();
    let mut store = open(&path).unwrap();
    let all = learned((0..2000).map(|n| (n * 77_777, known(before(n.into())))));
    store.merge_known(&all, 4096, NOW).unwrap();
    drop(store);
    let whole = fs::read(&path).unwrap();
    let mut errors = 0;
    for round in 0..300 {
        let mut bytes = whole.clone();
        let at = fastrand::usize(..bytes.len());
        match round % 3 {
            0 => bytes[at] ^= 1 << fastrand::u8(..8),
            1 => bytes
                .iter_mut()
                .skip(at)
                .take(512)
                .for_each(|byte| *byte = 0xff),
            _ => bytes.truncate(at),
        }
        fs::write(&path, bytes).unwrap();
        let used = open(&path).and_then(|mut store| {
            store.check_known()?;
            store.known_senders()?;
            store.merge_known(&learned([(1, known(NOW))]), 64, NOW)
        });
        errors += u32::from(used.is_err());
    }
    assert!(errors > 100, "{errors} of 300 were noticed");
}
