//! Lists the rotated files of a log.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use spamdrop_core::rotation::newest_first;

/// Maximum number of files that are compared: the directory of logs may hold
/// anything.
const LISTED: usize = 10_000;

/// The rotated files of the log `base`, newest first, at most `most` of them.
pub(super) fn rotated(base: &Path, most: usize) -> Vec<PathBuf> {
    let (Some(directory), Some(name)) = (base.parent(), base.file_name()) else {
        return Vec::new();
    };
    let directory = match directory.as_os_str().is_empty() {
        true => Path::new("."),
        false => directory,
    };
    let files = listed(directory, name);
    let names = files.iter().map(|(name, at)| (name.as_bytes(), *at));
    let sorted = newest_first(name.as_bytes(), names).into_iter().take(most);
    sorted
        .map(|name| directory.join(OsStr::from_bytes(name)))
        .collect()
}

/// The files whose names begin as that of the log does, and when each was
/// written.
fn listed(directory: &Path, log: &OsStr) -> Vec<(OsString, SystemTime)> {
    let log = log.as_bytes();
    let stem = log.split(|byte| *byte == b'.').next().unwrap_or(log);
    let entries = fs::read_dir(directory).into_iter().flatten();
    let written = |entry: DirEntry| {
        let written = entry.metadata().and_then(|metadata| metadata.modified());
        Some((entry.file_name(), written.ok()?))
    };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().as_bytes().starts_with(stem))
        .take(LISTED)
        .filter_map(written)
        .collect()
}
