//! The directories of the daemon: who may change them, and their preparation
//! for the daemon's account.
//!
//! A user who can write to a directory, or to one above it, can replace the files
//! in it. So all of them must belong to root or to the daemon's account, and no
//! one else may write to them. A sticky directory such as `/tmp` is accepted
//! above a directory, because in it only the owner of a file can rename or remove
//! that file, and the owner is checked as well. As the directory itself, it is refused.

use std::ffi::CStr;
use std::fs::{self, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::account::{self, Account};
use crate::exit::{Exit, Failure};
use spamdrop_core::server_settings::FILE as SETTINGS_FILE;

mod trust;

pub use trust::{ensure_owned, ensure_trusted};

/// A directory that belongs to the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owned {
    /// `run_dir`.
    Run,
    /// `state_dir`.
    State,
    /// `pin_dir`. The caller has ensured that it is within a BPF file system.
    Pins,
}

/// How the names of spamdrop's files begin. [`adopt`] gives such files of root to the account.
const OF_RUN: [&str; 5] = ["lock", "reload.lock", "daemon.", "watcher.", SETTINGS_FILE];
const OF_STATE: [&str; 5] = [
    "positions.json",
    "spamdrop.db",
    "blocks.db",
    "known.db",
    "waves.db",
];
/// The pinned links, and the maps of layout v1, which had no directory of its own.
const OF_PINS: [&str; 17] = [
    "allow",
    "answer_link",
    "asks",
    "blocked",
    "cidr",
    "counters",
    "gate",
    "hot4",
    "known",
    "link_",
    "netns",
    "origins",
    "passage",
    "recent",
    "responder",
    "settings",
    "verdicts",
];

impl Owned {
    fn key(self) -> &'static str {
        match self {
            Self::Run => "run_dir",
            Self::State => "state_dir",
            Self::Pins => "pin_dir",
        }
    }

    /// Whether a file is spamdrop's, so that it may be given to the account. The
    /// FIFO may have any name.
    fn has_made(self, name: &CStr, kind: FileType) -> bool {
        let name = name.to_bytes();
        let begins = |prefixes: &[&str]| {
            let mut prefixes = prefixes.iter();
            prefixes.any(|prefix| name.starts_with(prefix.as_bytes()))
        };
        match self {
            Self::Run => begins(&OF_RUN) || [FileType::Fifo, FileType::Symlink].contains(&kind),
            Self::State => begins(&OF_STATE),
            Self::Pins => begins(&OF_PINS) || is_version(name),
        }
    }
}

/// Whether this is the name of the directory of a layout of the maps, such as `v2`.
fn is_version(name: &[u8]) -> bool {
    let digits = name.strip_prefix(b"v").unwrap_or_default();
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// Makes the directory if it is missing. If this process is root and the daemon
/// has an account of its own, a directory of root is given to that account, with
/// all files in it.
///
/// # Errors
///
/// The directory cannot be made, others could write to it
/// ([`ensure_trusted`]), or it holds files that are not spamdrop's.
pub fn prepare(path: &Path, owned: Owned) -> Result<()> {
    make(path, 0o700)?;
    adopt(path, owned)
}

/// As [`prepare`], but a missing directory is not made.
///
/// # Errors
///
/// As [`prepare`].
pub fn adopt(path: &Path, owned: Owned) -> Result<()> {
    if !geteuid().is_root() || !path.exists() {
        return Ok(());
    }
    let account = account::daemon();
    ensure_trusted(path, owned.key(), &account)?;
    if account.uid.is_root() {
        return Ok(());
    }
    give(path, owned, &account)?;
    ensure_reachable(path, owned, &account)
}

/// Makes the directory with this mode, and missing ones above it with mode 0755,
/// whatever the umask.
///
/// # Errors
///
/// A directory cannot be made.
pub fn make(path: &Path, mode: u32) -> Result<()> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
        .collect();
    for directory in missing.into_iter().rev() {
        let mode = if directory == path { mode } else { 0o755 };
        make_one(directory, mode)
            .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    }
    Ok(())
}

fn make_one(path: &Path, mode: u32) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Ok(()) if mode != 0o700 => fs::set_permissions(path, Permissions::from_mode(mode)),
        made => made,
    }
}

/// Gives a directory of root, and its files, to the account. Until then only root
/// can change the directory, so nobody can replace a file between check and change.
fn give(path: &Path, owned: Owned, account: &Account) -> Result<()> {
    let cannot = || format!("cannot give {} to {account}", path.display());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let real = fs::canonicalize(path).with_context(cannot)?;
    let directory =
        rustix::fs::open(&real, flags | OFlags::NOFOLLOW, Mode::empty()).with_context(cannot)?;
    match rustix::fs::fstat(&directory).with_context(cannot)?.st_uid {
        uid if uid == account.uid.as_raw() => {
            return match owned {
                Owned::Pins => Ok(()),
                Owned::Run | Owned::State => {
                    give_files(&directory, owned, account).with_context(cannot)
                }
            };
        }
        0 => {}
        _ => return ensure_owned(path, owned, account),
    }
    ensure_only_ours(&directory, path, owned)?;
    give_all(&directory, account).with_context(cannot)
}

