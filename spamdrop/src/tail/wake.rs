//! Waking up early. Whatever fails here costs a second, not a line.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use inotify::{WatchDescriptor, WatchMask};
use log::warn;
use tokio::sync::Notify;
use tokio::time::sleep_until;

use crate::kernel::inotify::Events;

/// A busy log wakes no more often than this in the long run.
const INTERVAL: Duration = Duration::from_millis(10);
/// Intervals that can be saved up: as many wakes come at once after a pause.
/// Only a storm is held back.
const BURST: u32 = 10;
/// How often it is checked that the right directories are watched.
const REFRESH: Duration = Duration::from_secs(1);

/// Watches the directories of the paths, and those that symlinks lead to.
#[derive(Default)]
pub(super) struct Wake {
    queue: Queue,
    watched: HashSet<WatchDescriptor>,
    names: HashSet<OsString>,
    refreshed: Option<Instant>,
    /// When the wakes so far would have come, each an interval after the last.
    spent: Option<Instant>,
    /// Notified of standard input and of the journal.
    pub input: Arc<Notify>,
}

/// Made when it is first waited for: it needs a runtime, and ending it takes
/// the kernel many milliseconds.
#[derive(Default)]
enum Queue {
    #[default]
    Unused,
    Off,
    Live(Events),
}

impl Wake {
    /// Resolves when something may have changed at one of the paths, or on
    /// standard input. Cancel safe.
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

    /// Watches the directories as they are now, at most once a second. One
    /// that does not exist yet is left out. Returns whether one is new, as
    /// something may have happened there before.
    fn refresh<'a>(&mut self, now: Instant, paths: impl Iterator<Item = &'a Path>) -> bool {
        let is_due = |at| now.saturating_duration_since(at) >= REFRESH;
        let Some(events) = self.queue.events() else {
            return false;
        };
        if !self.refreshed.is_none_or(is_due) {
            return false;
        }
        self.refreshed = Some(now);
        let mut watches = events.watches();
        let mask = WatchMask::CREATE
            | WatchMask::MODIFY
            | WatchMask::ATTRIB
            | WatchMask::MOVE
            | WatchMask::DELETE
            | WatchMask::ONLYDIR;
        let mut watched = HashSet::new();
        self.names.clear();
        for path in paths.flat_map(with_target) {
            let directory = match path.parent() {
                Some(parent) if parent != Path::new("") => parent,
                _ => Path::new("."),
            };
            watched.extend(watches.add(directory, mask));
            self.names.extend(path.file_name().map(Into::into));
        }
        for stale in self.watched.difference(&watched) {
            // A deleted directory has taken its watch along.
            let _ = watches.remove(stale.clone());
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
    /// The events, if there are any to be had.
    fn events(&mut self) -> Option<&mut Events> {
        if let Self::Unused = self {
            *self = Events::new().map_or_else(
                |error| {
                    warn!(target: "spamdrop::tail", "no inotify ({error}); looking at the logs once a second");
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

/// Whether an event is about one of the names. A nameless one is about all:
/// the queue overflowed, or a watch ended.
fn concerns(names: &HashSet<OsString>, event: Option<&OsStr>) -> bool {
    event.is_none_or(|name| names.contains(name))
}

/// A path, and the one it leads to if that is another one.
fn with_target(path: &Path) -> impl Iterator<Item = PathBuf> {
    let target = fs::canonicalize(path).ok().filter(|target| target != path);
    [path.to_owned()].into_iter().chain(target)
}

#[cfg(test)]
mod tests;
