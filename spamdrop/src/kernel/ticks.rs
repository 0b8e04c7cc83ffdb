//! The kernel's ticks (jiffies), in which the filter notes when it dropped a source
//! last.

use std::ptr;

use spamdrop_common::time::MonotonicNs;

use crate::clock;

/// Nanoseconds in a tick of times(2) on every architecture with BPF (`USER_HZ`).
const USER_TICK_NS: u64 = 10_000_000;

/// A reading of the ticks beside one of the clock.
#[derive(Clone, Copy, Debug)]
pub struct Ticks {
    tick: u32,
    time: MonotonicNs,
    tick_ns: u32,
}

impl Ticks {
    /// Reads the clock and the ticks. The latter may be 10 ms ahead, so that
    /// [`Ticks::time`] is never too late.
    pub fn now() -> Self {
        let (time, tick_ns) = (clock::monotonic_ns(), clock::tick_ns());
        // One more, because the current tick is not over.
        let tick = counted(user_ticks() + 1, tick_ns).wrapping_add(1);
        Self {
            tick,
            time,
            tick_ns,
        }
    }

    /// The time of a past tick: not after its end, and at most 10 ms and a tick
    /// before its start. Wrong for a tick of 49 days ago or more.
    pub fn time(&self, tick: u32) -> MonotonicNs {
        let age = u64::from(self.tick.wrapping_sub(tick)) * u64::from(self.tick_ns);
        MonotonicNs::from_ns(self.time.ns().saturating_sub(age))
    }
}

/// times(2) returns all ticks since a moment before the boot, with their usual
/// length.
fn user_ticks() -> u64 {
    // SAFETY: Linux writes nothing through a null pointer.
    let ticks = unsafe { libc::times(ptr::null_mut()) };
    ticks.unsigned_abs()
}

/// The number of kernel ticks, of which the lowest 32 bits count.
fn counted(user_ticks: u64, tick_ns: u32) -> u32 {
    (user_ticks * USER_TICK_NS / u64::from(tick_ns)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_has_a_time() {
        let time = MonotonicNs::from_second(100);
        for tick in [0, 5, u32::MAX] {
            let ticks = Ticks {
                tick,
                time,
                tick_ns: 4_000_000,
            };
            let seconds_before = |seconds: u32| tick.wrapping_sub(250 * seconds);
            assert_eq!(ticks.time(tick), time);
            assert_eq!(ticks.time(seconds_before(7)), MonotonicNs::from_second(93));
            assert_eq!(ticks.time(seconds_before(101)), MonotonicNs::default());
        }
    }

    #[test]
    fn ticks_of_every_length_are_counted() {
        for tick_ns in [10_000_000, 4_000_000, 3_333_333, 1_000_000, 833_333] {
            // They begin five minutes before they overflow 32 bits.
            for ticks in [5_000, (1 << 32) - 5_000, (1 << 32) + 5_000, 9 << 32] {
                let user_ticks = ticks * u64::from(tick_ns) / USER_TICK_NS;
                let behind = (ticks as u32).wrapping_sub(counted(user_ticks, tick_ns));
                let tick = USER_TICK_NS as u32 / tick_ns;
                assert!(behind <= tick + 1, "{behind} of {ticks} at {tick_ns}");
            }
        }
    }

    #[test]
    fn the_ticks_pass_with_the_clock() {
        let first = Ticks::now();
        let again = Ticks::now();
        assert!(again.tick.wrapping_sub(first.tick) < 10 * 1_200);
        assert!(user_ticks() > 0);
    }
}
