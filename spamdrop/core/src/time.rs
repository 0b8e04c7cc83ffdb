//! Readings of the clocks, passed in by the caller.

use std::time::{Duration, SystemTime};

pub use spamdrop_common::time::{MonotonicNs, UnixSeconds};

/// A point in time, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall-clock time, which the log's stamps also show.
    pub wall: SystemTime,
    /// Time since a fixed point; never goes back. In a replay, the stamps of the
    /// log move it.
    pub mono: Duration,
}

/// Converts a time to whole seconds since 1970; an earlier time becomes 0.
#[must_use]
pub fn unix_seconds(time: SystemTime) -> UnixSeconds {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    UnixSeconds::new(since.unwrap_or_default().as_secs())
}

/// Converts seconds since 1970 to a time; 1970 if the system cannot represent
/// it.
#[must_use]
pub fn system_time(seconds: UnixSeconds) -> SystemTime {
    let since = Duration::from_secs(seconds.get());
    let time = SystemTime::UNIX_EPOCH.checked_add(since);
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_seconds_are_whole_and_begin_in_1970() {
        let start = SystemTime::UNIX_EPOCH;
        let time = start + Duration::from_millis(5_999);
        assert_eq!(unix_seconds(time), UnixSeconds::new(5));
        assert_eq!(unix_seconds(start - Duration::from_secs(9)).get(), 0);
        assert_eq!(
            system_time(UnixSeconds::new(5)),
            start + Duration::from_secs(5)
        );
        assert_eq!(system_time(UnixSeconds::new(u64::MAX)), start);
    }
}
