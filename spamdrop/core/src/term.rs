//! The lifetime of a block.

use std::time::Duration;

use spamdrop_common::action::expiry;
use spamdrop_common::entry::Entry;
use spamdrop_common::time::MonotonicNs;

/// The longest duration in a configuration, a flag or a list: ten years.
pub const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The lifetime of an entry. See [`Entry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// The time of the offence or the command.
    pub start: MonotonicNs,
    /// Seconds until it expires without a hit.
    pub ttl_s: u32,
    /// Whether each hit extends the lifetime.
    pub slides: bool,
    /// Seconds from `start` beyond which no hit moves the expiry; 0: no limit.
    pub hard_limit_s: u32,
}

impl Term {
    /// Creates an entry with this lifetime.
    #[must_use]
    pub fn entry(&self, flags: u16) -> Entry {
        let hard_until_s = match self.hard_limit_s {
            0 => 0,
            limit => self.start.second().saturating_add(limit),
        };
        Entry {
            expires: expiry(self.start, self.ttl_s, hard_until_s),
            hard_until_s,
            ttl_s: if self.slides { self.ttl_s } else { 0 },
            flags,
            ..Entry::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hard_limit_counts_from_the_start_and_bounds_the_expiry() {
        let term = Term {
            start: MonotonicNs::from_second(1_000),
            ttl_s: 600,
            slides: true,
            hard_limit_s: 0,
        };
        let entry = term.entry(7);
        assert_eq!(entry.expires, MonotonicNs::from_second(1_600));
        assert_eq!((entry.hard_until_s, entry.ttl_s, entry.flags), (0, 600, 7));
        let limited = Term {
            slides: false,
            hard_limit_s: 60,
            ..term
        };
        let entry = limited.entry(0);
        assert_eq!(entry.expires, MonotonicNs::from_second(1_060));
        assert_eq!((entry.hard_until_s, entry.ttl_s), (1_060, 0));
    }
}
