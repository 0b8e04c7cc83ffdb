//! The gate's refusals, summed by source and wave.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{HistoryEvent, HistoryKind};
use crate::target::Target;
use crate::time::UnixSeconds;

/// The most sources whose refusals wait to be taken, so that forged sources cannot
/// fill the memory. The refusals of further sources are summed, without a source. There
/// is room again as soon as some were taken: no source keeps its place for a whole wave.
pub(super) const SOURCES: usize = 2_048;

/// The refusals since they were last taken.
#[derive(Debug, Default)]
pub struct RefusalSums {
    sums: HashMap<SumKey, Sum>,
}

/// The start of the wave, and the source; `None`: the sources beyond [`SOURCES`].
type SumKey = (UnixSeconds, Option<Target>);

/// The refusals of a source since they were last taken.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    first: UnixSeconds,
    last: UnixSeconds,
    refused: u32,
    /// Refusals that the gate only observed.
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

    /// The events, one for each kind.
    fn events(self, (wave, source): SumKey) -> impl Iterator<Item = HistoryEvent> {
        let counts = [
            (HistoryKind::Refused, self.refused),
            (HistoryKind::Observed, self.observed),
        ];
        let counts = counts.into_iter().filter(|(_, count)| *count > 0);
        counts.map(move |(kind, count)| HistoryEvent {
            last: self.last,
            count: count.into(),
            continues: true,
            wave,
            ..HistoryEvent::new(kind, source.map(Target::net), self.first)
        })
    }
}

impl RefusalSums {
    /// Adds a refusal in the wave that began at `wave`. `is_refused`: the gate is
    /// on, and does not only observe.
    pub fn add(&mut self, source: IpAddr, wave: UnixSeconds, at: UnixSeconds, is_refused: bool) {
        let key = (wave, Some(Target::alone(source)));
        let has_place = self.sums.len() < SOURCES || self.sums.contains_key(&key);
        let key = if has_place { key } else { (wave, None) };
        self.sums.entry(key).or_default().add(at, is_refused);
    }

    /// Takes the refusals of at most `most` sources, sorted by wave and source, and
    /// those that were summed without a source.
    pub fn take(&mut self, most: usize) -> Vec<HistoryEvent> {
        let (others, sources): (Vec<SumKey>, Vec<SumKey>) =
            self.sums.keys().partition(|(_, source)| source.is_none());
        let mut keys: Vec<SumKey> = sources.into_iter().take(most).chain(others).collect();
        keys.sort_unstable();
        let taken = keys
            .into_iter()
            .filter_map(|key| Some((key, self.sums.remove(&key)?)));
        taken.flat_map(|(key, sum)| sum.events(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0xc000_0200 + n).into()
    }

    fn second(seconds: u64) -> UnixSeconds {
        UnixSeconds::new(seconds)
    }

    #[test]
    fn refusals_are_summed_by_source_and_wave() {
        let mut sums = RefusalSums::default();
        sums.add(addr(1), second(100), second(101), true);
        sums.add(addr(2), second(100), second(102), false);
        sums.add(addr(1), second(100), second(103), true);
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
        sums.add(addr(1), second(100), second(109), true);
        assert_eq!(
            seen(sums.take(usize::MAX)),
            [(refused, Some(addr(1)), 1, 109, 109)]
        );
        // A later event continues the same row.
        sums.add(addr(1), second(100), second(110), true);
        assert!(sums.take(usize::MAX).iter().all(|event| event.continues));
        // The refusals of an older wave may still wait when the next wave begins.
        sums.add(addr(1), second(100), second(110), true);
        sums.add(addr(1), second(500), second(501), true);
        let waves = sums.take(usize::MAX).into_iter().map(|event| event.wave);
        assert!(waves.eq([second(100), second(500)]));
    }

    #[test]
    fn a_flood_of_sources_is_one_row_beyond_the_maximum() {
        let mut sums = RefusalSums::default();
        let sources = u32::try_from(SOURCES).unwrap_or_default();
        for n in 0..sources + 9 {
            sums.add(addr(n), second(100), second(101), true);
        }
        let others = sums.take(0);
        let others = others.iter().map(|event| (event.net, event.count));
        assert!(others.eq([(None, 9)]));
        assert_eq!(sums.take(usize::MAX).len(), SOURCES);
    }

    #[test]
    fn no_source_holds_its_place_for_the_whole_wave() {
        let mut sums = RefusalSums::default();
        let sources = u32::try_from(SOURCES).unwrap_or_default();
        for n in 0..sources {
            sums.add(addr(n), second(100), second(101), true);
        }
        assert_eq!(sums.take(9).len(), 9);
        sums.add(addr(sources), second(100), second(102), true);
        let events = sums.take(usize::MAX);
        let late = |event: &HistoryEvent| event.net == Some(addr(sources).into());
        assert_eq!(events.iter().filter(|event| late(event)).count(), 1);
    }
}
