#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::store::{FILE, VERB_WAIT};

const NOW: u64 = 1_795_392_000;

fn home() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    (dir, path)
}

fn open(path: &Path) -> Result<Store> {
    Store::open(path, VERB_WAIT)
}

fn point(at_s: u32, open: u32) -> Point {
    Point {
        at_s,
        open,
        waiting: 2,
        admitted: 3,
        refused: 4,
        answered: 5,
    }
}

fn snapshot(id: i64, points: &[Point]) -> Snapshot {
    let wave = Wave {
        start_unix_s: NOW + id.unsigned_abs(),
        length_s: 9.5,
        ongoing: true,
        peak_open: 38,
        longest_wait_s: Some(12.25),
        ..Wave::default()
    };
    Snapshot {
        id,
        wave,
        points: points.to_vec(),
    }
}

#[test]
fn waves_and_their_courses_are_kept() {
    let (_dir, path) = home();
    assert!(Store::open_existing(&path, VERB_WAIT).unwrap().is_none());
    let first = snapshot(1, &[point(0, 1), point(1, 2)]);
    open(&path)
        .unwrap()
        .write_waves(0, std::slice::from_ref(&first))
        .unwrap();
    let mut second = snapshot(1, &[point(1, 7), point(2, 3)]);
    second.wave.longest_wait_s = None;
    second.wave.totals.refused = [1, 2, 3];
    open(&path)
        .unwrap()
        .write_waves(0, &[second.clone(), snapshot(2, &[])])
        .unwrap();
    let store = Store::open_existing(&path, VERB_WAIT).unwrap().unwrap();
    let waves = store.waves_since(UnixSeconds::new(0)).unwrap();
    assert_eq!(waves, [(1, second.wave), (2, snapshot(2, &[]).wave)]);
    assert_eq!(store.last_wave().unwrap(), Some(snapshot(2, &[]).wave));
    let course = vec![point(0, 1), point(1, 7), point(2, 3)];
    assert_eq!(store.wave_points(&[1, 2]).unwrap(), [course, Vec::new()]);
    // The waves last 9.5 s. Their ends are rounded up to NOW + 11 and NOW + 12.
    assert_eq!(
        store.waves_since(UnixSeconds::new(NOW + 12)).unwrap().len(),
        1
    );
    assert_eq!(store.waves_since(UnixSeconds::new(NOW + 13)).unwrap(), []);
}

#[test]
fn thinned_points_replace_all_of_them() {
    let (_dir, path) = home();
    let mut store = open(&path).unwrap();
    let all: Vec<Point> = (0..10).map(|at| point(at, 1)).collect();
    store.write_waves(0, &[snapshot(1, &all)]).unwrap();
    let thin: Vec<Point> = (0..5).map(|at| point(2 * at, 6)).collect();
    store.write_waves(0, &[snapshot(1, &thin)]).unwrap();
    assert_eq!(store.wave_points(&[1]).unwrap(), [thin]);
}

#[test]
fn a_restart_ends_what_a_crash_cut_short() {
    let (_dir, path) = home();
    let mut store = open(&path).unwrap();
    assert_eq!(store.begin_waves().unwrap(), 0);
    store.write_waves(0, &[snapshot(4, &[])]).unwrap();
    assert_eq!(store.begin_waves().unwrap(), 4);
    assert!(!store.waves_since(UnixSeconds::new(0)).unwrap()[0].1.ongoing);
    store
        .write_waves(4, &[snapshot(1, &[point(0, 1)])])
        .unwrap();
    assert_eq!(store.waves_since(UnixSeconds::new(0)).unwrap()[1].0, 5);
    assert_eq!(store.wave_points(&[5]).unwrap(), [[point(0, 1)]]);
}

#[test]
fn their_number_is_bounded() {
    let (_dir, path) = home();
    let mut store = open(&path).unwrap();
    let snapshots: Vec<Snapshot> = (1..=1_003).map(|id| snapshot(id, &[point(0, 1)])).collect();
    store.write_waves(0, &snapshots[..40]).unwrap();
    assert_eq!(store.wave_points(&[1]).unwrap()[0].len(), 1);
    store.write_waves(0, &snapshots).unwrap();
    let ids: Vec<i64> = store
        .waves_since(UnixSeconds::new(0))
        .unwrap()
        .iter()
        .map(|(id, _)| *id)
        .collect();
    assert_eq!(ids, (4..=1_003).collect::<Vec<_>>());
    let left = store.wave_points(&[953, 954]).unwrap();
    assert_eq!(left, [vec![], vec![point(0, 1)]]);
}

/// What [`Database`] does with a damaged file is tested with known senders, by
/// `damage_is_an_error_at_worst` and, in `tests/cli`,
/// `a_killed_writer_leaves_all_or_nothing`.
#[test]
fn values_that_no_wave_has_are_an_error() {
    for (damage, part) in [
        ("UPDATE waves SET wave = '[]'", "wave 1"),
        ("UPDATE points SET open = -1", "out of range"),
        ("UPDATE points SET refused = 1 << 32", "out of range"),
    ] {
        let (_dir, path) = home();
        let mut store = open(&path).unwrap();
        store
            .write_waves(0, &[snapshot(1, &[point(0, 1)])])
            .unwrap();
        let db = rusqlite::Connection::open(&path).unwrap();
        db.execute(damage, []).unwrap();
        let read = store
            .waves_since(UnixSeconds::new(0))
            .and_then(|_| store.wave_points(&[1]));
        let error = format!("{:#}", read.unwrap_err());
        assert!(error.contains(part), "{damage}: {error}");
    }
}
