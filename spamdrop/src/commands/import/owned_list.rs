//! A list that is imported for an owner.

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use spamdrop_common::entry::{Entry, ORIGIN_LOG};
use spamdrop_core::owners::{EntryOwner, OwnerBit, OwnerMask};
use spamdrop_core::target::Target;

use crate::cli;
use crate::commands::owners;
use crate::config::Config;
use crate::kernel::blocklist::Blocklist;
use crate::lock::WriteLock;
use crate::owned_blocks::{self, Released};

/// What an import has to know of the entries that exist.
pub(super) struct OwnedList {
    owner: OwnerBit,
    /// Entries of the list that others own. An entry that another process makes
    /// after this was read is replaced.
    others: HashSet<Target>,
    /// Hits of entries of the list that the owner has already.
    hits: HashMap<Target, u32>,
    /// Entries of the owner that the list does not name any more, sorted.
    gone: Vec<Target>,
}

/// Reads all entries.
///
/// # Errors
///
/// A map or the database cannot be read.
pub(super) fn read(
    config: &Config,
    args: &cli::Import,
    blocklist: &Blocklist,
    entries: &[(Target, Entry)],
) -> Result<OwnedList> {
    let owner = args.owner.as_ref().unwrap_or(&EntryOwner::Hand);
    let owner = owners::store(config).registered(owner, blocklist)?;
    let only = OwnerMask::from(owner);
    let (mut others, mut hits, mut gone) = (HashSet::new(), HashMap::new(), Vec::new());
    // Blocks by hand begin anew.
    let keeps_hits = args.owner.is_some();
    let is_listed = |target| {
        let found = entries.binary_search_by_key(&target, |(target, _)| *target);
        found.is_ok()
    };
    blocklist.for_each(|found| {
        let owners = OwnerMask::of(&found.entry);
        let is_gone = args.replace && owners.contains(owner);
        if owners == only && !is_gone && !keeps_hits {
            return;
        }
        match is_listed(found.target) {
            true if owners != only => drop(others.insert(found.target)),
            true if found.entry.hits != 0 && keeps_hits => {
                hits.insert(found.target, found.entry.hits);
            }
            false if is_gone => gone.push(found.target),
            _ => {}
        }
    })?;
    gone.sort_unstable();
    Ok(OwnedList {
        owner,
        others,
        hits,
        gone,
    })
}

impl OwnedList {
    /// Writes some of the entries. A line that says so belongs to the log.
    ///
    /// # Errors
    ///
    /// The database or a map cannot be written.
    pub(super) fn put(
        &self,
        config: &Config,
        lock: &WriteLock,
        blocklist: &mut Blocklist,
        entries: &[(Target, Entry)],
    ) -> Result<()> {
        let is_log = |entry: &Entry| entry.flags & ORIGIN_LOG != 0 && self.owner == OwnerBit::HAND;
        let mut store = owners::store(config);
        for (owner, is_of_log) in [(self.owner, false), (OwnerBit::LOG, true)] {
            let some = entries
                .iter()
                .filter(|(_, entry)| is_log(entry) == is_of_log);
            let with_hits = |(target, entry): &(Target, Entry)| {
                let hits = self.hits.get(target).copied().unwrap_or_default();
                (*target, Entry { hits, ..*entry })
            };
            let some: Vec<(Target, Entry)> = some.map(with_hits).collect();
            if !some.is_empty() {
                let exists = |target| self.others.contains(&target);
                owned_blocks::set(lock, blocklist, &mut store, owner, &some, exists)?;
            }
        }
        Ok(())
    }
}

/// Lets the owner let go of the entries that the list does not name.
///
/// # Errors
///
/// The database or a map cannot be read or written.
pub(super) fn let_go(
    config: &Config,
    blocklist: &mut Blocklist,
    list: &OwnedList,
) -> Result<Released> {
    let mut store = owners::store(config);
    owners::release(config, blocklist, &mut store, list.owner, &list.gone)
}
