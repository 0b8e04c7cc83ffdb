//! The sources of a wave, and the log's evidence about them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use std::collections::HashMap;

use crate::target::Target;

/// The most sources of one wave that are counted.
pub(super) const MAX: usize = 262_144;
/// The most waits of wanted mail that are kept.
const WAITS: usize = 100;

/// The evidence of a log line about a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaveEvidence {
    /// A zone lists it.
    Listed,
    /// Its message was accepted.
    Accepted,
}

/// Numbers of sources: IPv4 addresses and IPv6 /64s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceCounts {
    /// Sources that were delayed, or that the log has evidence about.
    pub sources: u64,
    /// Whether there were more sources than the limit.
    pub more_sources: bool,
    /// Sources that were found listed.
    pub listed: u64,
    /// Sources whose mail was accepted.
    pub accepted: u64,
    /// Sources that came while their class had to wait: they were refused,
    /// would have been refused, or passed so that the class does not starve.
    pub delayed: u64,
    /// Delayed sources that were found listed.
    pub delayed_listed: u64,
    /// Delayed sources whose mail was accepted later.
    pub delayed_accepted: u64,
}

impl SourceCounts {
    /// The sums. A source of several waves counts once in each.
    #[must_use]
    pub fn plus(&self, more: &Self) -> Self {
        Self {
            sources: self.sources.saturating_add(more.sources),
            more_sources: self.more_sources || more.more_sources,
            listed: self.listed.saturating_add(more.listed),
            accepted: self.accepted.saturating_add(more.accepted),
            delayed: self.delayed.saturating_add(more.delayed),
            delayed_listed: self.delayed_listed.saturating_add(more.delayed_listed),
            delayed_accepted: self.delayed_accepted.saturating_add(more.delayed_accepted),
        }
    }
}

/// The sources of a wave, each counted once.
#[derive(Debug)]
pub(super) struct Sources {
    all: HashMap<Target, SeenSource>,
    capacity: usize,
    pub counts: SourceCounts,
    /// The longest time from a first refusal to accepted mail.
    pub longest_wait: Option<Duration>,
    /// The longest time from a first refusal to the rejection of a listed
    /// source.
    pub longest_listed_wait: Option<Duration>,
    /// The longest waits of accepted mail.
    waits: Vec<MailWait>,
}

/// The first refusal of a source and its wait, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct MailWait {
    /// Since the start of the wave.
    at: u32,
    wait: u32,
}

/// One source, in eight bytes.
#[derive(Clone, Copy, Debug, Default)]
struct SeenSource {
    /// 1 + milliseconds from the wave's start to the first refusal; 0 = never
    /// refused.
    delayed: u32,
    listed: bool,
    accepted: bool,
    /// As `listed` and `accepted`, but after the first refusal.
    listed_later: bool,
    accepted_later: bool,
}

impl Sources {
    pub fn new(capacity: usize) -> Self {
        Self {
            all: HashMap::new(),
            capacity,
            counts: SourceCounts::default(),
            longest_wait: None,
            longest_listed_wait: None,
            waits: Vec::new(),
        }
    }

    /// The longest waits of accepted mail, in the order in which they began. Each
    /// is the time from the wave's start to the first refusal, and the wait.
    pub fn waits(&self) -> Vec<(Duration, Duration)> {
        let mut waits = self.waits.clone();
        waits.sort_by_key(|wait| wait.at);
        let time = |millis: u32| Duration::from_millis(millis.into());
        waits
            .iter()
            .map(|wait| (time(wait.at), time(wait.wait)))
            .collect()
    }

    /// Whether the source was refused.
    pub fn was_delayed(&self, source: Target) -> bool {
        self.all.get(&source).is_some_and(|seen| seen.delayed != 0)
    }

    /// Records a refusal, `at` after the wave's start.
    pub fn delayed(&mut self, source: Target, at: Duration) {
        if let Some(seen) = find(&mut self.all, self.capacity, &mut self.counts, source)
            && seen.delayed == 0
        {
            seen.delayed = millis(at).saturating_add(1);
            self.counts.delayed += 1;
        }
    }

    /// Records a log line, `at` after the wave's start.
    pub fn heard(&mut self, source: Target, heard: WaveEvidence, at: Duration) {
        let counts = &mut self.counts;
        let Some(seen) = find(&mut self.all, self.capacity, counts, source) else {
            return;
        };
        let (once, number, later, number_later, longest) = match heard {
            WaveEvidence::Listed => (
                &mut seen.listed,
                &mut counts.listed,
                &mut seen.listed_later,
                &mut counts.delayed_listed,
                &mut self.longest_listed_wait,
            ),
            WaveEvidence::Accepted => (
                &mut seen.accepted,
                &mut counts.accepted,
                &mut seen.accepted_later,
                &mut counts.delayed_accepted,
                &mut self.longest_wait,
            ),
        };
        *number += u64::from(!*once);
        *once = true;
        if seen.delayed == 0 || *later {
            return;
        }
        *later = true;
        *number_later += 1;
        // The first log line after a refusal ends the wait.
        if seen.listed_later != seen.accepted_later {
            let refused = seen.delayed - 1;
            let wait = millis(at).saturating_sub(refused);
            *longest = (*longest).max(Some(Duration::from_millis(wait.into())));
            if heard == WaveEvidence::Accepted {
                insert_longest(&mut self.waits, MailWait { at: refused, wait });
            }
        }
    }
}

