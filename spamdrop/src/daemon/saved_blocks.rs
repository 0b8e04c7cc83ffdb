//! Restores the blocks of before a reboot, and saves the blocks for the next
//! one, both in the disk thread.
//!
//! The maps live in memory, so a reboot empties them. Within a boot they are
//! the place of record, and nothing is restored: a sender that was unblocked
//! by `detach` stays unblocked. Nothing is saved before the blocks are
//! restored, because a save makes the file hold exactly the maps' blocks.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result, ensure};
use spamdrop_common::counter::{Counters, Reason};
use spamdrop_core::policy::{Protected, Scope};
use spamdrop_core::saved::{SavedEntry, SavedOrigin};
use spamdrop_core::target::Target;
use tokio::sync::oneshot::Receiver;
use tokio::time::timeout;

use super::database;
use super::disk::{Disk, take_finished};
use super::health::Subject;
use super::status::HealthReporter;
use crate::clock;
use crate::kernel::blocklist::Blocklist;
use crate::kernel::blocklist::pins::{self, Pinned};
use crate::lock::{WriteLock, acquire_within};
use crate::store::DAEMON_WAIT;
use crate::store::saved_blocks::{Blocks, SavedBlocks, beside, is_damaged, set_aside};

/// How often blocks are saved, if a save takes less than a tenth of that. A
/// power cut loses the changes since the last save.
const PERIOD: Duration = Duration::from_secs(50);
/// After a save, wait this many times as long as it took before the next one.
const REST: u32 = 10;
/// How long the start waits for the blocks to be restored. After that, the daemon
/// starts while the disk thread still restores them.
const RESTORED_WITHIN: Duration = Duration::from_secs(10);
/// How long the end of the daemon waits for the last save.
const LAST_SAVE: Duration = Duration::from_secs(5);
/// How long a restore waits for the write lock.
const LOCK_WAIT: Duration = Duration::from_millis(100);

/// The files and pins of the blocks.
#[derive(Clone)]
pub(super) struct BlockPlaces {
    /// The path of the file with the saved blocks.
    pub file: PathBuf,
    /// The path of the database with the known senders.
    pub store: PathBuf,
    pub pin_dir: PathBuf,
    pub run_dir: PathBuf,
}

/// Restores the blocks once, and saves them again and again.
pub(super) struct BlockSaver {
    places: BlockPlaces,
    is_restored: bool,
    /// When the last save or restore began.
    begun: Instant,
    /// When the next save is due.
    due: Instant,
    under_way: Option<Receiver<Result<Done>>>,
}

enum Done {
    /// This number of blocks was restored.
    Restored(usize),
    /// This number of blocks and reasons had changed.
    Saved(usize),
}

impl BlockSaver {
    pub fn new(places: BlockPlaces) -> Self {
        let now = clock::instant();
        Self {
            places,
            is_restored: false,
            begun: now,
            due: now,
            under_way: None,
        }
    }

    /// Restores the blocks. If that takes long or fails, it is left to
    /// [`BlockSaver::poll`].
    pub async fn restore(&mut self, disk: &Disk, health: &HealthReporter, protected: &Protected) {
        self.begin_restore(disk, protected);
        if let Some(under_way) = &mut self.under_way
            && let Ok(done) = timeout(RESTORED_WITHIN, under_way).await
        {
            self.under_way = None;
            self.take(done.ok(), health);
        }
    }

    /// Takes the result of what is under way, and begins the next restore or
    /// save if one is due.
    pub fn poll(&mut self, disk: &Disk, health: &HealthReporter, protected: &Protected) {
        if let Some(done) = take_finished(&mut self.under_way) {
            self.take(done, health);
        }
        if self.under_way.is_some() {
            return;
        }
        if !self.is_restored {
            self.begin_restore(disk, protected);
        } else if clock::instant() >= self.due {
            self.begin_save(disk);
        }
    }

    fn begin_restore(&mut self, disk: &Disk, protected: &Protected) {
        self.begun = clock::instant();
        let (places, protected) = (self.places.clone(), protected.clone());
        self.under_way = Some(disk.submit(move || restore(&places, protected)));
    }

    fn begin_save(&mut self, disk: &Disk) {
        self.begun = clock::instant();
        let places = self.places.clone();
        self.under_way = Some(disk.submit(move || save(&places)));
    }

    /// Takes the result of a restore or save; `None`: the disk thread died.
    fn take(&mut self, done: Option<Result<Done>>, health: &HealthReporter) {
        let now = clock::instant();
        let rest = now.saturating_duration_since(self.begun) * REST;
        let done = done.unwrap_or_else(|| Err(Error::msg("the disk thread died")));
        match &done {
            Ok(Done::Restored(count)) => {
                self.is_restored = true;
                // Save at once: the file still has the blocks as of the previous boot.
                self.due = now;
                if *count > 0 {
                    log::info!("restored {count} blocks from before the reboot");
                }
            }
            Ok(Done::Saved(count)) => {
                log::debug!("saved {count} changed blocks and reasons");
                self.due = now + PERIOD.max(rest);
            }
            Err(_) => self.due = now + PERIOD.max(rest),
        }
        let failed = if self.is_restored {
            "blocks are not saved, and a reboot would lose them; trying again"
        } else {
            "not all blocks from before the reboot are restored; trying again"
        };
        health.report(Subject::SavedBlocks, failed, done.map(drop));
    }

