#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, File};
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, Mode, mkfifoat};
use tempfile::TempDir;

use super::*;
use crate::durable;

fn paths(dir: &TempDir, names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|name| dir.path().join(name)).collect()
}

fn poll(tail: &mut Tail, budget: usize) -> (Vec<String>, bool) {
    let mut lines = Vec::new();
    let more = tail.poll(Instant::now(), budget, &mut |line| {
        lines.push(String::from_utf8_lossy(line.bytes).into_owned());
    });
    (lines, more)
}

#[test]
fn shares_the_budget_between_files() {
    let dir = tempfile::tempdir().unwrap();
    let paths = paths(&dir, &["a", "b", "a"]);
    let mut tail = Tail::open(&paths, None).unwrap();
    assert_eq!(tail.files().count(), 2);
    let chunk = "0123456789abcde\n".repeat(CHUNK / 16);
    fs::write(&paths[0], chunk.repeat(4)).unwrap();
    fs::write(&paths[1], chunk.repeat(2)).unwrap();
    let read =
        |tail: &Tail| -> Vec<u64> { tail.files().map(|file| file.bytes / CHUNK as u64).collect() };
    assert!(poll(&mut tail, CHUNK).1);
    assert_eq!(read(&tail), [1, 0]);
    assert!(poll(&mut tail, CHUNK).1);
    assert_eq!(read(&tail), [1, 1]);
    assert!(poll(&mut tail, 2 * CHUNK).1);
    assert_eq!(read(&tail), [2, 2]);
    assert_eq!(
        tail.files().map(|file| file.lag).sum::<u64>(),
        2 * CHUNK as u64
    );
    let (lines, more) = poll(&mut tail, usize::MAX);
    assert_eq!((lines.len(), more), (2 * CHUNK / 16, false));
}

#[test]
fn a_budget_of_a_byte_gets_everything_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let paths = paths(&dir, &["log"]);
    let mut tail = Tail::open(&paths, None).unwrap();
    fs::write(&paths[0], "one\ntwo\n").unwrap();
    let mut lines = Vec::new();
    loop {
        let (found, more) = poll(&mut tail, 1);
        lines.extend(found);
        if !more {
            break;
        }
    }
    assert_eq!(lines, ["one", "two"]);
}

#[test]
fn keeps_positions_across_runs() {
    let dir = tempfile::tempdir().unwrap();
    let paths = paths(&dir, &["a", "b"]);
    let positions = dir.path().join("positions.json");
    fs::write(&paths[0], "old\n").unwrap();
    let mut tail = Tail::open(&paths, Some(positions.clone())).unwrap();
    tail.save().unwrap();
    drop(tail);
    fs::write(&paths[0], "old\nmeanwhile\n").unwrap();
    fs::write(&paths[1], "created\n").unwrap();
    let mut tail = Tail::open(&paths, Some(positions.clone())).unwrap();
    assert_eq!(poll(&mut tail, CHUNK).0, ["meanwhile", "created"]);
    tail.save().unwrap();
    // What has not changed is not written again.
    fs::remove_file(&positions).unwrap();
    poll(&mut tail, CHUNK);
    tail.save().unwrap();
    assert!(!positions.exists());
}

#[test]
fn forgets_a_path_that_is_no_longer_configured() {
    let dir = tempfile::tempdir().unwrap();
    let paths = paths(&dir, &["first", "second"]);
    let positions = dir.path().join("positions.json");
    for (configured, other) in [(0, 1), (1, 0)] {
        let mut tail =
            Tail::open(&paths[configured..=configured], Some(positions.clone())).unwrap();
        tail.save().unwrap();
        let text = fs::read_to_string(&positions).unwrap();
        assert!(text.contains(paths[configured].to_str().unwrap()), "{text}");
        assert!(!text.contains(paths[other].to_str().unwrap()), "{text}");
    }
}

