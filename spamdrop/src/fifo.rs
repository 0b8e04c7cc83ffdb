//! A FIFO whose writers never wait or fail while it is open here, and fail at
//! once while it is not.
//!
//! Opening a FIFO that has no reader blocks, and if the path does not exist, a
//! shell creates a plain file. A closed FIFO is therefore replaced by a
//! symbolic link to [`NOWHERE`]: its writers get "No such file or directory",
//! as from xt_recent for a list that does not exist. Only a killed process
//! leaves the FIFO itself; its writers wait until the next start adopts it.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{CWD, Mode, OFlags, Uid, fchmod, mkfifoat};
use rustix::process::geteuid;
use tokio::net::unix::pipe::Receiver;
use tokio::task::yield_now;

use crate::durable;

/// The target of the link that replaces a closed FIFO. By Debian's policy, the
/// directory `/nonexistent` never exists.
const NOWHERE: &str = "/nonexistent/spamdrop-is-not-running";

/// Accessible to the owner only.
const MODE: Mode = Mode::from_raw_mode(0o600);

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got<'a> {
    /// Bytes were read.
    Bytes(&'a [u8]),
    /// All bytes were read, and no writer has the FIFO open.
    End,
    /// No bytes are available yet.
    Nothing,
}

/// A FIFO that is open for reading. Dropping it leaves the symbolic link.
#[derive(Debug)]
pub(crate) struct Fifo {
    path: PathBuf,
    receiver: Receiver,
    /// Device and inode.
    identity: (u64, u64),
}

impl Fifo {
    /// Creates the FIFO, or reuses one that this user owns, and opens it. Needs
    /// a tokio runtime with I/O.
    ///
    /// # Errors
    ///
    /// Another kind of file exists at the path, or the FIFO cannot be created
    /// or opened.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        make(path).with_context(|| format!("cannot make the FIFO {shown}"))?;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed())
            .open(path)
            .with_context(|| format!("cannot open {shown}"))?;
        let metadata = file.metadata()?;
        ensure_ours(path, &metadata, geteuid())?;
        fchmod(&file, MODE).with_context(|| format!("cannot change the mode of {shown}"))?;
        Ok(Self {
            path: path.into(),
            receiver: Receiver::from_file(file)?,
            identity: (metadata.dev(), metadata.ino()),
        })
    }

    /// Resolves when bytes may be available. Cancel safe.
    ///
    /// # Errors
    ///
    /// The runtime ends.
    pub async fn readable(&self) -> io::Result<()> {
        self.receiver.readable().await
    }

    /// Reads into `buffer` without waiting.
    ///
    /// # Errors
    ///
    /// The FIFO cannot be read, or cannot be reopened after its end.
    pub fn read<'a>(&mut self, buffer: &'a mut [u8]) -> io::Result<Got<'a>> {
        match self.receiver.try_read(buffer) {
            Ok(0) => {
                // An end is permanent for this descriptor. The old descriptor
                // is closed after the new one is open, so that writers always
                // have a reader.
                self.receiver = again(&self.receiver)?;
                Ok(Got::End)
            }
            Ok(count) => Ok(Got::Bytes(buffer.get(..count).unwrap_or_default())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Got::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Whether the path still names this FIFO.
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
            log::warn!("cannot replace the FIFO {path} by a link, so its writers wait: {error}");
        }
    }
}

/// Ensures that [`Fifo::open`] can use the file at `path`, if there is one.
///
/// # Errors
///
/// It is another kind of file, or another user's FIFO.
pub(crate) fn ensure_usable(path: &Path, owner: Uid) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(_) if is_link(path) => Ok(()),
        Ok(metadata) => ensure_ours(path, &metadata, owner),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", path.display())),
    }
}

fn ensure_ours(path: &Path, metadata: &Metadata, owner: Uid) -> Result<()> {
    if metadata.file_type().is_fifo() && metadata.uid() == owner.as_raw() {
        return Ok(());
    }
    let shown = path.display();
    bail!("{shown} is not a FIFO of the daemon's account; remove it, or change `fifo`")
}

/// Whether an earlier process left a FIFO at `path`, or the link that replaces
/// a closed one.
pub(crate) fn is_left(path: &Path) -> bool {
    is_link(path) || fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

fn is_link(path: &Path) -> bool {
    fs::read_link(path).is_ok_and(|target| target == Path::new(NOWHERE))
}

/// Creates the FIFO. Replaces the link, but no other file.
fn make(path: &Path) -> io::Result<()> {
    if is_link(path) {
        // The rename is one step. Between two steps, a script could create a
        // plain file.
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

/// Removes the temporary FIFO or link that a crash may have left at `beside`.
fn fresh(beside: &Path) -> io::Result<()> {
    if is_left(beside) {
        fs::remove_file(beside)?;
    }
    Ok(())
}

/// Opens the same FIFO again, whatever its path names now.
fn again(receiver: &Receiver) -> io::Result<Receiver> {
    let path = format!("/proc/self/fd/{}", receiver.as_fd().as_raw_fd());
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)?;
    Receiver::from_file(file)
}

/// Resolves when the FIFO has data; never without a FIFO.
pub async fn readable(fifo: Option<&Fifo>) {
    match fifo {
        // An error surfaces in the read that follows.
        Some(fifo) => drop(fifo.readable().await),
        None => std::future::pending().await,
    }
    // A writer that never stops must not starve the other tasks.
    yield_now().await;
}

#[cfg(test)]
mod tests;
