//! The gate's refusals, summed by source and wave.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{HistoryEvent, HistoryKind};
use crate::target::Target;
use crate::time::UnixSeconds;

/// The most sources of one wave whose refusals are recorded, so that forged
/// sources cannot fill the history. Refusals of further ones are summed.
const SOURCES: usize = 4_096;

/// The refusals of the current wave.
#[derive(Debug, Default)]
pub struct RefusalSums {
    wave: UnixSeconds,
    sources: HashMap<Target, Sum>,
    /// Refusals of sources beyond the maximum.
    others: Sum,
}

/// The refusals of a source since they were last taken.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    first: UnixSeconds,
    last: UnixSeconds,
    refused: u32,
    /// Those that the gate only observed.
    observed: u32,
}

impl Sum {
    fn add(&mut self, at: UnixSeconds, is_refused: bool) {
        if self.refused == 0 && self.observed == 0 {
            self.first = at;
        }
        self.last = at;
        let number = match is_refused {
            true => &mut self.refused,
            false => &mut self.observed,
        };
        *number = number.saturating_add(1);
    }

    /// The events since the last call, one for each kind.
    fn take(&mut self, source: Option<Target>, wave: UnixSeconds, events: &mut Vec<HistoryEvent>) {
        let counts = [
            (HistoryKind::Refused, self.refused),
            (HistoryKind::Observed, self.observed),
        ];
        for (kind, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            let net = source.map(Target::net);
            events.push(HistoryEvent {
                last: self.last,
                count: count.into(),
                continues: true,
                wave,
                ..HistoryEvent::new(kind, net, self.first)
            });
        }
        (self.refused, self.observed) = (0, 0);
    }
}

impl RefusalSums {
    /// Adds a refusal in the wave that began at `wave`. Take the sums of the
    /// last wave before. `is_refused`: the gate is on, and does not only
    /// observe.
    pub fn add(&mut self, source: IpAddr, wave: UnixSeconds, at: UnixSeconds, is_refused: bool) {
        if wave != self.wave {
            self.wave = wave;
            self.sources.clear();
        }
        let source = Target::alone(source);
        let sum = if self.sources.len() < SOURCES || self.sources.contains_key(&source) {
            self.sources.entry(source).or_default()
        } else {
            &mut self.others
        };
        sum.add(at, is_refused);
    }

    /// Whether these refusals belong to another wave than those that are still
    /// to be taken.
    #[must_use]
    pub fn is_of_other_wave(&self, wave: UnixSeconds) -> bool {
        self.wave != wave
    }

    /// Takes refusals since the last call, of at most this number of sources, sorted
    /// by source.
    pub fn take(&mut self, most: usize) -> Vec<HistoryEvent> {
        let mut events = Vec::new();
        let fresh = |(_, sum): &(&Target, &mut Sum)| sum.refused > 0 || sum.observed > 0;
        for (source, sum) in self.sources.iter_mut().filter(fresh).take(most) {
            sum.take(Some(*source), self.wave, &mut events);
        }
        events.sort_by_key(|event| event.net);
        self.others.take(None, self.wave, &mut events);
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0xc000_0200 + n).into()
    }

    fn at(seconds: u64) -> UnixSeconds {
        UnixSeconds::new(seconds)
    }

    #[test]
    fn refusals_are_summed_by_source_and_wave() {
        let mut sums = RefusalSums::default();
        sums.add(addr(1), at(100), at(101), true);
        sums.add(addr(2), at(100), at(102), false);
        sums.add(addr(1), at(100), at(103), true);
        let seen = |events: Vec<HistoryEvent>| -> Vec<_> {
            let row = |event: HistoryEvent| {
                let net = event.net.map(|net| net.addr());
                (
                    event.kind,
                    net,
                    event.count,
                    event.first.get(),
                    event.last.get(),
                )
            };
            events.into_iter().map(row).collect()
        };
        let (refused, observed) = (HistoryKind::Refused, HistoryKind::Observed);
        assert_eq!(
            seen(sums.take(usize::MAX)),
            [
                (refused, Some(addr(1)), 2, 101, 103),
                (observed, Some(addr(2)), 1, 102, 102)
            ]
        );
        assert_eq!(sums.take(usize::MAX), []);
        sums.add(addr(1), at(100), at(109), true);
        assert_eq!(
            seen(sums.take(usize::MAX)),
            [(refused, Some(addr(1)), 1, 109, 109)]
        );
        assert!(!sums.is_of_other_wave(at(100)) && sums.is_of_other_wave(at(500)));
        sums.add(addr(1), at(500), at(501), true);
        assert!(
            sums.take(usize::MAX)
                .iter()
                .all(|event| event.wave == at(500))
        );
    }

    #[test]
    fn a_flood_of_sources_is_one_row_beyond_the_maximum() {
        let mut sums = RefusalSums::default();
        let sources = u32::try_from(SOURCES).unwrap_or_default();
        for n in 0..sources + 9 {
            sums.add(addr(n), at(100), at(101), true);
        }
        assert_eq!(sums.take(9).len(), 9 + 1);
        let events = sums.take(usize::MAX);
        assert_eq!(events.len(), SOURCES - 9);
        sums.add(addr(sources), at(100), at(101), true);
        let events = sums.take(usize::MAX);
        let others = events.last().map(|event| (event.net, event.count));
        assert_eq!(others, Some((None, 1)));
        // The sources of the wave stay those that came first.
        sums.add(addr(sources + 1), at(100), at(102), true);
        assert_eq!(sums.take(usize::MAX).len(), 1);
    }
}
