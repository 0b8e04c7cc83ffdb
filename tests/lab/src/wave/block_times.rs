//! The times in which sources were blocked.

use std::collections::{BTreeMap, BTreeSet};

/// For each source, the start and the end of its blocks in seconds of one clock. The
/// blocks of a source do not overlap.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BlockTimes(BTreeMap<String, Vec<[f64; 2]>>);

/// The comparison of two records of block times.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TimeDifference {
    /// Seconds in which only one record blocks a source; the sum over all sources.
    pub one: f64,
    /// Seconds in which at least one record blocks a source; the sum over all sources.
    pub either: f64,
}

impl TimeDifference {
    /// The symmetric difference in percent. Two empty records do not differ.
    #[must_use]
    pub fn percent(&self) -> f64 {
        match self.either > 0.0 {
            true => 100.0 * self.one / self.either,
            false => 0.0,
        }
    }
}

impl BlockTimes {
    /// Adds a block that is later than the other blocks of its source.
    pub fn add(&mut self, source: impl Into<String>, from: f64, until: f64) {
        self.0.entry(source.into()).or_default().push([from, until]);
    }

    /// The blocks of a source.
    #[must_use]
    pub fn blocks(&self, source: &str) -> &[[f64; 2]] {
        self.0.get(source).map_or(&[], Vec::as_slice)
    }

    /// The sources.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The number of blocks.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Counts the blocks of either record to which the other record has no equal: a block
    /// of the same source whose start and end differ by at most `tolerance` seconds.
    #[must_use]
    pub fn unmatched(&self, other: &Self, tolerance: f64) -> usize {
        let one_sided = |mine: &Self, theirs: &Self| {
            let blocks = mine.0.iter();
            let blocks =
                blocks.flat_map(|(source, blocks)| blocks.iter().map(move |it| (source, it)));
            let matches = |a: &[f64; 2], b: &[f64; 2]| {
                a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance)
            };
            let is_alone = |(source, block): &(&String, &[f64; 2])| {
                !theirs.blocks(source).iter().any(|it| matches(block, it))
            };
            blocks.filter(is_alone).count()
        };
        one_sided(self, other) + one_sided(other, self)
    }

    /// Compares the blocked times of each source.
    #[must_use]
    pub fn difference(&self, other: &Self) -> TimeDifference {
        let mut sum = TimeDifference::default();
        let sources: BTreeSet<&str> = self.sources().chain(other.sources()).collect();
        for source in sources {
            let (mine, theirs) = (self.blocks(source), other.blocks(source));
            let pairs = mine.iter().flat_map(|a| theirs.iter().map(move |b| (a, b)));
            let both: f64 = pairs.map(|(a, b)| overlap(*a, *b)).sum();
            let each = length(mine) + length(theirs);
            sum.one += each - 2.0 * both;
            sum.either += each - both;
        }
        sum
    }
}

fn length(blocks: &[[f64; 2]]) -> f64 {
    blocks.iter().map(|[from, until]| until - from).sum()
}

fn overlap([a_from, a_until]: [f64; 2], [b_from, b_until]: [f64; 2]) -> f64 {
    (a_until.min(b_until) - a_from.max(b_from)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(blocks: &[(&str, f64, f64)]) -> BlockTimes {
        let mut times = BlockTimes::default();
        for (source, from, until) in blocks {
            times.add(*source, *from, *until);
        }
        times
    }

    #[test]
    fn a_difference_counts_the_seconds_of_one_record_alone() {
        let one = times(&[("a", 0.0, 10.0), ("a", 20.0, 30.0), ("b", 0.0, 10.0)]);
        let other = times(&[("a", 2.0, 11.0), ("a", 20.0, 30.0), ("c", 0.0, 4.0)]);
        let difference = one.difference(&other);
        // `a` differs by 2 s at a start and by 1 s at an end; `b` and `c` differ entirely.
        let expected = TimeDifference {
            one: 3.0 + 10.0 + 4.0,
            either: 21.0 + 10.0 + 4.0,
        };
        assert_eq!(difference, expected);
        assert_eq!(other.difference(&one), expected);
        assert_eq!(one.difference(&one).percent(), 0.0);
        assert_eq!((one.count(), other.sources().count()), (3, 2));
        assert_eq!(one.unmatched(&other, 1.9), 4);
        assert_eq!(one.unmatched(&other, 2.0), 2);
    }

    #[test]
    fn nothing_differs_from_nothing_by_nothing() {
        let none = BlockTimes::default();
        assert_eq!(none.difference(&none).percent(), 0.0);
        assert_eq!(none.difference(&times(&[("a", 0.0, 1.0)])).percent(), 100.0);
    }
}
