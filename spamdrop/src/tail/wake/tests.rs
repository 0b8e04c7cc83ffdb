#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::symlink;

use futures_util::FutureExt as _;
use tokio::time::timeout;

use super::*;

fn append(path: &Path) {
    let mut options = OpenOptions::new();
    let mut file = options.append(true).create(true).open(path).unwrap();
    file.write_all(b"line\n").unwrap();
}

fn waking(paths: &[&Path]) -> Wake {
    let mut wake = Wake::new();
    wake.refresh(Instant::now(), paths.iter().copied());
    wake
}

/// Far more than it takes; only a failure waits so long.
const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn wakes_when_a_file_comes_grows_and_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut wake = waking(&[&path]);
    assert!(wake.wait().now_or_never().is_none());
    append(&path);
    timeout(LONG, wake.wait()).await.unwrap();
    append(&path);
    timeout(LONG, wake.wait()).await.unwrap();
    fs::rename(&path, dir.path().join("log.1")).unwrap();
    timeout(LONG, wake.wait()).await.unwrap();
}

#[tokio::test]
async fn wakes_for_the_target_of_a_symlink() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    append(&elsewhere.path().join("mail"));
    let path = dir.path().join("log");
    symlink(elsewhere.path().join("mail"), &path).unwrap();
    let mut wake = waking(&[&path]);
    append(&elsewhere.path().join("mail"));
    timeout(LONG, wake.wait()).await.unwrap();
}

#[tokio::test]
async fn sleeps_through_other_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut wake = waking(&[&path]);
    append(&dir.path().join("other"));
    // The event is in the queue; by the second call it has been taken.
    for _ in 0..2 {
        let woken = timeout(2 * INTERVAL, wake.wait()).await;
        assert!(woken.is_err());
    }
    append(&path);
    timeout(LONG, wake.wait()).await.unwrap();
}

#[tokio::test]
async fn watches_a_directory_that_comes_later() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("later/log");
    let mut wake = waking(&[&path]);
    fs::create_dir(dir.path().join("later")).unwrap();
    wake.refresh(Instant::now() + REFRESH, [path.as_path()].into_iter());
    append(&path);
    timeout(LONG, wake.wait()).await.unwrap();
}

#[tokio::test]
async fn leaves_directories_that_are_no_longer_named() {
    let dir = tempfile::tempdir().unwrap();
    let old = dir.path().join("log");
    let mut wake = waking(&[&old]);
    let elsewhere = tempfile::tempdir().unwrap();
    let new = elsewhere.path().join("log");
    wake.refresh(Instant::now() + REFRESH, [new.as_path()].into_iter());
    // The end of the watch is an event itself.
    timeout(LONG, wake.wait()).await.unwrap();
    append(&old);
    assert!(timeout(2 * INTERVAL, wake.wait()).await.is_err());
    append(&new);
    timeout(LONG, wake.wait()).await.unwrap();
}

#[tokio::test]
async fn is_quiet_without_inotify() {
    let mut wake = Wake::new();
    (wake.queue, wake.watches) = (Queue::Off, None);
    wake.refresh(Instant::now(), [Path::new("/tmp/log")].into_iter());
    assert!(wake.wait().now_or_never().is_none());
    wake.input.notify_one();
    assert!(wake.wait().now_or_never().is_some());
}
