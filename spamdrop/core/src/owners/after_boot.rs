//! Converts the holds of an earlier boot, because each boot starts the monotonic clock anew.

use std::time::Duration;

use spamdrop_common::time::MonotonicNs;

use super::hold::Hold;
use crate::saved::{Clocks, reckoned};

/// Converts a hold that was stored before this boot, when the clocks read `set`. The result
/// has the time that the hold had left at `set`, less the time that has passed since.
#[must_use]
pub fn after_boot(hold: Hold, set: Clocks, now: Clocks) -> Hold {
    // The wall clock has whole seconds, so up to one second more may have passed.
    let since = reckoned(set.unix, now.unix).elapsed_since(set.unix) + Duration::from_secs(1);
    let moved = |at: MonotonicNs| match at.elapsed_since(set.mono).saturating_sub(since) {
        // A hold that is over must not be live now, so it ends at 0.
        Duration::ZERO => MonotonicNs::default(),
        left => now.mono.plus(left),
    };
    Hold {
        ends: moved(hold.ends),
        hard_until_s: match hold.hard_until_s {
            0 => 0,
            second => moved(MonotonicNs::from_second(second)).second().max(1),
        },
        ttl_s: hold.ttl_s,
    }
}

#[cfg(test)]
mod tests {
    use spamdrop_common::time::UnixSeconds;

    use super::*;

    const SET: Clocks = Clocks {
        unix: UnixSeconds::new(1_795_392_000),
        mono: MonotonicNs::from_second(172_800),
    };

    fn hold() -> Hold {
        Hold {
            ends: SET.mono.plus_seconds(600),
            hard_until_s: SET.mono.second() + 3_600,
            ttl_s: 300,
        }
    }

    fn booted(unix: u64) -> Clocks {
        Clocks {
            unix: UnixSeconds::new(unix),
            mono: MonotonicNs::from_second(20),
        }
    }

    #[test]
    fn the_time_that_was_left_goes_on_after_a_boot() {
        let after = after_boot(hold(), SET, booted(SET.unix.get() + 99));
        assert_eq!(after.ends, MonotonicNs::from_second(520));
        assert_eq!((after.hard_until_s, after.ttl_s), (3_520, 300));
        let over = after_boot(hold(), SET, booted(SET.unix.get() + 600));
        assert!(over.ends < MonotonicNs::from_second(20));
        let unlimited = Hold {
            hard_until_s: 0,
            ..hold()
        };
        let after = after_boot(unlimited, SET, booted(SET.unix.get() + 99));
        assert_eq!(after.hard_until_s, 0);
    }

    /// A machine whose clock has no battery may read such times after a boot.
    #[test]
    fn a_clock_that_is_not_plausible_takes_no_time_from_a_hold() {
        for unix in [0, SET.unix.get() - 1, SET.unix.get() + 400 * 86_400] {
            let after = after_boot(hold(), SET, booted(unix));
            assert_eq!(after.ends, MonotonicNs::from_second(619), "{unix}");
        }
    }
}
