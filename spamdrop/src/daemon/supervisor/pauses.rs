//! Logs the pauses that `spamdrop pause` begins.

use std::time::Duration;

use anyhow::Result;
use spamdrop_core::pause::{PauseChanges, PausedLayer, describe, names};

use super::Supervisor;
use crate::clock;
use crate::lock::WriteLock;

impl Supervisor {
    /// Logs each pause and its end once. An error needs no warning here, because the
    /// tasks that read the filter's settings report it.
    pub(super) fn watch_pauses(&mut self) {
        if let Err(error) = self.try_watch_pauses() {
            log::debug!("cannot read the pauses: {error:#}");
        }
    }

    fn try_watch_pauses(&mut self) -> Result<()> {
        let now = clock::monotonic_ns();
        let pauses = self.blocklist.pauses(now)?;
        if let Some(PauseChanges { begun, ended }) = self.pauses.update(pauses) {
            let begun: Vec<PausedLayer> =
                begun.into_iter().map(|pause| pause.layer_at(now)).collect();
            if !begun.is_empty() {
                let what = describe(&begun);
                log::warn!("paused by hand: {what}; `spamdrop resume` ends it");
            }
            if !ended.is_empty() {
                log::info!("not paused any more: {}", names(&ended));
                self.forgets_pauses = true;
            }
        }
        if self.forgets_pauses {
            self.forget_ended_pauses()?;
        }
        Ok(())
    }

    fn forget_ended_pauses(&mut self) -> Result<()> {
        let run_dir = &self.settings.filter.run_dir;
        if let Some(lock) = WriteLock::try_acquire(run_dir, Duration::ZERO)? {
            let now = clock::monotonic_ns();
            self.blocklist.forget_ended_pauses(&lock, now)?;
            self.forgets_pauses = false;
        }
        Ok(())
    }
}
