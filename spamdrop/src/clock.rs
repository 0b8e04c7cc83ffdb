//! The monotonic clock for entries, and the wall clock for times shown to
//! users.

use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, clock_getres, clock_gettime};
use spamdrop_common::time::{MonotonicNs, UnixSeconds};

/// `CLOCK_MONOTONIC`. The filter's coarse reading of this clock may be one tick
/// behind.
#[must_use]
pub fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(
        now.tv_sec.unsigned_abs(),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// [`monotonic`] in the type that entries store.
#[must_use]
pub fn monotonic_ns() -> MonotonicNs {
    MonotonicNs::default().plus(monotonic())
}

/// The wall clock.
#[must_use]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// [`wall`] in whole seconds.
#[must_use]
pub fn unix_seconds() -> UnixSeconds {
    spamdrop_core::time::unix_seconds(wall())
}

/// The kernel's tick (a jiffy) in nanoseconds, at least 1: the resolution of a
/// coarse clock.
#[must_use]
pub fn tick_ns() -> u32 {
    let tick = clock_getres(ClockId::MonotonicCoarse).tv_nsec;
    u32::try_from(tick).unwrap_or(u32::MAX).max(1)
}

/// The kernel's ticks per second (`CONFIG_HZ`).
#[must_use]
pub fn ticks_per_second() -> u64 {
    let tick = u64::from(tick_ns());
    // Round, because a tick of 1/300 s is not a whole number of nanoseconds.
    (1_000_000_000 + tick / 2) / tick
}

/// A starting point for measuring elapsed time.
#[must_use]
pub fn instant() -> Instant {
    Instant::now()
}
