//! The settings of Postfix and Exim: root gathers them with the server's own
//! tools ([`gather`]) and writes them to a file in the run directory
//! ([`write`]); the daemon reads the file ([`read`]).

mod gather;
mod tool;

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::geteuid;
use serde::Deserialize;

use crate::account;
use crate::clock;
use crate::directory::{self, Owned};
use crate::readable::read_regular;
use spamdrop_core::log::MailServer;
use spamdrop_core::server_settings::{FILE, ServerSettings, SettingsFile, VERSION};

pub use gather::{Places, gather};

/// The next step where the file is missing or out of date.
pub const HOW_TO_WRITE: &str = "run `spamdrop settings --write` as root";

/// Whether the daemon reads the settings of this server from [`FILE`], which root
/// writes.
#[must_use]
pub fn are_gathered(server: MailServer) -> bool {
    matches!(server, MailServer::Postfix | MailServer::Exim)
}

/// The content of a new settings file, with the current version and time.
#[must_use]
pub fn file_of(servers: Vec<ServerSettings>) -> SettingsFile {
    SettingsFile {
        version: VERSION,
        read_unix_s: clock::unix_seconds().get(),
        servers,
    }
}

/// The version of the file, read first, because other versions may have other fields.
#[derive(Deserialize)]
struct FileVersion {
    #[serde(default)]
    version: u32,
}

/// Maximum length of the file, in bytes.
const LONGEST: u64 = 64 << 20;

/// Reads the file; `None` if there is none.
///
/// # Errors
///
/// The file cannot be read, or has another version.
pub fn read(run_dir: &Path) -> Result<Option<SettingsFile>> {
    let path = run_dir.join(FILE);
    let cannot = || format!("cannot read {}; {HOW_TO_WRITE}", path.display());
    // The daemon's account owns the directory, so the file may be a link to a file that
    // the account may not read.
    let _acting = account::act_as_daemon()?;
    let text = match read_regular(&path, LONGEST) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.with_context(cannot)?,
    };
    let FileVersion { version } = serde_json::from_slice(&text).with_context(cannot)?;
    ensure!(
        version == VERSION,
        "{} has version {version}, and this spamdrop reads version {VERSION}; {HOW_TO_WRITE}",
        path.display()
    );
    serde_json::from_slice(&text).map(Some).with_context(cannot)
}

/// Replaces the file. It belongs to root; the daemon's group may read it,
/// because the names of zones may hold keys.
///
/// # Errors
///
/// The run directory cannot be made, or the file cannot be written.
pub fn write(run_dir: &Path, settings: &SettingsFile) -> Result<PathBuf> {
    directory::prepare(run_dir, Owned::Run)?;
    let path = run_dir.join(FILE);
    let text = serde_json::to_string(settings)?;
    replace(run_dir, text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Replaces the file in `run_dir`. The daemon's account owns this directory, so no link in
/// it is followed.
fn replace(run_dir: &Path, text: &[u8]) -> Result<()> {
    let new = format!("{FILE}.new");
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(run_dir, flags, Mode::empty())?;
    match rustix::fs::unlinkat(&directory, &new, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&directory, &new, flags, Mode::from_raw_mode(0o600))?;
    if geteuid().is_root() {
        rustix::fs::fchown(&file, None, Some(account::daemon().gid))?;
    }
    rustix::fs::fchmod(&file, Mode::from_raw_mode(0o640))?;
    let mut file = File::from(file);
    file.write_all(text)?;
    file.sync_all()?;
    rustix::fs::renameat(&directory, &new, &directory, FILE)?;
    Ok(())
}

/// The first of the server's files that was changed, made or removed since the settings
/// were read. A file that exists, but cannot be looked at, counts as unchanged.
#[must_use]
pub fn changed(settings: &SettingsFile) -> Option<&str> {
    let mut files = settings.files();
    let is_changed = |path: &str, then: Option<u64>| match fs::metadata(path) {
        Ok(found) => then != Some(modified(&found)),
        Err(error) => error.kind() == ErrorKind::NotFound && then.is_some(),
    };
    files
        .find(|file| is_changed(&file.path, file.modified_unix_s))
        .map(|file| file.path.as_str())
}

fn modified(found: &fs::Metadata) -> u64 {
    u64::try_from(found.mtime()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
