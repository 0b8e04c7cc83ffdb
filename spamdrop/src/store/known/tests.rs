#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

const NOW: UnixSeconds = UnixSeconds::new(1_795_392_000);
const DAY: u64 = 86_400;

/// The time so many seconds before [`NOW`].
fn before(seconds: u64) -> UnixSeconds {
    NOW.minus(Duration::from_secs(seconds))
}

fn source(n: u32) -> Target {
    Target::V4(n.to_be_bytes())
}

fn home() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("known.db");
    (dir, path)
}

fn learned(all: impl IntoIterator<Item = (u32, Record)>) -> Records {
    all.into_iter()
        .map(|(n, record)| (source(n), record))
        .collect()
}

fn join(all: &[Record]) -> Record {
    all.iter().copied().fold(Record::default(), Record::join)
}

fn known(last: UnixSeconds) -> Record {
    let accepted = |ago| Record::accepted(last.minus(Duration::from_secs(ago)));
    join(&[0, 1, DAY].map(accepted))
}

fn sources(store: &Store) -> Vec<Target> {
    store
        .all()
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
    Store::open(&path).unwrap().merge(&first, 9, NOW).unwrap();
    let second = learned([(9, Record::accepted(NOW)), (7, Record::delivered(NOW))]);
    Store::open(&path).unwrap().merge(&second, 9, NOW).unwrap();
    let store = Store::open_existing(&path).unwrap().unwrap();
    let expected = [
        (source(7), Record::delivered(NOW)),
        (source(9), known(before(DAY)).join(Record::accepted(NOW))),
        (v6, Record::accepted(NOW)),
    ];
    assert_eq!(store.all().unwrap(), expected);
}

/// Version 1 knew of no deliveries.
#[test]
fn what_the_first_version_wrote_is_read() {
    let (_dir, path) = home();
    let db = rusqlite::Connection::open(&path).unwrap();
    let old = "
        CREATE TABLE known (
            addr BLOB PRIMARY KEY, recent1 INTEGER NOT NULL, recent2 INTEGER NOT NULL,
            recent3 INTEGER NOT NULL, earlier_day INTEGER NOT NULL,
            last_accepted INTEGER NOT NULL, demoted INTEGER NOT NULL, by_hand INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        INSERT INTO known VALUES
            (x'00000000000000000000ffffc0000201', 9, 8, 7, 6, 10, 5, 11);
        PRAGMA application_id = 0x53446b67;
        PRAGMA user_version = 1;";
    db.execute_batch(old).unwrap();
    drop(db);
    let at = UnixSeconds::new;
    let expected = Record {
        recent: [at(9), at(8), at(7)],
        earlier_day: at(6),
        last_accepted: at(10),
        delivered: at(0),
        demoted: at(5),
        by_hand: at(11),
    };
    let source: Target = "192.0.2.1".parse().unwrap();
    let mut store = Store::open_existing(&path).unwrap().unwrap();
    assert_eq!(store.all().unwrap(), [(source, expected)]);
    let delivered: Records = [(source, Record::delivered(NOW))].into_iter().collect();
    store.merge(&delivered, 9, NOW).unwrap();
    let expected = expected.join(Record::delivered(NOW));
    assert_eq!(
        Store::open(&path).unwrap().all().unwrap(),
        [(source, expected)]
    );
}

#[test]
fn only_root_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_dir, path) = home();
    Store::open(&path).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn sources_of_which_nothing_good_is_known_take_no_room() {
    let (_dir, path) = home();
    let mut store = Store::open(&path).unwrap();
    let listed = learned([(1, Record::demoted(NOW)), (2, Record::demoted(NOW))]);
    store
        .merge(&learned([(2, known(before(9)))]), 9, NOW)
        .unwrap();
    store.merge(&listed, 9, NOW).unwrap();
    let demoted = known(before(9)).join(Record::demoted(NOW));
    assert_eq!(store.all().unwrap(), [(source(2), demoted)]);
    // Of one batch, too: an old log may bring the good part again.
    let both = learned([(3, demoted)]);
    store.merge(&both, 9, NOW).unwrap();
    assert_eq!(store.all().unwrap()[1], (source(3), demoted));
}

