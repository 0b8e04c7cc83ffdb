//! Lists the rotated files of a log.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use spamdrop_core::rotation::newest_first;

/// Maximum number of files that are looked at, because the directory of logs may hold
/// any number.
const LISTED: usize = 10_000;

/// The rotated files of the log `base`, newest first, at most `most` of them.
pub(super) fn rotated(base: &Path, most: usize) -> Vec<PathBuf> {
    let Some(name) = base.file_name() else {
        return Vec::new();
    };
    let directory = directory_of(base);
    let stem = name.as_bytes().split(|byte| *byte == b'.').next();
    let stem = stem.unwrap_or_default();
    let files = listed(directory, |name| name.starts_with(stem)).unwrap_or_default();
    let names = files.iter().map(|(name, at)| (name.as_bytes(), *at));
    let sorted = newest_first(name.as_bytes(), names).into_iter().take(most);
    sorted
        .map(|name| directory.join(OsStr::from_bytes(name)))
        .collect()
}

/// The directory of a path.
pub(super) fn directory_of(path: &Path) -> &Path {
    let named = path.parent().filter(|parent| *parent != Path::new(""));
    named.unwrap_or(Path::new("."))
}

/// The regular files with a wanted name, and when each was written last. At most
/// [`LISTED`] are looked at.
pub(super) fn listed(
    directory: &Path,
    is_wanted: impl Fn(&[u8]) -> bool,
) -> io::Result<Vec<(OsString, SystemTime)>> {
    let entries = fs::read_dir(directory)?.filter_map(Result::ok);
    let wanted = entries.filter(|entry| is_wanted(entry.file_name().as_bytes()));
    let written = |entry: DirEntry| {
        // This follows a symlink.
        let metadata = fs::metadata(entry.path()).ok();
        let metadata = metadata.filter(fs::Metadata::is_file)?;
        Some((entry.file_name(), metadata.modified().ok()?))
    };
    Ok(wanted.take(LISTED).filter_map(written).collect())
}
