//! The course of a wave in columns of equal length.

use super::points::Point;
use super::record::Wave;

/// The points of a wave, joined into columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CourseColumns {
    /// The length of a column, in seconds.
    pub every_s: u64,
    /// The length of a point, in seconds: more than one in a long wave.
    pub point_s: u64,
    /// The sums and peaks of each column; `None` where nothing was recorded.
    pub all: Vec<Option<Point>>,
}

impl CourseColumns {
    /// Divides a wave into columns of `every_s` seconds.
    #[must_use]
    pub fn new(wave: &Wave, points: &[Point], every_s: u64) -> Self {
        let every_s = every_s.max(1);
        let number = recorded_s(wave, points).div_ceil(every_s);
        let mut all = vec![None::<Point>; usize::try_from(number).unwrap_or(0)];
        for point in points {
            let index = usize::try_from(u64::from(point.at_s) / every_s).unwrap_or(usize::MAX);
            if let Some(column) = all.get_mut(index) {
                *column = Some(column.map_or(*point, |earlier| earlier.join(*point)));
            }
        }
        Self {
            every_s,
            point_s: point_s(points),
            all,
        }
    }

    /// Divides a wave into at most `most` columns of equal length, each with as
    /// many points as the others.
    #[must_use]
    pub fn at_most(wave: &Wave, points: &[Point], most: u64) -> Self {
        let every_s = recorded_s(wave, points).div_ceil(most.max(1));
        // Otherwise some columns would have one point more than others.
        let every_s = every_s.next_multiple_of(point_s(points));
        Self::new(wave, points, every_s)
    }

    /// The length of all columns, in seconds.
    #[must_use]
    pub fn span_s(&self) -> u64 {
        self.every_s.saturating_mul(self.all.len() as u64)
    }
}

/// The number of recorded seconds, at least one. The recording goes on until it is
/// certain that the wave has ended.
fn recorded_s(wave: &Wave, points: &[Point]) -> u64 {
    let last = points.last().map_or(0, |point| point.at_s.into());
    let length = wave.end_unix_s().saturating_sub(wave.start_unix_s);
    // The limit bounds the memory for the columns, and exceeds any wave.
    length.max(last).min(u32::MAX.into()).saturating_add(1)
}

/// The smallest distance between two points, in seconds.
fn point_s(points: &[Point]) -> u64 {
    let distances = points.iter().zip(points.iter().skip(1));
    let distances = distances.map(|(one, next)| next.at_s.saturating_sub(one.at_s));
    distances
        .filter(|distance| *distance > 0)
        .min()
        .unwrap_or(1)
        .into()
}

#[cfg(test)]
mod tests {
    use super::super::points::tests::point;
    use super::*;

    #[test]
    fn columns_hold_all_points() {
        let wave = Wave::default();
        let points = [
            point(0, 3, 1),
            point(1, 5, 1),
            point(2, 4, 1),
            point(9, 1, 7),
        ];
        let seconds = CourseColumns::at_most(&wave, &points, 100);
        assert_eq!((seconds.every_s, seconds.span_s()), (1, 10));
        assert_eq!(seconds.all[1..4], [Some(points[1]), Some(points[2]), None]);
        let few = CourseColumns::at_most(&wave, &points, 4);
        assert_eq!((few.every_s, few.span_s()), (3, 12));
        let expected = [Some(point(0, 5, 3)), None, None, Some(points[3])];
        assert_eq!(few.all, expected);
    }

    #[test]
    fn columns_of_a_constant_rate_are_equal() {
        let wave = Wave::default();
        // Waves of 1 to 16 hours, with the points that are left after thinning.
        for (point_s, length_s) in [(2, 3_602), (2, 7_000), (4, 13_000), (16, 57_600)] {
            let points: Vec<Point> = (0..length_s)
                .step_by(point_s)
                .map(|at_s| point(at_s, 1, 7))
                .collect();
            for most in [24, 126, 362] {
                let columns = CourseColumns::at_most(&wave, &points, most);
                assert!(columns.all.len() as u64 <= most);
                let refused = |column: &Option<Point>| column.map(|point| point.refused);
                let each = columns.all.iter().map(refused).collect::<Vec<_>>();
                // The last column may have fewer points.
                let (_, each) = each.split_last().unwrap_or((&None, &[]));
                assert!(
                    each.windows(2)
                        .all(|two| two[0] == two[1] && two[0].is_some()),
                    "{point_s} {length_s} {most}: {each:?}"
                );
            }
        }
    }

    #[test]
    fn a_wave_without_points_has_its_length() {
        let wave = Wave {
            start_unix_s: 1_795_392_000,
            length_s: 9.5,
            ..Wave::default()
        };
        assert_eq!(CourseColumns::new(&wave, &[], 5).all, [None; 3]);
        let wild = Wave {
            length_s: f64::MAX,
            ..wave
        };
        assert_eq!(CourseColumns::at_most(&wild, &[], 8).all.len(), 8);
    }
}
