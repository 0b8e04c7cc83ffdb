//! Entries that a command reads at once, before it changes them step by step.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use spamdrop_common::action::is_live;
use spamdrop_common::entry::Entry;
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::owners::OwnerMask;
use spamdrop_core::target::Target;

use crate::kernel::blocklist::Found;
use crate::lock::WriteLock;

/// The entries of some targets, which were read without the write lock. As long as no
/// other process has had the lock since, they are not read again: that takes two system
/// calls each. By default nothing was read.
#[derive(Debug, Default)]
pub struct ReadEntries {
    entries: HashMap<Target, Entry>,
    is_valid: bool,
}

impl ReadEntries {
    /// To be called before the entries are read.
    ///
    /// # Errors
    ///
    /// As [`WriteLock::acquire`].
    pub fn begin(run_dir: &Path) -> Result<Self> {
        // From now on, the lock tells whether another process has changed anything.
        drop(WriteLock::acquire(run_dir)?);
        Ok(Self {
            entries: HashMap::new(),
            is_valid: true,
        })
    }

    /// Adds an entry that was read.
    pub fn add(&mut self, found: Found) {
        self.entries.insert(found.target, found.entry);
    }

    /// Whether one of these targets has an entry of which this is true, as it was read.
    pub fn any<'a>(
        &self,
        mut targets: impl Iterator<Item = &'a Target>,
        is_such: impl Fn(&Entry) -> bool,
    ) -> bool {
        !self.entries.is_empty()
            && targets.any(|target| self.entries.get(target).is_some_and(&is_such))
    }

    /// Takes the live entries of these owners alone, of which only the hits since they
    /// were read are not known. Returns them, and the targets that have to be looked up.
    /// Each target is asked for once: one that was not added has no entry.
    pub(super) fn take_own(
        &mut self,
        lock: &WriteLock,
        owners: OwnerMask,
        targets: &[Target],
        now: MonotonicNs,
    ) -> (HashMap<Target, Entry>, Vec<Target>) {
        self.is_valid &= lock.was_ours();
        if !self.is_valid {
            return (HashMap::new(), targets.to_vec());
        }
        let (mut own, mut others) = (HashMap::new(), Vec::new());
        for target in targets {
            let Some(entry) = self.entries.remove(target) else {
                continue;
            };
            let is_own = OwnerMask::of(&entry).without(owners).is_empty();
            // A slide that only the cache has may have kept it alive.
            if is_own && is_live(entry.expires, now) {
                own.insert(*target, entry);
            } else {
                others.push(*target);
            }
        }
        (own, others)
    }
}
