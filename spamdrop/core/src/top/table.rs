//! The candidates, with their rates.

use std::cmp::{Ordering, Reverse};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use spamdrop_common::entry::Entry;

use super::filter::SourceFilter;
use crate::target::Target;
use crate::time::MonotonicNs;

/// The time over which a rate is measured. It is several seconds, because a sender
/// repeats its SYN only after seconds.
const WINDOW: Duration = Duration::from_secs(10);
/// The most sources that are looked up every second.
const MOST: usize = 600;

/// The order of the sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceOrder {
    /// Most hits per second first.
    #[default]
    Rate,
    /// Most hits first.
    Hits,
    /// The next to expire first.
    Expiry,
}

impl SourceOrder {
    /// Its name on the screen.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rate => "hits/s",
            Self::Hits => "hits",
            Self::Expiry => "expiry",
        }
    }

    /// The next order.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Rate => Self::Hits,
            Self::Hits => Self::Expiry,
            Self::Expiry => Self::Rate,
        }
    }
}

/// The figures by which sources are sorted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SourceKey {
    /// Hits per second.
    pub hits_per_s: f64,
    /// All hits.
    pub hits: u32,
    /// The time until the entry expires, from a moment that is the same for all
    /// sources.
    pub expires: Duration,
    /// The blocked address or prefix.
    pub target: Target,
}

impl SourceOrder {
    /// Compares two sources in this order.
    #[must_use]
    pub fn compare(self, a: &SourceKey, b: &SourceKey) -> Ordering {
        let hits = || b.hits.cmp(&a.hits);
        let by = match self {
            Self::Rate => b.hits_per_s.total_cmp(&a.hits_per_s).then_with(hits),
            Self::Hits => hits(),
            Self::Expiry => a.expires.cmp(&b.expires),
        };
        by.then_with(|| a.target.cmp(&b.target))
    }
}

/// A source with its rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SourceRate {
    /// The blocked address or prefix.
    pub target: Target,
    /// Its entry, as it was read last.
    pub entry: Entry,
    /// Hits per second in the last seconds; 0 until it was read twice.
    pub hits_per_s: f64,
}

/// The readings of an entry, the oldest first.
#[derive(Debug, Default)]
struct Readings {
    entry: Entry,
    hits: VecDeque<(MonotonicNs, u32)>,
}

impl Readings {
    fn add(&mut self, at: MonotonicNs, entry: Entry) {
        // With fewer hits than before, this is a new block: the old one has ended.
        if entry.hits < self.entry.hits {
            self.hits.clear();
        }
        self.entry = entry;
        self.hits.push_back((at, entry.hits));
        let is_old = |hits: &VecDeque<(MonotonicNs, u32)>| {
            let first = hits.get(1).or(hits.front());
            first.is_some_and(|(first, _)| at.elapsed_since(*first) >= WINDOW)
        };
        while self.hits.len() > 2 && is_old(&self.hits) {
            self.hits.pop_front();
        }
    }

    fn per_second(&self) -> f64 {
        let (Some((first, before)), Some((last, now))) = (self.hits.front(), self.hits.back())
        else {
            return 0.0;
        };
        let seconds = last.elapsed_since(*first).as_secs_f64();
        match seconds > 0.0 {
            true => f64::from(now.saturating_sub(*before)) / seconds,
            false => 0.0,
        }
    }
}

/// The sources that are looked up every second.
#[derive(Debug, Default)]
pub struct SourceTable(HashMap<Target, Readings>);

impl SourceTable {
    /// Replaces the sources by those of a read of all entries.
    pub fn replace(&mut self, targets: &[Target]) {
        self.0.retain(|target, _| targets.contains(target));
        self.add(targets.iter().copied());
    }

    /// Adds sources. If there are more than 600, removes those with the lowest rate
    /// and the fewest hits.
    pub fn add(&mut self, targets: impl IntoIterator<Item = Target>) {
        for target in targets {
            self.0.entry(target).or_default();
        }
        if self.0.len() > MOST {
            // New sources come first, because they have not been read yet.
            let key = |readings: &Readings| match readings.hits.len() {
                0 => (u64::MAX, 0),
                _ => ((readings.per_second() * 1e3) as u64, readings.entry.hits),
            };
            let mut all: Vec<_> = self.0.iter().map(|(it, read)| (key(read), *it)).collect();
            all.sort_unstable_by_key(|item| Reverse(*item));
            for (_, target) in all.drain(MOST..) {
                self.0.remove(&target);
            }
        }
    }

    /// The sources, sorted.
    #[must_use]
    pub fn targets(&self) -> Vec<Target> {
        let mut targets: Vec<Target> = self.0.keys().copied().collect();
        targets.sort_unstable();
        targets
    }

    /// Takes the live entries of the sources, which were read at `at`. Removes the
    /// sources that have none.
    pub fn read(&mut self, at: MonotonicNs, live: &HashMap<Target, Entry>) {
        self.0.retain(|target, readings| {
            let entry = live.get(target);
            entry.is_some_and(|entry| {
                readings.add(at, *entry);
                true
            })
        });
    }

