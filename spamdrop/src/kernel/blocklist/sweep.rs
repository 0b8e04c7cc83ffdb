//! Deletes many entries at once. Expired entries are removed here: the filter
//! neither revives nor deletes them.

use std::collections::HashMap;
use std::net::IpAddr;

use anyhow::Result;
use spamdrop_common::{action::is_live, time::MonotonicNs};

use super::Blocklist;
use super::cached_map::MapChange;
use super::edit::Counted;
use crate::lock::WriteLock;
use spamdrop_core::owners::OwnerMask;
use spamdrop_core::target::Target;

/// Entries written per lock acquisition, so that other writers do not wait
/// long.
pub const CHUNK: usize = 4096;

/// Maximum number of ends that a sweep returns. With the default `max_new_per_minute`, the
/// log leads to at most 3,000 new blocks between two sweeps.
const ENDS: usize = 10_000;

/// The result of a sweep.
#[derive(Debug, Default)]
pub struct SweptEntries {
    /// Number of expired entries that were deleted.
    pub count: usize,
    /// When the deleted entries expired that had an owner in `noted` of [`Blocklist::sweep`].
    pub ends: HashMap<Target, MonotonicNs>,
}

impl Blocklist {
    /// Deletes expired entries, and origins without an entry. `lock` is called
    /// for each [`CHUNK`] of deletions to acquire the write lock. After each chunk, the
    /// number of deleted entries is added to `swept`, and the ends of those that have an
    /// owner in `noted`.
    ///
    /// # Errors
    ///
    /// A map operation fails, or `lock` returns an error. Some entries may have been
    /// deleted.
    pub fn sweep(
        &mut self,
        now: MonotonicNs,
        noted: OwnerMask,
        lock: impl Fn() -> Result<WriteLock>,
        swept: &mut SweptEntries,
    ) -> Result<()> {
        let (mut expired, mut ends) = (Vec::new(), HashMap::new());
        self.for_each(|found| {
            if !is_live(found.entry.expires, now) {
                expired.push(found.target);
                let owners = OwnerMask::from_entry(&found.entry);
                if owners.without(noted) != owners && ends.len() < ENDS {
                    ends.insert(found.target, found.entry.expires);
                }
            }
        })?;
        expired.sort_unstable();
        for chunk in expired.chunks(CHUNK) {
            let _lock = lock()?;
            // An entry may have been added again since it was read.
            let again = self.live_among(chunk, now)?;
            let deleted = || chunk.iter().filter(|target| !again.contains_key(target));
            self.change(|list, change| {
                // The filter caches no expired entry.
                change.keep_epoch();
                list.delete(deleted(), change)
            })?;
            swept.count += deleted().count();
            let noted = deleted().filter_map(|target| ends.remove_entry(target));
            swept.ends.extend(noted);
        }
        self.sweep_origins(lock)?;
        self.empty_old_slots()
    }

    /// Deletes every entry and every origin. Returns the number of live
    /// entries.
    ///
    /// # Errors
    ///
    /// As [`Blocklist::sweep`].
    pub fn flush(
        &mut self,
        now: MonotonicNs,
        lock: impl Fn() -> Result<WriteLock>,
    ) -> Result<usize> {
        let (mut all, mut live) = (Vec::new(), 0);
        self.for_each(|found| {
            live += usize::from(is_live(found.entry.expires, now));
            all.push(found.target);
        })?;
        for chunk in all.chunks(CHUNK) {
            let _lock = lock()?;
            self.change(|list, change| list.delete(chunk.iter(), change))?;
        }
        self.sweep_origins(lock)?;
        Ok(live)
    }

    fn delete<'a>(
        &mut self,
        targets: impl Iterator<Item = &'a Target>,
        change: &mut MapChange,
    ) -> Result<()> {
        let mut counted = Counted::default();
        for &target in targets {
            self.take_out(target, change)?;
            counted.add(target);
        }
        self.count(counted)
    }

    fn sweep_origins(&mut self, lock: impl Fn() -> Result<WriteLock>) -> Result<()> {
        let mut all: Vec<IpAddr> = Vec::new();
        self.for_each_origin(|addr, _| all.push(addr))?;
        for chunk in all.chunks(CHUNK) {
            let _lock = lock()?;
            for &addr in chunk {
                self.forget_unless_blocked(addr)?;
            }
        }
        Ok(())
    }
}
