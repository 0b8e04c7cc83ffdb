//! The filter's cache of sources that it dropped within the last seconds, see
//! [`RecentDrop`]. It holds hits and slides that are not in the entries yet.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use spamdrop_common::action::slid_by_recent_drop;
use spamdrop_common::entry::Entry;
use spamdrop_common::recent_drop::{Line, RecentDrop};

use spamdrop_core::target::Target;

use super::{Blocklist, fd};
use crate::kernel::bpf;
use crate::kernel::ticks::Ticks;

impl Blocklist {
    /// Raises the epoch, so that the filter reads each entry again instead of
    /// its cached facts. Every change that removes or weakens an entry must be
    /// followed by this.
    pub(super) fn raise_epoch(&mut self) -> Result<()> {
        self.change_settings(|settings| {
            settings.epoch = settings.epoch.wrapping_add(1);
        })
    }

    /// Everything that the cache has not stored in the entries yet.
    pub(super) fn recent_drops(&self) -> Result<RecentDrops> {
        let moment = self.moment()?;
        let mut slots = HashMap::new();
        bpf::for_each(fd(&self.recent_drops), |_: &[u32], lines: &[Line]| {
            let pending = lines.iter().flatten().filter(|slot| slot.hits != 0);
            let current = pending.filter(|slot| slot.is_of(moment.epoch));
            slots.extend(current.map(|slot| (slot.source.to_ne_bytes(), *slot)));
            Ok(())
        })
        .context("cannot read recent_drops4")?;
        Ok(RecentDrops { slots, moment })
    }

    /// The entry of a target, with what the cache has not stored in it yet.
    pub(super) fn host_now(&self, target: Target) -> Result<Option<Entry>> {
        self.host_at(target, &self.moment()?)
    }

    /// As [`Blocklist::host_now`], at a moment that was read for several targets.
    pub(super) fn host_at(&self, target: Target, moment: &Moment) -> Result<Option<Entry>> {
        let Some(mut entry) = self.host(target)? else {
            return Ok(None);
        };
        if let Target::V4(source) = target {
            moment.add_to(&mut entry, &self.line(source)?, source);
        }
        Ok(Some(entry))
    }

    /// Adds to entries as they are stored what the cache has not stored in them yet.
    pub fn add_recent_drops(&self, entries: &mut HashMap<Target, Entry>) -> Result<()> {
        // Half as many single look-ups take as long as reading everything.
        if entries.len() > self.recent_drops.len() as usize / 2 {
            let recent_drops = self.recent_drops()?;
            for (target, entry) in entries {
                if let Target::V4(source) = *target {
                    recent_drops.add_to(entry, source);
                }
            }
            return Ok(());
        }
        let moment = self.moment()?;
        for (target, entry) in entries {
            if let Target::V4(source) = *target {
                moment.add_to(entry, &self.line(source)?, source);
            }
        }
        Ok(())
    }

    /// The sources in the cache that were dropped within seconds, those with the
    /// most hits first; at most this number.
    pub fn recently_dropped(&self, most: usize) -> Result<Vec<Target>> {
        let drops = self.recent_drops()?;
        let mut all: Vec<(u8, [u8; 4])> = drops
            .slots
            .iter()
            .map(|(source, slot)| (slot.hits, *source))
            .collect();
        all.sort_unstable_by_key(|slot| std::cmp::Reverse(*slot));
        all.truncate(most);
        Ok(all
            .into_iter()
            .map(|(_, source)| Target::V4(source))
            .collect())
    }

    /// Whether the cache may answer for a target.
    pub(super) fn is_cached(&self, target: Target) -> Result<bool> {
        let Target::V4(source) = target else {
            return Ok(false);
        };
        let source_word = u32::from_ne_bytes(source);
        let line = self.line(source)?;
        Ok(line.iter().any(|slot| slot.source == source_word))
    }

    fn line(&self, source: [u8; 4]) -> Result<Line> {
        let line = RecentDrop::line(u32::from_ne_bytes(source), self.recent_drops.len());
        let line = self.recent_drops.get(&line, 0);
        line.context("cannot read recent_drops4")
    }

    pub(super) fn moment(&self) -> Result<Moment> {
        Ok(Moment {
            // Truncated as the filter compares it.
            epoch: self.settings()?.epoch as u16,
            ticks: Ticks::now(),
        })
    }
}

/// The slots with hits, by source.
pub(super) struct RecentDrops {
    slots: HashMap<[u8; 4], RecentDrop>,
    moment: Moment,
}

impl RecentDrops {
    /// Adds to an entry of this source what the cache has not stored in it yet.
    pub(super) fn add_to(&self, entry: &mut Entry, source: [u8; 4]) {
        if let Some(slot) = self.slots.get(&source) {
            self.moment.add_to(entry, &[*slot], source);
        }
    }
}

/// The epoch and the time at which slots are read.
pub(super) struct Moment {
    epoch: u16,
    ticks: Ticks,
}

impl Moment {
    /// Adds the hits and the slide of a source to its entry.
    fn add_to(&self, entry: &mut Entry, slots: &[RecentDrop], source: [u8; 4]) {
        let source = u32::from_ne_bytes(source);
        let slots = slots.iter().filter(|slot| slot.source == source);
        for slot in slots.filter(|slot| slot.is_of(self.epoch)) {
            entry.hits = entry.hits.saturating_add(slot.hits.into());
            if slot.left != 0 {
                entry.expires = slid_by_recent_drop(entry, self.ticks.time(slot.last_tick()));
            }
        }
    }
}
