//! Rejections that do not count yet: the blocklist may have gone wrong.

use std::collections::VecDeque;
use std::time::Duration;

use std::collections::HashMap;

use crate::target::Target;

/// How long one is held. The ceiling needs that long where there is little
/// mail: it waits for a fifth of a day's senders to be refused. Meanwhile the
/// block keeps a sender out who is rightly listed.
const HELD: Duration = Duration::from_secs(3600);

/// Listed sources, and when they were found to be listed last, in seconds since
/// 1970. They are not kept on disk: a crash forgives an hour.
#[derive(Debug, Default)]
pub(super) struct PendingDemotions {
    listed: HashMap<Target, u32>,
    /// The same sources, by the time since when they are held.
    queue: VecDeque<(Duration, Target)>,
}

impl PendingDemotions {
    /// Holds one, unless there are `capacity` of them. `now` never goes back.
    pub(super) fn hold(&mut self, source: Target, at: u32, now: Duration, capacity: usize) {
        if let Some(last) = self.listed.get_mut(&source) {
            *last = at.max(*last);
        } else if self.listed.len() < capacity {
            self.listed.insert(source, at);
            self.queue.push_back((now, source));
        }
    }

    /// Takes out the next one that was held long enough.
    pub(super) fn next_due(&mut self, now: Duration) -> Option<(Target, u32)> {
        let due = |(since, _): &mut (Duration, Target)| now.saturating_sub(*since) >= HELD;
        let (_, source) = self.queue.pop_front_if(due)?;
        Some((source, self.listed.remove(&source)?))
    }

    /// Forgets them all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    const CAPACITY: usize = 3;

    fn source(bits: u32) -> Target {
        IpAddr::from(Ipv4Addr::from_bits(bits)).into()
    }

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    fn due(held: &mut PendingDemotions, now: Duration) -> Vec<(Target, u32)> {
        std::iter::from_fn(|| held.next_due(now)).collect()
    }

    #[test]
    fn each_is_held_for_an_hour() {
        let mut held = PendingDemotions::default();
        held.hold(source(1), 10, minutes(7), CAPACITY);
        held.hold(source(2), 20, minutes(8), CAPACITY);
        // It counts since the first time, as of the last.
        held.hold(source(1), 30, minutes(9), CAPACITY);
        held.hold(source(1), 15, minutes(9), CAPACITY);
        let before = minutes(67) - Duration::from_nanos(1);
        assert_eq!(due(&mut held, before), []);
        assert_eq!(due(&mut held, minutes(67)), [(source(1), 30)]);
        held.hold(source(1), 40, minutes(67), CAPACITY);
        assert_eq!(due(&mut held, minutes(68)), [(source(2), 20)]);
        assert_eq!(due(&mut held, Duration::MAX), [(source(1), 40)]);
    }

    #[test]
    fn none_is_left_after_clear_and_none_comes_above_capacity() {
        let mut held = PendingDemotions::default();
        for n in 1..=9 {
            held.hold(source(n), n, minutes(1), CAPACITY);
        }
        let first = (1..=3).map(|n| (source(n), n)).collect::<Vec<_>>();
        assert_eq!(due(&mut held, Duration::MAX), first);
        held.hold(source(1), 1, minutes(2), CAPACITY);
        held.clear();
        assert_eq!(due(&mut held, Duration::MAX), []);
    }
}