#[test]
fn the_most_expendable_are_forgotten() {
    let (_dir, path) = home();
    let mut store = Store::open(&path).unwrap();
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
    // What is demoted is written only over what was good.
    let good = learned((1..=8).map(|n| (n, Record::accepted(before(50 * DAY)))));
    store.merge(&good, 8, NOW).unwrap();
    store.merge(&kinds, 8, NOW).unwrap();
    assert_eq!(sources(&store), (1..=8).map(source).collect::<Vec<_>>());
    // In this order, one by one.
    let order = [8, 6, 7, 4, 5, 2, 3];
    for gone in 1..=order.len() {
        store.merge(&Records::default(), 8 - gone, NOW).unwrap();
        let left = (1..=8).filter(|n| !order[..gone].contains(n));
        assert_eq!(
            sources(&store),
            left.map(source).collect::<Vec<_>>(),
            "{gone}"
        );
    }
    store.merge(&Records::default(), 0, NOW).unwrap();
    assert_eq!(sources(&store), [source(1)]);
}

#[test]
fn their_number_is_bounded() {
    let (_dir, path) = home();
    let mut store = Store::open(&path).unwrap();
    for round in 0..4 {
        let all = (0..300).map(|n| {
            (
                round * 1000 + n,
                Record::accepted(before(9 - u64::from(round))),
            )
        });
        store.merge(&learned(all), 512, NOW).unwrap();
        let left = store.all().unwrap();
        assert!(left.len() <= 512);
        // The newest are all there.
        let newest = left
            .iter()
            .filter(|(_, record)| record.last_accepted() == before(9 - u64::from(round)));
        assert_eq!(newest.count(), 300);
    }
    assert_eq!(store.all().unwrap().len(), 448);
}

#[test]
fn a_hand_adds_and_removes() {
    let (_dir, path) = home();
    let mut store = Store::open(&path).unwrap();
    store
        .merge(&learned([(1, known(before(9)))]), 4, NOW)
        .unwrap();
    let add = |store: &mut Store, all: &[u32]| {
        let all: Vec<Target> = all.iter().copied().map(source).collect();
        store.add(&all, 4, NOW)
    };
    assert_eq!(add(&mut store, &[1, 2]).unwrap(), [source(1), source(2)]);
    assert_eq!(add(&mut store, &[2, 3, 4]).unwrap(), [source(3), source(4)]);
    let error = add(&mut store, &[5]).unwrap_err().to_string();
    assert!(error.contains("`known_capacity` is 4"), "{error}");
    assert_eq!(sources(&store), [1, 2, 3, 4].map(source));
    let gone = [source(1), source(9)];
    assert_eq!(store.remove(&gone, NOW).unwrap(), [source(1)]);
    assert_eq!(store.remove(&gone, NOW).unwrap(), []);
    // Its past does not bring it back.
    store.merge(&learned([(1, known(NOW))]), 4, NOW).unwrap();
    let standing: Vec<Standing> = store
        .all()
        .unwrap()
        .iter()
        .map(|(_, record)| record.standing(NOW))
        .collect();
    assert_eq!(standing[0], Standing::Demoted);
    assert_eq!(standing[1..], [Standing::ByHand; 3]);
}

/// Whatever the bytes are, there is an error or a result.
#[test]
fn damage_is_an_error_at_worst() {
    let (_dir, path) = home();
    let mut store = Store::open(&path).unwrap();
    let all = learned((0..2000).map(|n| (n * 77_777, known(before(n.into())))));
    store.merge(&all, 4096, NOW).unwrap();
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
        let used = Store::open(&path).and_then(|mut store| {
            store.check()?;
            store.all()?;
            store.merge(&learned([(1, known(NOW))]), 64, NOW)
        });
        errors += u32::from(used.is_err());
    }
    assert!(errors > 100, "{errors} of 300 were noticed");
}

#[test]
fn writers_take_turns() {
    let (_dir, path) = home();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let path = path.clone();
            std::thread::spawn(move || {
                for n in 0..10 {
                    let mut store = Store::open(&path).unwrap();
                    let one = learned([(thread * 100 + n, Record::accepted(NOW))]);
                    store.merge(&one, 4096, NOW).unwrap();
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    assert_eq!(Store::open(&path).unwrap().all().unwrap().len(), 40);
}