    /// The sources that match the filter, in this order.
    #[must_use]
    pub fn sorted(&self, order: SourceOrder, filter: &SourceFilter) -> Vec<SourceRate> {
        let shown = self.0.iter().filter(|(target, _)| filter.matches(**target));
        let source = |(target, readings): (&Target, &Readings)| SourceRate {
            target: *target,
            entry: readings.entry,
            hits_per_s: readings.per_second(),
        };
        let mut all: Vec<SourceRate> = shown.map(source).collect();
        let key = |source: &SourceRate| SourceKey {
            hits_per_s: source.hits_per_s,
            hits: source.entry.hits,
            expires: source.entry.expires.elapsed_since(MonotonicNs::default()),
            target: source.target,
        };
        all.sort_by(|a, b| order.compare(&key(a), &key(b)));
        all
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    fn ms(millis: u64) -> MonotonicNs {
        MonotonicNs::from_second(1_000).plus(Duration::from_millis(millis))
    }

    fn live(entries: &[(&str, u32, u64)]) -> HashMap<Target, Entry> {
        let entry = |(text, hits, expires): &(&str, u32, u64)| {
            let entry = Entry {
                hits: *hits,
                expires: MonotonicNs::from_ns(*expires),
                ..Entry::default()
            };
            (target(text), entry)
        };
        entries.iter().map(entry).collect()
    }

    fn order(table: &SourceTable, order: SourceOrder) -> Vec<String> {
        let all = table.sorted(order, &SourceFilter::default());
        all.iter().map(|source| source.target.to_string()).collect()
    }

    #[test]
    fn rates_are_differences_and_each_order_has_its_first() {
        let mut table = SourceTable::default();
        let all = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
        table.replace(&all.map(target));
        assert_eq!(table.targets(), all.map(target));
        let [a, b, c] = all;
        table.read(ms(0), &live(&[(a, 900, 5), (b, 10, 9), (c, 50, 7)]));
        assert_eq!(order(&table, SourceOrder::Rate), [a, c, b]);
        table.read(ms(2_000), &live(&[(a, 901, 5), (b, 40, 9), (c, 50, 7)]));
        let rates = table.sorted(SourceOrder::Rate, &SourceFilter::default());
        let rates: Vec<f64> = rates.iter().map(|source| source.hits_per_s).collect();
        assert_eq!(rates, [15.0, 0.5, 0.0]);
        assert_eq!(order(&table, SourceOrder::Rate), [b, a, c]);
        assert_eq!(order(&table, SourceOrder::Hits), [a, c, b]);
        assert_eq!(order(&table, SourceOrder::Expiry), [a, c, b]);
        let filter = SourceFilter::new(b);
        assert_eq!(table.sorted(SourceOrder::Hits, &filter).len(), 1);
    }

    #[test]
    fn a_rate_is_that_of_the_last_seconds() {
        let mut table = SourceTable::default();
        let one = "192.0.2.1";
        table.replace(&[target(one)]);
        for second in 0..30 {
            let hits = u32::try_from(second).unwrap().min(20) * 7;
            table.read(ms(second * 1_000), &live(&[(one, hits, 5)]));
        }
        let rate = |table: &SourceTable| {
            let all = table.sorted(SourceOrder::Rate, &SourceFilter::default());
            all[0].hits_per_s
        };
        // Only one of the last ten seconds had hits.
        assert!((rate(&table) - 0.7).abs() < 1e-9, "{}", rate(&table));
        // Another block of the same source.
        table.read(ms(30_000), &live(&[(one, 3, 5)]));
        assert!(rate(&table).abs() < 1e-9);
        table.read(ms(31_000), &live(&[(one, 5, 5)]));
        assert!((rate(&table) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn an_entry_that_ended_goes_and_one_that_stays_keeps_its_readings() {
        let mut table = SourceTable::default();
        table.replace(&["192.0.2.1", "192.0.2.2"].map(target));
        table.read(ms(0), &live(&[("192.0.2.1", 1, 5), ("192.0.2.2", 1, 5)]));
        table.read(ms(1_000), &live(&[("192.0.2.1", 5, 5)]));
        assert_eq!(order(&table, SourceOrder::Rate), ["192.0.2.1"]);
        table.replace(&["192.0.2.1", "192.0.2.9"].map(target));
        let rates = table.sorted(SourceOrder::Rate, &SourceFilter::default());
        assert!((rates[0].hits_per_s - 4.0).abs() < 1e-9);
    }

    #[test]
    fn beyond_a_number_the_quietest_go() {
        let mut table = SourceTable::default();
        let address = |index: usize| Target::V4(u32::try_from(index).unwrap().to_be_bytes());
        table.add((0..MOST).map(address));
        let entry = |index: usize| Entry {
            hits: u32::try_from(index).unwrap(),
            ..Entry::default()
        };
        let all: HashMap<_, _> = (0..MOST).map(|i| (address(i), entry(i))).collect();
        table.read(ms(0), &all);
        table.add([address(9_999)]);
        let targets = table.targets();
        assert_eq!(targets.len(), MOST);
        assert!(targets.contains(&address(9_999)) && !targets.contains(&address(0)));
    }
}
