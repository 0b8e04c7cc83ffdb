#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::*;

#[test]
fn writers_exclude_each_other_even_after_a_removal() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let first = WriteLock::acquire(&run_dir).unwrap();
    let (sent, received) = channel();
    let waiting = thread::spawn({
        let run_dir = run_dir.clone();
        move || {
            let lock = WriteLock::acquire(&run_dir).unwrap();
            sent.send(()).unwrap();
            lock
        }
    });
    assert!(received.try_recv().is_err());
    fs::remove_dir_all(&run_dir).unwrap();
    drop(first);
    received.recv().unwrap();
    let lock = waiting.join().unwrap();
    let other = open(&run_dir, &run_dir.join("lock")).unwrap();
    assert!(other.try_lock().is_err());
    drop(lock);
    assert!(other.try_lock().is_ok());
}

#[test]
fn a_bounded_wait_for_the_write_lock_ends() {
    let dir = tempfile::tempdir().unwrap();
    let within = Duration::from_millis(50);
    let lock = WriteLock::try_acquire(dir.path(), within).unwrap();
    assert!(lock.is_some());
    let start = Instant::now();
    assert!(
        WriteLock::try_acquire(dir.path(), within)
            .unwrap()
            .is_none()
    );
    assert!(start.elapsed() >= within);
    drop(lock);
    assert!(
        WriteLock::try_acquire(dir.path(), Duration::ZERO)
            .unwrap()
            .is_some()
    );
}

#[test]
fn the_write_lock_names_its_holder_while_it_is_held() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(holder(dir.path()), None);
    let lock = WriteLock::acquire(dir.path()).unwrap();
    let named = holder(dir.path()).unwrap();
    assert_eq!(named.pid, std::process::id());
    drop(lock);
    assert_eq!(holder(dir.path()), None);
    let other = Holder {
        pid: 7,
        verb: "known import".into(),
    };
    assert_eq!(other.to_string(), "`spamdrop known import` (pid 7)");
}

#[test]
fn a_name_that_a_killed_process_left_is_not_the_holders() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    // This process is alive but holds no lock on the file.
    fs::write(&path, format!("{} import\n", std::process::id())).unwrap();
    let _open = File::open(&path).unwrap();
    assert_eq!(holder(dir.path()), None);
    fs::write(&path, "4194305 import\n").unwrap();
    assert_eq!(holder(dir.path()), None);
}

#[test]
fn a_second_daemon_is_told_which_one_runs() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(daemon_pid(dir.path()), None);
    let mark = DaemonMark::begin(dir.path()).unwrap();
    assert_eq!(daemon_pid(dir.path()), Some(std::process::id()));
    let error = DaemonMark::begin(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains(&format!("pid {}", std::process::id())),
        "{error}"
    );
    drop(mark);
    assert_eq!(daemon_pid(dir.path()), None);
}

/// An earlier version of `status` locked the file for a moment. A daemon that started at
/// that moment believed that another daemon was running.
#[test]
fn asking_for_the_daemon_takes_no_lock() {
    let dir = tempfile::tempdir().unwrap();
    drop(DaemonMark::begin(dir.path()).unwrap());
    // The file is unlocked rather than closed, because a process that another
    // test starts may have inherited the descriptor.
    let file = File::open(dir.path().join("daemon.pid")).unwrap();
    let done = AtomicBool::new(false);
    let refused = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let _ = daemon_pid(dir.path());
            }
        });
        let start = Instant::now();
        let mut refused = 0;
        while start.elapsed() < Duration::from_millis(300) {
            match file.try_lock() {
                Ok(()) => file.unlock().unwrap(),
                Err(_) => refused += 1,
            }
        }
        done.store(true, Ordering::Relaxed);
        refused
    });
    assert_eq!(refused, 0);
}

#[test]
fn the_write_lock_tells_whether_another_process_had_it_since() {
    let dir = tempfile::tempdir().unwrap();
    let was_ours = || WriteLock::acquire(dir.path()).unwrap().was_ours();
    assert_eq!([was_ours(), was_ours()], [false, true]);
    let path = dir.path().join("lock");
    let ours = fs::read_to_string(&path).unwrap();
    // Another process's text may contain ours, or be missing because that process could
    // not write it.
    for other in [format!("1{ours}"), format!("{ours}more"), String::new()] {
        fs::write(&path, other).unwrap();
        assert_eq!([was_ours(), was_ours()], [false, true]);
    }
}
