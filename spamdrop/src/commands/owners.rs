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

/// The database of owners, as far as it can be read almost at once.
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
            log::debug!("the names and ends of owners are unknown: {error:#}");
            Default::default()
        });
        Self {
            store,
            names: Rc::new(names),
        }
    }

    /// The holds of live entries with several owners; none if they are unknown.
    pub(super) fn shared_holds(&self, found: &[Found]) -> HashMap<Target, Vec<OwnerHold>> {
        let is_shared = |found: &&Found| OwnerMask::of(&found.entry).is_shared();
        let shared = found.iter().filter(is_shared);
        let shared: HashMap<Target, Entry> = shared.map(|it| (it.target, it.entry)).collect();
        if shared.is_empty() || self.store.is_none() {
            return HashMap::new();
        }
        let holds = BootTime::now()
            .and_then(|now| owned_blocks::read_holds(self.store.as_ref(), &shared, &now));
        holds.unwrap_or_else(|error| {
            log::debug!("the ends of owners are unknown: {error:#}");
            HashMap::new()
        })
    }
}

/// The bit of an owner, or else what to say of it, if nobody has used its name.
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

/// Lets an owner let go of sorted entries, which may have been read. An owner that does
/// not exist has none.
///
/// # Errors
///
/// The database cannot be read, or a map cannot be read or written. A reboot does not
/// bring back the entries that were removed until then.
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

/// Says how many entries are still blocked.
pub(super) fn write_kept(out: &mut impl Write, released: &Released) -> Result<()> {
    let others = match released.kept.len() {
        0 => return Ok(()),
        1 => "1 entry stays".into(),
        number => format!("{number} entries stay"),
    };
    writeln!(out, "{others} blocked by other owners")?;
    Ok(())
}

/// Deletes stored holds of entries that a verb has removed since `begin`; `None`: of all
/// entries. Holds that were set in the meantime stay. The others have no effect, so an
/// error is only told.
pub(super) fn forget_holds(config: &Config, targets: Option<&[Target]>, begin: &BootTime) {
    let forgotten = store(config)
        .existing()
        .and_then(|store| match (store, targets) {
            (None, _) => Ok(()),
            (Some(store), Some(targets)) => store.forget_holds(targets, begin).map(drop),
            (Some(store), None) => store.clear_holds(begin),
        });
    if let Err(error) = forgotten {
        log::warn!("unblocked, but the database still has the ends of owners: {error:#}");
    }
}
