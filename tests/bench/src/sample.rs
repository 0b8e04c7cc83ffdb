//! Measured figures, and the criterion for a meaningful ratio.

/// Maximum spread of a ratio's rounds: the distance of the quartiles, divided
/// by the median. A ratio with a larger spread is rejected.
pub const MAX_SPREAD: f64 = 0.25;

/// One figure for each round, in the order of the rounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample(pub Vec<f64>);

impl Sample {
    /// The median of the figures; 0 if there is none.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The figure that this share of the rounds does not exceed, interpolated
    /// between its neighbours.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = share * sorted.len().saturating_sub(1) as f64;
        let figure = |at: f64| sorted.get(at as usize).copied().unwrap_or(0.0);
        let (low, high) = (figure(at.floor()), figure(at.ceil()));
        low + (high - low) * at.fract()
    }

    /// The smallest figure.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The largest figure.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// Each round's figure, divided by the other's figure of the same round. A
    /// temporary slowdown of the machine affects both.
    #[must_use]
    pub fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }

    /// Whether the rounds agree well enough for their median to mean anything.
    #[must_use]
    pub fn is_steady(&self) -> bool {
        (self.quantile(0.75) - self.quantile(0.25)) / self.median() <= MAX_SPREAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_even_and_no_rounds() {
        assert_eq!(Sample(vec![9.0, 1.0, 4.0]).median(), 4.0);
        assert_eq!(Sample(vec![9.0, 1.0, 4.0, 6.0]).median(), 5.0);
        assert_eq!(Sample(vec![7.0]).median(), 7.0);
        assert_eq!(Sample::default().median(), 0.0);
    }

    #[test]
    fn ratios_are_paired_by_round() {
        // The machine was half as fast in the second round.
        let (a, b) = (Sample(vec![8.0, 4.0]), Sample(vec![4.0, 2.0]));
        assert_eq!(a.over(&b), Sample(vec![2.0, 2.0]));
    }

    #[test]
    fn quartiles_a_quarter_of_the_median_apart_are_the_widest_spread() {
        // The quartiles of three figures lie halfway between neighbours.
        assert!(Sample(vec![1.0, 0.75, 1.25]).is_steady());
        assert!(!Sample(vec![1.0, 0.74, 1.25]).is_steady());
        // One of five rounds may be an outlier.
        assert!(Sample(vec![1.0, 1.1, 0.9, 1.0, 9.0]).is_steady());
        assert!(!Sample(vec![1.0, 1.3, 0.9, 1.0, 9.0]).is_steady());
        assert!(!Sample(vec![0.0, 0.0]).is_steady());
    }
}
