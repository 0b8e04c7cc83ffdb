//! Finds the holder of a lock file without taking its lock. A query that took
//! the lock for a moment could make another process's attempt fail.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// Maximum number of bytes that are read of a lock file: more than a process id and a
/// verb need.
const LONGEST: u64 = 256;

/// The text that the holder of a lock has written into the file, its process id
/// first; `None` if that process does not hold the lock (any more).
pub(super) fn signature(path: &Path) -> Option<String> {
    let text = read(path).ok()?;
    let pid = text.split_whitespace().next()?.parse().ok()?;
    holds(pid, &fs::metadata(path).ok()?).then_some(text)
}

/// Reads the start of the file. The daemon's account could replace it by anything,
/// such as a FIFO, whose open would wait for a writer.
fn read(path: &Path) -> io::Result<String> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// Whether a process holds a lock on this file (flock(2)).
fn holds(pid: u32, file: &Metadata) -> bool {
    match has_locked(pid, file) {
        Ok(held) => held,
        // The process exists, but its descriptors cannot be read without
        // privileges. Assume that it holds the lock.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => true,
        // `ProtectProc=invisible` of a unit hides the daemon from its own account.
        Err(_) => exists(pid),
    }
}

/// Whether there is a process with this id, even if `/proc` does not show it.
fn exists(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let found = pid.map(test_kill_process);
    matches!(found, Some(Ok(()) | Err(Errno::PERM)))
}

fn has_locked(pid: u32, file: &Metadata) -> io::Result<bool> {
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        let open = match fs::metadata(entry.path()) {
            // The descriptor has been closed in the meantime.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            open => open?,
        };
        if (open.dev(), open.ino()) != (file.dev(), file.ino()) {
            continue;
        }
        let number = entry.file_name();
        let info = Path::new("/proc")
            .join(pid.to_string())
            .join("fdinfo")
            .join(number);
        let locked = |line: &str| line.starts_with("lock:") && line.contains("FLOCK");
        if fs::read_to_string(info).is_ok_and(|info| info.lines().any(locked)) {
            return Ok(true);
        }
    }
    Ok(false)
}
