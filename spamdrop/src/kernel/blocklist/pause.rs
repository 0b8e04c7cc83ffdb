//! Pauses of the layers, in the settings that the filter compares with the
//! clock. So a pause ends by itself, whatever runs in user space.

use anyhow::Result;
use spamdrop_common::entry::{Entry, SEALED};
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::pause::{Layer, LayerPause, pauses};
use spamdrop_core::target::Target;

use super::Blocklist;
use crate::lock::WriteLock;

impl Blocklist {
    /// Pauses these layers until a time, also if an earlier pause would end later.
    pub fn pause(&mut self, _lock: &WriteLock, layers: &[Layer], until: MonotonicNs) -> Result<()> {
        self.change_settings(|settings| {
            layers.iter().for_each(|layer| *layer.end(settings) = until);
        })
    }

    /// Ends all pauses, and returns those that would have ended after `now`.
    pub fn end_pauses(&mut self, lock: &WriteLock, now: MonotonicNs) -> Result<Vec<LayerPause>> {
        let paused = self.pauses(now)?;
        self.pause(lock, &Layer::ALL, MonotonicNs::default())?;
        Ok(paused)
    }

    /// The layers that are paused at `now`.
    pub fn pauses(&self, now: MonotonicNs) -> Result<Vec<LayerPause>> {
        Ok(pauses(self.settings()?, now))
    }

    /// Removes the ends of pauses that are over: while the end of a pause is set, the
    /// filter reads the clock for every packet that it drops.
    pub fn forget_ended_pauses(&mut self, _lock: &WriteLock, now: MonotonicNs) -> Result<()> {
        self.change_settings(|settings| {
            for layer in Layer::ALL {
                let end = layer.end(settings);
                if *end <= now {
                    *end = MonotonicNs::default();
                }
            }
        })
    }

    /// Opens a sealed entry, whose peer holds a connection. Returns whether it
    /// was sealed and live.
    pub fn open_again(
        &mut self,
        _lock: &WriteLock,
        target: Target,
        now: MonotonicNs,
    ) -> Result<bool> {
        let Some(entry) = self.sealed(target, now)? else {
            return Ok(false);
        };
        let flags = entry.flags & !SEALED;
        self.change(|list, change| list.put(target, Entry { flags, ..entry }, change))?;
        Ok(true)
    }

    /// The entry of `target` itself, if it is live and drops every packet.
    pub fn sealed(&self, target: Target, now: MonotonicNs) -> Result<Option<Entry>> {
        let is_sealed = |entry: &Entry| entry.flags & SEALED != 0 && now <= entry.expires;
        Ok(self.host(target)?.filter(is_sealed))
    }
}
