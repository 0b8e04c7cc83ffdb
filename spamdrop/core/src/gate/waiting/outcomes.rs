//! How many of the promised SYNs became connections.

use std::time::Duration;

/// Number of outcomes after which the earlier half of them counts half.
const RECENT: u32 = 128;
/// One kept promise in this many, or fewer, is few. In a crowd that connects, more are
/// kept, although some strangers have given up.
const FEW: u32 = 4;

/// The outcomes of recent promises. The source of a forged SYN repeats it and never
/// connects.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcomes {
    kept: u32,
    void: u32,
}

impl Outcomes {
    /// Records a promise whose stranger has connected.
    pub(super) fn add_kept(&mut self) {
        self.kept += 1;
        self.halve();
    }

    /// Records a promise whose stranger has not connected.
    pub(super) fn add_void(&mut self) {
        self.void += 1;
        self.halve();
    }

    fn halve(&mut self) {
        if self.kept + self.void >= RECENT {
            (self.kept, self.void) = (self.kept / 2, self.void / 2);
        }
    }

    /// The part of a duration that stands for the promises that are kept.
    pub(super) fn part(self, whole: Duration) -> Duration {
        let (kept, all) = self.share();
        whole * kept / all
    }

    /// As [`Self::part`], of a number of strangers.
    pub(super) fn number(self, whole: usize) -> usize {
        let (kept, all) = self.share();
        whole.saturating_mul(kept as usize) / all as usize
    }

    /// The share of the promises that are kept, as a fraction; 1 unless few are.
    fn share(self) -> (u32, u32) {
        let (kept, all) = (self.kept + 1, self.kept + self.void + 1);
        match kept * FEW > all {
            true => (1, 1),
            false => (kept, all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn void_promises_lower_the_part_and_kept_ones_raise_it() {
        let second = Duration::from_secs(1);
        let mut outcomes = Outcomes::default();
        assert_eq!((outcomes.part(second), outcomes.number(200)), (second, 200));
        (0..2).for_each(|_| outcomes.add_void());
        assert_eq!((outcomes.part(second), outcomes.number(200)), (second, 200));
        outcomes.add_void();
        assert_eq!(
            (outcomes.part(second), outcomes.number(200)),
            (second / 4, 50)
        );
        (0..1_000).for_each(|_| outcomes.add_void());
        assert!(outcomes.part(second) < second / 60);
        assert!(outcomes.part(second) > Duration::ZERO);
        (0..64).for_each(|_| outcomes.add_kept());
        assert_eq!((outcomes.part(second), outcomes.number(200)), (second, 200));
    }
}
