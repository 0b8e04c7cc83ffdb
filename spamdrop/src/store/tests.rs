#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;
use spamdrop_common::time::UnixSeconds;
use spamdrop_core::owners::OwnerMask;
use spamdrop_core::reputation::{Deliveries, Recipient, Record};
use spamdrop_core::target::Target;
use spamdrop_core::wave::{Point, Snapshot, Totals, Wave};
use tempfile::TempDir;

use super::*;

/// `known.db` of version 1, which had no deliveries.
const KNOWN1: &str = "
    CREATE TABLE known (
        addr BLOB PRIMARY KEY, recent1 INTEGER NOT NULL, recent2 INTEGER NOT NULL,
        recent3 INTEGER NOT NULL, earlier_day INTEGER NOT NULL,
        last_accepted INTEGER NOT NULL, demoted INTEGER NOT NULL, by_hand INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO known VALUES (x'00000000000000000000ffffc0000201', 200009, 200008, 200007, 100006, 200010, 5, 11);
    PRAGMA application_id = 0x53446b67;
    PRAGMA user_version = 1;";
/// The table of known senders of `known.db` version 2, and of the first `spamdrop.db`.
macro_rules! known_with_deliveries {
    () => {
        "
    CREATE TABLE known (
        addr BLOB PRIMARY KEY, recent1 INTEGER NOT NULL, recent2 INTEGER NOT NULL,
        recent3 INTEGER NOT NULL, earlier_day INTEGER NOT NULL,
        last_accepted INTEGER NOT NULL, demoted INTEGER NOT NULL, by_hand INTEGER NOT NULL,
        delivered INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO known VALUES (x'00000000000000000000ffffc0000201', 200009, 200008, 200007, 100006, 200010, 5, 11, 12);"
    };
}

/// The tables of waves of `waves.db`, and of the first `spamdrop.db`.
macro_rules! wave_tables {
    () => {
        "
    CREATE TABLE waves (
        id INTEGER PRIMARY KEY, end_unix_s INTEGER NOT NULL, wave TEXT NOT NULL
    ) STRICT;
    CREATE TABLE points (
        wave_id INTEGER NOT NULL, at_s INTEGER NOT NULL, open INTEGER NOT NULL,
        waiting INTEGER NOT NULL, admitted INTEGER NOT NULL, refused INTEGER NOT NULL,
        answered INTEGER NOT NULL, PRIMARY KEY (wave_id, at_s)
    ) STRICT, WITHOUT ROWID;"
    };
}

/// `known.db` of version 2.
const KNOWN2: &str = concat!(
    known_with_deliveries!(),
    "PRAGMA application_id = 0x53446b67; PRAGMA user_version = 2;"
);
/// `waves.db`, of a daemon that crashed during the second wave.
const WAVES: &str = concat!(
    wave_tables!(),
    r#"
    INSERT INTO waves VALUES
        (7, 110, '{"start_unix_s":100,"length_s":10.0,"preferred":3,"floored":2,"unrepeated":1}'),
        (8, 210, '{"start_unix_s":200,"length_s":10.0,"ongoing":true}');
    INSERT INTO points VALUES (8, 1, 2, 3, 4, 5, 6);
    PRAGMA application_id = 0x53447776;
    PRAGMA user_version = 1;"#
);

/// `spamdrop.db` of version 1, in which a delivery had no recipient.
const DATABASE1: &str = concat!(
    known_with_deliveries!(),
    wave_tables!(),
    "PRAGMA application_id = 0x53446462; PRAGMA user_version = 1;"
);

/// `spamdrop.db` of version 2, which had no history.
const DATABASE2: &str = concat!(
    known_with_deliveries!(),
    wave_tables!(),
    "
    ALTER TABLE known ADD COLUMN recipient INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE known ADD COLUMN delivered2 INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE known ADD COLUMN recipient2 INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE known ADD COLUMN delivered3 INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE known ADD COLUMN recipient3 INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE known ADD COLUMN delivered4 INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE known ADD COLUMN recipient4 INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE known ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE contacts (network INTEGER PRIMARY KEY, last INTEGER NOT NULL) STRICT;
    CREATE TABLE watched (
        id INTEGER PRIMARY KEY CHECK (id = 1), since INTEGER NOT NULL, until INTEGER NOT NULL
    ) STRICT;
    INSERT INTO contacts VALUES (5, 200000);
    INSERT INTO watched VALUES (1, 100000, 200000);
    PRAGMA application_id = 0x53446462; PRAGMA user_version = 2;"
);

/// The tables that version 3 added to those of version 2. Version 3 had no owners.
const DATABASE3: &str = "
    CREATE TABLE history (
        id INTEGER PRIMARY KEY, kind TEXT NOT NULL, began INTEGER NOT NULL,
        ended INTEGER NOT NULL, count INTEGER NOT NULL, lowest BLOB, highest BLOB,
        length INTEGER NOT NULL, wave INTEGER NOT NULL, actor TEXT NOT NULL, text TEXT NOT NULL
    ) STRICT;
    CREATE INDEX history_lowest ON history (lowest);
    INSERT INTO history VALUES (1, 'command', 5, 5, 1, NULL, NULL, 0, 0, 'anna', 'flush');
    PRAGMA user_version = 3;";

fn home() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    (dir, path)
}

/// Creates a file beside `path`.
fn old(path: &Path, name: &str, statements: &str) {
    let db = Connection::open(path.with_file_name(name)).unwrap();
    db.execute_batch(statements).unwrap();
}

fn names(dir: &TempDir) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let names = fs::read_dir(dir.path()).unwrap().map(name);
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

fn open(path: &Path) -> Store {
    Store::open_existing(path, VERB_WAIT).unwrap().unwrap()
}

fn refusal(path: &Path) -> String {
    format!("{:#}", Store::open_existing(path, VERB_WAIT).unwrap_err())
}

fn known(delivered: u64) -> (Target, Record) {
    let at = UnixSeconds::new;
    let record = Record {
        recent: [at(200_009), at(200_008), at(200_007)],
        earlier_day: at(100_006),
        last_accepted: at(200_010),
        deliveries: Deliveries::single(at(delivered), Recipient::from_mailbox(None)),
        demoted: at(5),
        by_hand: at(11),
        removed: at(0),
    };
    ("192.0.2.1".parse().unwrap(), record)
}

fn waves() -> [Wave; 2] {
    let wave = |start_unix_s, ongoing| Wave {
        start_unix_s,
        length_s: 10.0,
        ongoing,
        ..Wave::default()
    };
    let mut waves = [wave(100, false), wave(200, true)];
    waves[0].totals = Totals {
        known_or_allowed: 3,
        starvation_admits: 2,
        ..Totals::default()
    };
    waves
}

const POINT: Point = Point {
    at_s: 1,
    open: 2,
    waiting: 3,
    admitted: 4,
    refused: 5,
    answered: 6,
};

fn has_waves(store: &Store, first: i64) {
    let [one, two] = waves();
    let expected = [(first, one), (first + 1, two)];
    assert_eq!(store.waves_since(UnixSeconds::new(0)).unwrap(), expected);
    let points = store.wave_points(&[first, first + 1]).unwrap();
    assert_eq!(points, [vec![], vec![POINT]]);
}

#[test]
fn without_any_file_there_is_nothing_to_open() {
    let (dir, path) = home();
    assert!(!exists(&path).unwrap());
    assert!(Store::open_existing(&path, VERB_WAIT).unwrap().is_none());
    assert_eq!(names(&dir), [""; 0]);
    Store::open(&path, VERB_WAIT).unwrap();
    assert!(exists(&path).unwrap());
    assert_eq!(names(&dir), [FILE]);
}

#[test]
fn old_known_senders_are_taken_over() {
    for (old_file, delivered) in [(KNOWN1, 0), (KNOWN2, 12)] {
        let (dir, path) = home();
        old(&path, "known.db", old_file);
        assert!(exists(&path).unwrap());
        for _ in 0..2 {
            let store = open(&path);
            assert_eq!(store.known_senders().unwrap(), [known(delivered)]);
            assert_eq!(store.last_wave().unwrap(), None);
            assert_eq!(names(&dir), [FILE]);
        }
    }
}

#[test]
fn old_waves_are_taken_over() {
    let (dir, path) = home();
    old(&path, "waves.db", WAVES);
    assert!(exists(&path).unwrap());
    for _ in 0..2 {
        let store = open(&path);
        has_waves(&store, 1);
        assert_eq!(store.known_senders().unwrap(), []);
        assert_eq!(names(&dir), [FILE]);
    }
    assert_eq!(open(&path).begin_waves().unwrap(), 2);
    assert!(!open(&path).last_wave().unwrap().unwrap().ongoing);
}

/// The old files are there again after a crash between the commit and their removal,
/// or if an older spamdrop has run.
#[test]
fn old_files_are_taken_over_again_without_harm() {
    let (dir, path) = home();
    let snapshot = Snapshot {
        id: 4,
        wave: Wave {
            start_unix_s: 50,
            ..Wave::default()
        },
        points: vec![POINT],
    };
    let mut store = Store::open(&path, VERB_WAIT).unwrap();
    store.write_waves(0, &[snapshot]).unwrap();
    for _ in 0..2 {
        old(&path, "known.db", KNOWN2);
        old(&path, "waves.db", WAVES);
        let store = open(&path);
        assert_eq!(store.known_senders().unwrap(), [known(12)]);
        assert_eq!(store.waves_since(UnixSeconds::new(0)).unwrap()[0].0, 4);
        let newer = store.waves_since(UnixSeconds::new(100)).unwrap();
        assert_eq!(newer.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [5, 6]);
        assert_eq!(names(&dir), [FILE]);
    }
}

#[test]
fn damaged_old_waves_cost_no_known_senders() {
    for (statements, bytes) in [
        (WAVES, Some(b"no database".repeat(500))),
        ("CREATE TABLE waves (id INTEGER)", None),
        (&WAVES.replace("{\"start", "{start"), None),
        (&WAVES.replace("user_version = 1", "user_version = 2"), None),
    ] {
        let (dir, path) = home();
        old(&path, "known.db", KNOWN2);
        old(&path, "waves.db", statements);
        if let Some(bytes) = bytes {
            fs::write(path.with_file_name("waves.db"), bytes).unwrap();
        }
        let before = fs::read(path.with_file_name("waves.db")).unwrap();
        for _ in 0..2 {
            let store = open(&path);
            assert_eq!(store.known_senders().unwrap(), [known(12)]);
            assert_eq!(store.last_wave().unwrap(), None);
        }
        assert_eq!(names(&dir), [FILE, "waves.db.damaged"]);
        let aside = fs::read(path.with_file_name("waves.db.damaged")).unwrap();
        assert_eq!(aside, before);
    }
}

#[test]
fn old_known_senders_that_cannot_be_read_are_refused_and_left_alone() {
    let newer = KNOWN2.replace("user_version = 2", "user_version = 3");
    for (statements, damage, reason) in [
        (
            KNOWN2,
            true,
            " (if it is damaged, move it away; `spamdrop learn` fills a new one): ",
        ),
        (
            &newer,
            false,
            ": it has version 3, and this spamdrop reads version 2 and older; ",
        ),
        (WAVES, false, ": it is not a file of spamdrop"),
    ] {
        let (_dir, path) = home();
        old(&path, "known.db", statements);
        let known = path.with_file_name("known.db");
        if damage {
            let mut bytes = fs::read(&known).unwrap();
            let length = bytes.len();
            bytes[4096..length].fill(0x5a);
            fs::write(&known, bytes).unwrap();
        }
        let before = fs::read(&known).unwrap();
        for _ in 0..2 {
            let text = refusal(&path);
            let expected = format!("cannot use {}{reason}", known.display());
            assert!(text.starts_with(&expected), "{text}");
        }
        assert_eq!(fs::read(&known).unwrap(), before);
    }
}

/// A daemon of the old version may still hold the file.
#[test]
fn an_old_file_that_is_in_use_is_tried_again() {
    let (dir, path) = home();
    old(&path, "known.db", KNOWN2);
    old(&path, "waves.db", WAVES);
    for name in ["known.db", "waves.db"] {
        let user = Connection::open(path.with_file_name(name)).unwrap();
        user.execute_batch("BEGIN IMMEDIATE").unwrap();
        let short = Duration::from_millis(20);
        let error = Store::open_existing(&path, short).unwrap_err();
        assert!(is_locked(&error), "{error:#}");
        assert!(format!("{error:#}").contains(name), "{error:#}");
    }
    let store = open(&path);
    assert_eq!(store.known_senders().unwrap(), [known(12)]);
    has_waves(&store, 1);
    assert_eq!(names(&dir), [FILE]);
}

#[test]
fn a_file_of_a_newer_version_is_refused_and_left_alone() {
    let (_dir, path) = home();
    Store::open(&path, VERB_WAIT).unwrap();
    let db = Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 5).unwrap();
    drop(db);
    let before = fs::read(&path).unwrap();
    old(&path, "known.db", KNOWN2);
    let expected = format!(
        "cannot use {}: it has version 5, and this spamdrop reads version 4 and older; \
         install the newer spamdrop again, or move the file away",
        path.display()
    );
    assert_eq!(refusal(&path), expected);
    let checked = ensure_usable(&path, VERB_WAIT).unwrap_err();
    assert_eq!(format!("{checked:#}"), expected);
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(path.with_file_name("known.db").exists());
}

