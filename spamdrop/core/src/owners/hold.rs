//! The holds of an entry's owners, and the entry that follows from them.
//!
//! An entry with one owner has the terms of that owner's hold. For an entry with
//! several owners, the database keeps the hold of each, so that the entry can fall
//! back to the other holds when one owner lets go. A hit slides the entry as a whole,
//! by the longest `ttl_s` of its sliding owners. The time of the last hit is derived from
//! the entry's end, and extends the holds of the owners that slide. While a fixed end
//! is later than every end that a hit can set, the last hit is not known and extends
//! no hold. When the owner of that fixed end lets go, the entry may end earlier than
//! the `ttl_s` of a sliding owner after the last packet.

use std::time::Duration;

use spamdrop_common::action::{answer_ns, is_live};
use spamdrop_common::entry::Entry;
use spamdrop_common::time::MonotonicNs;

use super::mask::{OwnerBit, OwnerMask};

/// The seconds for which the log or the FIFO holds an entry if the end of its hold is not
/// known, because the database did not store it: the default `ttl`. Any other owner holds the
/// entry to its end, because the block may be meant for days.
const UNKNOWN_S: u32 = 600;
/// Stored ends are off by up to a second after a boot, because the time since they were
/// stored is taken from the wall clock. An end that differs by no more than this is equal.
const TOLERANCE: Duration = Duration::from_secs(2);

/// Until when one owner wants an address blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The end without a further hit.
    pub ends: MonotonicNs,
    /// As [`Entry::hard_until_s`].
    pub hard_until_s: u32,
    /// As [`Entry::ttl_s`].
    pub ttl_s: u32,
}

/// An owner, and its hold.
pub type OwnerHold = (OwnerBit, Hold);

impl Hold {
    /// The hold of the only owner of an entry.
    #[must_use]
    pub fn from_entry(entry: &Entry) -> Self {
        Self {
            ends: entry.expires,
            hard_until_s: entry.hard_until_s,
            ttl_s: entry.ttl_s,
        }
    }

    /// The hold after a hit at `last`. A hold without `ttl_s` does not slide.
    fn slid(self, last: Option<MonotonicNs>) -> Self {
        let Some(last) = last.filter(|_| self.ttl_s != 0) else {
            return self;
        };
        let slid = spamdrop_common::action::expiry(last, self.ttl_s, self.hard_until_s);
        Self {
            ends: self.ends.max(slid),
            ..self
        }
    }

    /// Joins two holds: the later end and, of the holds that slide, the longer
    /// `ttl_s` and the later limit. No limit counts as the latest.
    fn and(self, other: Self) -> Self {
        let hard_until_s = match (self.ttl_s, other.ttl_s) {
            (_, 0) => self.hard_until_s,
            (0, _) => other.hard_until_s,
            _ if self.hard_until_s == 0 || other.hard_until_s == 0 => 0,
            _ => self.hard_until_s.max(other.hard_until_s),
        };
        Self {
            ends: self.ends.max(other.ends),
            hard_until_s,
            ttl_s: self.ttl_s.max(other.ttl_s),
        }
    }

    fn to_entry(self, entry: &Entry) -> Entry {
        Entry {
            expires: self.ends,
            hard_until_s: self.hard_until_s,
            ttl_s: self.ttl_s,
            ..*entry
        }
    }
}

/// The entry after this owner has added a hold. The holds of other owners stay.
#[must_use]
pub fn with_hold(entry: &Entry, owner: OwnerBit, hold: Hold) -> Entry {
    let owners = OwnerMask::from_entry(entry);
    let hold = match owners == owner.into() {
        // The new terms replace the old ones, but the end never moves back.
        true => Hold {
            ends: hold.ends.max(entry.expires),
            ..hold
        },
        false => Hold::from_entry(entry).and(hold),
    };
    owners.and(owner).of_entry(hold.to_entry(entry))
}

