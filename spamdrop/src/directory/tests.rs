#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{File, Permissions};
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

#[test]
fn a_directory_that_others_can_write_to_is_refused_with_the_command_that_mends_it() {
    let dir = tempfile::tempdir().unwrap();
    let account = Account::of_process();
    let refusal = |mode| {
        fs::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
        ensure_trusted(dir.path(), "run_dir", &account).map_err(|error| error.to_string())
    };
    assert_eq!(refusal(0o700), Ok(()));
    let error = refusal(0o707).unwrap_err();
    let step = format!("may change it: `chmod go-w {}`", dir.path().display());
    assert!(
        error.contains(" can be written to by everybody; "),
        "{error}"
    );
    assert!(error.contains(&step), "{error}");
}
