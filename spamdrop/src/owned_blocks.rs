//! Changes of the holds of owners: in the maps, and in the database for entries
//! with several owners. Both change under the write lock.
//!
//! The database changes first. Where only that succeeds, its rows are not read
//! before they are written again.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use spamdrop_common::entry::{Entry, SEALED};
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::owners::{
    EntryOwner, Hold, LetGo, OwnerBit, OwnerHold, OwnerMask, StoredHold, combine, holds, let_go,
};
use spamdrop_core::saved::Clocks;
use spamdrop_core::target::Target;

use crate::clock;
use crate::directory::{self, Owned};
use crate::kernel::blocklist::{Blocklist, CHUNK};
use crate::lock::WriteLock;
use crate::store::{HoldChange, Store};

/// Number of entries from which on those that one owner has alone are removed
/// without reading them whole.
const FEW: usize = 64;

/// The database of owners, opened when it is needed.
pub struct OwnerStore {
    path: PathBuf,
    wait: Duration,
    store: Option<Store>,
}

/// The entries that an owner has let go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// Entries that nobody else wanted.
    pub removed: Vec<Target>,
    /// Entries that others still hold.
    pub kept: Vec<Target>,
}

impl OwnerStore {
    /// The database at this path. Each access waits for another process at most
    /// `wait`.
    #[must_use]
    pub fn new(path: &Path, wait: Duration) -> Self {
        Self {
            path: path.to_owned(),
            wait,
            store: None,
        }
    }

    /// The open database, which is made if there is none.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub fn open(&mut self) -> Result<&mut Store> {
        let store = match self.store.take() {
            Some(store) => store,
            None => {
                directory::prepare(&directory::of_file(&self.path), Owned::State)?;
                Store::open(&self.path, self.wait)?
            }
        };
        Ok(self.store.insert(store))
    }

    /// The database, if there is one.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub fn existing(&mut self) -> Result<Option<&mut Store>> {
        if self.store.is_none() {
            self.store = Store::open_existing(&self.path, self.wait)?;
        }
        Ok(self.store.as_mut())
    }

    /// The bit of an owner, which may be new.
    ///
    /// # Errors
    ///
    /// The maps cannot be read, or the database cannot be changed.
    pub fn registered(&mut self, owner: &EntryOwner, blocklist: &Blocklist) -> Result<OwnerBit> {
        if let Some(bit) = owner.fixed_bit() {
            return Ok(bit);
        }
        let store = self.open()?;
        if let Some(bit) = store.owner_names()?.bit(owner) {
            return Ok(bit);
        }
        let mut in_use = OwnerMask::default();
        blocklist.for_each(|found| in_use = in_use.and(OwnerMask::of(&found.entry)))?;
        store.register_owner(owner, in_use)
    }

    /// Stores holds of an entry that other owners have as well.
    ///
    /// # Errors
    ///
    /// The database cannot be changed.
    pub fn add(&mut self, target: Target, holds: &[OwnerHold]) -> Result<()> {
        let now = clocks();
        let stored = |(bit, hold): &OwnerHold| (*bit, StoredHold::of(hold, now));
        let change = HoldChange {
            target,
            holds: holds.iter().map(stored).collect(),
            is_all: false,
        };
        match holds {
            [] => Ok(()),
            _ => self.change(&[change]),
        }
    }

    /// The holds of all owners of live entries, as they are now.
    ///
    /// # Errors
    ///
    /// The database cannot be read.
    pub fn holds_of(
        &mut self,
        live: &HashMap<Target, Entry>,
        now: Clocks,
    ) -> Result<HashMap<Target, Vec<OwnerHold>>> {
        let is_shared = |entry: &Entry| OwnerMask::of(entry).is_shared();
        let shared = live.iter().filter(|(_, entry)| is_shared(entry));
        let shared: Vec<&Target> = shared.map(|(target, _)| target).collect();
        let mut stored = HashMap::new();
        if !shared.is_empty()
            && let Some(store) = self.existing()?
        {
            stored = store.holds(shared)?;
        }
        let holds = |(target, entry): (&Target, &Entry)| {
            let rows = stored.get(target).into_iter().flatten();
            let rows: Vec<_> = rows.map(|(bit, hold)| (*bit, hold.hold(now))).collect();
            (*target, holds(entry, &rows, now.mono))
        };
        Ok(live.iter().map(holds).collect())
    }

    fn change(&mut self, changes: &[HoldChange]) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        self.open()?.change_holds(changes, clock::wall())
    }
}

