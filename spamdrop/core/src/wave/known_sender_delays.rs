//! The warning about known senders whose SYNs the gate refused.

use std::net::IpAddr;
use std::time::Duration;

/// Minimum time between two warnings.
const PERIOD: Duration = Duration::from_secs(60);

/// SYNs of known senders that were refused, or would have been, which must not happen.
/// A warning is logged at most once a minute. Times are readings of
/// `CLOCK_MONOTONIC`.
#[derive(Debug, Default)]
pub struct KnownSenderDelays {
    first: Option<IpAddr>,
    count: u64,
    /// Whether the last SYN was really refused, not only counted.
    is_refused: bool,
    told: Option<Duration>,
}

impl KnownSenderDelays {
    /// Counts a SYN. `is_refused`: whether the gate is on, and does not only
    /// observe.
    pub fn add(&mut self, source: IpAddr, is_refused: bool) {
        self.first.get_or_insert(source);
        self.is_refused = is_refused;
        self.count += 1;
    }

    /// The warning that is due, if there is one.
    pub fn take(&mut self, now: Duration) -> Option<String> {
        let is_due = |told| now.saturating_sub(told) >= PERIOD;
        let first = self.first.filter(|_| self.told.is_none_or(is_due))?;
        let count = self.count;
        let were = match self.is_refused {
            true => "were refused",
            false => "would have been refused",
        };
        *self = Self {
            told: Some(now),
            ..Self::default()
        };
        Some(format!(
            "SYNs of known senders that {were}: {count}, the first of {first}; \
             `spamdrop allow add {first}` lets that sender pass"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_of_known_senders_are_told_once_a_minute_at_most() {
        let now = Duration::from_secs(1_000);
        let mut delays = KnownSenderDelays::default();
        assert_eq!(delays.take(now), None);
        for last in [1, 2] {
            delays.add(IpAddr::from([192, 0, 2, last]), true);
        }
        let text = delays.take(now).unwrap_or_default();
        let start = "SYNs of known senders that were refused: 2, the first of 192.0.2.1; ";
        assert!(text.starts_with(start), "{text}");
        delays.add(IpAddr::from([192, 0, 2, 3]), false);
        assert_eq!(delays.take(now + PERIOD / 2), None);
        let text = delays.take(now + PERIOD).unwrap_or_default();
        let start =
            "SYNs of known senders that would have been refused: 1, the first of 192.0.2.3; ";
        assert!(text.starts_with(start), "{text}");
        assert_eq!(delays.take(now + 3 * PERIOD), None);
    }
}
