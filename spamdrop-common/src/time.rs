//! One type for each clock, so that times of different clocks cannot be mixed.

use core::time::Duration;

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

/// A reading of `CLOCK_MONOTONIC` in nanoseconds, the same clock that the
/// filter reads. 0 in a map means "never".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct MonotonicNs {
    // bpftool prints this field name.
    ns: u64,
}

impl MonotonicNs {
    /// The time `ns` nanoseconds after the clock's zero.
    #[inline(always)]
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self { ns }
    }

    /// The first nanosecond of this second.
    #[inline(always)]
    #[must_use]
    pub const fn from_second(second: u32) -> Self {
        Self::from_ns(second as u64 * SECOND)
    }

    /// Nanoseconds since the clock's zero.
    #[inline(always)]
    #[must_use]
    pub const fn ns(self) -> u64 {
        self.ns
    }

    /// The second that contains this time; `u32::MAX` from 136 years after the
    /// clock's zero.
    #[inline(always)]
    #[must_use]
    pub const fn second(self) -> u32 {
        let second = self.ns / SECOND;
        if second > u32::MAX as u64 {
            u32::MAX
        } else {
            second as u32
        }
    }

    /// This time plus a duration. It overflows only after centuries.
    #[inline(always)]
    #[must_use]
    pub const fn plus(self, duration: Duration) -> Self {
        Self::from_ns(self.ns + nanoseconds(duration))
    }

    /// This time plus a number of seconds.
    #[inline(always)]
    #[must_use]
    pub const fn plus_seconds(self, seconds: u32) -> Self {
        Self::from_ns(self.ns + seconds as u64 * SECOND)
    }

    /// This time minus a duration; 0 instead of an underflow, as shortly after
    /// a boot.
    #[inline(always)]
    #[must_use]
    pub const fn minus(self, duration: Duration) -> Self {
        Self::from_ns(self.ns.saturating_sub(nanoseconds(duration)))
    }

    /// The time that has passed since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub const fn elapsed_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.ns.saturating_sub(earlier.ns))
    }
}

/// A duration in nanoseconds. The filter passes constants only, so the compiler folds
/// the result there.
#[inline(always)]
const fn nanoseconds(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(SECOND)
        .saturating_add(duration.subsec_nanos() as u64)
}

/// Whole seconds since 1970, from the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct UnixSeconds {
    seconds: u64,
}

impl UnixSeconds {
    /// The time this many seconds after the start of 1970.
    #[must_use]
    pub const fn new(seconds: u64) -> Self {
        Self { seconds }
    }

    /// Seconds since the start of 1970.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.seconds
    }

    /// This time plus a duration, in whole seconds.
    #[must_use]
    pub const fn plus(self, duration: Duration) -> Self {
        Self::new(self.seconds.saturating_add(duration.as_secs()))
    }

    /// This time minus a duration, in whole seconds; 1970 instead of an
    /// underflow.
    #[must_use]
    pub const fn minus(self, duration: Duration) -> Self {
        Self::new(self.seconds.saturating_sub(duration.as_secs()))
    }

    /// The time that has passed since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub const fn elapsed_since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.seconds.saturating_sub(earlier.seconds))
    }

    /// The number of the UTC day that contains this time; 0 is 1970-01-01.
    #[must_use]
    pub const fn day(self) -> u64 {
        self.seconds / 86_400
    }
}

#[cfg(feature = "user")]
mod pod {
    use super::{MonotonicNs, UnixSeconds};

    // SAFETY: a transparent integer.
    unsafe impl aya::Pod for MonotonicNs {}
    // SAFETY: as above.
    unsafe impl aya::Pod for UnixSeconds {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: MonotonicNs = MonotonicNs::from_ns(5 * SECOND + 7);
    const END: MonotonicNs = MonotonicNs::from_ns(u64::MAX);

    #[test]
    fn a_time_lies_in_the_second_that_it_began() {
        assert_eq!(AT.ns(), 5_000_000_007);
        assert_eq!(AT.second(), 5);
        assert_eq!(MonotonicNs::from_ns(SECOND - 1).second(), 0);
        assert_eq!(MonotonicNs::from_second(5).ns(), 5 * SECOND);
        let last = MonotonicNs::from_second(u32::MAX);
        assert_eq!(last.second(), u32::MAX);
        assert_eq!(last.plus_seconds(1).second(), u32::MAX);
        assert_eq!(END.second(), u32::MAX);
    }

    #[test]
    fn durations_are_added_and_subtracted() {
        let duration = Duration::new(2, 3);
        assert_eq!(AT.plus(duration).ns(), 7 * SECOND + 10);
        assert_eq!(AT.minus(duration).ns(), 3 * SECOND + 4);
        assert_eq!(AT.plus_seconds(2).ns(), 7 * SECOND + 7);
        assert_eq!(AT.minus(Duration::MAX).ns(), 0);
    }

    #[test]
    fn what_lies_ahead_has_not_elapsed() {
        let later = AT.plus(Duration::new(1, 2));
        assert_eq!(later.elapsed_since(AT), Duration::new(1, 2));
        assert_eq!(AT.elapsed_since(later), Duration::ZERO);
    }

    #[test]
    fn unix_seconds_take_whole_seconds() {
        let at = UnixSeconds::new(2 * 86_400);
        let passed = Duration::from_millis(1_999);
        assert_eq!(at.plus(passed).get(), 172_801);
        assert_eq!(at.minus(passed).get(), 172_799);
        assert_eq!(at.minus(Duration::MAX).get(), 0);
        assert_eq!(at.plus(Duration::MAX).get(), u64::MAX);
        assert_eq!(at.plus(passed).elapsed_since(at), Duration::from_secs(1));
        assert_eq!(at.elapsed_since(at.plus(passed)), Duration::ZERO);
        assert_eq!((at.day(), at.minus(passed).day()), (2, 1));
    }

    #[test]
    fn unix_seconds_are_kept() {
        assert_eq!(UnixSeconds::new(1_795_000_000).get(), 1_795_000_000);
    }
}
