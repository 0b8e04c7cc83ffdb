//! Stops blocking when a blocklist seems to have gone wrong.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::recent_senders::RecentSenders;

/// The limit that has tripped the ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trip {
    /// Too many addresses would be blocked within a minute.
    Rate {
        /// Offences in the last minute by addresses that are not blocked.
        offences: u32,
        /// The highest allowed number.
        limit: u32,
    },
    /// Too many of the sources whose mail was accepted are refused.
    Share {
        /// Sources that were refused after they were last accepted.
        refused: u32,
        /// Sources that were accepted in the last 24 h.
        known: u32,
    },
}

impl fmt::Display for Trip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate { offences, limit } => write!(
                f,
                "{offences} offences by new addresses in the last minute, of at most {limit}"
            ),
            Self::Share { refused, known } => write!(
                f,
                "{refused} of the {known} sources whose mail was accepted in the last 24 h are \
                 refused now"
            ),
        }
    }
}

/// The ceiling. Either limit trips it; it recovers by itself.
#[derive(Debug)]
pub(super) struct Ceiling {
    limit: u32,
    offences: LastMinute,
    rate_tripped: bool,
    known: RecentSenders,
    share_tripped: bool,
}

/// The smallest number of refused sources that trips it.
const MIN_REFUSED: u32 = 5;
/// The fraction of known sources (1/5) whose refusal trips it.
const ONE_IN: u32 = 5;

impl Ceiling {
    pub(super) fn new(max_new_per_minute: u32) -> Self {
        Self {
            limit: max_new_per_minute,
            offences: LastMinute::default(),
            rate_tripped: false,
            known: RecentSenders::default(),
            share_tripped: false,
        }
    }

    pub(super) fn set_limit(&mut self, max_new_per_minute: u32) {
        self.limit = max_new_per_minute;
    }

    /// Remembers a source whose mail was accepted. Returns false if that is too
    /// long ago.
    pub(super) fn accepted(&mut self, addr: IpAddr, age: Duration, now: Duration) -> bool {
        self.known.accept(addr, age, now)
    }

    /// Records that a source was refused.
    pub(super) fn refused(&mut self, addr: IpAddr) {
        self.known.refuse(addr);
    }

    /// Whether an address may be blocked; `new` if it is not blocked yet.
    pub(super) fn admits(&mut self, new: bool, now: Duration) -> bool {
        if new {
            self.offences.count(now);
        }
        self.trip(now).is_none()
    }

    pub(super) fn trip(&mut self, now: Duration) -> Option<Trip> {
        self.share(now).or_else(|| self.rate(now))
    }

    /// Whether it was tripped at the last check.
    pub(super) fn is_tripped(&self) -> bool {
        self.share_tripped || self.rate_tripped
    }

    fn rate(&mut self, now: Duration) -> Option<Trip> {
        let offences = self.offences.total(now);
        self.rate_tripped = if self.rate_tripped {
            offences >= self.limit
        } else {
            offences > self.limit
        };
        self.rate_tripped.then_some(Trip::Rate {
            offences,
            limit: self.limit,
        })
    }

    /// Recovers at half of the limit, so that it does not flutter.
    fn share(&mut self, now: Duration) -> Option<Trip> {
        let (refused, known) = self.known.count(now);
        let twice = if self.share_tripped { 2 } else { 1 };
        self.share_tripped = refused * twice >= MIN_REFUSED && refused * twice * ONE_IN >= known;
        self.share_tripped.then_some(Trip::Share { refused, known })
    }
}

const SECONDS: usize = 60;

/// Number of events in the last minute, per second.
#[derive(Debug)]
struct LastMinute {
    counts: [u32; SECONDS],
    total: u32,
    second: u64,
}

impl Default for LastMinute {
    fn default() -> Self {
        Self {
            counts: [0; SECONDS],
            total: 0,
            second: 0,
        }
    }
}

impl LastMinute {
    fn count(&mut self, now: Duration) {
        self.advance(now);
        if let Some(count) = self.counts.get_mut(slot(self.second)) {
            *count += 1;
            self.total += 1;
        }
    }

    fn total(&mut self, now: Duration) -> u32 {
        self.advance(now);
        self.total
    }

    fn advance(&mut self, now: Duration) {
        let second = now.as_secs().max(self.second);
        let passed = (second - self.second).min(SECONDS as u64);
        for past in 1..=passed {
            if let Some(count) = self.counts.get_mut(slot(self.second + past)) {
                self.total -= *count;
                *count = 0;
            }
        }
        self.second = second;
    }
}

fn slot(second: u64) -> usize {
    (second % SECONDS as u64) as usize
}

#[cfg(test)]
mod tests;
