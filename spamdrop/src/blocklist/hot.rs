//! What the filter remembers of sources that it dropped a moment ago, see
//! [`Hot`].

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use spamdrop_common::hot::{Hot, WAYS};

use super::{Blocklist, fd};
use crate::bpf;

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
        let set = self.hot_set(source)?;
        let its = set.iter().filter(|hot| hot.source == source);
        Ok(its.map(|hot| u32::from(hot.hits)).sum())
    }

    /// The same of all sources that have such hits.
    pub(super) fn all_hot_hits(&self) -> Result<HashMap<[u8; 4], u32>> {
        let mut hits = HashMap::new();
        bpf::for_each(fd(&self.hot), |_: &[u32], sets: &[[Hot; WAYS]]| {
            let hit = sets.iter().flatten().filter(|hot| hot.hits != 0);
            hits.extend(hit.map(|hot| (hot.source, hot.hits.into())));
            Ok(())
        })
        .context("cannot read hot4")?;
        Ok(hits)
    }

    /// Forgets the hits on a source: its entry goes.
    pub(super) fn forget_hits(&mut self, source: [u8; 4]) -> Result<()> {
        let mut set = self.hot_set(source)?;
        if !set.iter().any(|hot| hot.source == source && hot.hits != 0) {
            return Ok(());
        }
        for hot in set.iter_mut().filter(|hot| hot.source == source) {
            *hot = Hot::default();
        }
        self.hot
            .set(Hot::set(source), set, 0)
            .context("cannot write hot4")
    }

    fn hot_set(&self, source: [u8; 4]) -> Result<[Hot; WAYS]> {
        let set = self.hot.get(&Hot::set(source), 0);
        set.context("cannot read hot4")
    }
}