/// Adds a wait. If there are [`WAITS`] already, the new one replaces the shortest of
/// them, if that is shorter than the new one.
fn insert_longest(waits: &mut Vec<MailWait>, new: MailWait) {
    if waits.len() < WAITS {
        waits.push(new);
    } else if let Some(shortest) = waits.iter_mut().min_by_key(|wait| wait.wait)
        && shortest.wait < new.wait
    {
        *shortest = new;
    }
}

fn find<'a>(
    all: &'a mut HashMap<Target, SeenSource>,
    capacity: usize,
    counts: &mut SourceCounts,
    source: Target,
) -> Option<&'a mut SeenSource> {
    if all.len() >= capacity && !all.contains_key(&source) {
        counts.more_sources = true;
        return None;
    }
    let seen = all.entry(source).or_insert_with(|| {
        counts.sources += 1;
        SeenSource::default()
    });
    Some(seen)
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(n: u8) -> Target {
        Target::V4([192, 0, 2, n])
    }

    fn second(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn each_counts_once() {
        let mut sources = Sources::new(9);
        for _ in 0..2 {
            sources.delayed(source(1), second(0));
            sources.heard(source(1), WaveEvidence::Listed, second(1));
            sources.heard(source(2), WaveEvidence::Accepted, second(1));
            sources.delayed(source(3), second(1));
            sources.heard(source(3), WaveEvidence::Accepted, second(2));
            sources.delayed(source(4), second(1));
        }
        let expected = SourceCounts {
            sources: 4,
            more_sources: false,
            listed: 1,
            accepted: 2,
            delayed: 3,
            delayed_listed: 1,
            delayed_accepted: 1,
        };
        assert_eq!(sources.counts, expected);
        assert!(sources.was_delayed(source(4)) && !sources.was_delayed(source(2)));
    }

    #[test]
    fn a_wait_goes_from_the_first_refusal_to_the_first_that_is_heard() {
        let mut sources = Sources::new(9);
        // Evidence from before the refusal does not end the wait.
        sources.heard(source(1), WaveEvidence::Accepted, second(0));
        sources.delayed(source(1), second(3));
        assert_eq!(sources.counts.delayed_accepted, 0);
        sources.delayed(source(1), second(5));
        sources.heard(source(1), WaveEvidence::Accepted, second(10));
        sources.heard(source(1), WaveEvidence::Accepted, second(90));
        sources.delayed(source(2), second(5));
        sources.heard(source(2), WaveEvidence::Listed, second(9));
        // The wait of source 2 has ended with the listing.
        sources.heard(source(2), WaveEvidence::Accepted, second(99));
        assert_eq!(sources.longest_wait, Some(second(7)));
        assert_eq!(sources.longest_listed_wait, Some(second(4)));
        sources.delayed(source(3), second(20));
        sources.heard(source(3), WaveEvidence::Accepted, second(19));
        assert_eq!(sources.longest_wait, Some(second(7)));
        assert_eq!(sources.counts.delayed_accepted, 3);
    }

    #[test]
    fn the_longest_waits_are_kept_in_their_order() {
        let mut sources = Sources::new(1_000);
        for n in 0..=u8::MAX {
            sources.delayed(source(n), second(u64::from(n)));
            let heard = match n {
                7 => WaveEvidence::Listed,
                _ => WaveEvidence::Accepted,
            };
            // The sources that were delayed first wait longest.
            sources.heard(source(n), heard, second(1_000 - u64::from(n)));
        }
        let waits = sources.waits();
        assert_eq!(waits.len(), WAITS);
        assert_eq!(waits[0], (second(0), second(1_000)));
        assert_eq!(
            waits[6..8],
            [(second(6), second(988)), (second(8), second(984))]
        );
        assert_eq!(waits[99], (second(100), second(800)));
    }

    #[test]
    fn beyond_what_fits_there_are_more() {
        let mut sources = Sources::new(2);
        for n in [1, 2, 1, 3, 4] {
            sources.delayed(source(n), second(0));
        }
        sources.heard(source(3), WaveEvidence::Listed, second(1));
        sources.heard(source(2), WaveEvidence::Listed, second(1));
        let SourceCounts {
            sources: number,
            more_sources,
            delayed_listed,
            ..
        } = sources.counts;
        assert_eq!((number, more_sources, delayed_listed), (2, true, 1));
    }
}
