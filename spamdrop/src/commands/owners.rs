//! The owners of entries, for the verbs.

use std::collections::HashMap;
use std::io::Write;
use std::rc::Rc;

use anyhow::Result;
use spamdrop_common::entry::Entry;
use spamdrop_core::owners::{EntryOwner, OwnerBit, OwnerHold, OwnerMask, OwnerNames};
use spamdrop_core::target::Target;

use super::saved;
use crate::config::Config;
use crate::kernel::blocklist::{Blocklist, CHUNK, Found};
use crate::lock::WriteLock;
use crate::owned_blocks::{self, OwnerStore, ReadEntries, Released};
use crate::store::{BootTime, STATUS_WAIT, Store, VERB_WAIT};

/// The database of owners.
pub(super) fn store(config: &Config) -> OwnerStore {
    OwnerStore::new(&config.store_file(), VERB_WAIT)
}

/// The names of the owners, to show them. Without the database, owners are shown
/// by their numbers.
pub(super) fn names(config: &Config) -> Rc<OwnerNames> {
    OwnerReader::open(config).names
}

/// The names and holds of owners, for display. Opening the database waits at most
/// [`STATUS_WAIT`]; if it cannot be read, both are unknown.
#[derive(Debug)]
pub(super) struct OwnerReader {
    store: Option<Store>,
    /// The names. Without the database, owners are shown by their numbers.
    pub names: Rc<OwnerNames>,
}

impl OwnerReader {
    /// Opens the database.
    pub(super) fn open(config: &Config) -> Self {
        let store = Store::read_existing(&config.store_file(), STATUS_WAIT);
        let read = store.and_then(|store| {
            let names = store.as_ref().map(Store::owner_names).transpose()?;
            Ok((store, names.unwrap_or_default()))
        });
        let (store, names) = read.unwrap_or_else(|error| {
            log::debug!("the names and holds of owners are unknown: {error:#}");
            Default::default()
        });
        Self {
            store,
            names: Rc::new(names),
        }
    }

    /// The holds of live entries with several owners; none if they are unknown.
    pub(super) fn shared_holds(&self, found: &[Found]) -> HashMap<Target, Vec<OwnerHold>> {
        let is_shared = |found: &&Found| OwnerMask::from_entry(&found.entry).is_shared();
        let shared = found.iter().filter(is_shared);
        let shared: HashMap<Target, Entry> = shared.map(|it| (it.target, it.entry)).collect();
        if shared.is_empty() || self.store.is_none() {
            return HashMap::new();
        }
        let holds = BootTime::now()
            .and_then(|now| owned_blocks::read_holds(self.store.as_ref(), &shared, &now));
        holds.unwrap_or_else(|error| {
            log::debug!("the holds of owners are unknown: {error:#}");
            HashMap::new()
        })
    }
}

/// The bit of an owner. The inner error is the message if there is no such owner.
///
/// # Errors
///
/// The database cannot be read.
pub(super) fn existing(
    store: &mut OwnerStore,
    owner: &EntryOwner,
) -> Result<std::result::Result<OwnerBit, String>> {
    if let Some(bit) = store.bit(owner)? {
        return Ok(Ok(bit));
    }
    let names = store.names()?;
    let all: Vec<String> = names.named().map(ToString::to_string).collect();
    let others = match all.is_empty() {
        true => String::new(),
        false => format!("; there are {}", all.join(", ")),
    };
    Ok(Err(format!("there is no owner {owner}{others}")))
}

/// Ends the holds of an owner on sorted entries. `read` may have some of the entries,
/// which are then not read again.
///
/// # Errors
///
/// The database cannot be read, or a map cannot be read or written. Entries that were
/// removed before the error are removed from the saved blocks, too.
pub(super) fn release(
    config: &Config,
    blocklist: &mut Blocklist,
    store: &mut OwnerStore,
    owner: OwnerBit,
    targets: &[Target],
    read: &mut ReadEntries,
) -> Result<Released> {
    let (owner, mut all) = (owner.into(), Released::default());
    let mut chunks = targets.chunks(CHUNK);
    let released = chunks.try_for_each(|chunk| {
        let lock = WriteLock::acquire(&config.run_dir)?;
        owned_blocks::release(&lock, blocklist, store, owner, chunk, read, &mut all)
    });
    let forgotten = forget_origins(config, blocklist, &all);
    if let Err(error) = released.and(forgotten) {
        if let Err(other) = saved::forget_released(config, &all) {
            log::warn!("{other:#}");
        }
        return Err(error);
    }
    Ok(all)
}

fn forget_origins(config: &Config, blocklist: &mut Blocklist, released: &Released) -> Result<()> {
    if released.removed.is_empty() {
        return Ok(());
    }
    let removed = released.removed.iter().copied().collect();
    let lock = WriteLock::acquire(&config.run_dir)?;
    blocklist.forget_origins(&lock, &removed)
}

/// Says how many entries stay, because other owners want them.
pub(super) fn write_kept(out: &mut impl Write, released: &Released) -> Result<()> {
    let others = match released.kept.len() {
        0 => return Ok(()),
        1 => "1 entry stays".into(),
        number => format!("{number} entries stay"),
    };
    writeln!(out, "{others} blocked by other owners")?;
    Ok(())
}

/// Deletes the stored holds of `targets`, whose entries the verb has removed; `None`: of
/// all entries. Holds that were set after `begin` stay. A hold without an entry has no
/// effect, so an error is only logged.
pub(super) fn forget_holds(config: &Config, targets: Option<&[Target]>, begin: &BootTime) {
    let forgotten = store(config)
        .existing()
        .and_then(|store| match (store, targets) {
            (None, _) => Ok(()),
            (Some(store), Some(targets)) => store.forget_holds(targets, begin).map(drop),
            (Some(store), None) => store.clear_holds(begin),
        });
    if let Err(error) = forgotten {
        log::warn!(
            "unblocked, but the owners of the entries could not be deleted from the database, \
             where they have no effect: {error:#}"
        );
    }
}
