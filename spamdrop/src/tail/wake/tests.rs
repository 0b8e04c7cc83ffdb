#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::symlink;

use tokio::time::timeout;

use super::*;

/// Far longer than the tests need; only a failure waits so long.
const LONG: Duration = Duration::from_secs(20);

fn append(path: &Path) {
    let mut options = OpenOptions::new();
    let mut file = options.append(true).create(true).open(path).unwrap();
    file.write_all(b"line\n").unwrap();
}

/// A `Wake` that already watches the directory of `path`.
fn waking(path: &Path) -> Wake {
    let mut wake = Wake::default();
    assert!(wake.refresh(Instant::now(), [path].into_iter()));
    wake
}

async fn wakes(wake: &mut Wake, path: &Path) {
    let woken = timeout(LONG, wake.wait([path].into_iter())).await;
    woken.unwrap();
}

async fn sleeps(wake: &mut Wake, path: &Path) {
    let woken = timeout(2 * INTERVAL, wake.wait([path].into_iter())).await;
    assert!(woken.is_err());
}

#[tokio::test]
async fn wakes_when_a_file_comes_grows_and_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut wake = waking(&path);
    sleeps(&mut wake, &path).await;
    append(&path);
    wakes(&mut wake, &path).await;
    sleeps(&mut wake, &path).await;
    append(&path);
    wakes(&mut wake, &path).await;
    fs::rename(&path, dir.path().join("log.1")).unwrap();
    wakes(&mut wake, &path).await;
}

#[tokio::test]
async fn wakes_for_what_happened_before_it_watched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut wake = Wake::default();
    append(&path);
    wakes(&mut wake, &path).await;
    sleeps(&mut wake, &path).await;
}

#[tokio::test]
async fn wakes_for_the_target_of_a_symlink() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    append(&elsewhere.path().join("mail"));
    let path = dir.path().join("log");
    symlink(elsewhere.path().join("mail"), &path).unwrap();
    let mut wake = waking(&path);
    append(&elsewhere.path().join("mail"));
    wakes(&mut wake, &path).await;
}

#[tokio::test]
async fn holds_back_only_a_storm() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut wake = waking(&path);
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        tokio::time::sleep(BURST * INTERVAL).await;
        let start = Instant::now();
        for _ in 0..BURST {
            append(&path);
            wakes(&mut wake, &path).await;
        }
        fastest = fastest.min(start.elapsed());
    }
    assert!(fastest < BURST / 2 * INTERVAL, "{fastest:?}");
    let start = Instant::now();
    for _ in 0..3 * BURST {
        append(&path);
        wakes(&mut wake, &path).await;
    }
    let taken = start.elapsed();
    assert!(taken >= 2 * BURST * INTERVAL, "{taken:?}");
}

#[tokio::test]
async fn sleeps_through_other_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut wake = waking(&path);
    append(&dir.path().join("other"));
    // The event is in the queue; the second call finds the queue empty.
    sleeps(&mut wake, &path).await;
    sleeps(&mut wake, &path).await;
    append(&path);
    wakes(&mut wake, &path).await;
}

#[tokio::test]
async fn watches_a_directory_that_comes_later() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("later/log");
    let mut wake = Wake::default();
    assert!(!wake.refresh(Instant::now(), [path.as_path()].into_iter()));
    fs::create_dir(dir.path().join("later")).unwrap();
    let later = Instant::now() + REFRESH;
    assert!(wake.refresh(later, [path.as_path()].into_iter()));
    append(&path);
    wakes(&mut wake, &path).await;
}

#[tokio::test]
async fn leaves_directories_that_are_no_longer_named() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (old, new) = (old.path().join("log"), new.path().join("log"));
    let mut wake = waking(&old);
    let later = Instant::now() + REFRESH;
    assert!(wake.refresh(later, [new.as_path()].into_iter()));
    // The end of the watch is itself an event.
    wakes(&mut wake, &new).await;
    append(&old);
    sleeps(&mut wake, &new).await;
    append(&new);
    wakes(&mut wake, &new).await;
}

#[tokio::test]
async fn is_quiet_without_inotify() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut wake = Wake {
        queue: Queue::Off,
        ..Wake::default()
    };
    append(&path);
    sleeps(&mut wake, &path).await;
    wake.input.notify_one();
    wakes(&mut wake, &path).await;
}
