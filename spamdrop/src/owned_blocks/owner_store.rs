//! The database of owners.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Error, Result};
use spamdrop_common::entry::Entry;
use spamdrop_core::owners::{EntryOwner, Hold, OwnerBit, OwnerHold, OwnerMask, OwnerNames, holds};
use spamdrop_core::target::Target;

use crate::directory::{self, Owned};
use crate::kernel::blocklist::{Blocked, Blocklist};
use crate::store::{BootTime, HoldChange, HoldChangeKind, Store};

/// The database of owners, opened when it is needed.
pub struct OwnerStore {
    path: PathBuf,
    wait: Duration,
    store: Option<Store>,
    /// Whether the warning was logged that the database cannot be used.
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

    /// The bit of an owner. An owner without a bit gets one.
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
        blocklist.for_each(|found| in_use = in_use.and(OwnerMask::from_entry(&found.entry)))?;
        store.register_owner(owner, in_use)
    }

    /// Stores the holds of entries with several owners, in one transaction.
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

    /// For each entry in `live`, the holds of all its owners at `now`.
    ///
    /// # Errors
    ///
    /// The database cannot be read.
    pub fn holds_of(
        &mut self,
        live: &HashMap<Target, Entry>,
        now: &BootTime,
    ) -> Result<HashMap<Target, Vec<OwnerHold>>> {
        let is_shared = |entry: &Entry| OwnerMask::from_entry(entry).is_shared();
        let store = match live.values().any(is_shared) {
            true => self.existing()?,
            false => None,
        };
        read_holds(store.as_deref(), live, now)
    }

    /// As [`OwnerStore::holds_of`]. If the database cannot be read, a warning is logged
    /// once, and the hold of each owner is taken to last as long as the entry.
    pub fn holds_or_ends(
        &mut self,
        live: &HashMap<Target, Entry>,
        now: &BootTime,
    ) -> HashMap<Target, Vec<OwnerHold>> {
        self.holds_of(live, now).unwrap_or_else(|error| {
            self.warn(&error);
            let ends = |entry: &Entry| {
                let owners = OwnerMask::from_entry(entry).each();
                owners
                    .map(|owner| (owner, Hold::from_entry(entry)))
                    .collect()
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

    /// Stores holds. An error is only logged, and only once, because an entry blocks
    /// without its rows in the database.
    pub(super) fn write_or_warn(&mut self, changes: &[HoldChange], now: &BootTime) {
        if let Err(error) = self.write(changes, now) {
            self.warn(&error);
        }
    }

    fn warn(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.has_warned, true) {
            log::warn!(
                "cannot use the database of owners, so an entry with several owners may stay \
                 blocked for longer than they want: {error:#}"
            );
        }
    }
}

/// For each entry in `live`, the holds of all its owners at `now`. Without `store`, they
/// are derived from the entries alone.
///
/// # Errors
///
/// The database cannot be read.
pub fn read_holds(
    store: Option<&Store>,
    live: &HashMap<Target, Entry>,
    now: &BootTime,
) -> Result<HashMap<Target, Vec<OwnerHold>>> {
    let is_shared = |entry: &Entry| OwnerMask::from_entry(entry).is_shared();
    let shared = live.iter().filter(|(_, entry)| is_shared(entry));
    let shared = shared.map(|(target, _)| target);
    let stored = store.map(|store| store.holds(shared, now)).transpose()?;
    let stored = stored.unwrap_or_default();
    let holds = |(target, entry): (&Target, &Entry)| {
        let rows = stored.get(target).map_or(&[][..], Vec::as_slice);
        (*target, holds(entry, rows, now.clocks.mono))
    };
    Ok(live.iter().map(holds).collect())
}
