//! The record of a source, and the standing that follows from it.
//!
//! Records of the same source can be joined in any order and more than once.
//! Logs may be read backwards, twice, or by the daemon as well, with the same
//! result.

use std::time::Duration;

use serde::Serialize;

use super::deliveries::{Deliveries, Recipient};
use crate::time::UnixSeconds;

/// How long evidence counts.
const KEPT: Duration = Duration::from_secs(36 * 86_400);
/// The number of acceptances that makes a source known.
const ACCEPTANCES: usize = 3;
/// The time of an event that has not happened.
const NEVER: UnixSeconds = UnixSeconds::new(0);
/// The resolution of [`UnixSeconds`].
const SECOND: Duration = Duration::from_secs(1);

/// The record of a source: only the data that its standing depends on. The time
/// 0 means never. Acceptances within one second count as one. Days are UTC
/// days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The last acceptances since the last demotion, newest first.
    pub recent: [UnixSeconds; ACCEPTANCES],
    /// The last acceptance since the last demotion that was on an earlier day
    /// than `recent[0]`.
    pub earlier_day: UnixSeconds,
    /// The last acceptance, also before a demotion; 0 if the source was removed by
    /// hand since.
    pub last_accepted: UnixSeconds,
    /// The messages that the source accepted from this server.
    pub deliveries: Deliveries,
    /// The last demotion. Earlier events do not count.
    pub demoted: UnixSeconds,
    /// The time at which the administrator added the source; 0 if it was removed
    /// by hand since.
    pub by_hand: UnixSeconds,
    /// The time at which the administrator removed the source.
    pub removed: UnixSeconds,
}

/// The standing of a source. The order is that in which records are evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SenderStanding {
    /// All of its evidence has expired.
    Void,
    /// Demoted, and not accepted since.
    Demoted,
    /// Mail was accepted, but too little to be known.
    Unproven,
    /// Accepted at least three times, on at least two days, within 36 days; or
    /// accepted messages from this server on two days, to different recipients,
    /// within 36 days.
    Known,
    /// Added by hand: known until it is removed by hand.
    ByHand,
}

impl SenderStanding {
    /// Whether the source counts as a known sender.
    #[must_use]
    pub const fn is_known(self) -> bool {
        matches!(self, Self::Known | Self::ByHand)
    }
}

impl Record {
    /// The record of an accepted message.
    #[must_use]
    pub fn accepted(at: UnixSeconds) -> Self {
        Self {
            recent: [at, NEVER, NEVER],
            last_accepted: at,
            ..Self::default()
        }
    }

    /// The record of a message that the source accepted from this server.
    #[must_use]
    pub fn delivered(at: UnixSeconds, recipient: Recipient) -> Self {
        Self {
            deliveries: Deliveries::single(at, recipient),
            ..Self::default()
        }
    }

    /// The record of a demotion.
    #[must_use]
    pub fn demoted(at: UnixSeconds) -> Self {
        Self {
            demoted: at,
            ..Self::default()
        }
    }

