//! Small files that are replaced whole: after a crash the old one is there or
//! the new one.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Writes a file beside `path`, syncs it and renames it over `path`.
///
/// # Errors
///
/// One of these steps fails; `path` is as it was. Its directory must exist.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = beside(path);
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// The file that [`replace`] writes first; a crash may leave it.
#[must_use]
pub fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".new");
    name.into()
}
