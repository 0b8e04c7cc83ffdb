//! What the filter remembers of sources that it dropped a moment ago, see
//! [`Hot`].

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use spamdrop_common::hot::{Hot, WAYS};

use super::{Blocklist, fd};
use crate::kernel::bpf;

impl Blocklist {
    /// Has the filter look at each entry again: somebody was let go. To be
    /// called after the change.
    pub(super) fn forget_verdicts(&mut self) -> Result<()> {
        self.change_settings(|settings| {
            settings.generation = settings.generation.wrapping_add(1);
        })
    }

    /// The hits on a source that its entry does not know of yet.
    pub(super) fn hot_hits(&self, source: [u8; 4]) -> Result<u32> {
        let source = u32::from_ne_bytes(source);
        let generation = self.generation()?;
        let set = self.hot.get(&Hot::set(source), 0);
        let set = set.context("cannot read hot4")?;
        let its = set.iter().filter(|hot| hot.source == source);
        let current = its.filter(|hot| hot.generation == generation);
        Ok(current.map(|hot| u32::from(hot.hits)).sum())
    }

    /// The same of all sources that have such hits.
    pub(super) fn all_hot_hits(&self) -> Result<HashMap<[u8; 4], u32>> {
        let generation = self.generation()?;
        let mut hits = HashMap::new();
        bpf::for_each(fd(&self.hot), |_: &[u32], sets: &[[Hot; WAYS]]| {
            let hit = sets.iter().flatten().filter(|hot| hot.hits != 0);
            let current = hit.filter(|hot| hot.generation == generation);
            hits.extend(current.map(|hot| (hot.source.to_ne_bytes(), hot.hits.into())));
            Ok(())
        })
        .context("cannot read hot4")?;
        Ok(hits)
    }

    /// As the filter compares it.
    fn generation(&self) -> Result<u16> {
        Ok(self.settings()?.generation as u16)
    }
}
