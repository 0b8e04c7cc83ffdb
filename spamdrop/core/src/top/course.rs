//! The course of a figure in the last minute, a point for each second.

use std::collections::VecDeque;

use crate::time::MonotonicNs;

/// The number of points that are kept.
pub const SECONDS: usize = 60;

/// The points of a figure. A second in which nothing was measured has no value.
#[derive(Clone, Debug, Default)]
pub struct MinuteCourse {
    points: VecDeque<Option<u64>>,
    last: Option<MonotonicNs>,
    /// The last reading of a counter.
    total: Option<u64>,
}

impl MinuteCourse {
    /// Adds a reading of a counter. A point is the counter's increase in a second. A
    /// reading that comes late fills the seconds since the last one with their mean.
    pub fn count(&mut self, at: MonotonicNs, total: u64) {
        let Some((seconds, places)) = self.advance(at) else {
            return;
        };
        let old = self.total.replace(total);
        if self.points.is_empty() && old.is_none() {
            return;
        }
        // A counter that is lower than before has restarted at 0.
        let step = old.map(|old| total.checked_sub(old).unwrap_or(total));
        let point = step.map(|step| (step as f64 / seconds).round() as u64);
        self.fill(places, point);
    }

    /// Adds a reading of a level, which is the point itself. A reading that comes
    /// late leaves a gap, because the seconds before it were not measured.
    pub fn level(&mut self, at: MonotonicNs, level: u64) {
        if let Some((_, places)) = self.advance(at) {
            self.fill(places - 1, None);
            self.fill(1, Some(level));
        }
    }

    /// Leaves a gap: nothing could be measured since the last call. A counter
    /// begins anew after it.
    pub fn skip(&mut self, at: MonotonicNs) {
        if let Some((_, places)) = self.advance(at) {
            self.fill(places, None);
        }
        self.total = None;
    }

    /// The seconds since the last call, and the number of points for them. `None`:
    /// less than half a second has passed, which gives no point.
    fn advance(&mut self, at: MonotonicNs) -> Option<(f64, usize)> {
        let Some(last) = self.last else {
            self.last = Some(at);
            return Some((1.0, 1));
        };
        let seconds = at.elapsed_since(last).as_secs_f64();
        let places = seconds.round() as usize;
        (places > 0).then(|| {
            self.last = Some(at);
            (seconds, places)
        })
    }

    fn fill(&mut self, places: usize, point: Option<u64>) {
        let new = std::iter::repeat_n(point, places.min(SECONDS));
        self.points.extend(new);
        while self.points.len() > SECONDS {
            self.points.pop_front();
        }
    }

    /// The points, the oldest first; `None`: not measured.
    pub fn points(&self) -> impl Iterator<Item = Option<u64>> {
        self.points.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn ms(millis: u64) -> MonotonicNs {
        MonotonicNs::default().plus(Duration::from_millis(millis))
    }

    /// A gap is shown as this.
    const GAP: u64 = u64::MAX;

    fn points(course: &MinuteCourse) -> Vec<u64> {
        course.points().map(|point| point.unwrap_or(GAP)).collect()
    }

    #[test]
    fn a_counter_gives_steps_a_second() {
        let mut course = MinuteCourse::default();
        course.count(ms(1_000), 500);
        assert_eq!(points(&course), [] as [u64; 0]);
        course.count(ms(2_000), 510);
        course.count(ms(3_250), 520);
        assert_eq!(points(&course), [10, 8]);
        // The filter was attached anew.
        course.count(ms(4_250), 3);
        assert_eq!(points(&course), [10, 8, 3]);
    }

    #[test]
    fn a_late_reading_fills_its_seconds_with_the_mean() {
        let mut course = MinuteCourse::default();
        course.count(ms(1_000), 0);
        course.count(ms(4_000), 30);
        assert_eq!(points(&course), [10, 10, 10]);
        // A reading within half a second of the last one gives no point.
        course.count(ms(4_100), 1_000);
        assert_eq!(points(&course), [10, 10, 10]);
        course.count(ms(5_000), 1_030);
        assert_eq!(points(&course), [10, 10, 10, 1_000]);
    }

    #[test]
    fn no_more_than_a_minute_is_kept() {
        let mut course = MinuteCourse::default();
        course.count(ms(1_000), 0);
        for second in 2..100 {
            course.count(ms(second * 1_000), second * second);
        }
        assert_eq!(course.points().count(), SECONDS);
        assert_eq!(course.points().last(), Some(Some(99 * 99 - 98 * 98)));
        // A reading after more than a minute fills all points.
        course.count(ms(9_000_000), 0);
        assert_eq!(points(&course), [0; SECONDS]);
    }

    #[test]
    fn a_level_is_a_point_itself() {
        let mut course = MinuteCourse::default();
        course.level(ms(1_000), 7);
        course.level(ms(1_100), 9);
        course.level(ms(2_000), 8);
        assert_eq!(points(&course), [7, 8]);
    }

    #[test]
    fn what_nobody_measured_is_a_gap() {
        let mut open = MinuteCourse::default();
        open.level(ms(1_000), 7);
        // The screen was frozen.
        open.level(ms(4_000), 8);
        open.skip(ms(5_000));
        assert_eq!(points(&open), [7, GAP, GAP, 8, GAP]);
        let mut dropped = MinuteCourse::default();
        dropped.count(ms(1_000), 100);
        dropped.count(ms(2_000), 105);
        // The filter was taken off, and attached again a second later.
        dropped.skip(ms(3_000));
        dropped.count(ms(4_000), 40);
        dropped.count(ms(5_000), 41);
        assert_eq!(points(&dropped), [5, GAP, GAP, 1]);
    }
}
