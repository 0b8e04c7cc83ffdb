//! Numbers of events in a sliding window.

use std::time::Duration;

/// The number of parts of a window.
const PARTS: usize = 60;

/// Number of events in the last minute, accurate to a second.
pub(super) type LastMinute = Window<1>;
/// Number of events in the last hour, accurate to a minute.
pub(super) type LastHour = Window<60>;

/// Number of events in the last 60 parts of `SECONDS` seconds.
#[derive(Debug)]
pub(super) struct Window<const SECONDS: u64> {
    counts: [u32; PARTS],
    total: u32,
    /// The number of the current part.
    part: u64,
}

impl<const SECONDS: u64> Default for Window<SECONDS> {
    fn default() -> Self {
        Self {
            counts: [0; PARTS],
            total: 0,
            part: 0,
        }
    }
}

impl<const SECONDS: u64> Window<SECONDS> {
    /// Counts an event.
    pub(super) fn count(&mut self, now: Duration) {
        self.advance(now);
        if let Some(count) = self.counts.get_mut(index(self.part)) {
            *count += 1;
            self.total += 1;
        }
    }

    /// The number of events.
    pub(super) fn total(&mut self, now: Duration) -> u32 {
        self.advance(now);
        self.total
    }

    fn advance(&mut self, now: Duration) {
        let part = (now.as_secs() / SECONDS).max(self.part);
        let passed = (part - self.part).min(PARTS as u64);
        for past in 1..=passed {
            if let Some(count) = self.counts.get_mut(index(self.part + past)) {
                self.total -= *count;
                *count = 0;
            }
        }
        self.part = part;
    }
}

fn index(part: u64) -> usize {
    (part % PARTS as u64) as usize
}
