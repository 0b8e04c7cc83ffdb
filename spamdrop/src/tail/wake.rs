//! Waking up early. Whatever fails here costs a second, not a line.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::future::pending;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, StreamExt as _};
use inotify::{EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};
use log::warn;
use tokio::sync::Notify;
use tokio::time::sleep_until;

/// A busy log wakes no more often than this; the first write after a pause
/// wakes at once.
const INTERVAL: Duration = Duration::from_millis(10);
/// How often it is checked that the right directories are watched.
const REFRESH: Duration = Duration::from_secs(1);

/// Watches the directories of the paths, and those that symlinks lead to.
pub(super) struct Wake {
    queue: Queue,
    watches: Option<Watches>,
    watched: HashSet<WatchDescriptor>,
    names: HashSet<OsString>,
    refreshed: Option<Instant>,
    read: Option<Instant>,
    /// Notified of standard input.
    pub input: Arc<Notify>,
}

type Buffer = Vec<u8>;

enum Queue {
    Off,
    Idle(Inotify),
    Live(EventStream<Buffer>),
}

impl Wake {
    pub fn new() -> Self {
        let inotify = Inotify::init()
            .inspect_err(|error| {
                warn!(target: "spamdrop::tail", "no inotify ({error}); looking at the logs once a second");
            })
            .ok();
        Self {
            watches: inotify.as_ref().map(Inotify::watches),
            queue: inotify.map_or(Queue::Off, Queue::Idle),
            watched: HashSet::new(),
            names: HashSet::new(),
            refreshed: None,
            read: None,
            input: Arc::new(Notify::new()),
        }
    }

    /// Watches the directories as they are now; does nothing more often than
    /// once a second. A directory that does not exist yet is left out.
    pub fn refresh<'a>(&mut self, now: Instant, paths: impl Iterator<Item = &'a Path>) {
        let Some(watches) = &mut self.watches else {
            return;
        };
        if self
            .refreshed
            .is_some_and(|at| now.saturating_duration_since(at) < REFRESH)
        {
            return;
        }
        self.refreshed = Some(now);
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
        self.watched = watched;
    }

    /// Resolves when something may have changed. Cancel safe.
    pub async fn wait(&mut self) {
        let input = Arc::clone(&self.input);
        tokio::select! {
            () = input.notified() => {}
            () = self.file_event() => {}
        }
    }

    async fn file_event(&mut self) {
        while let Some(events) = self.queue.events() {
            if let Some(read) = self.read {
                sleep_until((read + INTERVAL).into()).await;
            }
            let Some(Ok(first)) = events.next().await else {
                self.queue = Queue::Off;
                break;
            };
            self.read = Some(Instant::now());
            let mut ours = concerns(&self.names, &first);
            while let Some(Some(Ok(event))) = events.next().now_or_never() {
                ours |= concerns(&self.names, &event);
            }
            if ours {
                return;
            }
        }
        pending().await
    }
}

impl Queue {
    /// The events; registers with the runtime, which there need not be
    /// before.
    fn events(&mut self) -> Option<&mut EventStream<Buffer>> {
        if let Self::Idle(_) = self
            && let Self::Idle(inotify) = mem::replace(self, Self::Off)
            && let Ok(stream) = inotify.into_event_stream(vec![0; 4096])
        {
            *self = Self::Live(stream);
        }
        match self {
            Self::Live(stream) => Some(stream),
            _ => None,
        }
    }
}

/// Whether an event is about one of the names. A nameless one is about all:
/// the queue overflowed, or a watch ended.
fn concerns(names: &HashSet<OsString>, event: &EventOwned) -> bool {
    event.name.as_ref().is_none_or(|name| names.contains(name))
}

/// A path, and the one it leads to if that is another one.
fn with_target(path: &Path) -> impl Iterator<Item = PathBuf> {
    let target = fs::canonicalize(path).ok().filter(|target| target != path);
    [path.to_owned()].into_iter().chain(target)
}

#[cfg(test)]
mod tests;
