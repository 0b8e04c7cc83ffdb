//! A FIFO on disk that never makes a writer wait or fail while it is open
//! here, and that makes one fail at once when it is not.
//!
//! Opening a FIFO that nobody reads blocks, and where nothing is, a shell
//! makes a plain file. So a closed FIFO leaves a symbolic link to
//! [`NOWHERE`]: whoever writes to it is told "No such file or directory", as
//! by xt_recent of a list that does not exist. Only a killed process leaves
//! the FIFO itself; its writers wait for the next start, which takes it over.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{CWD, Mode, OFlags, fchmod, mkfifoat};
use rustix::process::geteuid;
use tokio::net::unix::pipe::Receiver;

use crate::durable;

/// What the link of a closed FIFO points to. By Debian's policy the directory
/// exists nowhere.
const NOWHERE: &str = "/nonexistent/spamdrop-is-not-running";

/// For its owner only.
const MODE: Mode = Mode::from_raw_mode(0o600);

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// Nobody has it open to write any more, and all was read.
    End,
    /// Nothing yet.
    Nothing,
}

/// A FIFO that is open for reading. Dropping it leaves the link.
#[derive(Debug)]
pub(crate) struct Fifo {
    path: PathBuf,
    receiver: Receiver,
    /// Device and inode.
    identity: (u64, u64),
}

impl Fifo {
    /// Makes the FIFO, or takes over one of ours, and opens it. Needs a tokio
    /// runtime with I/O.
    ///
    /// # Errors
    ///
    /// Something else is there, or it cannot be made or opened.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        make(path).with_context(|| format!("cannot make the FIFO {shown}"))?;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed())
            .open(path)
            .with_context(|| format!("cannot open {shown}"))?;
        let metadata = file.metadata()?;
        if !metadata.file_type().is_fifo() || metadata.uid() != geteuid().as_raw() {
            bail!("{shown} is no FIFO of ours; remove it, or name another path as `fifo`");
        }
        fchmod(&file, MODE).with_context(|| format!("cannot change the mode of {shown}"))?;
        Ok(Self {
            path: path.into(),
            receiver: Receiver::from_file(file)?,
            identity: (metadata.dev(), metadata.ino()),
        })
    }

    /// Resolves when a read may give something. Cancel safe.
    ///
    /// # Errors
    ///
    /// The runtime ends.
    pub async fn readable(&self) -> io::Result<()> {
        self.receiver.readable().await
    }

    /// Reads what fits into `buffer`, without waiting.
    ///
    /// # Errors
    ///
    /// It cannot be read, or not be opened again after its end.
    pub fn read<'a>(&mut self, buffer: &'a mut [u8]) -> io::Result<Got<'a>> {
        match self.receiver.try_read(buffer) {
            Ok(0) => {
                // An end stays one. The old one is closed after the new one is
                // open, so no writer is ever without a reader.
                self.receiver = again(&self.receiver)?;
                Ok(Got::End)
            }
            Ok(count) => Ok(Got::Bytes(buffer.get(..count).unwrap_or_default())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Got::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Whether writers still find it under its path.
    pub fn is_in_place(&self) -> bool {
        fs::symlink_metadata(&self.path)
            .is_ok_and(|named| (named.dev(), named.ino()) == self.identity)
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        if self.is_in_place()
            && let Err(error) = leave(&self.path)
        {
            let path = self.path.display();
            log::warn!("cannot replace {path}, so writers will wait: {error}");
        }
    }
}

/// Whether at `path` is what an earlier process left: a FIFO or its link.
pub(crate) fn is_left(path: &Path) -> bool {
    is_link(path) || fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

fn is_link(path: &Path) -> bool {
    fs::read_link(path).is_ok_and(|target| target == Path::new(NOWHERE))
}

/// Nothing is replaced but the link.
fn make(path: &Path) -> io::Result<()> {
    if is_link(path) {
        // In one step: between two, a script could make a plain file.
        let beside = durable::beside(path);
        fresh(&beside)?;
        mkfifoat(CWD, &beside, MODE)?;
        return fs::rename(&beside, path);
    }
    match mkfifoat(CWD, path, MODE) {
        Err(rustix::io::Errno::EXIST) => Ok(()),
        result => Ok(result?),
    }
}

fn leave(path: &Path) -> io::Result<()> {
    let beside = durable::beside(path);
    fresh(&beside)?;
    symlink(NOWHERE, &beside)?;
    fs::rename(&beside, path)
}

/// A crash may have left one.
fn fresh(beside: &Path) -> io::Result<()> {
    if is_left(beside) {
        fs::remove_file(beside)?;
    }
    Ok(())
}

/// The same FIFO, whatever its path leads to now.
fn again(receiver: &Receiver) -> io::Result<Receiver> {
    let path = format!("/proc/self/fd/{}", receiver.as_fd().as_raw_fd());
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)?;
    Receiver::from_file(file)
}

#[cfg(test)]
mod tests;
