//! Changes of the holds of owners: in the maps, and in the database for entries
//! with several owners. Both change under the write lock.
//!
//! [`set`] changes the database first, [`release`] the map. If only the first of both
//! succeeds, the database may have a row of an owner that the entry does not have: it is
//! not read, and [`settle`] deletes it.

mod divide;
mod read_entries;
mod released;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Error, Result};
use spamdrop_common::entry::{Entry, SEALED};
use spamdrop_core::owners::{
    EntryOwner, Hold, LetGo, OwnerBit, OwnerHold, OwnerMask, OwnerNames, combine, holds, let_go,
};
use spamdrop_core::target::Target;

use crate::directory::{self, Owned};
use crate::kernel::blocklist::{Blocked, Blocklist, CHUNK};
use crate::lock::WriteLock;
use crate::store::{BootTime, HoldChange, HoldChangeKind, Store};
pub use divide::split;
pub use read_entries::ReadEntries;
pub use released::Released;

/// Number of entries from which on those that one owner has alone are removed
/// without reading them whole, and their reasons stay.
pub const FEW: usize = 64;

/// The database of owners, opened when it is needed.
pub struct OwnerStore {
    path: PathBuf,
    wait: Duration,
    store: Option<Store>,
    /// Whether it was said that the database cannot be used.
    has_warned: bool,
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
            has_warned: false,
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

    /// The bit of an owner, if it has one.
    ///
    /// # Errors
    ///
    /// The database cannot be read.
    pub fn bit(&mut self, owner: &EntryOwner) -> Result<Option<OwnerBit>> {
        if let Some(bit) = owner.fixed_bit() {
            return Ok(Some(bit));
        }
        Ok(self.names()?.bit(owner))
    }

    /// The owners with a name.
    ///
    /// # Errors
    ///
    /// As [`OwnerStore::bit`].
    pub fn names(&mut self) -> Result<OwnerNames> {
        match self.existing()? {
            Some(store) => store.owner_names(),
            None => Ok(OwnerNames::default()),
        }
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

    /// Stores the holds of entries that other owners have as well, in one transaction.
    ///
    /// # Errors
    ///
    /// The database cannot be changed.
    pub fn add<'a>(
        &mut self,
        blocked: impl IntoIterator<Item = (Target, &'a Blocked)>,
    ) -> Result<()> {
        let now = BootTime::now()?;
        let shared = blocked.into_iter().filter(|(_, it)| !it.holds.is_empty());
        let change = |(target, blocked): (Target, &Blocked)| HoldChange {
            target,
            holds: blocked.holds.clone(),
            kind: match blocked.renews_hold {
                true => HoldChangeKind::Renewal,
                false => HoldChangeKind::Some,
            },
            set: now.clocks,
        };
        let changes: Vec<HoldChange> = shared.map(change).collect();
        self.write(&changes, &now)
    }

    /// The holds of all owners of live entries, as they are now.
    ///
    /// # Errors
    ///
    /// The database cannot be read.
    pub fn holds_of(
        &mut self,
        live: &HashMap<Target, Entry>,
        now: &BootTime,
    ) -> Result<HashMap<Target, Vec<OwnerHold>>> {
        let is_shared = |entry: &Entry| OwnerMask::of(entry).is_shared();
        let shared = live.iter().filter(|(_, entry)| is_shared(entry));
        let shared: Vec<&Target> = shared.map(|(target, _)| target).collect();
        let mut stored = HashMap::new();
        if !shared.is_empty()
            && let Some(store) = self.existing()?
        {
            stored = store.holds(shared, now)?;
        }
        let holds = |(target, entry): (&Target, &Entry)| {
            let rows = stored.get(target).map_or(&[][..], Vec::as_slice);
            (*target, holds(entry, rows, now.clocks.mono))
        };
        Ok(live.iter().map(holds).collect())
    }

    /// As [`OwnerStore::holds_of`]. If the database cannot be read, that is said once,
    /// and every owner holds an entry as long as it lasts.
    pub fn holds_or_ends(
        &mut self,
        live: &HashMap<Target, Entry>,
        now: &BootTime,
    ) -> HashMap<Target, Vec<OwnerHold>> {
        self.holds_of(live, now).unwrap_or_else(|error| {
            self.warn(&error);
            let ends = |entry: &Entry| {
                let owners = OwnerMask::of(entry).each();
                owners.map(|owner| (owner, Hold::of(entry))).collect()
            };
            let each = live.iter();
            each.map(|(target, entry)| (*target, ends(entry))).collect()
        })
    }

    fn write(&mut self, changes: &[HoldChange], now: &BootTime) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        self.open()?.change_holds(changes, &now.boot)
    }

