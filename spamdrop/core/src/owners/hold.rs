//! The ends of owners, and what they make of an entry.
//!
//! An entry with one owner is that owner's hold. Of an entry with several, the
//! database keeps the hold of each, so that the entry can fall back when one lets
//! go. A hit slides the entry as a whole, by the longest time of its sliding
//! owners. The last hit is read from the entry's end, so it extends the holds of
//! the owners that slide. While a fixed end is later than every end that a hit can
//! set, hits extend no hold: the entry may then end before a sliding owner's time
//! after the last packet is over.

use std::time::Duration;

use spamdrop_common::action::{answer_ns, is_live};
use spamdrop_common::entry::Entry;
use spamdrop_common::time::MonotonicNs;

use super::mask::{OwnerBit, OwnerMask};

/// How long the log and the FIFO go on holding an entry if their end is not known,
/// because the database did not take it: the default `ttl`. Any other owner holds it as
/// long as it lasts, because its block may be meant for days; `remove` takes it away.
const UNKNOWN_S: u32 = 600;
/// After a boot, stored ends are off by up to a second, because the wall clock has told
/// how long the machine was off.
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
    pub fn of(entry: &Entry) -> Self {
        Self {
            ends: entry.expires,
            hard_until_s: entry.hard_until_s,
            ttl_s: entry.ttl_s,
        }
    }

    /// The hold after a hit at `last`, if it slides.
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

    /// The terms of two holds together: the later end, and of those that slide
    /// the longer time and the later limit, where none is the latest.
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

/// The entry with a further hold of this owner, whose earlier ones it keeps.
#[must_use]
pub fn with_hold(entry: &Entry, owner: OwnerBit, hold: Hold) -> Entry {
    let owners = OwnerMask::of(entry);
    let hold = match owners == owner.into() {
        // The newest terms count, but no earlier end.
        true => Hold {
            ends: hold.ends.max(entry.expires),
            ..hold
        },
        false => Hold::of(entry).and(hold),
    };
    owners.and(owner).of_entry(hold.to_entry(entry))
}

/// The holds of both; of an owner in both, its two holds together.
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

/// The entry with exactly these holds, of which there is at least one; its hits
/// and its state are those of `entry`.
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

/// Lets owners of a live entry let go, and those whose holds are over. `stored`
/// are the holds that the database has of it; those of others than its owners are
/// of an earlier entry. The entry never ends later than before.
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

/// The holds of all owners of an entry. If they do not explain its end, a later one was
/// not stored: any owner but the log and the FIFO may have it.
#[must_use]
pub fn holds(entry: &Entry, stored: &[OwnerHold], now: MonotonicNs) -> Vec<OwnerHold> {
    let owners = OwnerMask::of(entry);
    if !owners.is_shared() {
        return owners.each().map(|it| (it, Hold::of(entry))).collect();
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
        ..Hold::of(entry)
    };
    let slack = TOLERANCE + Duration::from_nanos(answer_ns(entry.ttl_s));
    let is_explained = together.is_some_and(|it| it.slid(last).ends.plus(slack) >= entry.expires);
    let hold = |owner| match find(owner) {
        Some((_, hold)) if is_explained || is_short(owner) => hold.slid(last),
        _ => unknown(owner),
    };
    owners.each().map(|owner| (owner, hold(owner))).collect()
}

/// The time of the hit that has set the end of an entry, if one has: then the end
/// is later than that of every hold.
fn last_hit(entry: &Entry, latest: MonotonicNs, now: MonotonicNs) -> Option<MonotonicNs> {
    let ttl = Duration::from_secs(entry.ttl_s.into());
    let last = entry.expires.minus(ttl);
    let is_slid = entry.ttl_s != 0 && entry.expires > latest.plus(TOLERANCE);
    // The hit may be later than `now` was read.
    (is_slid && last <= now.plus(TOLERANCE)).then_some(last)
}
