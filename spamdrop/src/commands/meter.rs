//! Limits the processor time that a repeated read takes.

use anyhow::Result;
use spamdrop_core::top::ReadBudget;

use crate::clock;

/// Measures the processor time of a repeated read, and tells when the read is due
/// again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meter(ReadBudget);

impl Meter {
    /// Between two reads, at least `rest` times the processor time of the earlier one
    /// passes. The first read is due at once.
    pub const fn new(rest: u32) -> Self {
        Self(ReadBudget::new(rest))
    }

    /// Whether the next read is due.
    pub fn is_due(&self) -> bool {
        self.0.is_due(clock::monotonic())
    }

    /// Runs `read`. After an error, the next read is due at once, because the result
    /// of an unfinished read is not shown.
    pub fn measure<T>(&mut self, read: impl FnOnce() -> Result<T>) -> Result<T> {
        let before = clock::processor_time();
        let value = read()?;
        let cost = clock::processor_time().saturating_sub(before);
        self.0.spend(clock::monotonic(), cost);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use anyhow::bail;

    #[test]
    fn a_read_that_failed_is_due_again() {
        let mut meter = Meter::new(u32::MAX);
        let fail = || -> Result<()> { bail!("no") };
        assert!(meter.measure(fail).is_err() && meter.is_due());
        // The pause is four billion times the cost of the read, so it outlasts the test.
        meter.measure(|| Ok(vec![1; 10_000])).unwrap();
        assert!(!meter.is_due());
    }
}