    /// Joins two records of the same source.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        let demoted = self.demoted.max(other.demoted);
        let [a, b, c] = self.recent;
        let [d, e, f] = other.recent;
        let stamps = [a, b, c, d, e, f, self.earlier_day, other.earlier_day];
        let mut stamps = stamps.map(|at| if at > demoted { at } else { NEVER });
        stamps.sort_unstable_by(|a, b| b.cmp(a));
        let newest = stamps[0].day();
        let earlier = stamps.iter().find(|at| at.day() < newest);
        let mut distinct = stamps.chunk_by(|a, b| a == b).map(|same| same[0]);
        let by_hand = self.by_hand.max(other.by_hand);
        let removed = self.removed.max(other.removed);
        Self {
            recent: std::array::from_fn(|_| distinct.next().unwrap_or(NEVER)),
            earlier_day: earlier.copied().unwrap_or(NEVER),
            last_accepted: self.last_accepted.max(other.last_accepted),
            deliveries: self.deliveries.join(other.deliveries),
            demoted,
            by_hand: if by_hand > removed { by_hand } else { NEVER },
            removed,
        }
    }

    /// The record without a demotion after `now`, for a reader of an old log. A
    /// removal by hand stays. The evidence that the demotion erased is not
    /// restored.
    #[must_use]
    pub fn without_later_demotion(self, now: UnixSeconds) -> Self {
        match self.demoted > now {
            // A removal by hand is a demotion, too.
            true => Self {
                demoted: self.removed,
                ..self
            },
            false => self,
        }
    }

    /// Adds the source by hand, whatever its standing.
    #[must_use]
    pub fn added(self, now: UnixSeconds) -> Self {
        let by_hand = now.max(self.removed.plus(SECOND));
        Self { by_hand, ..self }
    }

    /// Removes the source by hand: only new evidence can make it known again. Its
    /// last acceptance is removed too, so that the ceiling does not count it as a
    /// known sender that is refused.
    #[must_use]
    pub fn removed(self, now: UnixSeconds) -> Self {
        let at = now.max(self.last());
        let removed = Self {
            removed: at,
            ..Self::demoted(at)
        };
        Self {
            last_accepted: NEVER,
            ..self.join(removed)
        }
    }

    /// The standing at `now`.
    #[must_use]
    pub fn standing(&self, now: UnixSeconds) -> SenderStanding {
        let counts = |at| !is_too_old(at, now);
        let [newest, .., enough] = self.recent;
        if self.by_hand != NEVER {
            SenderStanding::ByHand
        } else if counts(self.deliveries.proof(self.demoted))
            || counts(enough) && counts(self.earlier_day)
        {
            SenderStanding::Known
        } else if counts(newest) || counts(self.counting_delivery()) {
            SenderStanding::Unproven
        } else if counts(self.demoted) {
            SenderStanding::Demoted
        } else {
            SenderStanding::Void
        }
    }

    /// Whether the record has ever had positive evidence. A demotion without any
    /// is not worth storing.
    pub fn is_of_interest(&self) -> bool {
        self.last_accepted != NEVER || self.last_delivered() != NEVER || self.by_hand != NEVER
    }

    /// Whether the record has positive evidence since the last demotion.
    pub fn is_good(&self) -> bool {
        self.recent[0] != NEVER || self.counting_delivery() != NEVER || self.by_hand != NEVER
    }

    /// The last delivery, unless the source was demoted since; otherwise 0.
    fn counting_delivery(&self) -> UnixSeconds {
        match self.last_delivered() {
            at if at > self.demoted => at,
            _ => NEVER,
        }
    }

    /// The time at which the source's mail was last accepted; 0: never.
    #[must_use]
    pub fn last_accepted(&self) -> UnixSeconds {
        self.last_accepted
    }

    /// The time at which the source last accepted a message from this server; 0:
    /// never.
    #[must_use]
    pub fn last_delivered(&self) -> UnixSeconds {
        self.deliveries.last()
    }

    /// The time of the last demotion; 0: never.
    #[must_use]
    pub fn last_demoted(&self) -> UnixSeconds {
        self.demoted
    }

    /// The time until which the evidence of the log keeps the source known, apart
    /// from an addition by hand; 0 if that evidence does not make it known.
    #[must_use]
    pub fn known_until(&self) -> UnixSeconds {
        let [.., enough] = self.recent;
        let by_delivery = self.deliveries.proof(self.demoted);
        match enough.min(self.earlier_day).max(by_delivery) {
            NEVER => NEVER,
            oldest => oldest.plus(KEPT),
        }
    }

    /// The time of the last event that counts.
    pub fn last(&self) -> UnixSeconds {
        self.recent[0]
            .max(self.last_delivered())
            .max(self.demoted)
            .max(self.by_hand)
    }
}

/// Whether evidence of this time has expired.
pub fn is_too_old(at: UnixSeconds, now: UnixSeconds) -> bool {
    at == NEVER || at < now.minus(KEPT)
}

#[cfg(test)]
mod tests;
