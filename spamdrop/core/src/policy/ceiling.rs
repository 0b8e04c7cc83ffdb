//! Stops blocking when a blocklist seems to have gone wrong.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::known_senders::{KnownSenders, Since};
use super::windows::LastMinute;

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
    /// Too many of the known senders are refused.
    Share {
        /// Known senders that were refused after they were last accepted.
        refused: u32,
        /// Known senders that were accepted or refused in the last 24 h.
        known: u32,
    },
}

impl fmt::Display for Trip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate { offences, limit } => write!(
                f,
                "{offences} offences by new addresses in the last minute, limit {limit}"
            ),
            Self::Share { refused, known } => write!(
                f,
                "{refused} of the {known} known senders of the last 24 h are refused now"
            ),
        }
    }
}

/// The ceiling. Either limit trips it. It recovers without the administrator.
#[derive(Debug)]
pub(super) struct Ceiling {
    limit: u32,
    offences: LastMinute,
    rate_tripped: bool,
    known: KnownSenders,
    share_tripped: bool,
}

/// The smallest number of refused known senders that trips the ceiling.
const MIN_REFUSED: u32 = 5;
/// The fraction of known senders (1/5) whose refusal trips the ceiling.
const ONE_IN: u32 = 5;

impl Ceiling {
    pub(super) fn new(max_new_per_minute: u32) -> Self {
        Self {
            limit: max_new_per_minute,
            offences: LastMinute::default(),
            rate_tripped: false,
            known: KnownSenders::default(),
            share_tripped: false,
        }
    }

    pub(super) fn set_limit(&mut self, max_new_per_minute: u32) {
        self.limit = max_new_per_minute;
    }

    /// Adds a known sender.
    pub(super) fn know(&mut self, addr: IpAddr, since: Since, now: Duration) {
        self.known.add(addr, since, now);
    }

    /// Replaces the known senders.
    pub(super) fn know_exactly(&mut self, known: impl Iterator<Item = IpAddr>, now: Duration) {
        self.known.replace(known, now);
    }

    /// Records that the mail of a source was accepted `age` ago.
    pub(super) fn accepted(&mut self, addr: IpAddr, age: Duration, now: Duration) {
        self.known.accept(addr, age, now);
    }

    /// Records that a source was refused.
    pub(super) fn refused(&mut self, addr: IpAddr, now: Duration) {
        self.known.refuse(addr, now);
    }

    /// Ends a trip: forgets what counts towards both limits.
    pub(super) fn reset(&mut self) {
        self.known.pardon();
        self.offences = LastMinute::default();
        (self.share_tripped, self.rate_tripped) = (false, false);
    }

    /// Counts an offence, and returns whether the ceiling lets its address be
    /// blocked. `new`: the address is not blocked yet; only such offences count.
    pub(super) fn admits(&mut self, new: bool, now: Duration) -> bool {
        if new {
            self.offences.count(now);
        }
        self.trip(now).is_none()
    }

    pub(super) fn trip(&mut self, now: Duration) -> Option<Trip> {
        self.share(now).or_else(|| self.rate(now))
    }

    /// Whether the ceiling was tripped at the last check.
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

    /// Checks the limits of refused known senders. A trip lasts while half of each limit
    /// is reached, so that the ceiling does not trip and recover in turns.
    fn share(&mut self, now: Duration) -> Option<Trip> {
        let (refused, known) = self.known.count(now);
        let twice = if self.share_tripped { 2 } else { 1 };
        self.share_tripped = refused * twice >= MIN_REFUSED && refused * twice * ONE_IN >= known;
        self.share_tripped.then_some(Trip::Share { refused, known })
    }
}

#[cfg(test)]
mod tests;
