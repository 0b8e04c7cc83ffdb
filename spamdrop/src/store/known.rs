//! The table of known senders.

pub(super) mod rows;

use anyhow::{Result, anyhow};
use ipnet::IpNet;

use super::Store;
use spamdrop_core::reputation::{Record, Records, SenderStanding};
use spamdrop_core::target::Target;
use spamdrop_core::time::UnixSeconds;

pub(super) use rows::{TABLE, UPGRADE_1};

/// The outcome of a merge.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct MergedSenders {
    /// The records that were not stored, because they have no positive evidence and the
    /// source has no record.
    pub unstored: Records,
    /// The senders that the evidence made known (`true`), or unknown again (`false`).
    pub changed: Vec<(Target, bool)>,
}

impl Store {
    /// Checks the table for damage. This takes as long as
    /// [`Store::known_senders`].
    ///
    /// # Errors
    ///
    /// The table is damaged or cannot be read.
    pub fn check_known(&self) -> Result<()> {
        self.0.check("known")
    }

    /// Every record, sorted: IPv4 first, by address.
    ///
    /// # Errors
    ///
    /// The table is damaged or cannot be read.
    pub fn known_senders(&self) -> Result<Vec<(Target, Record)>> {
        self.0.read(rows::all)
    }

    /// The record of one source, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Store::known_senders`].
    pub fn known_sender(&self, source: Target) -> Result<Option<Record>> {
        self.0.read(|db| rows::read(db, source))
    }

    /// The senders that are known at `now`, sorted.
    ///
    /// # Errors
    ///
    /// As [`Store::known_senders`].
    pub fn known_at(&self, now: UnixSeconds) -> Result<Vec<Target>> {
        let senders = self.known_senders()?.into_iter();
        let known = senders.filter(|(_, record)| record.standing(now).is_known());
        Ok(known.map(|(source, _)| source).collect())
    }

    /// Merges new evidence into the records. A demotion is stored only for a
    /// source with good evidence. If there are more than `capacity` records, some
    /// are deleted, until seven eighths of `capacity` are left, in this order: those
    /// that no longer count, the demoted, the unproven, the known; each kind oldest
    /// first. Records added by hand are never deleted.
    ///
    /// # Errors
    ///
    /// The table is damaged or cannot be written; nothing has changed.
    pub fn merge_known(
        &mut self,
        evidence: &Records,
        capacity: usize,
        now: UnixSeconds,
    ) -> Result<MergedSenders> {
        self.0.change(|tx| {
            let mut merged = MergedSenders::default();
            for (source, record) in evidence {
                let old = rows::read(tx, *source)?;
                if old.is_some() || record.is_of_interest() {
                    let old = old.unwrap_or_default();
                    let new = old.join(*record);
                    rows::write(tx, *source, new)?;
                    let is_known = new.standing(now).is_known();
                    if is_known != old.standing(now).is_known() {
                        merged.changed.push((*source, is_known));
                    }
                } else {
                    merged.unstored.insert(*source, *record);
                }
            }
            rows::forget(tx, capacity, now)?;
            merged.changed.sort_unstable();
            Ok(merged)
        })
    }

    /// Adds sources by hand. Returns those that had not been added before.
    ///
    /// # Errors
    ///
    /// As [`Store::merge_known`]; or more than `capacity` sources would be
    /// added by hand.
    pub fn add_known(
        &mut self,
        sources: &[Target],
        capacity: usize,
        now: UnixSeconds,
    ) -> Result<Vec<Target>> {
        let added = self.0.change(|tx| {
            let mut new = Vec::new();
            for &source in sources {
                let old = rows::read(tx, source)?.unwrap_or_default();
                if old.standing(now) != SenderStanding::ByHand {
                    new.push((source, old.added(now)));
                }
            }
            let total = rows::count_by_hand(tx)? + new.len();
            if total > capacity {
                return Ok(Err(total));
            }
            for (source, record) in &new {
                rows::write(tx, *source, *record)?;
            }
            rows::forget(tx, capacity, now)?;
            Ok(Ok(new.into_iter().map(|(source, _)| source).collect()))
        })?;
        added.map_err(|total| {
            anyhow!(
                "nothing was added: {total} known senders would have been added by hand, but `known_capacity` is {capacity}; raise it in the configuration"
            )
        })
    }

    /// Deletes the records of all sources in these prefixes, with all evidence for
    /// and against them. Returns their number.
    ///
    /// # Errors
    ///
    /// As [`Store::merge_known`].
    pub fn forget_known(&mut self, nets: &[IpNet]) -> Result<usize> {
        self.0.change(|tx| {
            let each = nets.iter().map(|net| rows::delete_in(tx, *net));
            each.sum()
        })
    }

    /// Removes sources by hand, so that only new evidence counts. Returns those
    /// that were known or unproven.
    ///
    /// # Errors
    ///
    /// As [`Store::merge_known`].
    pub fn remove_known(&mut self, sources: &[Target], now: UnixSeconds) -> Result<Vec<Target>> {
        self.0.change(|tx| {
            let mut removed = Vec::new();
            for &source in sources {
                let Some(old) = rows::read(tx, source)?.filter(Record::is_good) else {
                    continue;
                };
                rows::write(tx, source, old.removed(now))?;
                removed.push(source);
            }
            Ok(removed)
        })
    }
}

#[cfg(test)]
mod tests;
