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

/// The entries of some targets, which were read without the write lock. They are valid as
/// long as no other process has had the lock since. Valid ones are not read again, which
/// would take two system calls for each. The default is not valid, so entries are looked up.
#[derive(Debug, Default)]
pub struct ReadEntries {
    entries: HashMap<Target, Entry>,
    is_valid: bool,
}

impl ReadEntries {
    /// Begins a read. It must be called before the entries are read.
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

    /// Whether `is_such` is true of an entry that was added for one of `targets`.
    pub fn any<'a>(
        &self,
        mut targets: impl Iterator<Item = &'a Target>,
        is_such: impl Fn(&Entry) -> bool,
    ) -> bool {
        !self.entries.is_empty()
            && targets.any(|target| self.entries.get(target).is_some_and(&is_such))
    }

    /// Takes the live entries that have no owner beside `owners`. Hits since they were read
    /// are missing in them. Returns them, and the targets that must be looked up. A
    /// target that was not added, or that was taken before, counts as having no entry.
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
            let is_own = OwnerMask::from_entry(&entry).without(owners).is_empty();
            // An entry that had expired when it was read may be live: the filter's cache of
            // recent drops may extend it. So it is looked up again.
            if is_own && is_live(entry.expires, now) {
                own.insert(*target, entry);
            } else {
                others.push(*target);
            }
        }
        (own, others)
    }
}
