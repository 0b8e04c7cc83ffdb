//! The scales and marks of the axes.

use super::{BOTTOM, TOP};

/// Number of steps on the vertical axis.
pub(super) const TICKS: u64 = 5;
/// Maximum number of time marks, besides the first.
const TIMES: u64 = 7;

/// Possible distances of time marks, in seconds: the usual divisions of a
/// clock.
const STEPS: [u64; 18] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
    86_400,
];

/// A scale from 0 in steps of 1, 2 or 5 times a power of ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    step: u64,
}

impl Scale {
    /// The smallest scale that has room for this value.
    pub fn to(most: u64) -> Self {
        let wanted = most.div_ceil(TICKS).max(1);
        let power = 10_u64.pow(wanted.ilog10());
        let steps = [1, 2, 5, 10].map(|step| power.saturating_mul(step));
        let step = steps.into_iter().find(|step| *step >= wanted);
        Self {
            step: step.unwrap_or(wanted),
        }
    }

    /// The value at a step.
    pub fn tick(self, tick: u64) -> u64 {
        self.step.saturating_mul(tick)
    }

    /// The vertical position of a value in the picture.
    pub fn y(self, value: u64) -> f64 {
        let share = value as f64 / self.tick(TICKS) as f64;
        BOTTOM - (BOTTOM - TOP) * share.min(1.0)
    }
}

/// Returns the distance between the time marks, and the marks, in seconds.
/// `offset` is the difference of local time from UTC.
pub(super) fn ticks(start: u64, end: u64, offset: i64) -> (u64, Vec<u64>) {
    let span = end.saturating_sub(start);
    let fits = |step: &u64| span / step <= TIMES;
    let days = span.div_ceil(86_400).div_ceil(TIMES) * 86_400;
    let step = STEPS.into_iter().find(fits).unwrap_or(days).max(1);
    let local = start.saturating_add_signed(offset);
    let first = start + (local.next_multiple_of(step) - local);
    let marks = (first..=end).step_by(usize::try_from(step).unwrap_or(usize::MAX));
    (step, marks.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_have_room_and_round_numbers() {
        for (most, step) in [
            (0, 1),
            (5, 1),
            (6, 2),
            (11, 5),
            (40, 10),
            (169, 50),
            (1_000, 200),
            (1_001, 500),
        ] {
            let scale = Scale::to(most);
            assert_eq!(scale.tick(1), step, "{most}");
            assert!(scale.y(most) >= TOP, "{most}");
        }
        assert!(Scale::to(u64::MAX).y(u64::MAX) >= TOP);
        assert_eq!(Scale::to(9).y(0), BOTTOM);
    }

    #[test]
    fn marks_are_where_clocks_have_them() {
        // 1,795,392,000 is a midnight.
        let midnight = 1_795_392_000;
        let (step, marks) = ticks(midnight + 10, midnight + 70, 0);
        assert_eq!(
            (step, &marks[..2]),
            (10, &[midnight + 10, midnight + 20][..])
        );
        let (step, marks) = ticks(midnight + 10, midnight + 7 * 86_400, 3_600);
        assert_eq!((step, marks.len()), (86_400, 7));
        assert_eq!(marks[0], midnight + 82_800);
        let (step, marks) = ticks(midnight, midnight + 365 * 86_400, 0);
        assert_eq!((step, marks.len()), (53 * 86_400, 6));
        assert_eq!(ticks(midnight, midnight, 0), (1, vec![midnight]));
    }
}
