//! The filter's cache of sources that it dropped within the last second, see
//! [`RecentDrop`].

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use spamdrop_common::recent_drop::{Line, RecentDrop};

use super::{Blocklist, fd};
use crate::kernel::bpf;

impl Blocklist {
    /// Raises the epoch, so that the filter reads each entry again instead of
    /// its cached facts. Every change that removes or weakens an entry must be
    /// followed by this.
    pub(super) fn raise_epoch(&mut self) -> Result<()> {
        self.change_settings(|settings| {
            settings.epoch = settings.epoch.wrapping_add(1);
        })
    }

    /// The hits of a source that are not yet counted in its entry.
    pub(super) fn uncounted_hits(&self, source: [u8; 4]) -> Result<u32> {
        let source = u32::from_ne_bytes(source);
        let epoch = self.epoch()?;
        let line = self.recent_drops.get(&RecentDrop::line(source), 0);
        let line = line.context("cannot read recent_drops4")?;
        let slots = line.iter().filter(|slot| slot.source == source);
        let current = slots.filter(|slot| slot.epoch == epoch);
        Ok(current.map(|slot| u32::from(slot.hits)).sum())
    }

    /// The hits of all sources that are not yet counted in their entries.
    pub(super) fn all_uncounted_hits(&self) -> Result<HashMap<[u8; 4], u32>> {
        let epoch = self.epoch()?;
        let mut hits = HashMap::new();
        bpf::for_each(fd(&self.recent_drops), |_: &[u32], lines: &[Line]| {
            let hit = lines.iter().flatten().filter(|slot| slot.hits != 0);
            let current = hit.filter(|slot| slot.epoch == epoch);
            hits.extend(current.map(|slot| (slot.source.to_ne_bytes(), slot.hits.into())));
            Ok(())
        })
        .context("cannot read recent_drops4")?;
        Ok(hits)
    }

    /// The epoch, truncated as the filter compares it.
    fn epoch(&self) -> Result<u16> {
        Ok(self.settings()?.epoch as u16)
    }
}
