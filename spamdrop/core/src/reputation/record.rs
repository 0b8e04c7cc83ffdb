//! What is remembered of a source, and the standing that follows from it.
//!
//! Records of the same source can be joined in any order and more than once:
//! logs may be read backwards, twice, or by the daemon as well, and the result
//! is the same.

use std::time::Duration;

use serde::Serialize;

use crate::time::UnixSeconds;

/// How long evidence counts.
const KEPT: Duration = Duration::from_secs(36 * 86_400);
/// How many acceptances make a source known.
const ACCEPTANCES: usize = 3;
/// The time of what has not happened.
const NEVER: UnixSeconds = UnixSeconds::new(0);
/// The shortest step of [`UnixSeconds`].
const SECOND: Duration = Duration::from_secs(1);

/// What is remembered of a source: as little as the rule needs. The time 0
/// means never. Acceptances within one second are one. Days are those of UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The newest acceptances since it was demoted, the newest first.
    pub recent: [UnixSeconds; ACCEPTANCES],
    /// The newest of them on a day before that of the newest.
    pub earlier_day: UnixSeconds,
    /// The newest acceptance of all, unless it was removed by hand since.
    pub last_accepted: UnixSeconds,
    /// When it last took a message from us.
    pub delivered: UnixSeconds,
    /// When it was last found to be bad; what happened until then does not
    /// count.
    pub demoted: UnixSeconds,
    /// When it was added by hand.
    pub by_hand: UnixSeconds,
}

/// The standing of a source, the most expendable first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SenderStanding {
    /// None of its evidence counts any more.
    Void,
    /// Demoted, and not accepted since.
    Demoted,
    /// Accepted, but too seldom.
    Unproven,
    /// Accepted at least three times, on at least two days, within 36 days; or
    /// delivered to within 36 days.
    Known,
    /// Added by hand: known until it is demoted or removed.
    ByHand,
}

impl SenderStanding {
    /// Whether the source counts as a good one.
    #[must_use]
    pub const fn is_known(self) -> bool {
        matches!(self, Self::Known | Self::ByHand)
    }
}

impl Record {
    /// A message was accepted.
    #[must_use]
    pub fn accepted(at: UnixSeconds) -> Self {
        Self {
            recent: [at, NEVER, NEVER],
            last_accepted: at,
            ..Self::default()
        }
    }

    /// It took a message from us.
    #[must_use]
    pub fn delivered(at: UnixSeconds) -> Self {
        Self {
            delivered: at,
            ..Self::default()
        }
    }

    /// It was found to be bad.
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
        let counts = |at: &UnixSeconds| *at > demoted;
        let mut stamps = [self.recent, other.recent].concat();
        stamps.extend([self.earlier_day, other.earlier_day]);
        stamps.retain(counts);
        stamps.sort_unstable_by(|a, b| b.cmp(a));
        stamps.dedup();
        let nth = |n: usize| stamps.get(n).copied().unwrap_or(NEVER);
        let earlier = stamps.iter().find(|at| at.day() < nth(0).day());
        let by_hand = self.by_hand.max(other.by_hand);
        Self {
            recent: std::array::from_fn(nth),
            earlier_day: earlier.copied().unwrap_or(NEVER),
            last_accepted: self.last_accepted.max(other.last_accepted),
            delivered: self.delivered.max(other.delivered),
            demoted,
            by_hand: if counts(&by_hand) { by_hand } else { NEVER },
        }
    }

    /// Adds it by hand, whatever its standing.
    #[must_use]
    pub fn added(self, now: UnixSeconds) -> Self {
        let by_hand = now.max(self.demoted.plus(SECOND));
        Self { by_hand, ..self }
    }

    /// Removes it by hand: it has to earn its standing anew. Its last
    /// acceptance is forgotten too, so that it does not look refused to the
    /// ceiling.
    #[must_use]
    pub fn removed(self, now: UnixSeconds) -> Self {
        let demoted = self.join(Self::demoted(now.max(self.last())));
        Self {
            last_accepted: NEVER,
            ..demoted
        }
    }

    /// Its standing now.
    #[must_use]
    pub fn standing(&self, now: UnixSeconds) -> SenderStanding {
        let counts = |at| !is_too_old(at, now);
        let [newest, .., enough] = self.recent;
        if self.by_hand != NEVER {
            SenderStanding::ByHand
        } else if counts(self.counting_delivery()) || counts(enough) && counts(self.earlier_day) {
            SenderStanding::Known
        } else if counts(newest) {
            SenderStanding::Unproven
        } else if counts(self.demoted) {
            SenderStanding::Demoted
        } else {
            SenderStanding::Void
        }
    }

    /// Whether it ever did anything good. Without that, a demotion says nothing
    /// worth storing.
    pub fn is_of_interest(&self) -> bool {
        self.last_accepted != NEVER || self.delivered != NEVER || self.by_hand != NEVER
    }

    /// Whether anything good still counts.
    pub fn is_good(&self) -> bool {
        self.recent[0] != NEVER || self.counting_delivery() != NEVER || self.by_hand != NEVER
    }

    /// The last delivery, unless it was demoted since; otherwise 0.
    fn counting_delivery(&self) -> UnixSeconds {
        if self.delivered > self.demoted {
            self.delivered
        } else {
            NEVER
        }
    }

    /// When its mail was last accepted; 0: never.
    #[must_use]
    pub fn last_accepted(&self) -> UnixSeconds {
        self.last_accepted
    }

    /// When it last took a message from us; 0: never.
    #[must_use]
    pub fn last_delivered(&self) -> UnixSeconds {
        self.delivered
    }

    /// When it was demoted last; 0: never.
    #[must_use]
    pub fn last_demoted(&self) -> UnixSeconds {
        self.demoted
    }

    /// Until when it is known for its mail alone; 0 if it is not.
    #[must_use]
    pub fn known_until(&self) -> UnixSeconds {
        let [.., enough] = self.recent;
        match enough.min(self.earlier_day).max(self.counting_delivery()) {
            NEVER => NEVER,
            oldest => oldest.plus(KEPT),
        }
    }

    /// When the last thing happened.
    pub fn last(&self) -> UnixSeconds {
        self.recent[0]
            .max(self.delivered)
            .max(self.demoted)
            .max(self.by_hand)
    }
}

/// Whether evidence of this time is too old to count.
pub fn is_too_old(at: UnixSeconds, now: UnixSeconds) -> bool {
    at == NEVER || at < now.minus(KEPT)
}

#[cfg(test)]
mod tests;
