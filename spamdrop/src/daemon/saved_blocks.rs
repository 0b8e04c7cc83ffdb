//! Saves the blocks for the next boot, and restores them after it.
//!
//! The maps live in memory, so a reboot empties them. Within a boot they are
//! the place of record, and nothing is restored: what was unblocked by
//! `detach` stays unblocked.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result};
use spamdrop_common::counter::{Counters, Reason};
use spamdrop_core::policy::Scope;
use spamdrop_core::saved::{Clocks, SavedEntry, SavedOrigin};
use spamdrop_core::target::Target;
use tokio::sync::oneshot::Receiver;
use tokio::time::timeout;

use super::disk::{Disk, take_finished};
use super::health::Subject;
use super::status::Health;
use crate::clock;
use crate::kernel::blocklist::Blocklist;
use crate::lock::WriteLock;
use crate::store::DAEMON_WAIT;
use crate::store::saved_blocks::{Blocks, SavedBlocks, is_damaged, set_aside};

/// How often blocks are saved. A power cut loses at most this time's.
const PERIOD: Duration = Duration::from_secs(50);
/// How long the end of the daemon waits for the last save.
const LAST_SAVE: Duration = Duration::from_secs(5);

/// The saves of a running daemon.
pub(super) struct BlockSaver {
    /// The path of the file.
    path: PathBuf,
    pin_dir: PathBuf,
    /// When the last save began.
    begun: Option<Instant>,
    under_way: Option<Receiver<Result<usize>>>,
}

impl BlockSaver {
    pub fn new(path: PathBuf, pin_dir: PathBuf) -> Self {
        let (begun, under_way) = (None, None);
        Self {
            path,
            pin_dir,
            begun,
            under_way,
        }
    }

    /// Takes the result of a finished save, and begins one if it is due.
    pub fn poll(&mut self, disk: &Disk, health: &Health) {
        match take_finished(&mut self.under_way) {
            Some(Some(saved)) => report(saved, health),
            Some(None) => report(Err(Error::msg("the thread that wrote died")), health),
            None => {}
        }
        let is_due = self.begun.is_none_or(|begun| begun.elapsed() >= PERIOD);
        if is_due && self.under_way.is_none() {
            self.begin(disk);
        }
    }

    fn begin(&mut self, disk: &Disk) {
        self.begun = Some(clock::instant());
        let (path, pin_dir) = (self.path.clone(), self.pin_dir.clone());
        self.under_way = Some(disk.submit(move || save(&path, &pin_dir)));
    }

    /// Saves the blocks a last time.
    pub async fn end(&mut self, disk: &Disk) {
        // One that is under way may have missed the last blocks.
        self.begin(disk);
        let Some(saving) = self.under_way.take() else {
            return;
        };
        match timeout(LAST_SAVE, saving).await {
            Ok(Ok(Ok(_))) => {}
            Ok(Ok(Err(error))) => log::warn!("the blocks were not saved: {error:#}"),
            _ => log::warn!("the blocks were not saved within {LAST_SAVE:?}"),
        }
    }
}

fn report(saved: Result<usize>, health: &Health) {
    if let Ok(count) = saved {
        log::debug!("saved {count} changed blocks and reasons");
    }
    let failed = "blocks are not saved, and a reboot would lose them";
    health.report(Subject::SavedBlocks, failed, saved.map(drop));
}

/// Saves all blocks. A damaged file is replaced.
fn save(path: &Path, pin_dir: &Path) -> Result<usize> {
    let write = || {
        let blocks = current(&Blocklist::open(pin_dir)?)?;
        SavedBlocks::open(path, DAEMON_WAIT)?.save(blocks)
    };
    match write() {
        Err(error) if is_damaged(&error) => {
            replace(path, &error)?;
            write()
        }
        saved => saved,
    }
}

/// Sets a damaged file aside.
fn replace(path: &Path, error: &Error) -> Result<()> {
    let aside = set_aside(path).with_context(|| format!("cannot rename {}", path.display()))?;
    log::warn!(
        "{} was damaged, and is now {}: {error:#}",
        path.display(),
        aside.display()
    );
    Ok(())
}

fn clocks() -> Clocks {
    Clocks {
        unix: clock::unix_seconds(),
        mono: clock::monotonic_ns(),
    }
}

/// The blocks of the filter, as they are saved.
fn current(blocklist: &Blocklist) -> Result<Blocks> {
    let now = clocks();
    let (mut entries, mut origins) = (Vec::new(), Vec::new());
    blocklist.for_each(|found| {
        entries.extend(SavedEntry::of(found.target, &found.entry, now));
    })?;
    blocklist.for_each_origin(|addr, origin| origins.push((addr, SavedOrigin::of(&origin))))?;
    let counters = blocklist.counters()?;
    let counter = |reason: &Reason| (reason.name().to_owned(), counters.get(*reason));
    Ok(Blocks {
        entries,
        origins,
        counters: Reason::ALL.iter().map(counter).collect(),
        saved: now.unix,
        boot: clock::boot_id()?,
    })
}

/// Restores the blocks that were saved before this boot. Returns their number.
/// A damaged file is set aside.
///
/// # Errors
///
/// The file cannot be read, or a map operation fails. Some blocks may have been
/// restored.
pub(super) fn restore(
    lock: &WriteLock,
    path: &Path,
    scope: &Scope,
    blocklist: &mut Blocklist,
) -> Result<usize> {
    let load = || match SavedBlocks::open_existing(path, DAEMON_WAIT)? {
        Some(file) => file.load(),
        None => Ok(None),
    };
    match load() {
        Ok(Some(blocks)) if blocks.boot != clock::boot_id()? => {
            put_back(lock, blocks, scope, blocklist)
        }
        Err(error) if is_damaged(&error) => replace(path, &error).map(|()| 0),
        loaded => loaded.map(|_| 0),
    }
}

fn put_back(
    lock: &WriteLock,
    mut blocks: Blocks,
    scope: &Scope,
    blocklist: &mut Blocklist,
) -> Result<usize> {
    let now = clocks();
    let mut present = HashSet::new();
    blocklist.for_each(|found| {
        present.insert(found.target);
    })?;
    // If the map has become smaller, those that end first are evicted.
    blocks.entries.sort_unstable_by_key(|entry| entry.ends);
    let is_wanted = |target: &Target| !present.contains(target) && may_block(scope, *target);
    let entries: Vec<_> = blocks
        .entries
        .iter()
        .filter(|entry| is_wanted(&entry.target))
        .filter_map(|entry| Some((entry.target, entry.restored(blocks.saved, now)?)))
        .collect();
    let count = entries.len();
    blocklist.put_all(lock, entries.iter().copied())?;
    let restored: HashSet<Target> = entries.into_iter().map(|(target, _)| target).collect();
    for (addr, origin) in &blocks.origins {
        if Target::covering(*addr).any(|target| restored.contains(&target)) {
            blocklist.note(lock, *addr, &origin.restored())?;
        }
    }
    blocklist.add_counters(lock, &counters(&blocks.counters))?;
    Ok(count)
}

/// Whether an entry may be restored: its addresses may have been allowlisted
/// since, or have become this machine's own.
fn may_block(scope: &Scope, target: Target) -> bool {
    scope.choose(target, target.net()).is_ok()
}

fn counters(saved: &[(String, u64)]) -> Counters {
    let mut counters = Counters::default();
    for (name, packets) in saved {
        // A name that is not there any more was one of another version.
        if let Some(counter) = counters.by_name(name) {
            *counter = *packets;
        }
    }
    counters
}