/// The holds of both lists. If an owner is in both, its two holds are joined.
#[must_use]
pub fn join(some: &[OwnerHold], others: &[OwnerHold]) -> Vec<OwnerHold> {
    let mut all = some.to_vec();
    for (owner, hold) in others {
        match all.iter_mut().find(|(it, _)| it == owner) {
            Some((_, both)) => *both = both.and(*hold),
            None => all.push((*owner, *hold)),
        }
    }
    all
}

/// The entry with exactly these holds, and with the hits and the seal of `entry`.
/// `None` if there is no hold.
#[must_use]
pub fn combine(entry: &Entry, holds: &[OwnerHold]) -> Option<Entry> {
    let owners = holds.iter().map(|(owner, _)| OwnerMask::from(*owner));
    let owners = owners.reduce(OwnerMask::and)?;
    let hold = holds.iter().map(|(_, hold)| *hold).reduce(Hold::and)?;
    Some(owners.of_entry(hold.to_entry(entry)))
}

/// The rest of an entry when some of its owners let go.
#[derive(Clone, Debug, PartialEq)]
pub enum LetGo {
    /// Nobody wants it any more.
    Removed,
    /// It falls back to the holds of these owners.
    Kept(Entry, Vec<OwnerHold>),
}

/// Removes the `leaving` owners of a live entry, and the owners whose holds are
/// over. `stored`: the holds that the database has for the entry. A stored hold whose
/// owner the entry does not have is of an earlier entry, and ignored. The entry never ends
/// later than before.
#[must_use]
pub fn let_go(entry: &Entry, stored: &[OwnerHold], leaving: OwnerMask, now: MonotonicNs) -> LetGo {
    let mut rest = holds(entry, stored, now);
    rest.retain(|(owner, hold)| !leaving.contains(*owner) && is_live(hold.ends, now));
    let Some(mut kept) = combine(entry, &rest) else {
        return LetGo::Removed;
    };
    kept.expires = kept.expires.min(entry.expires);
    LetGo::Kept(kept, rest)
}

/// The holds of all owners of an entry. If the stored holds do not explain the entry's
/// end, a later hold was not stored. Its owner may be any except the log and the FIFO, so
/// all owners except these two hold the entry to its end.
#[must_use]
pub fn holds(entry: &Entry, stored: &[OwnerHold], now: MonotonicNs) -> Vec<OwnerHold> {
    let owners = OwnerMask::from_entry(entry);
    if !owners.is_shared() {
        return owners
            .each()
            .map(|it| (it, Hold::from_entry(entry)))
            .collect();
    }
    let find = |owner| stored.iter().find(|(it, _)| *it == owner);
    let known = owners.each().filter_map(find);
    let together = known.map(|(_, hold)| *hold).reduce(Hold::and);
    let last = together.and_then(|it| last_hit(entry, it.ends, now));
    let is_short = |owner| matches!(owner, OwnerBit::LOG | OwnerBit::FIFO);
    let unknown = |owner| Hold {
        ends: match is_short(owner) {
            true => entry.expires.min(now.plus_seconds(UNKNOWN_S)),
            false => entry.expires,
        },
        ..Hold::from_entry(entry)
    };
    let slack = TOLERANCE + Duration::from_nanos(answer_ns(entry.ttl_s));
    let is_explained = together.is_some_and(|it| it.slid(last).ends.plus(slack) >= entry.expires);
    let hold = |owner| match find(owner) {
        Some((_, hold)) if is_explained || is_short(owner) => hold.slid(last),
        _ => unknown(owner),
    };
    owners.each().map(|owner| (owner, hold(owner))).collect()
}

/// The time of the hit that has set the end of an entry. `None`: no hit has, because
/// the end is not later than `latest`, the latest end of a hold, or because that hit would
/// be later than `now`.
fn last_hit(entry: &Entry, latest: MonotonicNs, now: MonotonicNs) -> Option<MonotonicNs> {
    let ttl = Duration::from_secs(entry.ttl_s.into());
    let last = entry.expires.minus(ttl);
    let is_slid = entry.ttl_s != 0 && entry.expires > latest.plus(TOLERANCE);
    // The filter may have counted a hit after `now` was read.
    (is_slid && last <= now.plus(TOLERANCE)).then_some(last)
}
