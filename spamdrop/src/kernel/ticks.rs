//! The kernel's ticks (jiffies). The filter notes in units of ticks when it last dropped a
//! source.

use std::ptr;

use spamdrop_common::recent_drop::unit_bits;
use spamdrop_common::time::MonotonicNs;

use crate::clock;

/// Nanoseconds in a tick of times(2) on every architecture with BPF (`USER_HZ`).
const USER_TICK_NS: u64 = 10_000_000;

/// The number of ticks and the clock, read at the same time.
#[derive(Clone, Copy, Debug)]
pub struct Ticks {
    ticks: u64,
    time: MonotonicNs,
    tick_ns: u32,
}

impl Ticks {
    /// Reads the clock and the ticks. The number of ticks is rounded up, by at most 10 ms and
    /// a tick, so that [`Ticks::time`] is never too late, and [`Ticks::unit`] never too early.
    pub fn now() -> Self {
        let (time, tick_ns) = (clock::monotonic_ns(), clock::tick_ns());
        Self {
            // Both numbers are rounded up, because the current tick is not over.
            ticks: counted(user_ticks() + 1, tick_ns) + 1,
            time,
            tick_ns,
        }
    }

    /// The current unit of ticks.
    pub fn unit(&self) -> u32 {
        (self.ticks >> unit_bits(self.tick_ns)) as u32
    }

    /// The time at which a past unit began, or up to 10 ms and a tick earlier.
    pub fn time(&self, unit: u32) -> MonotonicNs {
        let begin = u64::from(unit) << unit_bits(self.tick_ns);
        let age = self.ticks.saturating_sub(begin) * u64::from(self.tick_ns);
        MonotonicNs::from_ns(self.time.ns().saturating_sub(age))
    }
}

/// Nanoseconds in a unit of ticks.
pub fn unit_ns() -> u32 {
    let tick_ns = clock::tick_ns();
    tick_ns << unit_bits(tick_ns)
}

/// The number of [`USER_TICK_NS`] since a moment before the boot, from times(2).
fn user_ticks() -> u64 {
    // SAFETY: Linux writes nothing through a null pointer.
    let ticks = unsafe { libc::times(ptr::null_mut()) };
    ticks.unsigned_abs()
}

/// The number of ticks of `tick_ns` in this number of [`USER_TICK_NS`].
fn counted(user_ticks: u64, tick_ns: u32) -> u64 {
    user_ticks * USER_TICK_NS / u64::from(tick_ns)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_unit_begins_at_a_time() {
        let ticks = Ticks {
            ticks: 640_010,
            time: MonotonicNs::from_second(100),
            tick_ns: 4_000_000,
        };
        // A unit is 64 ticks of 4 ms, so the current one began 10 ticks ago.
        let began = ticks.time.minus(Duration::from_millis(40));
        assert_eq!(ticks.unit(), 10_000);
        assert_eq!(ticks.time(10_000), began);
        assert_eq!(ticks.time(9_990), began.minus(Duration::from_millis(2_560)));
        assert_eq!(ticks.time(0), MonotonicNs::default());
    }

    #[test]
    fn ticks_of_every_length_are_counted() {
        for tick_ns in [10_000_000, 4_000_000, 3_333_333, 1_000_000, 833_333] {
            // The kernel's count begins five minutes before it overflows 32 bits.
            for ticks in [5_000, (1 << 32) - 5_000, (1 << 32) + 5_000, 9 << 32] {
                let user_ticks = ticks * u64::from(tick_ns) / USER_TICK_NS;
                let behind = ticks - counted(user_ticks, tick_ns);
                let tick = USER_TICK_NS / u64::from(tick_ns);
                assert!(behind <= tick + 1, "{behind} of {ticks} at {tick_ns}");
            }
        }
    }

    #[test]
    fn the_ticks_pass_with_the_clock() {
        let first = Ticks::now();
        let again = Ticks::now();
        assert!(again.ticks - first.ticks < 10 * 1_200);
        assert!(user_ticks() > 0);
    }
}
