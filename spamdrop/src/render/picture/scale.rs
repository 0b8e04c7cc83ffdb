//! The scales of the axes and the marks on them.

use std::iter::successors;
use std::time::Duration;

use spamdrop_core::duration::human;

use super::super::local::CLOCK;

/// Maximum number of steps of a vertical axis.
const STEPS: u64 = 5;

const TEN_YEARS: u64 = 3_650 * 86_400;

/// A vertical axis from 0, as long as its greatest value needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AxisScale {
    step: u64,
    steps: u64,
    unit: AxisUnit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AxisUnit {
    Number,
    Second,
}

impl AxisScale {
    /// The shortest axis of round numbers that has room for this value.
    pub fn numbers(most: u64) -> Self {
        let powers = successors(Some(1_u64), |power| power.checked_mul(10));
        let steps = powers.flat_map(|power| {
            let half = (power > 1).then_some((power / 10).saturating_mul(25));
            let whole = [1, 2, 3, 4, 5].map(|step| power.saturating_mul(step));
            whole.into_iter().chain(half)
        });
        Self::shortest(most, steps, AxisUnit::Number)
    }

    /// As [`AxisScale::numbers`], but for seconds, in steps of `CLOCK`, and at most
    /// for ten years.
    pub fn seconds(most: u64) -> Self {
        Self::shortest(most.min(TEN_YEARS), CLOCK.into_iter(), AxisUnit::Second)
    }

    fn shortest(most: u64, steps: impl Iterator<Item = u64>, unit: AxisUnit) -> Self {
        let most = most.max(1);
        let scale = |step| Self {
            step,
            steps: most.div_ceil(step),
            unit,
        };
        let fits = steps.map(scale).filter(|scale| scale.steps <= STEPS);
        let shortest = fits.min_by_key(|scale| (scale.top(), scale.step));
        shortest.unwrap_or(Self {
            step: most.div_ceil(STEPS),
            steps: STEPS,
            unit,
        })
    }

    /// The value at the upper end.
    pub fn top(self) -> u64 {
        self.step.saturating_mul(self.steps)
    }

    /// The marks, each a share of the axis and its text.
    pub fn marks(self) -> impl Iterator<Item = (f64, String)> {
        (0..=self.steps).map(move |mark| {
            let value = self.step.saturating_mul(mark);
            let text = match self.unit {
                AxisUnit::Number => short(value),
                AxisUnit::Second => human(Duration::from_secs(value)).to_string(),
            };
            (mark as f64 / self.steps as f64, text)
        })
    }

    /// The share of the axis up to a value, from 0 to 1.
    pub fn share(self, value: f64) -> f64 {
        (value / self.top() as f64).clamp(0.0, 1.0)
    }
}

/// A number in six characters at most: `25`, `9999`, `25k`, `1.2M`.
pub(super) fn short(number: u64) -> String {
    if number < 10_000 {
        return number.to_string();
    }
    let mut value = number as f64;
    let mut unit = "";
    for next in ["k", "M", "G", "T", "P", "E"] {
        if value < 1_000.0 {
            break;
        }
        value /= 1_000.0;
        unit = next;
    }
    let tenths = (value * 10.0).round() / 10.0;
    format!("{tenths}{unit}")
}

/// Marks of a time axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TimeMarks {
    /// The distance between two marks, in seconds.
    pub step_s: u64,
    /// The marks, in seconds since 1970.
    pub at: Vec<u64>,
}

/// The marks of a period, at round times of the local clock. `most` takes a distance
/// between two marks, in seconds, and returns how many marks have room: it depends on
/// the length of their texts. `offset` is local time minus UTC, in seconds.
pub(super) fn time_marks(
    start: u64,
    end: u64,
    offset: i64,
    most: impl Fn(u64) -> u64,
) -> TimeMarks {
    let span = end.saturating_sub(start);
    let fits = |step: &u64| span / step < most(*step);
    let step_s = CLOCK.into_iter().find(fits).unwrap_or(u64::MAX);
    let local = start.saturating_add_signed(offset);
    let first = local
        .checked_next_multiple_of(step_s)
        .and_then(|first| start.checked_add(first - local));
    let every = usize::try_from(step_s).unwrap_or(usize::MAX);
    let at = first
        .into_iter()
        .flat_map(|first| (first..=end).step_by(every));
    TimeMarks {
        step_s,
        at: at.collect(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn an_axis_is_hardly_longer_than_its_greatest_value() {
        for (most, top) in [
            (0, 1),
            (1, 1),
            (5, 5),
            (7, 8),
            (40, 40),
            (41, 50),
            (61, 75),
            (101, 120),
            (151, 160),
            (169, 200),
            (1_001, 1_200),
        ] {
            assert_eq!(AxisScale::numbers(most).top(), top, "{most}");
        }
        for most in 1..20_000 {
            let scale = AxisScale::numbers(most);
            assert!(scale.steps <= STEPS, "{most}");
            assert!((most..=most * 4 / 3 + 1).contains(&scale.top()), "{most}");
        }
        assert_eq!(AxisScale::numbers(u64::MAX).top(), u64::MAX);
    }

    #[test]
    fn waits_are_marked_in_minutes_and_hours() {
        let marks =
            |most| -> Vec<String> { AxisScale::seconds(most).marks().map(|m| m.1).collect() };
        assert_eq!(marks(48), ["0s", "10s", "20s", "30s", "40s", "50s"]);
        assert_eq!(marks(290), ["0s", "1m", "2m", "3m", "4m", "5m"]);
        assert_eq!(marks(3_600), ["0s", "15m", "30m", "45m", "1h"]);
        assert_eq!(marks(u64::MAX).last().unwrap(), "4000d");
    }

    #[test]
    fn shares_are_those_of_the_values() {
        let scale = AxisScale::numbers(50);
        assert_eq!(
            [0.0, 25.0, 50.0, 99.0].map(|n| scale.share(n)),
            [0.0, 0.5, 1.0, 1.0]
        );
    }

    #[test]
    fn great_numbers_are_short() {
        for (number, text) in [
            (0, "0"),
            (9_999, "9999"),
            (25_000, "25k"),
            (1_250_000, "1.3M"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(short(number), text);
        }
    }

    #[test]
    fn times_are_marked_where_clocks_have_them() {
        // 1,795,392,000 is a midnight.
        let midnight = 1_795_392_000;
        let marks = |start, end, offset| time_marks(start, end, offset, |_| 8);
        let minute = marks(midnight + 10, midnight + 70, 0);
        assert_eq!(minute.step_s, 10);
        assert_eq!(minute.at[..2], [midnight + 10, midnight + 20]);
        let week = marks(midnight + 10, midnight + 7 * 86_400, 3_600);
        assert_eq!((week.step_s, week.at.len()), (86_400, 7));
        assert_eq!(week.at[0], midnight + 82_800);
        assert_eq!(marks(midnight, midnight, 0).at, [midnight]);
        assert!(marks(0, u64::MAX, 0).at.len() <= 8);
        assert!(marks(u64::MAX, u64::MAX, 7_200).at.len() <= 1);
    }
}
