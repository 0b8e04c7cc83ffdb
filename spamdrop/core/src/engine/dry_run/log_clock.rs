//! The time of a log whose lines are read long after they were written.

use std::time::{Duration, SystemTime};

use crate::time::Moment;

/// The start of a log's monotonic clock. It is not 0, because an offence may be
/// dated before the first line.
const START: Duration = Duration::from_secs(86_400);
/// Stamps that stay behind by more than this mean that the clock was set back.
const TOLERANCE: Duration = Duration::from_secs(600);
/// A stamp that is ahead of the real time by more than this is wrong.
const AHEAD: Duration = Duration::from_secs(86_400);
/// 2000-01-01: an earlier stamp is wrong.
const EARLIEST: Duration = Duration::from_secs(946_684_800);
/// The most that the clock moves at a stamp. All state from earlier lines has
/// expired after this time.
const LONGEST_STEP: Duration = Duration::from_secs(60 * 86_400);
/// The time at which the clock stops, so that sums with it do not overflow.
const END: Duration = Duration::from_secs(100 * 365 * 86_400);
/// The number of stamps in a row that are behind, after which the clock follows
/// them.
const FOLLOWS_AFTER: u32 = 20;

/// The clock of a log: the latest stamp that was read. While stamps go back, it
/// stands still.
#[derive(Clone, Debug)]
pub struct LogClock {
    present: SystemTime,
    latest: Option<SystemTime>,
    elapsed: Duration,
    behind: u32,
    set_back: u64,
}

impl LogClock {
    /// The clock of a log that was written before `present`.
    #[must_use]
    pub fn new(present: SystemTime) -> Self {
        Self {
            present,
            latest: None,
            elapsed: START,
            behind: 0,
            set_back: 0,
        }
    }

    /// The real time, which decides the year of a stamp without one.
    pub(super) fn present(&self) -> SystemTime {
        self.present
    }

    /// The time of the last line.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment {
            wall: self.latest.unwrap_or(self.present),
            mono: self.elapsed,
        }
    }

    /// How often the clock has followed stamps that went back.
    #[must_use]
    pub fn set_back(&self) -> u64 {
        self.set_back
    }

    /// Whether a log that was written before the present can have this stamp.
    #[must_use]
    pub fn believes(&self, stamp: SystemTime) -> bool {
        (SystemTime::UNIX_EPOCH + EARLIEST..=self.present + AHEAD).contains(&stamp)
    }

    /// Takes the stamp of a line, and returns the time.
    pub fn advance(&mut self, stamp: SystemTime) -> Moment {
        if !self.believes(stamp) {
            return self.now();
        }
        let latest = *self.latest.get_or_insert(stamp);
        match stamp.duration_since(latest) {
            Ok(passed) => {
                (self.latest, self.behind) = (Some(stamp), 0);
                self.elapsed = (self.elapsed + passed.min(LONGEST_STEP)).min(END);
            }
            Err(back) if back.duration() > TOLERANCE => {
                self.behind += 1;
                if self.behind >= FOLLOWS_AFTER {
                    (self.latest, self.behind) = (Some(stamp), 0);
                    self.set_back += 1;
                }
            }
            Err(_) => self.behind = 0,
        }
        self.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_424_400 + seconds)
    }

    fn passed(clock: &mut LogClock, stamp: u64) -> (u64, u64) {
        let now = clock.advance(wall(stamp));
        let wall = now.wall.duration_since(wall(0)).unwrap_or_default();
        (wall.as_secs(), (now.mono - START).as_secs())
    }

    #[test]
    fn the_clock_stands_still_while_stamps_go_back() {
        let mut clock = LogClock::new(wall(99_999));
        assert_eq!(clock.now().wall, wall(99_999));
        let stamps = [0, 10, 5, 12].map(|stamp| passed(&mut clock, stamp));
        assert_eq!(stamps, [(0, 0), (10, 10), (10, 10), (12, 12)]);
    }

    #[test]
    fn one_wrong_stamp_does_not_make_the_rest_of_the_log_old() {
        let mut clock = LogClock::new(wall(99_999));
        for stamp in [0, 50_000] {
            passed(&mut clock, stamp);
        }
        let last = (1..=20).map(|stamp| passed(&mut clock, stamp)).last();
        assert_eq!(last, Some((20, 50_000)));
        assert_eq!(passed(&mut clock, 21), (21, 50_001));
        assert_eq!(clock.set_back(), 1);
    }

    #[test]
    fn stamps_that_go_back_a_little_are_never_followed() {
        let mut clock = LogClock::new(wall(99_999));
        passed(&mut clock, 50_000);
        let back = TOLERANCE.as_secs();
        (0..50).for_each(|_| _ = passed(&mut clock, 50_000 - back));
        assert_eq!(clock.set_back(), 0);
        (0..20).for_each(|_| _ = passed(&mut clock, 49_999 - back));
        assert_eq!(clock.set_back(), 1);
    }

    #[test]
    fn a_stamp_from_before_2000_does_not_move_the_clock() {
        let mut clock = LogClock::new(wall(100));
        let early = SystemTime::UNIX_EPOCH - Duration::from_secs(60_000_000_000);
        for stamp in [early, SystemTime::UNIX_EPOCH] {
            assert_eq!(clock.advance(stamp), LogClock::new(wall(100)).now());
        }
        assert_eq!(passed(&mut clock, 50), (50, 0));
    }

    #[test]
    fn stamps_that_jump_do_not_carry_the_clock_beyond_its_end() {
        let mut clock = LogClock::new(wall(100));
        let early = SystemTime::UNIX_EPOCH + EARLIEST;
        (0..20).for_each(|_| _ = clock.advance(early));
        let before = clock.now().mono;
        assert_eq!(clock.advance(wall(0)).mono - before, LONGEST_STEP);
        for _ in 0..1_000 {
            (0..20).for_each(|_| _ = clock.advance(early));
            clock.advance(wall(0));
        }
        let century = Duration::from_secs(36_500 * 86_400);
        assert_eq!(clock.now().mono, century);
    }

    #[test]
    fn a_stamp_of_the_future_does_not_move_the_clock() {
        let mut clock = LogClock::new(wall(100));
        assert_eq!(passed(&mut clock, 200_000), (100, 0));
        assert_eq!(passed(&mut clock, 50), (50, 0));
        assert_eq!(passed(&mut clock, 200_000), (50, 0));
    }
}
