//! Finds the process that holds a file's lock, for messages.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{major, minor};
use spamdrop_core::escape::escape;

/// The process that holds a lock on the file, such as `` `spamdrop learn` (pid
/// 4711) ``; `None` if the kernel names none. The process may have ended since.
#[must_use]
pub fn describe(path: &Path) -> Option<String> {
    let file = fs::metadata(path).ok()?;
    let device = (major(file.dev()), minor(file.dev()));
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let pid = locks
        .lines()
        .find_map(|line| holder(line, device, file.ino()))?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = command.split(|byte| *byte == 0).take(2).map(escape);
    let command = words.map(|word| word.to_string()).collect::<Vec<_>>();
    Some(format!("`{}` (pid {pid})", command.join(" ").trim_end()))
}

/// The process in a line of `/proc/locks`, if that lock is held on this file:
/// `1: POSIX ADVISORY WRITE 4711 fd:01:131 0 EOF`.
fn holder(line: &str, (major, minor): (u32, u32), inode: u64) -> Option<u32> {
    let mut words = line.split_ascii_whitespace().skip(4);
    let pid = words.next()?.parse().ok()?;
    let file = format!("{major:02x}:{minor:02x}:{inode}");
    (words.next()? == file).then_some(pid)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_waiting_process_is_no_holder() {
        let file = |line| holder(line, (0xfd, 1), 131);
        assert_eq!(
            file("1: POSIX  ADVISORY  WRITE 4711 fd:01:131 1073741825 1073741825"),
            Some(4711)
        );
        assert_eq!(file("1: FLOCK  ADVISORY  WRITE 12 fd:01:132 0 EOF"), None);
        // The arrow marks a waiting process.
        assert_eq!(
            file("1: -> FLOCK  ADVISORY  WRITE 12 fd:01:131 0 EOF"),
            None
        );
        // A lock of an open file description belongs to no process.
        assert_eq!(file("2: OFDLCK ADVISORY  READ -1 fd:01:131 0 EOF"), None);
    }

    #[test]
    fn the_holder_is_named_by_its_command_and_process() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(describe(file.path()), None);
        file.as_file().lock().unwrap();
        let text = describe(file.path()).unwrap();
        assert!(
            text.ends_with(&format!(" (pid {})", std::process::id())),
            "{text}"
        );
    }
}
