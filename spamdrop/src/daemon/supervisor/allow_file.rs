//! Notices changes of the allowlist's file, which may be edited by hand.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tokio::sync::oneshot::Receiver;

use super::Supervisor;
use crate::daemon::disk::{Disk, take_finished};

/// The last change of a file.
#[derive(Debug, PartialEq, Eq)]
struct LastChange {
    inode: u64,
    size: u64,
    /// The time of the last change of the content or the rights, in seconds and
    /// nanoseconds.
    time: (i64, i64),
}

/// Watches the file. A look that follows the change of the path also sees a change.
#[derive(Debug)]
pub(super) struct AllowFileWatch {
    /// `None`: the file does not exist, or its directory cannot be entered.
    last: Option<LastChange>,
    looking: Option<Receiver<Option<LastChange>>>,
}

impl LastChange {
    fn read(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            inode: found.ino(),
            size: found.size(),
            time: (found.ctime(), found.ctime_nsec()),
        })
    }
}

impl AllowFileWatch {
    /// Begins, before the file is read.
    pub(super) fn begin(path: &Path) -> Self {
        Self {
            last: LastChange::read(path),
            looking: None,
        }
    }

    /// Takes the result of the last look, and looks again, in the disk thread. Returns
    /// whether the file has changed.
    fn has_changed(&mut self, path: &Path, disk: &Disk) -> bool {
        let mut has_changed = false;
        if let Some(Some(found)) = take_finished(&mut self.looking) {
            has_changed = found != self.last;
            self.last = found;
        }
        if self.looking.is_none() {
            let path = path.to_owned();
            self.looking = Some(disk.submit(move || LastChange::read(&path)));
        }
        has_changed
    }
}

impl Supervisor {
    /// Rereads the allowlist if its file has changed. Call it once a second.
    pub(super) fn watch_allow_file(&mut self) {
        let path = &self.settings.filter.allow_file;
        if self.allow_file.has_changed(path, &self.disk) {
            self.rereads_allowlist = true;
            self.protect();
        }
    }
}
