//! File events from inotify, in a tokio runtime.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init, remove_watch};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The events after which a file in a watched directory may have other content, or another name.
const CHANGES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ONLYDIR);

/// The stream of events in the watched directories.
pub struct Events {
    inotify: AsyncFd<OwnedFd>,
    buffer: Vec<MaybeUninit<u8>>,
}

impl Events {
    /// Creates an instance without watches. It must be called in a runtime.
    ///
    /// # Errors
    ///
    /// The kernel has no inotify, or the user has reached the limit of
    /// instances.
    pub fn new() -> io::Result<Self> {
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        // SAFETY: the descriptor is owned, always the same one, and closed when the
        // `AsyncFd` drops it at its end.
        let inotify = unsafe { AsyncFd::register_with_interest(inotify, Interest::READABLE) };
        Ok(Self {
            inotify: inotify?,
            buffer: vec![MaybeUninit::uninit(); 4096],
        })
    }

    /// Watches a directory. Returns the number of the watch, which is the same if the
    /// directory is watched already.
    ///
    /// # Errors
    ///
    /// There is no such directory, it cannot be read, or the user has reached the limit
    /// of watches.
    pub fn watch(&self, directory: &Path) -> io::Result<i32> {
        Ok(add_watch(&self.inotify, directory, CHANGES)?)
    }

    /// Ends a watch.
    ///
    /// # Errors
    ///
    /// The kernel has ended it already, because the directory is gone.
    pub fn end_watch(&self, watch: i32) -> io::Result<()> {
        Ok(remove_watch(&self.inotify, watch)?)
    }

    /// Waits for events and reads all pending ones. Returns whether `is_ours`
    /// holds for the file name of any. Cancel safe: nothing is awaited after
    /// the first event is read.
    ///
    /// # Errors
    ///
    /// The descriptor cannot be read.
    pub async fn read(&mut self, is_ours: impl Fn(Option<&OsStr>) -> bool) -> io::Result<bool> {
        let Self { inotify, buffer } = self;
        let mut ready = inotify.readable().await?;
        let mut ours = false;
        // The outer result is an error when no more events are pending.
        while let Ok(found) = ready.try_io(|inotify| {
            let (mut reader, mut ours) = (Reader::new(inotify, buffer), false);
            loop {
                let event = reader.next()?;
                let name = event.file_name();
                ours |= is_ours(name.map(|name| OsStr::from_bytes(name.to_bytes())));
                if reader.is_buffer_empty() {
                    return Ok(ours);
                }
            }
        }) {
            ours |= found?;
        }
        Ok(ours)
    }
}
