//! A surge of blocks, after which the zones are tested at once.

use std::time::Duration;

use super::windows::{LastHour, LastMinute};

/// A surge has more new blocks in a minute than this.
const LEAST: u32 = 20;
/// A surge has more than this many times the hour's mean number of blocks a minute.
const TIMES: u32 = 5;
/// The minutes of the hour.
const MINUTES: u32 = 60;
/// The least time between two reports of a surge.
const REST: Duration = Duration::from_secs(60);

/// Counts new blocks.
#[derive(Debug, Default)]
pub(super) struct Surge {
    minute: LastMinute,
    hour: LastHour,
    reported: Option<Duration>,
}

impl Surge {
    /// Counts a block of a source that was not blocked.
    pub(super) fn count(&mut self, now: Duration) {
        self.minute.count(now);
        self.hour.count(now);
    }

    /// Whether blocks surge; true at most once a minute.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        let (minute, hour) = (self.minute.total(now), self.hour.total(now));
        let exceeds = minute.saturating_mul(MINUTES) > hour.saturating_mul(TIMES);
        let rested = |last: Duration| now.saturating_sub(last) >= REST;
        let is_due = minute > LEAST && exceeds && self.reported.is_none_or(rested);
        if is_due {
            self.reported = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(seconds: u64) -> Duration {
        Duration::from_secs(1_000_000 + seconds)
    }

    /// Counts this many blocks in a minute; returns how often `take` reported a surge.
    fn surges(surge: &mut Surge, minute: u64, blocks: u64) -> usize {
        let seconds = 0..blocks;
        let taken = seconds.filter(|n| {
            let now = second(minute * 60 + n * 60 / blocks);
            surge.count(now);
            surge.take(now)
        });
        taken.count()
    }

    #[test]
    fn more_than_20_new_blocks_in_a_quiet_hour_are_a_surge() {
        let mut surge = Surge::default();
        assert_eq!(surges(&mut surge, 0, 20), 0);
        let mut surge = Surge::default();
        assert_eq!(surges(&mut surge, 0, 21), 1);
        assert!(!surge.take(second(59)));
    }

    #[test]
    fn a_rate_that_lasts_is_no_surge() {
        let mut surge = Surge::default();
        let first: usize = (0..12).map(|minute| surges(&mut surge, minute, 30)).sum();
        assert!((1..=12).contains(&first), "{first}");
        let later: usize = (13..90).map(|minute| surges(&mut surge, minute, 30)).sum();
        assert_eq!(later, 0);
        // 130 blocks are fewer than five times the hour's mean of a minute, 200 are more.
        assert_eq!(surges(&mut surge, 90, 130), 0);
        let mut surge = Surge::default();
        for minute in 0..60 {
            surges(&mut surge, minute, 30);
        }
        assert_eq!(surges(&mut surge, 60, 200), 1);
    }

    #[test]
    fn a_surge_is_reported_again_after_a_minute() {
        let mut surge = Surge::default();
        assert_eq!(surges(&mut surge, 0, 100), 1);
        assert_eq!(surges(&mut surge, 1, 100), 1);
    }
}