/// `config check` may run while a daemon of the older version does.
#[test]
fn an_older_version_is_usable_and_stays_as_it_is_until_it_is_opened() {
    let (dir, path) = home();
    ensure_usable(&path, VERB_WAIT).unwrap();
    assert_eq!(names(&dir), [] as [&str; 0]);
    old(&path, FILE, DATABASE1);
    let before = fs::read(&path).unwrap();
    ensure_usable(&path, VERB_WAIT).unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(names(&dir), [FILE]);
    // A crash in the middle of a transaction leaves the file and its journal.
    let mut db = Connection::open(&path).unwrap();
    db.pragma_update(None, "cache_size", 1).unwrap();
    let tx = db.transaction().unwrap();
    tx.execute_batch(
        "CREATE TABLE large (bytes); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 99) \
         INSERT INTO large SELECT zeroblob(4000) FROM n;",
    )
    .unwrap();
    let crashed = dir.path().join("crashed.db");
    let journal = |path: &Path| PathBuf::from(format!("{}-journal", path.display()));
    fs::copy(journal(&path), journal(&crashed)).unwrap();
    fs::copy(&path, &crashed).unwrap();
    drop(tx);
    drop(db);
    assert!(fs::metadata(&crashed).unwrap().len() > 300_000);
    ensure_usable(&crashed, VERB_WAIT).unwrap();
    assert_eq!(fs::read(&crashed).unwrap(), before);
    fs::write(&path, "no database").unwrap();
    let checked = ensure_usable(&path, VERB_WAIT).unwrap_err();
    assert_eq!(format!("{checked:#}"), refusal(&path));
}

