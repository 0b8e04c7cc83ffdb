//! Samples of the server and the gate, one per second.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use spamdrop_common::gate::CLASSES;

/// One reading of the server's connections and the gate's counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// `CLOCK_MONOTONIC`.
    pub at: Duration,
    /// The same time in seconds since 1970, for display only, because it may
    /// jump.
    pub unix_s: u64,
    /// The maximum number of connections that the server held since the last
    /// sample.
    pub open: u32,
    /// The maximum number of connections that waited to be accepted.
    pub waiting: u32,
    /// Number of connections that the server can serve at once.
    pub slots: u32,
    /// The smallest number of connections at which a class has to wait.
    pub limit: u32,
    /// Whether refusals are only counted: `admit = "observe"`.
    pub observed: bool,
    /// The counts so far.
    pub totals: Totals,
}

/// Counts: in a [`Sample`] since the filter was attached, in a wave during that
/// wave.
///
/// The aliases are the names of spamdrop 0.1 in its recorded waves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// SYNs that passed the gate.
    pub admitted: u64,
    /// SYNs of known or allowlisted senders that passed while strangers had to
    /// wait. Part of `admitted`.
    #[serde(alias = "preferred")]
    pub known_or_allowed: u64,
    /// SYNs of strangers that passed because they had waited longest. Part of
    /// `admitted`.
    #[serde(alias = "floored")]
    pub starvation_admits: u64,
    /// SYNs that were refused or, in observe mode, would have been; by class, best
    /// class first.
    pub refused: [u64; CLASSES],
    /// SYNs that went to the responder.
    pub answered: u64,
    /// Dropped packets of blocked sources.
    pub dropped: u64,
    /// Blocks because of log lines.
    pub blocked: u64,
    /// Connections of blocked sources that spamdrop ended.
    pub released: u64,
}

impl Totals {
    /// The difference from older counts. A count that is lower than before has
    /// restarted at 0.
    #[must_use]
    pub fn since(&self, old: &Self) -> Self {
        self.combine(old, |new, old| new.checked_sub(old).unwrap_or(new))
    }

    /// The sum of both counts.
    #[must_use]
    pub fn plus(&self, more: &Self) -> Self {
        self.combine(more, u64::saturating_add)
    }

    /// SYNs that were refused, or would have been, in all classes.
    #[must_use]
    pub fn all_refused(&self) -> u64 {
        self.refused.into_iter().fold(0, u64::saturating_add)
    }

    fn combine(&self, other: &Self, join: impl Fn(u64, u64) -> u64) -> Self {
        let mut refused = self.refused;
        for (class, other) in refused.iter_mut().zip(other.refused) {
            *class = join(*class, other);
        }
        Self {
            admitted: join(self.admitted, other.admitted),
            known_or_allowed: join(self.known_or_allowed, other.known_or_allowed),
            starvation_admits: join(self.starvation_admits, other.starvation_admits),
            refused,
            answered: join(self.answered, other.answered),
            dropped: join(self.dropped, other.dropped),
            blocked: join(self.blocked, other.blocked),
            released: join(self.released, other.released),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_went_back_began_anew() {
        let totals = |admitted, class| Totals {
            admitted,
            refused: [0, 0, class],
            ..Totals::default()
        };
        assert_eq!(totals(9, 20).since(&totals(4, 15)), totals(5, 5));
        assert_eq!(totals(3, 20).since(&totals(4, 21)), totals(3, 20));
        assert_eq!(totals(3, u64::MAX).plus(&totals(4, 1)).admitted, 7);
    }
}
