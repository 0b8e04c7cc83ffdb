//! The course of a figure in the last minute, a point for each second.

use std::collections::VecDeque;

use crate::time::MonotonicNs;

/// The number of points that are kept.
pub const SECONDS: usize = 60;

/// The points of a figure.
#[derive(Clone, Debug, Default)]
pub struct MinuteCourse {
    points: VecDeque<u64>,
    last: Option<(MonotonicNs, u64)>,
}

impl MinuteCourse {
    /// Adds a reading of a counter. The points are its steps a second. A reading
    /// that comes late fills the seconds since the last one with their mean.
    pub fn count(&mut self, at: MonotonicNs, total: u64) {
        let Some((before, old)) = self.last else {
            self.last = Some((at, total));
            return;
        };
        let seconds = at.elapsed_since(before).as_secs_f64();
        let places = seconds.round();
        if places < 1.0 {
            return;
        }
        // A counter that is lower than before has restarted at 0.
        let step = total.checked_sub(old).unwrap_or(total);
        self.fill(places, (step as f64 / seconds).round() as u64);
        self.last = Some((at, total));
    }

    /// Adds a reading of a level, which is the point itself.
    pub fn level(&mut self, at: MonotonicNs, level: u64) {
        let places = match self.last {
            Some((before, _)) => at.elapsed_since(before).as_secs_f64().round(),
            None => 1.0,
        };
        if places >= 1.0 {
            self.fill(places, level);
            self.last = Some((at, level));
        }
    }

    fn fill(&mut self, places: f64, point: u64) {
        for _ in 0..(places as usize).min(SECONDS) {
            self.points.push_back(point);
        }
        while self.points.len() > SECONDS {
            self.points.pop_front();
        }
    }

    /// The points, the oldest first.
    pub fn points(&self) -> impl Iterator<Item = u64> {
        self.points.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(millis: u64) -> MonotonicNs {
        MonotonicNs::default().plus(Duration::from_millis(millis))
    }

    fn points(course: &MinuteCourse) -> Vec<u64> {
        course.points().collect()
    }

    #[test]
    fn a_counter_gives_steps_a_second() {
        let mut course = MinuteCourse::default();
        course.count(at(1_000), 500);
        assert_eq!(points(&course), [] as [u64; 0]);
        course.count(at(2_000), 510);
        course.count(at(3_250), 520);
        assert_eq!(points(&course), [10, 8]);
        // The filter was attached anew.
        course.count(at(4_250), 3);
        assert_eq!(points(&course), [10, 8, 3]);
    }

    #[test]
    fn a_late_reading_fills_its_seconds_with_the_mean() {
        let mut course = MinuteCourse::default();
        course.count(at(1_000), 0);
        course.count(at(4_000), 30);
        assert_eq!(points(&course), [10, 10, 10]);
        // Two readings at once are one.
        course.count(at(4_100), 1_000);
        assert_eq!(points(&course), [10, 10, 10]);
        course.count(at(5_000), 1_030);
        assert_eq!(points(&course), [10, 10, 10, 1_000]);
    }

    #[test]
    fn no_more_than_a_minute_is_kept() {
        let mut course = MinuteCourse::default();
        course.count(at(1_000), 0);
        for second in 2..100 {
            course.count(at(second * 1_000), second * second);
        }
        assert_eq!(course.points().count(), SECONDS);
        assert_eq!(course.points().last(), Some(99 * 99 - 98 * 98));
        // After a long stop.
        course.count(at(9_000_000), 0);
        assert_eq!(points(&course), [0; SECONDS]);
    }

    #[test]
    fn a_level_is_a_point_itself() {
        let mut course = MinuteCourse::default();
        course.level(at(1_000), 7);
        course.level(at(1_100), 9);
        course.level(at(3_000), 8);
        assert_eq!(points(&course), [7, 8, 8]);
    }
}
