//! Wakes the reader when a source may have changed. A failure here delays lines
//! by up to a second and loses none.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::warn;
use tokio::sync::Notify;
use tokio::time::sleep_until;

use crate::kernel::inotify::Events;

/// Minimum interval between wake-ups in the long run.
const INTERVAL: Duration = Duration::from_millis(10);
/// Maximum number of wake-ups in a burst after a pause, so that only a storm is
/// delayed.
const BURST: u32 = 10;
/// How often the set of watched directories is checked.
const REFRESH: Duration = Duration::from_secs(1);

/// Watches the directories of the paths, and those of their symlink targets.
#[derive(Default)]
pub(super) struct Wake {
    queue: Queue,
    /// The watch descriptors of the directories, see inotify(7).
    watched: HashSet<i32>,
    names: HashSet<OsString>,
    refreshed: Option<Instant>,
    /// The time at which the next wake-up would be due if each came [`INTERVAL`] after the
    /// one before. It may be ahead of the clock by [`BURST`] intervals at most.
    spent: Option<Instant>,
    /// Notified of data on standard input and from the journal.
    pub input: Arc<Notify>,
}

/// The inotify instance. It is created on first use, because it needs a tokio runtime,
/// and because the kernel takes many milliseconds to close it.
#[derive(Default)]
enum Queue {
    #[default]
    Unused,
    Off,
    Live(Events),
}

impl Wake {
    /// Resolves when something may have changed at one of the paths, on standard input or
    /// in the journal. Cancel safe.
    pub async fn wait(&mut self, paths: impl Iterator<Item = &Path>) {
        if self.refresh(Instant::now(), paths) {
            return;
        }
        let input = Arc::clone(&self.input);
        tokio::select! {
            () = input.notified() => {}
            () = self.file_event() => {}
        }
    }

    /// Updates the watched directories, at most once a second. A directory that
    /// does not exist yet is left out. Returns whether a directory is new, as
    /// events before its watch were missed.
    fn refresh<'a>(&mut self, now: Instant, paths: impl Iterator<Item = &'a Path>) -> bool {
        let is_due = |at| now.saturating_duration_since(at) >= REFRESH;
        let Some(events) = self.queue.events() else {
            return false;
        };
        if !self.refreshed.is_none_or(is_due) {
            return false;
        }
        self.refreshed = Some(now);
        let mut watched = HashSet::new();
        self.names.clear();
        for path in paths.flat_map(with_target) {
            let directory = match path.parent() {
                Some(parent) if parent != Path::new("") => parent,
                _ => Path::new("."),
            };
            watched.extend(events.watch(directory));
            self.names.extend(path.file_name().map(Into::into));
        }
        for stale in self.watched.difference(&watched) {
            // The kernel removed the watch of a deleted directory itself, so an
            // error is expected.
            let _ = events.end_watch(*stale);
        }
        let is_new = !watched.is_subset(&self.watched);
        self.watched = watched;
        is_new
    }

    async fn file_event(&mut self) {
        while let Some(events) = self.queue.events() {
            if let Some(next) = self
                .spent
                .and_then(|spent| spent.checked_sub(BURST * INTERVAL))
            {
                sleep_until((next + INTERVAL).into()).await;
            }
            let names = &self.names;
            match events.read(|name| concerns(names, name)).await {
                Ok(ours) => {
                    let now = Instant::now();
                    self.spent = Some(self.spent.map_or(now, |spent| spent.max(now)) + INTERVAL);
                    if ours {
                        return;
                    }
                }
                Err(_) => self.queue = Queue::Off,
            }
        }
        pending().await
    }
}

impl Queue {
    /// The event stream, if inotify is available.
    fn events(&mut self) -> Option<&mut Events> {
        if let Self::Unused = self {
            *self = Events::new().map_or_else(
                |error| {
                    warn!(target: "spamdrop::tail", "no inotify ({error}); checking the logs once a second");
                    Self::Off
                },
                Self::Live,
            );
        }
        match self {
            Self::Live(events) => Some(events),
            _ => None,
        }
    }
}

/// Whether an event concerns one of the names. A nameless event concerns all:
/// the queue overflowed, or a watch ended.
fn concerns(names: &HashSet<OsString>, event: Option<&OsStr>) -> bool {
    event.is_none_or(|name| names.contains(name))
}

/// The path, and its target if it is a symlink.
fn with_target(path: &Path) -> impl Iterator<Item = PathBuf> {
    let target = fs::canonicalize(path).ok().filter(|target| target != path);
    [path.to_owned()].into_iter().chain(target)
}

#[cfg(test)]
mod tests;
