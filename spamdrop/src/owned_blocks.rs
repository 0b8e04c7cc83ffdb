//! Sets and releases holds. A hold is the time until which one owner wants an entry.
//!
//! An entry in the maps has the set of its owners, and the latest of their ends. If it
//! has several owners, the database has the hold of each. Both are changed under the
//! write lock: [`set`] changes the database first, [`release`] the map. If the second
//! change fails, the database may have the hold of an owner that the entry does not
//! have. Such a row is not read, and [`settle`] deletes it.

mod divide;
mod owner_store;
mod read_entries;
mod released;

use std::collections::HashMap;

use anyhow::Result;
use spamdrop_common::entry::{Entry, SEALED};
use spamdrop_core::owners::{Hold, LetGo, OwnerBit, OwnerHold, OwnerMask, combine, let_go};
use spamdrop_core::target::Target;

use crate::kernel::blocklist::{Blocklist, CHUNK};
use crate::lock::WriteLock;
use crate::store::{BootTime, HoldChange, HoldChangeKind};
pub use divide::split;
pub use owner_store::{OwnerStore, read_holds};
pub use read_entries::ReadEntries;
pub use released::Released;

/// If [`release`] gets more targets than this, entries without another owner are removed
/// in bulk, and the reasons for them stay.
pub const FEW: usize = 64;

/// Sets the hold of an owner in the entries `wanted`. An existing entry becomes open or
/// sealed as the wanted one is, and keeps its hits and its other owners. With
/// `begins_anew`, an entry that only this owner has is replaced as a whole. If the
/// database cannot be used, a warning is logged once, and the entries are written.
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
    let is_own = |entry: &Entry| OwnerMask::from_entry(entry) == owner.into();
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
        if holds.len() > 1 || OwnerMask::from_entry(&before).is_shared() {
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

/// Takes the owners `leaving`, and all owners whose holds are over, from entries. Removes
/// an entry without a further owner. If there are more than [`FEW`] targets, reasons for
/// removed entries may stay, see [`Blocklist::forget_origins`]. If the database cannot
/// be written, a warning is logged once, and the entries change all the same. Adds the
/// changed entries to `released`.
///
/// # Errors
///
/// The database cannot be read, or a map cannot be read; nothing has changed. Or a map
/// cannot be written; some entries may have been written.
pub fn release(
    lock: &WriteLock,
    blocklist: &mut Blocklist,
    store: &mut OwnerStore,
    leaving: OwnerMask,
    targets: &[Target],
    read: &mut ReadEntries,
    released: &mut Released,
) -> Result<()> {
    let now = BootTime::now()?;
    let (mut live, others) = read.take_own(lock, leaving, targets, now.clocks.mono);
    live.extend(blocklist.look_up(&others, now.clocks.mono)?);
    if !leaving.is_empty() {
        // An entry that the kernel has evicted may still be in the filter's cache.
        let absent = targets.iter().filter(|target| !live.contains_key(*target));
        blocklist.forget_cached(lock, absent)?;
    }
    let alone = match targets.len() > FEW {
        true => take_alone(leaving, &mut live),
        false => Vec::new(),
    };
    let holds = store.holds_of(&live, &now)?;
    released
        .removed
        .extend(blocklist.remove_hosts(lock, alone)?);
    let (mut removed, mut changes, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for target in targets {
        let Some(entry) = live.get(target) else {
            continue;
        };
        let owners = OwnerMask::from_entry(entry);
        if !owners.is_shared() && owners.without(leaving) == owners {
            continue;
        }
        let stored = holds.get(target).map_or(&[][..], Vec::as_slice);
        match let_go(entry, stored, leaving, now.clocks.mono) {
            LetGo::Removed => removed.push(*target),
            LetGo::Kept(rest, holds) => {
                changes.push(all_holds(*target, &holds, &now));
                if OwnerMask::from_entry(&rest) != owners {
                    kept.push((*target, rest));
                }
            }
        }
    }
    if !kept.is_empty() {
        let targets: Vec<Target> = kept.iter().map(|(target, _)| *target).collect();
        blocklist.put_all(lock, kept)?;
        released.kept.extend(targets);
    }
    if !removed.is_empty() {
        blocklist.remove_all(lock, &removed)?;
        released.removed.extend(removed);
    }
    store.write_or_warn(&changes, &now);
    Ok(())
}

/// Takes from `live` the entries of hosts that have no owner beside `leaving`. Returns
/// their targets.
fn take_alone(leaving: OwnerMask, live: &mut HashMap<Target, Entry>) -> Vec<Target> {
    let is_alone = |target: &Target, entry: &mut Entry| {
        let is_prefix = matches!(target, Target::Net(_));
        !is_prefix && OwnerMask::from_entry(entry).without(leaving).is_empty()
    };
    let alone = live.extract_if(is_alone);
    alone.map(|(target, _)| target).collect()
}

/// Takes the owners whose holds are over from their entries. If an entry then has fewer
/// than two owners, deletes its stored holds. `lock` is called for each [`CHUNK`] of
/// entries to acquire the write lock. Returns the number of entries that had such an owner.
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
        let released = &mut Released::default();
        release(&lock, blocklist, store, owners, chunk, read, released)?;
        let now = BootTime::now()?;
        let live = blocklist.look_up(chunk, now.clocks.mono)?;
        let is_shared = |target: &&Target| {
            let entry = live.get(*target);
            entry.is_some_and(|entry| OwnerMask::from_entry(entry).is_shared())
        };
        let unused = chunk.iter().filter(|target| !is_shared(target));
        store.open()?.forget_holds(unused, &now)?;
    }
    Ok(ended.len())
}

/// The hold that a wanted entry asks for. Packets do not extend the block of a prefix.
fn asked_hold(target: Target, entry: &Entry) -> Hold {
    match target {
        Target::Net(_) => Hold {
            ends: entry.expires,
            hard_until_s: 0,
            ttl_s: 0,
        },
        _ => Hold::from_entry(entry),
    }
}

/// The change that stores the holds of all owners. A single owner's hold is not stored,
/// because the entry itself has its end.
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
