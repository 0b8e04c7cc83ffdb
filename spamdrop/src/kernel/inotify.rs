//! File events from inotify, in a tokio runtime.

use std::ffi::OsStr;
use std::io;

use inotify::{Inotify, Watches};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The stream of events of the watched files.
pub struct Events {
    inotify: AsyncFd<Inotify>,
    buffer: Vec<u8>,
}

impl Events {
    /// Creates an instance without watches. It must be called in a runtime.
    ///
    /// # Errors
    ///
    /// The kernel has no inotify, or the user has reached the limit of
    /// instances.
    pub fn new() -> io::Result<Self> {
        let inotify = Inotify::init()?;
        // SAFETY: `Inotify` owns its descriptor, always returns the same one,
        // and closes it when dropped, which the `AsyncFd` does last.
        let inotify = unsafe { AsyncFd::register_with_interest(inotify, Interest::READABLE) };
        Ok(Self {
            inotify: inotify?,
            buffer: vec![0; 4096],
        })
    }

    /// The set of watches.
    pub fn watches(&self) -> Watches {
        self.inotify.get_ref().watches()
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
        let mut ready = inotify.readable_mut().await?;
        let mut ours = false;
        // The outer result is an error when no more events are pending.
        while let Ok(found) = ready.try_io(|inotify| {
            let events = inotify.get_mut().read_events(buffer)?;
            Ok(events.fold(false, |ours, event| ours | is_ours(event.name)))
        }) {
            ours |= found?;
        }
        Ok(ours)
    }
}
