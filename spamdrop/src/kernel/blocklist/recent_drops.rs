//! The filter's cache of sources that it dropped within the last seconds, see
//! [`RecentDrop`]. It holds hits and slides that are not in the entries yet.

use anyhow::{Context as _, Result};
use spamdrop_common::action::slid_by_recent_drop;
use spamdrop_common::entry::Entry;
use spamdrop_common::recent_drop::{Line, RecentDrop};

use super::{Blocklist, fd};
use crate::kernel::bpf::MappedArray;
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

    /// The cache at this moment.
    pub(super) fn recent_drops(&self) -> Result<RecentDrops> {
        let lines = MappedArray::new(fd(&self.recent_drops), self.recent_drops.len());
        Ok(RecentDrops {
            lines: lines.context("cannot read recent_drops4")?,
            // Truncated as the filter compares it.
            epoch: self.settings()?.epoch as u16,
            ticks: Ticks::now(),
        })
    }
}

/// What the filter has not stored in the entries yet.
pub(super) struct RecentDrops {
    lines: MappedArray<Line>,
    epoch: u16,
    ticks: Ticks,
}

impl RecentDrops {
    /// Adds the hits and the slide of a source to its entry.
    pub(super) fn add_to(&self, entry: &mut Entry, source: [u8; 4]) {
        let source = u32::from_ne_bytes(source);
        let line = RecentDrop::line(source, self.lines.elements());
        let slots = self.lines.get(line).unwrap_or_default();
        for slot in slots.iter().filter(|slot| slot.source == source) {
            if slot.epoch == self.epoch {
                entry.hits = entry.hits.saturating_add(slot.hits.into());
            }
            if slot.left != 0 {
                entry.expires = slid_by_recent_drop(entry, self.ticks.time(slot.last_tick()));
            }
        }
    }
}
