//! Reads that are repeated, within a share of a processor.

use anyhow::Result;
use spamdrop_core::top::ReadBudget;

use crate::clock;

/// Measures a repeated read, and tells when it is due again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meter(ReadBudget);

impl Meter {
    /// For reads that take at most one part in `rest` of a processor. The first is
    /// due at once.
    pub const fn new(rest: u32) -> Self {
        Self(ReadBudget::new(rest))
    }

    /// Whether the next read is due.
    pub fn is_due(&self) -> bool {
        self.0.is_due(clock::monotonic())
    }

    /// Reads. What it costs counts also if it fails.
    pub fn measure<T>(&mut self, read: impl FnOnce() -> Result<T>) -> Result<T> {
        let before = clock::processor_time();
        let value = read();
        let cost = clock::processor_time().saturating_sub(before);
        self.0.spend(clock::monotonic(), cost);
        value
    }
}
