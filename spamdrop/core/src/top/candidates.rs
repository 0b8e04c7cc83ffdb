//! Picks the sources, among all entries, that `top` looks up every second.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use spamdrop_common::entry::Entry;

use super::filter::SourceFilter;
use crate::target::Target;
use crate::time::MonotonicNs;

/// The most sources that are kept for each group of [`CandidatePool`].
const MOST: usize = 100;
/// A source that sent a packet within this time counts as active.
const ACTIVE: Duration = Duration::from_secs(10);

/// Picks four groups of live entries: the ones that expire next, and the ones with the most
/// hits, once among all, once among the active ones, and once among those that the filter
/// of `top` matches.
#[derive(Debug)]
pub struct CandidatePool<'a> {
    now: MonotonicNs,
    filter: &'a SourceFilter,
    hits: Best,
    active: Best,
    soonest: Best,
    matching: Best,
}

impl<'a> CandidatePool<'a> {
    /// An empty pool, for entries that are read at `now`.
    #[must_use]
    pub fn new(now: MonotonicNs, filter: &'a SourceFilter) -> Self {
        Self {
            now,
            filter,
            hits: Best::default(),
            active: Best::default(),
            soonest: Best::default(),
            matching: Best::default(),
        }
    }

    /// Considers a live entry.
    pub fn offer(&mut self, target: Target, entry: &Entry) {
        let hits = u64::from(entry.hits);
        self.hits.offer(hits, target);
        self.soonest.offer(u64::MAX - entry.expires.ns(), target);
        if self.is_active(entry) {
            self.active.offer(hits, target);
        }
        if !self.filter.is_empty() && self.filter.matches(target) {
            self.matching.offer(hits, target);
        }
    }

    /// Whether a packet has extended the entry within [`ACTIVE`]. An extension that
    /// the hard limit has cut short does not show.
    fn is_active(&self, entry: &Entry) -> bool {
        let ttl = Duration::from_secs(entry.ttl_s.into());
        let last = entry.expires.minus(ttl);
        entry.ttl_s != 0 && entry.refreshes != 0 && self.now.elapsed_since(last) <= ACTIVE
    }

    /// The sources, sorted, each one once.
    #[must_use]
    pub fn into_targets(self) -> Vec<Target> {
        let all = [self.hits, self.active, self.soonest, self.matching];
        let mut targets: Vec<Target> = all.into_iter().flat_map(Best::into_targets).collect();
        targets.sort_unstable();
        targets.dedup();
        targets
    }
}

/// The sources with the highest keys.
#[derive(Debug, Default)]
struct Best(BinaryHeap<Reverse<(u64, Target)>>);

impl Best {
    fn offer(&mut self, key: u64, target: Target) {
        let item = Reverse((key, target));
        if self.0.len() < MOST {
            self.0.push(item);
        } else if let Some(mut lowest) = self.0.peek_mut()
            && item < *lowest
        {
            *lowest = item;
        }
    }

    fn into_targets(self) -> impl Iterator<Item = Target> {
        self.0.into_iter().map(|Reverse((_, target))| target)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn target(index: u32) -> Target {
        Target::V4((0xc000_0000 + index).to_be_bytes())
    }

    /// The index of the entry that expires next.
    const NEXT: u32 = 777;
    const BUSY: u32 = 98_530;

    /// Entries whose hits, activity and expiry each favour other sources.
    fn entry(index: u32, now: MonotonicNs) -> Entry {
        let idle = match index {
            NEXT => 599,
            index => u64::from(index % 590),
        };
        Entry {
            expires: now.plus(Duration::from_secs(600 - idle)),
            ttl_s: 600,
            hits: index,
            refreshes: 1,
            ..Entry::default()
        }
    }

    fn pool(filter: &str) -> Vec<Target> {
        let now = MonotonicNs::from_second(10_000);
        let filter = SourceFilter::new(filter);
        let mut pool = CandidatePool::new(now, &filter);
        for index in 0..100_000 {
            pool.offer(target(index), &entry(index, now));
        }
        pool.into_targets()
    }

    #[test]
    fn each_order_has_its_best_and_the_pool_stays_small() {
        let targets = pool("");
        assert!(targets.len() <= 3 * MOST, "{}", targets.len());
        for index in [99_999, 99_900, BUSY, NEXT] {
            assert!(targets.contains(&target(index)), "{index}");
        }
        assert!(!targets.contains(&target(500)));
    }

    #[test]
    fn those_that_match_the_filter_have_places_of_their_own() {
        let wanted = target(500);
        assert!(pool(&wanted.to_string()).contains(&wanted));
        let many = pool("192.0.2.0/23");
        assert!(many.contains(&"192.0.3.255".parse().unwrap()));
    }

    #[test]
    fn a_fixed_entry_and_one_without_packets_are_not_active() {
        let now = MonotonicNs::from_second(10_000);
        let filter = SourceFilter::default();
        let pool = CandidatePool::new(now, &filter);
        let active = entry(0, now);
        assert!(pool.is_active(&active));
        assert!(!pool.is_active(&Entry { ttl_s: 0, ..active }));
        let fresh = Entry {
            refreshes: 0,
            ..active
        };
        assert!(!pool.is_active(&fresh));
    }
}