    /// Says an error once: the entry blocks without its rows.
    fn write_or_warn(&mut self, changes: &[HoldChange], now: &BootTime) {
        if let Err(error) = self.write(changes, now) {
            self.warn(&error);
        }
    }

    fn warn(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.has_warned, true) {
            log::warn!(
                "the ends of owners are not in the database, so an entry may stay blocked for longer \
                 after one of its owners has let go: {error:#}"
            );
        }
    }
}

/// Sets the hold of an owner in entries, of sorted targets, which get the state of the
/// given ones. Those that exist keep their hits and their other owners; with
/// `begins_anew`, those of this owner alone are replaced. The entries are written even
/// if the database cannot be, which is said once.
///
/// # Errors
///
/// A map cannot be read or written; some entries may have been written.
pub fn set(
    lock: &WriteLock,
    blocklist: &mut Blocklist,
    store: &mut OwnerStore,
    owner: OwnerBit,
    wanted: &[(Target, Entry)],
    begins_anew: bool,
    read: &mut ReadEntries,
) -> Result<()> {
    let now = BootTime::now()?;
    let targets: Vec<Target> = wanted.iter().map(|(target, _)| *target).collect();
    let (mut live, others) = read.take_own(lock, owner.into(), &targets, now.clocks.mono);
    blocklist.add_recent_drops(&mut live)?;
    live.extend(blocklist.look_up(&others, now.clocks.mono)?);
    let is_own = |entry: &Entry| OwnerMask::of(entry) == owner.into();
    if begins_anew {
        live.retain(|_, entry| !is_own(entry));
    }
    let others = live.iter().filter(|(_, entry)| !is_own(entry));
    let others: HashMap<Target, Entry> = others.map(|(target, it)| (*target, *it)).collect();
    let old = store.holds_or_ends(&others, &now);
    let (mut entries, mut changes) = (Vec::with_capacity(wanted.len()), Vec::new());
    for (target, entry) in wanted {
        let hold = asked_hold(*target, entry);
        let mut holds = old.get(target).cloned().unwrap_or_default();
        holds.retain(|(it, hold)| *it != owner && hold.ends >= now.clocks.mono);
        holds.push((owner, hold));
        let before = live.get(target).copied().unwrap_or(*entry);
        if holds.len() > 1 || OwnerMask::of(&before).is_shared() {
            changes.push(all_holds(*target, &holds, &now));
        }
        let base = Entry {
            flags: entry.flags & SEALED,
            ..before
        };
        entries.extend(combine(&base, &holds).map(|entry| (*target, entry)));
    }
    store.write_or_warn(&changes, &now);
    blocklist.put_all(lock, entries)
}

