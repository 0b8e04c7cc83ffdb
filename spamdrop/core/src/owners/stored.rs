//! The form of a hold that outlives a boot.

use spamdrop_common::time::{MonotonicNs, UnixSeconds};

use super::hold::Hold;
use crate::saved::Clocks;

/// A hold with times of the wall clock. Where that is not plausible, a hold ends
/// with its entry or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredHold {
    /// When it ends without a further hit; rounded down.
    pub ends: UnixSeconds,
    /// Beyond this, no hit moves the end; 0: no limit.
    pub hard_end: UnixSeconds,
    /// As [`Hold::ttl_s`].
    pub ttl_s: u32,
}

impl StoredHold {
    /// The stored form of a hold.
    #[must_use]
    pub fn of(hold: &Hold, now: Clocks) -> Self {
        let wall = |at: MonotonicNs| now.unix.plus(at.elapsed_since(now.mono));
        Self {
            ends: wall(hold.ends),
            hard_end: match hold.hard_until_s {
                0 => UnixSeconds::default(),
                second => wall(MonotonicNs::from_second(second)),
            },
            ttl_s: hold.ttl_s,
        }
    }

    /// The hold, of which a hit may have moved the end since.
    #[must_use]
    pub fn hold(&self, now: Clocks) -> Hold {
        let clock = |at: UnixSeconds| now.mono.plus(at.elapsed_since(now.unix));
        let hard_until_s = match self.hard_end {
            none if none == UnixSeconds::default() => 0,
            at => clock(at).second().max(1),
        };
        Hold {
            // One that is over ends before now, and not in this moment.
            ends: match self.ends > now.unix {
                true => clock(self.ends),
                false => MonotonicNs::default(),
            },
            hard_until_s,
            ttl_s: self.ttl_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_the_same_after_a_while_and_after_a_boot() {
        let before = Clocks {
            unix: UnixSeconds::new(1_795_392_000),
            mono: MonotonicNs::from_second(172_800),
        };
        let hold = Hold {
            ends: before.mono.plus_seconds(600),
            hard_until_s: before.mono.second() + 3_600,
            ttl_s: 300,
        };
        let later = |mono| Clocks {
            unix: UnixSeconds::new(before.unix.get() + 100),
            mono: MonotonicNs::from_second(mono),
        };
        let stored = StoredHold::of(&hold, before);
        assert_eq!(stored.hold(later(172_900)), hold);
        let booted = stored.hold(later(20));
        assert_eq!(booted.ends, MonotonicNs::from_second(520));
        assert_eq!((booted.hard_until_s, booted.ttl_s), (3_520, 300));
        let over = Clocks {
            unix: stored.ends,
            mono: hold.ends,
        };
        assert!(stored.hold(over).ends < over.mono);
        let unlimited = StoredHold::of(
            &Hold {
                hard_until_s: 0,
                ..hold
            },
            before,
        );
        assert_eq!(unlimited.hold(later(20)).hard_until_s, 0);
    }
}
