//! Demotions that are not applied yet, because the blocklist may have gone
//! wrong.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::dnsbl::named_zone::ZoneId;
use crate::target::Target;
use crate::time::UnixSeconds;

/// How long a demotion is pending. With little mail, the ceiling needs that
/// long to trip, because it waits until a fifth of a day's senders are refused.
/// Meanwhile the block keeps out a sender that is rightly listed.
const WAIT: Duration = Duration::from_secs(3600);

/// The listings of the last hour, each with the time of the last rejection. They
/// are not stored on disk, so a crash loses their demotions.
#[derive(Debug, Default)]
pub(super) struct PendingDemotions {
    listed: HashMap<Listing, UnixSeconds>,
    /// The same listings, by the monotonic time at which they were added.
    queue: VecDeque<(Duration, Listing)>,
}

/// A source and the zone that lists it, if the rejection named one.
type Listing = (Target, Option<ZoneId>);

impl PendingDemotions {
    /// Adds a listing that was found at `at`. Ignores a new one if there are
    /// `capacity` listings. `now` must not go back.
    pub(super) fn add(
        &mut self,
        listing: Listing,
        at: UnixSeconds,
        now: Duration,
        capacity: usize,
    ) {
        if let Some(last) = self.listed.get_mut(&listing) {
            *last = at.max(*last);
        } else if self.listed.len() < capacity {
            self.listed.insert(listing, at);
            self.queue.push_back((now, listing));
        }
    }

    /// Takes the next source that has been pending long enough, with the time
    /// of its last listing.
    pub(super) fn next_due(&mut self, now: Duration) -> Option<(Target, UnixSeconds)> {
        let due = |(since, _): &mut (Duration, Listing)| now.saturating_sub(*since) >= WAIT;
        let (_, listing) = self.queue.pop_front_if(due)?;
        Some((listing.0, self.listed.remove(&listing)?))
    }

    /// Drops the listings by a zone.
    pub(super) fn drop_zone(&mut self, zone: ZoneId) {
        self.queue.retain(|(_, (_, by))| *by != Some(zone));
        self.listed.retain(|(_, by), _| *by != Some(zone));
    }

    /// Drops all pending demotions.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::dnsbl::named_zone::ZoneNames;
    use crate::dnsbl::rule::Rule;

    const CAPACITY: usize = 3;

    fn source(bits: u32) -> Target {
        IpAddr::from(Ipv4Addr::from_bits(bits)).into()
    }

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    fn due(pending: &mut PendingDemotions, now: Duration) -> Vec<(Target, u64)> {
        let next = std::iter::from_fn(|| pending.next_due(now));
        next.map(|(source, at)| (source, at.get())).collect()
    }

    fn add(pending: &mut PendingDemotions, n: u32, at: u64, now: Duration) {
        let listing = (source(n), None);
        pending.add(listing, UnixSeconds::new(at), now, CAPACITY);
    }

    #[test]
    fn each_waits_for_an_hour() {
        let mut pending = PendingDemotions::default();
        add(&mut pending, 1, 10, minutes(7));
        add(&mut pending, 2, 20, minutes(8));
        // The wait starts at the first listing, but the demotion has the time
        // of the last.
        add(&mut pending, 1, 30, minutes(9));
        add(&mut pending, 1, 15, minutes(9));
        let before = minutes(67) - Duration::from_nanos(1);
        assert_eq!(due(&mut pending, before), []);
        assert_eq!(due(&mut pending, minutes(67)), [(source(1), 30)]);
        add(&mut pending, 1, 40, minutes(67));
        assert_eq!(due(&mut pending, minutes(68)), [(source(2), 20)]);
        assert_eq!(due(&mut pending, Duration::MAX), [(source(1), 40)]);
    }

    #[test]
    fn none_is_left_after_clear_and_none_comes_above_capacity() {
        let mut pending = PendingDemotions::default();
        for n in 1..=9 {
            add(&mut pending, n, n.into(), minutes(1));
        }
        let first = (1..=3).map(|n| (source(n), n.into())).collect::<Vec<_>>();
        assert_eq!(due(&mut pending, Duration::MAX), first);
        add(&mut pending, 1, 1, minutes(2));
        pending.clear();
        assert_eq!(due(&mut pending, Duration::MAX), []);
    }

    #[test]
    fn a_zone_that_breaks_takes_its_listings_with_it() {
        let rules = ["a.example", "b.example"].map(|zone| Rule::of_config(zone).unwrap());
        let zones = ZoneNames::new(&rules, &[]);
        let zone = |text: &str| {
            let addr = [192, 0, 2, 1].into();
            Some(zones.named(text.as_bytes(), addr).unwrap().id)
        };
        let [a, b] = [zone("by a.example"), zone("by b.example")];
        let mut pending = PendingDemotions::default();
        for (n, zone) in [(1, a), (1, b), (2, a), (3, None)] {
            pending.add((source(n), zone), UnixSeconds::new(9), minutes(1), 9);
        }
        pending.drop_zone(a.unwrap());
        let left = [(source(1), 9), (source(3), 9)];
        assert_eq!(due(&mut pending, Duration::MAX), left);
        assert!(pending.listed.is_empty());
    }
}
