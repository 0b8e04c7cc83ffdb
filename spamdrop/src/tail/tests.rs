#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

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

fn lines(tail: &mut Tail) -> Vec<String> {
    poll(tail, usize::MAX).0
}

fn append(path: &Path, text: &str) {
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn save(tail: &mut Tail) -> Result<()> {
    tail.begin_save().map_or(Ok(()), |save| save())
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
    save(&mut tail).unwrap();
    drop(tail);
    fs::write(&paths[0], "old\nmeanwhile\n").unwrap();
    fs::write(&paths[1], "created\n").unwrap();
    let mut tail = Tail::open(&paths, Some(positions.clone())).unwrap();
    assert_eq!(poll(&mut tail, CHUNK).0, ["meanwhile", "created"]);
    save(&mut tail).unwrap();
    // Unchanged positions are not written again.
    fs::remove_file(&positions).unwrap();
    poll(&mut tail, CHUNK);
    save(&mut tail).unwrap();
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
        save(&mut tail).unwrap();
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
    save(&mut tail).unwrap();
    let good = fs::read_to_string(&positions).unwrap();
    fs::write(&paths[0], "one\ntwo\n").unwrap();
    let resumed = |text: &str| {
        fs::write(&positions, text).unwrap();
        let mut tail = Tail::open(&paths, Some(positions.clone())).unwrap();
        poll(&mut tail, CHUNK).0.len()
    };
    assert_eq!(resumed(&good), 1);
    // A file of spamdrop 0.1 has no version.
    let version = "  \"version\": 1,\n";
    assert_eq!(resumed(&good.replace(version, "")), 1);
    assert_eq!(resumed(&good.replace(version, "\"version\": 2,")), 0);
    for length in 0..good.trim_end().len() {
        assert_eq!(resumed(&good[..length]), 0, "cut to {length} bytes");
    }
    // Valid JSON with impossible numbers is taken for another file's position.
    let length = "\"length\": ";
    assert_eq!(resumed(&good.replace(length, &format!("{length}99999"))), 2);
}

#[test]
fn says_where_positions_cannot_be_kept() {
    let dir = tempfile::tempdir().unwrap();
    let positions = dir.path().join("absent/positions.json");
    let mut tail = Tail::open(&paths(&dir, &["log"]), Some(positions.clone())).unwrap();
    let error = save(&mut tail).unwrap_err().to_string();
    assert!(error.contains(positions.to_str().unwrap()), "{error}");
}

#[test]
fn positions_are_saved_when_they_have_changed_or_the_last_save_failed() {
    let dir = tempfile::tempdir().unwrap();
    let positions = dir.path().join("positions.json");
    let mut tail = Tail::open(&paths(&dir, &["log"]), Some(positions.clone())).unwrap();
    let first = tail.begin_save().unwrap();
    assert!(!positions.exists(), "another thread writes");
    assert!(tail.begin_save().is_none());
    tail.forget_save();
    assert!(tail.begin_save().is_some());
    first().unwrap();
    assert!(positions.exists());
}

#[test]
fn other_sources_are_followed_from_where_these_were_read() {
    let dir = tempfile::tempdir().unwrap();
    let positions = dir.path().join("positions.json");
    let (log, both) = (paths(&dir, &["log"]), paths(&dir, &["log", "other"]));
    fs::write(&log[0], "old\n").unwrap();
    let mut tail = Tail::open(&log, Some(positions)).unwrap();
    assert_eq!(lines(&mut tail), [""; 0]);
    append(&log[0], "read\n");
    assert_eq!(lines(&mut tail), ["read"]);
    append(&log[0], "meanwhile\n");
    let mut other = tail.reopen(&both).unwrap();
    assert_eq!(lines(&mut other), ["meanwhile"]);
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
    let line = |n: u8| [&[b'a' + n; 1 << 20][..], b"\nshort\n"].concat();
    // The fastest of several runs counts, because the machine may be busy.
    let fastest = (0..5)
        .map(|n| {
            fs::write(&paths[0], line(n)).unwrap();
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
    // For an unoptimised build, the test only checks that the time is linear.
    let limit = Duration::from_millis(if cfg!(debug_assertions) { 200 } else { 10 });
    assert!(fastest < limit, "{fastest:?}");
}