#[test]
fn version_1_is_upgraded_without_a_loss() {
    let (_dir, path) = home();
    old(&path, FILE, DATABASE1);
    let mut store = open(&path);
    assert_eq!(store.known_senders().unwrap(), [known(12)]);
    let (source, record) = known(12);
    assert_eq!(record.last_delivered(), UnixSeconds::new(12));
    let now = UnixSeconds::new(300_000);
    let later = [(280_000, "a"), (290_000, "b")].map(|(at, to)| {
        let recipient = Recipient::from_mailbox(Some(to.as_bytes()));
        Record::delivered(UnixSeconds::new(at), recipient)
    });
    for delivered in later {
        let evidence = [(source, delivered)].into_iter().collect();
        store.merge_known(&evidence, 9, now).unwrap();
    }
    let removed = store.remove_known(&[source], now).unwrap();
    assert_eq!(removed, [source]);
    let expected = later.into_iter().fold(record, Record::join).removed(now);
    drop(store);
    assert_eq!(open(&path).known_senders().unwrap(), [(source, expected)]);
    assert_eq!(open(&path).contacts().unwrap().networks, []);
}

const EVERYTHING: HistoryQuery = HistoryQuery {
    addr: None,
    since: UnixSeconds::new(0),
    until: None,
};

#[test]
fn version_2_is_upgraded_without_a_loss() {
    let (_dir, path) = home();
    old(&path, FILE, DATABASE2);
    for _ in 0..2 {
        let store = open(&path);
        assert_eq!(store.known_senders().unwrap(), [known(12)]);
        assert_eq!(store.contacts().unwrap().networks.len(), 1);
        assert_eq!(store.last_wave().unwrap(), None);
        assert_eq!(store.history(&EVERYTHING).unwrap(), []);
    }
}

#[test]
fn version_3_is_upgraded_without_a_loss() {
    let (_dir, path) = home();
    old(&path, FILE, &[DATABASE2, DATABASE3].concat());
    let name = "drop".parse().unwrap();
    for _ in 0..2 {
        let mut store = open(&path);
        assert_eq!(store.known_senders().unwrap(), [known(12)]);
        let texts = store.history(&EVERYTHING).unwrap();
        let texts: Vec<String> = texts.into_iter().map(|event| event.text).collect();
        assert_eq!(texts, ["flush"]);
        assert_eq!(store.ended_holds(&BootTime::now().unwrap()).unwrap(), []);
        let bit = store.register_owner(&name, OwnerMask::default()).unwrap();
        assert_eq!(bit.get(), 5);
    }
}
