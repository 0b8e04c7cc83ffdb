//! Counts mail to recipients that do not exist. A few are typing errors; many
//! mean that the source guesses addresses.

use std::collections::HashMap;
use std::time::Duration;

use crate::target::Target;
use crate::time::UnixSeconds;

/// The number of failures within an hour that demotes a source.
const FAILURES: usize = 5;
const HOUR: Duration = Duration::from_secs(3600);
/// The most sources that are tracked; about 4 MiB.
const CAPACITY: usize = 65_536;

/// The unknown recipients of the last hour, by source. They are not stored on
/// disk, so a restart loses at most the last hour.
#[derive(Debug, Default)]
pub(super) struct RecipientFailures {
    /// The times of the last failures, oldest first; 0: none yet.
    newest: HashMap<Target, [UnixSeconds; FAILURES]>,
}

impl RecipientFailures {
    /// Adds a failure. Returns whether it is the fifth within an hour. The
    /// failures of a source must come in the order of the log.
    pub(super) fn add(&mut self, source: Target, at: UnixSeconds) -> bool {
        if self.newest.len() >= CAPACITY && !self.newest.contains_key(&source) {
            self.make_room(at);
        }
        let newest = self.newest.entry(source).or_default();
        newest.rotate_left(1);
        newest[FAILURES - 1] = at;
        let [oldest, ..] = *newest;
        oldest != UnixSeconds::default() && at.elapsed_since(oldest) <= HOUR
    }

    fn make_room(&mut self, now: UnixSeconds) {
        let is_recent =
            |newest: &[UnixSeconds; FAILURES]| now.elapsed_since(newest[FAILURES - 1]) <= HOUR;
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

    fn add(failures: &mut RecipientFailures, n: u32, at: u64) -> bool {
        failures.add(source(n), UnixSeconds::new(at))
    }

    #[test]
    fn the_fifth_within_an_hour_counts() {
        for (stamps, expected) in [
            ([10, 20, 30, 40, 3610], true),
            ([10, 20, 30, 40, 3611], false),
            ([10, 10, 10, 10, 10], true),
        ] {
            let mut failures = RecipientFailures::default();
            let (last, first) = stamps.split_last().unwrap_or((&0, &[]));
            assert!(first.iter().all(|at| !add(&mut failures, 1, *at)));
            assert_eq!(add(&mut failures, 1, *last), expected, "{stamps:?}");
            assert!(!add(&mut failures, 2, *last));
        }
    }

    #[test]
    fn the_oldest_fall_out() {
        let mut failures = RecipientFailures::default();
        for at in [1, 5000, 5001, 5002, 5003] {
            assert!(!add(&mut failures, 1, at));
        }
        assert!(add(&mut failures, 1, 5004));
    }

    #[test]
    fn their_number_is_bounded() {
        let mut failures = RecipientFailures::default();
        let capacity = u32::try_from(CAPACITY).unwrap_or(u32::MAX);
        for n in 0..=2 * capacity {
            add(&mut failures, n, 1 + u64::from(n / 64));
            assert!(failures.newest.len() <= CAPACITY);
        }
    }
}
