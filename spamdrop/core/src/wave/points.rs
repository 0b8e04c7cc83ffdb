//! The points of a wave: one a second, thinned when there are many.

use std::mem;

use serde::Serialize;

/// The most points of a wave. Beyond that, pairs of points are joined.
pub(super) const MAX: usize = 3_600;

/// One or more seconds of a wave, as `report WAVE --json` prints them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Point {
    /// Seconds from the start of the wave to the start of the point.
    pub at_s: u32,
    /// The maximum number of connections that the server held.
    pub open: u32,
    /// The maximum number of connections that waited to be accepted.
    pub waiting: u32,
    /// SYNs that passed the gate.
    pub admitted: u32,
    /// SYNs that were refused or, in observe mode, would have been.
    pub refused: u32,
    /// SYNs that went to the responder.
    pub answered: u32,
}

impl Point {
    /// Joins two successive points into one.
    pub(super) fn join(self, next: Self) -> Self {
        Self {
            at_s: self.at_s,
            open: self.open.max(next.open),
            waiting: self.waiting.max(next.waiting),
            admitted: self.admitted.saturating_add(next.admitted),
            refused: self.refused.saturating_add(next.refused),
            answered: self.answered.saturating_add(next.answered),
        }
    }
}

/// The points of a wave, at equal intervals.
#[derive(Clone, Debug)]
pub(super) struct Points {
    all: Vec<Point>,
    every_s: u32,
    /// The number of points that have not changed since they were taken.
    taken: usize,
}

impl Default for Points {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            every_s: 1,
            taken: 0,
        }
    }
}

impl Points {
    pub fn push(&mut self, mut point: Point) {
        point.at_s -= point.at_s % self.every_s;
        match self.all.last_mut() {
            Some(last) if last.at_s >= point.at_s => {
                *last = last.join(point);
                self.taken = self.taken.min(self.all.len() - 1);
            }
            _ => self.all.push(point),
        }
        if self.all.len() > MAX {
            self.thin();
        }
    }

    fn thin(&mut self) {
        self.every_s *= 2;
        self.taken = 0;
        for point in mem::take(&mut self.all) {
            self.push(point);
        }
    }

    /// The points that are new or have changed since the last call. They
    /// replace all points from the first of them on.
    pub fn take_fresh(&mut self) -> Vec<Point> {
        let fresh = self.all.get(self.taken..).unwrap_or_default().to_vec();
        self.taken = self.all.len();
        fresh
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn point(at_s: u32, open: u32, refused: u32) -> Point {
        Point {
            at_s,
            open,
            refused,
            ..Point::default()
        }
    }

    #[test]
    fn a_second_has_one_point() {
        let mut points = Points::default();
        for next in [point(0, 3, 1), point(0, 2, 1), point(1, 5, 0)] {
            points.push(next);
        }
        assert_eq!(points.all, [point(0, 3, 2), point(1, 5, 0)]);
    }

    #[test]
    fn a_long_wave_has_fewer_points_that_hold_as_much() {
        let mut points = Points::default();
        for second in 0..10_000 {
            points.push(point(second, second, 1));
        }
        assert_eq!(points.every_s, 4);
        assert_eq!(points.all.len(), 2_500);
        assert_eq!(points.all[1], point(4, 7, 4));
        assert_eq!(points.all[2_499], point(9_996, 9_999, 4));
        let refused: u32 = points.all.iter().map(|point| point.refused).sum();
        assert_eq!(refused, 10_000);
    }

    #[test]
    fn what_was_taken_is_not_taken_again_until_it_changes() {
        let mut points = Points::default();
        points.push(point(0, 1, 1));
        points.push(point(1, 1, 1));
        assert_eq!(points.take_fresh().len(), 2);
        assert_eq!(points.take_fresh(), []);
        points.push(point(1, 4, 1));
        points.push(point(2, 4, 1));
        assert_eq!(points.take_fresh(), [point(1, 4, 2), point(2, 4, 1)]);
        for second in 3..=3_600 {
            points.push(point(second, 4, 1));
        }
        assert_eq!(points.take_fresh().len(), 1_801);
    }
}