/// Gives root's files in the account's directory to the account: an older daemon
/// has written them as root. The account could replace them anyway. The mail
/// server's settings remain root's, because only root may write them.
fn give_files(directory: &OwnedFd, owned: Owned, account: &Account) -> rustix::io::Result<()> {
    for (name, kind) in names(directory)? {
        let is_roots = name.to_bytes().starts_with(SETTINGS_FILE.as_bytes());
        if kind != FileType::RegularFile || !owned.has_made(&name, kind) || is_roots {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(directory, &name, flags, Mode::empty()) {
            // The daemon has renamed or removed it meanwhile.
            Err(Errno::NOENT) => continue,
            opened => opened?,
        };
        let found = rustix::fs::fstat(&file)?;
        // A file with another hard link may be root's file from elsewhere, so it remains
        // root's.
        if found.st_uid == 0 && found.st_nlink == 1 {
            rustix::fs::fchown(&file, Some(account.uid), Some(account.gid))?;
        }
    }
    Ok(())
}

fn names(directory: impl AsFd) -> rustix::io::Result<Vec<(std::ffi::CString, FileType)>> {
    let entries = Dir::read_from(directory)?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if ![&b"."[..], b".."].contains(&entry.file_name().to_bytes()) {
            names.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    Ok(names)
}

fn ensure_only_ours(directory: &OwnedFd, path: &Path, owned: Owned) -> Result<()> {
    let names = names(directory).with_context(|| format!("cannot read {}", path.display()))?;
    let mut others = names
        .iter()
        .filter(|(name, kind)| !owned.has_made(name, *kind));
    let Some((other, _)) = others.next() else {
        return Ok(());
    };
    let other = other.to_string_lossy();
    let (key, shown) = (owned.key(), path.display());
    let account = account::daemon();
    let message = format!(
        "`{key}`: {shown} belongs to root and holds {other:?}, which is not spamdrop's, so it is \
         not given to {account}; name a directory of its own, or `chown -R {account}: {shown}`"
    );
    Err(Failure::new(Exit::Config, message))
}

/// Gives a directory of root, and all in it, to the account. The directory itself is
/// given last: while it is root's, nobody can replace its files.
fn give_all(directory: &OwnedFd, account: &Account) -> rustix::io::Result<()> {
    let (uid, gid) = (Some(account.uid), Some(account.gid));
    for (name, kind) in names(directory)? {
        if kind == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            give_all(
                &rustix::fs::openat(directory, &name, flags, Mode::empty())?,
                account,
            )?;
        } else {
            rustix::fs::chownat(directory, &name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        }
    }
    rustix::fs::fchown(directory, uid, gid)
}

/// Ensures that the account can enter every directory above. systemd mounts
/// `/sys/fs/bpf` for root only; there, the account's group gets the right to
/// enter, and no other right.
fn ensure_reachable(path: &Path, owned: Owned, account: &Account) -> Result<()> {
    let real =
        fs::canonicalize(path).with_context(|| format!("cannot look at {}", path.display()))?;
    for directory in real.ancestors().skip(1) {
        let found = fs::metadata(directory)
            .with_context(|| format!("cannot look at {}", directory.display()))?;
        if account.has(&found, 0o1) {
            continue;
        }
        if owned == Owned::Pins && found.gid() == 0 {
            open_to_group(directory, &found, account)?;
            continue;
        }
        let (key, shown) = (owned.key(), directory.display());
        let message = format!(
            "`{key}`: the daemon runs as {account}, which cannot enter {shown} (mode {:04o}): \
             `chmod o+x {shown}`, or name another directory",
            found.mode() & 0o7777
        );
        return Err(Failure::new(Exit::Config, message));
    }
    Ok(())
}

fn open_to_group(directory: &Path, found: &Metadata, account: &Account) -> Result<()> {
    let open = || -> io::Result<()> {
        std::os::unix::fs::chown(directory, None, Some(account.gid.as_raw()))?;
        fs::set_permissions(directory, Permissions::from_mode(found.mode() | 0o010))
    };
    let shown = directory.display();
    open().with_context(|| format!("cannot let {account} enter {shown}"))?;
    let group = account::group_name(account.gid);
    log::info!("{shown}: the group {group} may enter it now, so that {account} reaches its pins");
    Ok(())
}

/// Whether the directory exists and belongs to the account.
#[must_use]
pub fn is_owned_by(path: &Path, account: &Account) -> bool {
    fs::metadata(path).is_ok_and(|found| found.uid() == account.uid.as_raw())
}

/// The directory of a file.
#[must_use]
pub fn of_file(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests;
