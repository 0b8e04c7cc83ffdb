//! Finds why the daemon's account cannot read a log, and reads files that others may
//! have replaced.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, OFlags};

use crate::account::{self, Account};

/// The name of a file of the system's journal, which users of the group
/// systemd-journal can read.
const SYSTEM_JOURNAL: &str = "system.journal";
/// The directories of journal files. Each has a subdirectory, named by the machine id.
const JOURNALS: [&str; 2] = ["/var/log/journal", "/run/log/journal"];

/// Reads a file that others may have replaced. A FIFO would block for ever, and a
/// device might never end, so only a regular file is read.
///
/// # Errors
///
/// The file is not a regular one, is longer than `longest` bytes, or cannot be read.
pub fn read_regular(path: &Path, longest: u64) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = Vec::new();
    file.take(longest + 1).read_to_end(&mut text)?;
    if text.len() as u64 > longest {
        let message = format!("it is longer than {longest} bytes");
        return Err(io::Error::other(message));
    }
    Ok(text)
}

/// Why the account cannot read a file that exists, and the next step.
#[must_use]
pub fn advice(path: &Path, account: &Account) -> String {
    let above = path.ancestors().skip(1).collect::<Vec<_>>();
    let closed = above.into_iter().rev().find_map(|directory| {
        let found = fs::metadata(directory).ok()?;
        (!account.has(&found, 0o1)).then(|| step(directory, &found, 0o1, account))
    });
    closed.unwrap_or_else(|| match fs::metadata(path) {
        Ok(found) => step(path, &found, 0o4, account),
        Err(error) => format!(
            "the daemon runs as {account} and cannot read {}: {error}",
            path.display()
        ),
    })
}

/// Names the right that the account lacks, and the command that grants it. `right`: 4
/// to read, 1 to enter.
fn step(path: &Path, found: &Metadata, right: u32, account: &Account) -> String {
    let shown = path.display();
    let group = account::group_name(Gid::from_raw(found.gid()));
    let (verb, letter) = if right == 0o1 {
        ("enter", 'x')
    } else {
        ("read", 'r')
    };
    let step = match found.mode() & (right << 3) {
        0 => format!("`setfacl -m u:{account}:{letter} {shown}`"),
        _ => format!("`usermod -aG {group} {account}`, then restart the daemon"),
    };
    format!(
        "the daemon runs as {account} and cannot {verb} {shown} (group {group}, mode {:04o}): {step}",
        found.mode() & 0o7777
    )
}

/// Why journalctl shows this process only its own entries; `None` if it shows all.
#[must_use]
pub fn journal_trouble(account: &Account) -> Option<String> {
    let files = JOURNALS
        .iter()
        .flat_map(|directory| machines(Path::new(directory)));
    let closed = files
        .map(|machine| machine.join(SYSTEM_JOURNAL))
        .find(|path| is_refused(path))?;
    Some(advice(&closed, account))
}

fn machines(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

/// Whether this thread lacks the permission to read the file. Other errors do not
/// count.
#[must_use]
pub fn is_refused(path: &Path) -> bool {
    let is_denied = |error: &io::Error| error.kind() == ErrorKind::PermissionDenied;
    match fs::metadata(path) {
        // The open of a FIFO would wait for its writer.
        Ok(found) => found.is_file() && File::open(path).as_ref().is_err_and(is_denied),
        Err(error) => is_denied(&error),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn only_a_regular_file_of_limited_length_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "four").unwrap();
        assert_eq!(read_regular(&path, 4).unwrap(), b"four");
        assert!(read_regular(&path, 3).is_err());
        assert!(read_regular(directory.path(), 9).is_err());
        assert!(read_regular(Path::new("/dev/zero"), 9).is_err());
        // Without a writer, opening it would block.
        let fifo = directory.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert!(read_regular(&fifo, 9).is_err());
    }
}
