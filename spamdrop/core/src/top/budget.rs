//! Bounds the cost of a read that is repeated.

use std::time::Duration;

/// Lets a read be repeated no earlier than after a multiple of the time that the
/// last one took.
#[derive(Clone, Copy, Debug)]
pub struct ReadBudget {
    rest: u32,
    due: Duration,
}

impl ReadBudget {
    /// A budget by which the reads take at most one part in `rest` of a processor's
    /// time. The first read is due at once.
    #[must_use]
    pub const fn new(rest: u32) -> Self {
        Self {
            rest,
            due: Duration::ZERO,
        }
    }

    /// Whether a read is due at `now`, a reading of `CLOCK_MONOTONIC`.
    #[must_use]
    pub fn is_due(&self, now: Duration) -> bool {
        now >= self.due
    }

    /// Records that a read ended at `now`, and took `cost` of processor time.
    pub fn spend(&mut self, now: Duration, cost: Duration) {
        self.due = now.saturating_add(cost.saturating_mul(self.rest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_is_repeated_after_a_multiple_of_its_cost() {
        let mut budget = ReadBudget::new(100);
        let second = Duration::from_secs;
        assert!(budget.is_due(Duration::ZERO));
        budget.spend(second(10), Duration::from_millis(500));
        assert!(!budget.is_due(second(59)));
        assert!(budget.is_due(second(60)));
        budget.spend(second(60), Duration::from_micros(50));
        assert!(budget.is_due(second(61)));
    }
}