/// Lets owners let go of entries, of which others may hold some. Owners whose holds
/// are over let go as well. The reasons for more than [`FEW`] removed entries may
/// stay, see [`Blocklist::forget_origins`]. The entries change even if the database
/// cannot, which is said once.
///
/// # Errors
///
/// The database cannot be read, or a map cannot be read or written; some entries may
/// have been written.
pub fn release(
    lock: &WriteLock,
    blocklist: &mut Blocklist,
    store: &mut OwnerStore,
    leaving: OwnerMask,
    targets: &[Target],
    read: &mut ReadEntries,
) -> Result<Released> {
    let now = BootTime::now()?;
    let (mut live, others) = read.take_own(lock, leaving, targets, now.clocks.mono);
    live.extend(blocklist.look_up(&others, now.clocks.mono)?);
    let alone = match targets.len() > FEW {
        true => remove_alone(lock, blocklist, leaving, &mut live)?,
        false => HashSet::new(),
    };
    let holds = store.holds_of(&live, &now)?;
    let (mut released, mut changes, mut kept) = (Released::default(), Vec::new(), Vec::new());
    for target in targets {
        let Some(entry) = live.get(target) else {
            continue;
        };
        let owners = OwnerMask::of(entry);
        if !owners.is_shared() && owners.without(leaving) == owners {
            continue;
        }
        let stored = holds.get(target).map_or(&[][..], Vec::as_slice);
        match let_go(entry, stored, leaving, now.clocks.mono) {
            LetGo::Removed => released.removed.push(*target),
            LetGo::Kept(rest, holds) => {
                changes.push(all_holds(*target, &holds, &now));
                if OwnerMask::of(&rest) != owners {
                    released.kept.push(*target);
                    kept.push((*target, rest));
                }
            }
        }
    }
    if !kept.is_empty() {
        blocklist.put_all(lock, kept)?;
    }
    if !released.removed.is_empty() {
        blocklist.remove_all(lock, &released.removed)?;
    }
    store.write_or_warn(&changes, &now);
    released.removed.extend(alone);
    Ok(released)
}

/// Removes hosts that nobody but these owners wants, and takes them from the entries.
/// Returns those that still had an entry.
fn remove_alone(
    lock: &WriteLock,
    blocklist: &mut Blocklist,
    leaving: OwnerMask,
    live: &mut HashMap<Target, Entry>,
) -> Result<HashSet<Target>> {
    let is_alone = |target: &Target, entry: &mut Entry| {
        let is_prefix = matches!(target, Target::Net(_));
        !is_prefix && OwnerMask::of(entry).without(leaving).is_empty()
    };
    let alone = live.extract_if(is_alone).map(|(target, _)| target);
    blocklist.remove_hosts(lock, alone)
}

/// Takes the owners whose holds are over from their entries, and deletes stored
/// holds of entries that do not need them any more. `lock` is called for each
/// [`CHUNK`] of entries to acquire the write lock.
///
/// # Errors
///
/// As [`release`], or `lock` returns an error.
pub fn settle(
    blocklist: &mut Blocklist,
    store: &mut OwnerStore,
    lock: impl Fn() -> Result<WriteLock>,
) -> Result<usize> {
    let Some(open) = store.existing()? else {
        return Ok(0);
    };
    let mut ended = open.ended_holds(&BootTime::now()?)?;
    ended.sort_unstable();
    for chunk in ended.chunks(CHUNK) {
        let lock = lock()?;
        let (owners, read) = (OwnerMask::default(), &mut ReadEntries::default());
        release(&lock, blocklist, store, owners, chunk, read)?;
        let now = BootTime::now()?;
        let live = blocklist.look_up(chunk, now.clocks.mono)?;
        let is_shared = |target: &&Target| {
            let entry = live.get(*target);
            entry.is_some_and(|entry| OwnerMask::of(entry).is_shared())
        };
        let unused = chunk.iter().filter(|target| !is_shared(target));
        store.open()?.forget_holds(unused, &now)?;
    }
    Ok(ended.len())
}

/// The hold that an entry stands for. The block of a prefix does not slide.
fn asked_hold(target: Target, entry: &Entry) -> Hold {
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
fn all_holds(target: Target, holds: &[OwnerHold], now: &BootTime) -> HoldChange {
    HoldChange {
        target,
        holds: match holds {
            [] | [_] => Vec::new(),
            several => several.to_vec(),
        },
        kind: HoldChangeKind::All,
        set: now.clocks,
    }
}
