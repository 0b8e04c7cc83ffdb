//! Small files that are replaced atomically: after a crash either the old or
//! the new one exists.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Writes a file beside `path`, syncs it and renames it over `path`.
///
/// # Errors
///
/// One of these steps fails; `path` is then unchanged. Its directory must
/// exist.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = beside(path);
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// The temporary file of [`replace`], which a crash may leave behind.
#[must_use]
pub fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".new");
    name.into()
}