#[test]
fn damaged_positions_count_as_none() {
    let dir = tempfile::tempdir().unwrap();
    let paths = paths(&dir, &["log"]);
    let positions = dir.path().join("positions.json");
    fs::write(&paths[0], "one\n").unwrap();
    let mut tail = Tail::open(&paths, Some(positions.clone())).unwrap();
    tail.save().unwrap();
    let good = fs::read_to_string(&positions).unwrap();
    fs::write(&paths[0], "one\ntwo\n").unwrap();
    let resumed = |text: &str| {
        fs::write(&positions, text).unwrap();
        let mut tail = Tail::open(&paths, Some(positions.clone())).unwrap();
        poll(&mut tail, CHUNK).0.len()
    };
    assert_eq!(resumed(&good), 1);
    assert_eq!(resumed(&good.replacen('{', "{\"version\": 2,", 1)), 1);
    for length in 0..good.trim_end().len() {
        assert_eq!(resumed(&good[..length]), 0, "cut to {length} bytes");
    }
    // Sane JSON with insane numbers is another file's position.
    let length = "\"length\": ";
    assert_eq!(resumed(&good.replace(length, &format!("{length}99999"))), 2);
}

#[test]
fn says_where_positions_cannot_be_kept() {
    let dir = tempfile::tempdir().unwrap();
    let positions = dir.path().join("absent/positions.json");
    let mut tail = Tail::open(&paths(&dir, &["log"]), Some(positions.clone())).unwrap();
    let error = tail.save().unwrap_err().to_string();
    assert!(error.contains(positions.to_str().unwrap()), "{error}");
}

#[test]
fn a_slow_disk_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let positions = dir.path().join("positions.json");
    let mut tail = Tail::open(&paths(&dir, &["log"]), Some(positions.clone())).unwrap();
    // Whoever writes to it waits for a reader.
    let beside = durable::beside(&positions);
    mkfifoat(CWD, &beside, Mode::RUSR | Mode::WUSR).unwrap();
    assert!(tail.begin_save().unwrap().is_ok());
    assert!(tail.begin_save().is_none());
    // The first one fails, as a FIFO cannot be synced.
    let reader = File::open(&beside).unwrap();
    fs::remove_file(&beside).unwrap();
    let mut outcome = || {
        loop {
            match tail.begin_save() {
                Some(outcome) => return outcome,
                None => thread::yield_now(),
            }
        }
    };
    let error = outcome().unwrap_err().to_string();
    assert!(error.contains(positions.to_str().unwrap()), "{error}");
    outcome().unwrap();
    assert!(positions.exists());
    drop(reader);
}

#[tokio::test]
async fn standard_input_ends_without_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let paths = [PathBuf::from("-"), dir.path().join("log")];
    let tail = Tail::open(&paths, None).unwrap();
    let shown: Vec<&Path> = tail.files().map(|file| file.path.as_path()).collect();
    assert_eq!(shown, paths);
}

#[tokio::test]
async fn a_change_wakes() {
    let dir = tempfile::tempdir().unwrap();
    let paths = paths(&dir, &["log"]);
    let mut tail = Tail::open(&paths, None).unwrap();
    fs::write(&paths[0], "line\n").unwrap();
    let woken = tokio::time::timeout(Duration::from_secs(20), tail.changed());
    woken.await.unwrap();
    assert_eq!(poll(&mut tail, CHUNK).0, ["line"]);
}

#[test]
fn a_long_line_is_passed_over_in_little_time() {
    let dir = tempfile::tempdir().unwrap();
    let paths = paths(&dir, &["log"]);
    let mut tail = Tail::open(&paths, None).unwrap();
    let line = [&[b'x'; 1 << 20][..], b"\nshort\n"].concat();
    // The fastest of several: the machine may be busy with something else.
    let fastest = (0..5)
        .map(|_| {
            fs::write(&paths[0], &line).unwrap();
            let start = Instant::now();
            let (lines, more) = poll(&mut tail, usize::MAX);
            let taken = start.elapsed();
            assert_eq!((lines, more), (vec!["short".to_owned()], false));
            fs::write(&paths[0], "").unwrap();
            poll(&mut tail, usize::MAX);
            taken
        })
        .min()
        .unwrap();
    assert_eq!(tail.files().map(|file| file.overlong).sum::<u64>(), 5);
    // Of an unoptimised build only that it is linear.
    let limit = Duration::from_millis(if cfg!(debug_assertions) { 200 } else { 10 });
    assert!(fastest < limit, "{fastest:?}");
}
