//! Entry, time and packet → action.

use core::time::Duration;

use crate::counter::Reason;
use crate::entry::{CidrEntry, Entry, SEALED};
use crate::settings::Refresh;
use crate::time::{MonotonicNs, SECOND};

/// A store is skipped if it would move the expiry by less than this. Such a
/// store would dirty a cache line on every packet without a visible effect.
pub const SLACK: Duration = Duration::from_secs(1);

/// An entry may expire early, by up to its ttl divided by this number, because hits
/// on a recent drop do not store a new expiry.
const EARLY: u32 = 32;

/// The longest time for which a recent drop ([`crate::recent_drop`]) answers for its entry.
pub const LONGEST_ANSWER: Duration = Duration::from_secs(16);

/// Nanoseconds for which a recent drop answers in its entry's place: a 32nd of the
/// entry's ttl, but at least [`SLACK`] and at most [`LONGEST_ANSWER`].
#[inline(always)]
#[must_use]
pub const fn answer_ns(ttl_s: u32) -> u64 {
    let (least, longest) = (SLACK.as_nanos() as u64, LONGEST_ANSWER.as_nanos() as u64);
    let share = ttl_s as u64 * (SECOND / EARLY as u64);
    if share < least {
        least
    } else if share > longest {
        longest
    } else {
        share
    }
}

/// Whether an entry still matches. The last nanosecond is included, as in
/// xt_recent `--seconds`: a packet exactly `ttl` after the last one matches.
#[inline(always)]
#[must_use]
pub const fn is_live(expires: MonotonicNs, now: MonotonicNs) -> bool {
    now.ns() <= expires.ns()
}

/// Whether a prefix still matches; its last second is included entirely.
#[inline(always)]
#[must_use]
pub const fn is_cidr_live(entry: &CidrEntry, now: MonotonicNs) -> bool {
    now.ns() < (entry.expires_s as u64 + 1) * SECOND
}

/// The expiry of an entry that is set or hit at `now`: `min(now + ttl,
/// hard_until)`.
#[inline(always)]
#[must_use]
pub const fn expiry(now: MonotonicNs, ttl_s: u32, hard_until_s: u32) -> MonotonicNs {
    let sliding = now.plus_seconds(ttl_s);
    let limit = MonotonicNs::from_second(hard_until_s);
    if limit.ns() != 0 && limit.ns() < sliding.ns() {
        limit
    } else {
        sliding
    }
}

/// The expiry of a live entry after a hit, as in xt_recent `--update`. Returns
/// `entry.expires` if no store is due, and never an earlier time.
#[inline(always)]
#[must_use]
pub const fn slide(entry: &Entry, now: MonotonicNs, syn: bool, refresh: Refresh) -> MonotonicNs {
    if !refresh.slides(syn) || entry.ttl_s == 0 {
        return entry.expires;
    }
    let next = expiry(now, entry.ttl_s, entry.hard_until_s);
    if next.ns() < entry.expires.plus(SLACK).ns() {
        entry.expires
    } else {
        next
    }
}

/// The time (exclusive) until which a recent drop may answer for a live entry that
/// was hit at `now`. Until then, the entry does not expire, and no store of its
/// expiry is postponed for longer than [`answer_ns`]. The result is at or before `now`
/// if a store is due.
#[inline(always)]
#[must_use]
pub const fn quiet_until(entry: &Entry, now: MonotonicNs, refresh: Refresh) -> MonotonicNs {
    let end = entry.expires.ns() + 1;
    let limit = MonotonicNs::from_second(entry.hard_until_s).ns();
    let longest = now.plus(LONGEST_ANSWER).ns();
    let slides =
        entry.ttl_s != 0 && entry.expires.ns() != limit && !matches!(refresh, Refresh::Never);
    let due = if slides {
        // A stored slide sets `expires` to the time of the hit + ttl.
        let due = entry.expires.ns() + answer_ns(entry.ttl_s);
        due.saturating_sub(entry.ttl_s as u64 * SECOND)
    } else {
        longest
    };
    let due = if due < longest { due } else { longest };
    MonotonicNs::from_ns(if due < end { due } else { end })
}

/// The exact expiry of an entry, with the hits that only its recent drop has counted.
/// `last` is the time of the last of these hits that slides the expiry. Returns
/// `entry.expires` if `last` gives no later expiry, or one that is later by more than a
/// recent drop may postpone a store: then `last` is from an older entry.
#[inline(always)]
#[must_use]
pub const fn slid_by_recent_drop(entry: &Entry, last: MonotonicNs) -> MonotonicNs {
    if entry.ttl_s == 0 {
        return entry.expires;
    }
    let slid = expiry(last, entry.ttl_s, entry.hard_until_s).ns();
    let postponed = slid.saturating_sub(entry.expires.ns());
    if postponed == 0 || postponed > answer_ns(entry.ttl_s) + SECOND {
        entry.expires
    } else {
        MonotonicNs::from_ns(slid)
    }
}

/// Whether the entry of an IPv6 address decides about its packets, rather than
/// the entry of its /64. Of two live entries, the one that drops more decides; if both
/// drop the same, the one of the address.
#[inline(always)]
#[must_use]
pub const fn decides(address: &Entry, net: &Entry, now: MonotonicNs) -> bool {
    is_live(address.expires, now)
        && (address.flags & SEALED != 0 || net.flags & SEALED == 0 || !is_live(net.expires, now))
}

/// The action for a packet whose source has a live entry and is not on the
/// allowlist. An open entry drops new connections only, a sealed entry drops
/// every packet.
#[inline(always)]
#[must_use]
pub const fn blocked_action(flags: u16, syn: bool) -> Reason {
    if flags & SEALED != 0 {
        Reason::SealedDropped
    } else if syn {
        Reason::OpenDropped
    } else {
        Reason::OpenPassed
    }
}

#[cfg(test)]
mod tests;
