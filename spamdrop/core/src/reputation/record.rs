//! What is remembered of a source, and what it comes to.
//!
//! Records of the same source can be joined in any order and more than once:
//! logs may be read backwards, or twice, or by a watcher as well, and the
//! outcome is the same.

use serde::Serialize;

/// How long evidence counts, in seconds: 36 days.
const KEPT: u32 = 36 * DAY;
/// In seconds; days are those of UTC.
const DAY: u32 = 86_400;
/// How many acceptances make a source known.
const ACCEPTANCES: usize = 3;

/// What is remembered of a source: as little as the rule needs for ever. Times
/// are seconds since 1970, and 0 is never. Acceptances within one second are
/// one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The newest acceptances since it was demoted, the newest first.
    pub recent: [u32; ACCEPTANCES],
    /// The newest of them on a day before that of the newest.
    pub earlier_day: u32,
    /// The newest acceptance of all, unless a hand removed it since.
    pub last_accepted: u32,
    /// When it last took a message from us.
    pub delivered: u32,
    /// When it last proved bad; what happened until then does not count.
    pub demoted: u32,
    /// When it was added by hand.
    pub by_hand: u32,
}

/// What a record comes to, the most expendable first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Nothing in it counts any more.
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

impl Standing {
    /// Whether the source counts as a good one.
    #[must_use]
    pub const fn is_known(self) -> bool {
        matches!(self, Self::Known | Self::ByHand)
    }
}

impl Record {
    /// A message was accepted.
    #[must_use]
    pub fn accepted(at: u32) -> Self {
        Self {
            recent: [at, 0, 0],
            last_accepted: at,
            ..Self::default()
        }
    }

    /// It took a message from us.
    #[must_use]
    pub fn delivered(at: u32) -> Self {
        Self {
            delivered: at,
            ..Self::default()
        }
    }

    /// It proved bad.
    #[must_use]
    pub fn demoted(at: u32) -> Self {
        Self {
            demoted: at,
            ..Self::default()
        }
    }

    /// What two records of the same source come to together.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        let demoted = self.demoted.max(other.demoted);
        let counts = |at: &u32| *at > demoted;
        let mut stamps = [self.recent, other.recent].concat();
        stamps.extend([self.earlier_day, other.earlier_day]);
        stamps.retain(counts);
        stamps.sort_unstable_by(|a, b| b.cmp(a));
        stamps.dedup();
        let nth = |n: usize| stamps.get(n).copied().unwrap_or(0);
        let earlier = stamps.iter().find(|at| *at / DAY < nth(0) / DAY);
        let by_hand = self.by_hand.max(other.by_hand);
        Self {
            recent: std::array::from_fn(nth),
            earlier_day: earlier.copied().unwrap_or(0),
            last_accepted: self.last_accepted.max(other.last_accepted),
            delivered: self.delivered.max(other.delivered),
            demoted,
            by_hand: if counts(&by_hand) { by_hand } else { 0 },
        }
    }

    /// Adds it by hand, whatever is known of it.
    #[must_use]
    pub fn added(self, now: u32) -> Self {
        let by_hand = now.max(self.demoted.saturating_add(1));
        Self { by_hand, ..self }
    }

    /// Removes it by hand: it has to earn its standing anew. Nobody has refused
    /// it.
    #[must_use]
    pub fn removed(self, now: u32) -> Self {
        let demoted = self.join(Self::demoted(now.max(self.last())));
        Self {
            last_accepted: 0,
            ..demoted
        }
    }

    /// What it comes to now.
    #[must_use]
    pub fn standing(&self, now: u32) -> Standing {
        let oldest = now.saturating_sub(KEPT);
        let counts = |at: u32| at != 0 && at >= oldest;
        let [newest, .., enough] = self.recent;
        if self.by_hand != 0 {
            Standing::ByHand
        } else if counts(self.counting_delivery()) || counts(enough) && counts(self.earlier_day) {
            Standing::Known
        } else if counts(newest) {
            Standing::Unproven
        } else if counts(self.demoted) {
            Standing::Demoted
        } else {
            Standing::Void
        }
    }

    /// Whether anything good was ever known of it. Of others it is of no
    /// interest that they proved bad.
    pub fn is_of_interest(&self) -> bool {
        self.last_accepted != 0 || self.delivered != 0 || self.by_hand != 0
    }

    /// Whether anything good counts.
    pub fn is_good(&self) -> bool {
        self.recent[0] != 0 || self.counting_delivery() != 0 || self.by_hand != 0
    }

    /// The last delivery, unless it was demoted since; then 0.
    fn counting_delivery(&self) -> u32 {
        if self.delivered > self.demoted {
            self.delivered
        } else {
            0
        }
    }

    /// When its mail was last accepted, in seconds since 1970; 0: never.
    #[must_use]
    pub fn last_accepted(&self) -> u32 {
        self.last_accepted
    }

    /// When it last took a message from us, in seconds since 1970; 0: never.
    #[must_use]
    pub fn last_delivered(&self) -> u32 {
        self.delivered
    }

    /// When it was demoted last, in seconds since 1970; 0: never.
    #[must_use]
    pub fn last_demoted(&self) -> u32 {
        self.demoted
    }

    /// Until when mail alone keeps it known, in seconds since 1970; 0 if it does
    /// not make it so.
    #[must_use]
    pub fn known_until(&self) -> u32 {
        let [.., enough] = self.recent;
        match enough.min(self.earlier_day).max(self.counting_delivery()) {
            0 => 0,
            oldest => oldest.saturating_add(KEPT),
        }
    }

    /// The last thing that happened.
    pub fn last(&self) -> u32 {
        self.recent[0]
            .max(self.delivered)
            .max(self.demoted)
            .max(self.by_hand)
    }
}

/// Whether evidence of this time is too old to count.
pub fn is_too_old(at: u32, now: u32) -> bool {
    at == 0 || at < now.saturating_sub(KEPT)
}

#[cfg(test)]
mod tests;
