#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
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
    let waves = store.waves_since(0).unwrap();
    assert_eq!(waves, [(1, second.wave), (2, snapshot(2, &[]).wave)]);
    assert_eq!(store.last_wave().unwrap(), Some(snapshot(2, &[]).wave));
    let course = vec![point(0, 1), point(1, 7), point(2, 3)];
    assert_eq!(store.wave_points(&[1, 2]).unwrap(), [course, Vec::new()]);
    // They last ten seconds.
    assert_eq!(store.waves_since(NOW + 12).unwrap().len(), 1);
    assert_eq!(store.waves_since(NOW + 13).unwrap(), []);
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
    assert!(!store.waves_since(0).unwrap()[0].1.ongoing);
    store
        .write_waves(4, &[snapshot(1, &[point(0, 1)])])
        .unwrap();
    assert_eq!(store.waves_since(0).unwrap()[1].0, 5);
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
        .waves_since(0)
        .unwrap()
        .iter()
        .map(|(id, _)| *id)
        .collect();
    assert_eq!(ids, (4..=1_003).collect::<Vec<_>>());
    let left = store.wave_points(&[953, 954]).unwrap();
    assert_eq!(left, [vec![], vec![point(0, 1)]]);
}

/// Whatever the bytes are, there is an error or a result.
#[test]
fn damage_is_an_error_at_worst() {
    let (_dir, path) = home();
    let mut store = open(&path).unwrap();
    let points: Vec<Point> = (0..300).map(|at| point(at, at)).collect();
    let snapshots: Vec<Snapshot> = (1..60).map(|id| snapshot(id, &points)).collect();
    store.write_waves(0, &snapshots).unwrap();
    drop(store);
    let whole = fs::read(&path).unwrap();
    let mut errors = 0;
    for round in 0..150 {
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
            store.begin_waves()?;
            let waves = store.waves_since(0)?;
            let ids: Vec<i64> = waves.iter().map(|(id, _)| *id).collect();
            store.wave_points(&ids)?;
            store.write_waves(0, &snapshots[..1])
        });
        errors += u32::from(used.is_err());
    }
    assert!(errors > 50, "{errors} of 150 were noticed");
}
