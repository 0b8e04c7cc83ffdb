//! Recipients that do not exist: a few are errors, many are guesses.

use std::collections::HashMap;

use crate::target::Target;

/// How many of them within an hour make a source bad.
const STRIKES: usize = 5;
/// In seconds.
const HOUR: u32 = 3600;
/// The most sources that are watched; about 2 MiB.
const CAPACITY: usize = 65_536;

/// The unknown recipients of the last hour, by source. They are not kept on
/// disk: a restart forgives at most an hour.
#[derive(Debug, Default)]
pub(super) struct RecipientFailures {
    /// The newest, in seconds since 1970, the oldest first; 0: none yet.
    newest: HashMap<Target, [u32; STRIKES]>,
}

impl RecipientFailures {
    /// Notes one; whether it is the fifth within an hour. Those of a source
    /// come in the order of the log.
    pub(super) fn strike(&mut self, source: Target, at: u32) -> bool {
        if self.newest.len() >= CAPACITY && !self.newest.contains_key(&source) {
            self.make_room(at);
        }
        let newest = self.newest.entry(source).or_default();
        newest.rotate_left(1);
        newest[STRIKES - 1] = at;
        let [oldest, ..] = *newest;
        oldest != 0 && at.saturating_sub(oldest) <= HOUR
    }

    fn make_room(&mut self, now: u32) {
        let is_recent = |newest: &[u32; STRIKES]| now.saturating_sub(newest[STRIKES - 1]) <= HOUR;
        self.newest.retain(|_, newest| is_recent(newest));
        if self.newest.len() >= CAPACITY {
            self.newest.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn source(bits: u32) -> Target {
        IpAddr::from(Ipv4Addr::from_bits(bits)).into()
    }

    #[test]
    fn the_fifth_within_an_hour_counts() {
        for (stamps, expected) in [
            ([10, 20, 30, 40, 3610], true),
            ([10, 20, 30, 40, 3611], false),
            ([10, 10, 10, 10, 10], true),
        ] {
            let mut strikes = RecipientFailures::default();
            let (last, first) = stamps.split_last().unwrap_or((&0, &[]));
            assert!(first.iter().all(|at| !strikes.strike(source(1), *at)));
            assert_eq!(strikes.strike(source(1), *last), expected, "{stamps:?}");
            assert!(!strikes.strike(source(2), *last));
        }
    }

    #[test]
    fn the_oldest_fall_out() {
        let mut strikes = RecipientFailures::default();
        for at in [1, 5000, 5001, 5002, 5003] {
            assert!(!strikes.strike(source(1), at));
        }
        assert!(strikes.strike(source(1), 5004));
    }

    #[test]
    fn their_number_is_bounded() {
        let mut strikes = RecipientFailures::default();
        let capacity = u32::try_from(CAPACITY).unwrap_or(u32::MAX);
        for n in 0..=2 * capacity {
            strikes.strike(source(n), 1 + n / 64);
            assert!(strikes.newest.len() <= CAPACITY);
        }
    }
}
