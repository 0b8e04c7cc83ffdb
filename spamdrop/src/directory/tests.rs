#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::File;
use std::thread;

use crate::durable;

use super::*;

#[test]
fn a_file_that_the_daemon_replaces_meanwhile_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("daemon.json");
    let directory = OwnedFd::from(File::open(dir.path()).unwrap());
    let account = Account::of_process();
    thread::scope(|scope| {
        let daemon = scope.spawn(|| {
            for _ in 0..2_000 {
                durable::replace(&path, b"{}").unwrap();
            }
        });
        while !daemon.is_finished() {
            give_files(&directory, Owned::Run, &account).unwrap();
        }
    });
}
