//! The figures that the gate task reports to the history of waves and to the
//! status task.

use anyhow::Result;
use spamdrop_common::gate::{CLASSES, GateMode};
use spamdrop_core::gate::Occupancy;
use spamdrop_core::status::{ActiveGateMode, GateState};
use spamdrop_core::wave::{Sample, Totals};

use super::GateTask;
use crate::clock;
use crate::daemon::health::Subject;

impl GateTask {
    /// Passes the peak since the last sample to the history.
    pub(super) fn record(&mut self) {
        if !self.is_on() {
            return self.history.end_wave();
        }
        let Some(peak) = self.peak.take() else {
            return;
        };
        match self.sample(peak) {
            Ok(sample) => {
                self.history.sample(sample);
                self.health.clear(Subject::Samples);
            }
            Err(error) => {
                let text = format!("cannot read the counters for the wave history: {error:#}");
                self.health.raise(Subject::Samples, text);
            }
        }
    }

    /// A sample for the history of waves.
    ///
    /// # Errors
    ///
    /// The counters cannot be read.
    fn sample(&self, peak: Occupancy) -> Result<Sample> {
        let counted = self.blocklist.counters()?;
        let stats = &self.stats;
        Ok(Sample {
            at: clock::monotonic(),
            unix_s: clock::unix_seconds().get(),
            open: peak.open,
            waiting: peak.waiting,
            slots: self.controller.slots(),
            limit: self.gate.limits[CLASSES - 1],
            observed: self.effective_mode() == GateMode::Observe,
            totals: Totals {
                admitted: stats.admitted,
                known_or_allowed: stats.known_or_allowed,
                starvation_admits: stats.starvation_admits,
                refused: stats.refused,
                answered: counted.gate_answered,
                dropped: counted.open_dropped + counted.sealed_dropped + counted.cidr_dropped,
                blocked: self.blocked,
                released: self.released,
            },
        })
    }

    /// The gate's part of `status`; `None` while the gate is off.
    pub(super) fn state(&self) -> Option<GateState> {
        let mode = match self.effective_mode() {
            GateMode::Off => return None,
            GateMode::Observe => ActiveGateMode::Observe,
            GateMode::On => ActiveGateMode::On,
        };
        let stats = &self.stats;
        Some(GateState {
            mode,
            open: self.seen.open,
            slots: self.controller.slots(),
            known: self.senders.len() as u64,
            admitted: stats.admitted,
            known_or_allowed: stats.known_or_allowed,
            starvation_admits: stats.starvation_admits,
            refused: stats.refused,
            full: self.full,
        })
    }
}