    /// Removes the file and its directory, which a save may have created again after
    /// `detach` had removed them. Errors are ignored: the file does not exist, or the
    /// directory holds other files.
    pub async fn abandon(&mut self) {
        if let Some(under_way) = self.under_way.take() {
            let _ = timeout(LAST_SAVE, under_way).await;
        }
        let file = &self.places.file;
        for path in beside(file).iter().chain([file]) {
            let _ = fs::remove_file(path);
        }
        if let Some(directory) = file.parent() {
            let _ = fs::remove_dir(directory);
        }
    }

    /// Saves the blocks a last time, if they were restored.
    pub async fn end(&mut self, disk: &Disk) {
        if !self.is_restored {
            return;
        }
        // A save that is under way may have missed the last blocks.
        self.begin_save(disk);
        let Some(saving) = self.under_way.take() else {
            return;
        };
        match timeout(LAST_SAVE, saving).await {
            Ok(Ok(Ok(_))) => {}
            Ok(Ok(Err(error))) => log::warn!("the last blocks were not saved: {error:#}"),
            Ok(Err(_)) => log::warn!("the last blocks were not saved: the disk thread died"),
            Err(_) => log::warn!("the last blocks were not saved within {LAST_SAVE:?}"),
        }
    }
}

/// Saves all blocks. A damaged file is replaced.
fn save(places: &BlockPlaces) -> Result<Done> {
    let write = || {
        let blocks = current(&Blocklist::open(&places.pin_dir)?)?;
        let mut file = SavedBlocks::open(&places.file, DAEMON_WAIT)?;
        // Check after the file was opened, because `detach` removes the pins, and then
        // the file.
        let is_pinned = pins::pinned(&places.pin_dir)? == Pinned::Current;
        ensure!(is_pinned, "the filter was detached");
        file.save(blocks).map(Done::Saved)
    };
    match write() {
        Err(error) if is_damaged(&error) => {
            replace(&places.file, &error)?;
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

/// The blocks of the filter, in the form of the file.
fn current(blocklist: &Blocklist) -> Result<Blocks> {
    let now = clock::both();
    let (mut entries, mut origins) = (Vec::new(), Vec::new());
    blocklist.for_each(|found| {
        entries.extend(SavedEntry::from_entry(found.target, &found.entry, now));
    })?;
    blocklist
        .for_each_origin(|addr, origin| origins.push((addr, SavedOrigin::from_origin(&origin))))?;
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

/// Restores the blocks that were saved before this boot. A damaged file is set
/// aside.
///
/// # Errors
///
/// A file cannot be read, another process holds the write lock, or a map
/// operation fails. Some blocks may have been restored.
fn restore(places: &BlockPlaces, protected: Protected) -> Result<Done> {
    let open = || SavedBlocks::open_existing(&places.file, DAEMON_WAIT);
    let load = || match open()? {
        Some(file) => file.load(),
        None => Ok(None),
    };
    let boot = clock::boot_id()?;
    let blocks = match load() {
        Ok(Some(blocks)) if blocks.boot != boot => blocks,
        Err(error) if is_damaged(&error) => {
            replace(&places.file, &error)?;
            return Ok(Done::Restored(0));
        }
        loaded => return loaded.map(|_| Done::Restored(0)),
    };
    let scope = Scope {
        protected,
        known: database::known_senders(&places.store)?
            .into_iter()
            .collect(),
    };
    let mut blocklist = Blocklist::open(&places.pin_dir)?;
    let lock = acquire_within(&places.run_dir, LOCK_WAIT)?;
    let count = put_back(&lock, &blocks, &scope, &mut blocklist)?;
    // With the current boot in the file, the blocks are not restored again. The
    // counters come last, because they must not be added twice.
    if let Some(mut file) = open()? {
        file.set_boot(&boot)?;
    }
    blocklist.add_counters(&lock, &counters(&blocks.counters))?;
    Ok(Done::Restored(count))
}

fn put_back(
    lock: &WriteLock,
    blocks: &Blocks,
    scope: &Scope,
    blocklist: &mut Blocklist,
) -> Result<usize> {
    let now = clock::both();
    let mut present = HashSet::new();
    blocklist.for_each(|found| {
        present.insert(found.target);
    })?;
    let is_wanted = |target: &Target| !present.contains(target) && may_block(scope, *target);
    let mut entries: Vec<_> = blocks
        .entries
        .iter()
        .filter(|entry| is_wanted(&entry.target))
        .filter_map(|entry| Some((entry.target, entry.restored(blocks.saved, now)?)))
        .collect();
    // If the map has become smaller, it evicts the entries that were written first, so
    // these must be those that end first.
    entries.sort_unstable_by_key(|(_, entry)| entry.expires);
    let count = entries.len();
    blocklist.put_all(lock, entries.iter().copied())?;
    let restored: HashSet<Target> = entries.into_iter().map(|(target, _)| target).collect();
    for (addr, origin) in &blocks.origins {
        if Target::of_origin(*addr).any(|target| restored.contains(&target)) {
            blocklist.note(lock, *addr, &origin.restored())?;
        }
    }
    Ok(count)
}

/// Whether an entry may be restored. It may not if it holds an address that is protected
/// now, or if it is a /64 that holds a known sender now.
fn may_block(scope: &Scope, target: Target) -> bool {
    scope.choose(target, target.net()).is_ok()
}

fn counters(saved: &[(String, u64)]) -> Counters {
    let mut counters = Counters::default();
    for (name, packets) in saved {
        // Another version may have saved counters that this version does not have.
        if let Some(counter) = counters.by_name(name) {
            *counter = *packets;
        }
    }
    counters
}