/// Sets the hold of an owner in entries, which get the state of the given ones. Those
/// that exist keep their hits and their other owners. Only targets that `may_exist` are read
/// before; any other entry is replaced.
///
/// # Errors
///
/// The database or a map cannot be read or written; some entries may have been
/// written.
pub fn set(
    lock: &WriteLock,
    blocklist: &mut Blocklist,
    store: &mut OwnerStore,
    owner: OwnerBit,
    wanted: &[(Target, Entry)],
    may_exist: impl Fn(Target) -> bool,
) -> Result<()> {
    let now = clocks();
    let targets = wanted.iter().map(|(target, _)| *target);
    let known: Vec<Target> = targets.filter(|target| may_exist(*target)).collect();
    let live = read(blocklist, &known, now.mono)?;
    let old = store.holds_of(&live, now)?;
    let (mut entries, mut changes) = (Vec::with_capacity(wanted.len()), Vec::new());
    for (target, entry) in wanted {
        let hold = hold(*target, entry);
        let mut holds = old.get(target).cloned().unwrap_or_default();
        holds.retain(|(it, hold)| *it != owner && hold.ends >= now.mono);
        holds.push((owner, hold));
        let was_shared = live
            .get(target)
            .is_some_and(|it| OwnerMask::of(it).is_shared());
        if holds.len() > 1 || was_shared {
            changes.push(change(*target, &holds, now));
        }
        let before = live.get(target).copied().unwrap_or(*entry);
        let base = Entry {
            flags: entry.flags & SEALED,
            ..before
        };
        entries.extend(combine(&base, &holds).map(|entry| (*target, entry)));
    }
    store.change(&changes)?;
    blocklist.put_all(lock, entries)
}

/// Lets owners let go of entries, of which others may hold some. Owners whose holds
/// are over let go as well. The reasons for more than [`FEW`] removed entries may
/// stay, see [`Blocklist::forget_origins`].
///
/// # Errors
///
/// As [`set`].
pub fn release(
    lock: &WriteLock,
    blocklist: &mut Blocklist,
    store: &mut OwnerStore,
    leaving: OwnerMask,
    targets: &[Target],
) -> Result<Released> {
    let now = clocks();
    let alone = match targets.len() > FEW {
        true => blocklist.remove_owned(lock, leaving, targets, now.mono)?,
        false => HashSet::new(),
    };
    let mut targets = targets.to_vec();
    targets.retain(|target| !alone.contains(target));
    let live = read(blocklist, &targets, now.mono)?;
    let holds = store.holds_of(&live, now)?;
    let (mut released, mut changes, mut kept) = (Released::default(), Vec::new(), Vec::new());
    for target in &targets {
        let Some(entry) = live.get(target) else {
            continue;
        };
        let owners = OwnerMask::of(entry);
        if !owners.is_shared() && owners.without(leaving) == owners {
            continue;
        }
        let stored = holds.get(target).map_or(&[][..], Vec::as_slice);
        match let_go(entry, stored, leaving, now.mono) {
            LetGo::Removed => released.removed.push(*target),
            LetGo::Kept(rest, holds) => {
                changes.push(change(*target, &holds, now));
                if OwnerMask::of(&rest) != owners {
                    released.kept.push(*target);
                    kept.push((*target, rest));
                }
            }
        }
    }
    store.change(&changes)?;
    if !kept.is_empty() {
        blocklist.put_all(lock, kept)?;
    }
    if !released.removed.is_empty() {
        blocklist.remove_all(lock, &released.removed)?;
    }
    released.removed.extend(alone);
    Ok(released)
}

/// Takes the owners whose holds are over from their entries, and deletes stored
/// holds of entries that do not need them any more. `lock` is called for each
/// [`CHUNK`] of entries to acquire the write lock.
///
/// # Errors
///
/// As [`set`], or `lock` returns an error.
pub fn settle(
    blocklist: &mut Blocklist,
    store: &mut OwnerStore,
    lock: impl Fn() -> Result<WriteLock>,
) -> Result<usize> {
    let now = clocks();
    let Some(open) = store.existing()? else {
        return Ok(0);
    };
    let mut ended = open.ended_holds(now.unix)?;
    ended.sort_unstable();
    for chunk in ended.chunks(CHUNK) {
        let lock = lock()?;
        release(&lock, blocklist, store, OwnerMask::default(), chunk)?;
        let live = read(blocklist, chunk, now.mono)?;
        let is_shared = |target: &&Target| {
            let entry = live.get(*target);
            entry.is_some_and(|entry| OwnerMask::of(entry).is_shared())
        };
        let unused = chunk.iter().filter(|target| !is_shared(target));
        store.open()?.forget_holds(unused)?;
    }
    Ok(ended.len())
}

/// Both clocks now.
#[must_use]
pub fn clocks() -> Clocks {
    Clocks {
        unix: clock::unix_seconds(),
        mono: clock::monotonic_ns(),
    }
}

/// The hold that an entry stands for. The block of a prefix does not slide.
fn hold(target: Target, entry: &Entry) -> Hold {
    match target {
        Target::Net(_) => Hold {
            ends: entry.expires,
            hard_until_s: 0,
            ttl_s: 0,
        },
        _ => Hold::of(entry),
    }
}

/// The holds to store: those of all owners, or none if there is only one.
fn change(target: Target, holds: &[OwnerHold], now: Clocks) -> HoldChange {
    let all = holds.iter().filter(|_| holds.len() > 1);
    HoldChange {
        target,
        holds: all
            .map(|(bit, hold)| (*bit, StoredHold::of(hold, now)))
            .collect(),
        is_all: true,
    }
}

/// The live entries of sorted targets, read one by one.
fn read(
    blocklist: &Blocklist,
    targets: &[Target],
    now: MonotonicNs,
) -> Result<HashMap<Target, Entry>> {
    let mut live = HashMap::new();
    for chunk in targets.chunks(CHUNK) {
        live.extend(blocklist.live_among(chunk, now)?);
    }
    Ok(live)
}
