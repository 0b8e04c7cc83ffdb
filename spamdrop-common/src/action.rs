//! Entry, time and packet → action.

use core::time::Duration;

use crate::counter::Reason;
use crate::entry::{CidrEntry, Entry, SEALED};
use crate::settings::Refresh;
use crate::time::{MonotonicNs, SECOND};

/// A store is skipped if it would move the expiry by less than this. Such a
/// store would dirty a cache line on every packet without a visible effect.
pub const SLACK: Duration = Duration::from_secs(1);

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
    let slides = match refresh {
        Refresh::Packet => true,
        Refresh::Syn => syn,
        Refresh::Never => false,
    };
    if !slides || entry.ttl_s == 0 {
        return entry.expires;
    }
    let next = expiry(now, entry.ttl_s, entry.hard_until_s);
    if next.ns() < entry.expires.plus(SLACK).ns() {
        entry.expires
    } else {
        next
    }
}

/// The time (exclusive) until which packets change only the hit counter of a
/// live entry: the entry does not expire before, and no packet moves its
/// expiry. At most [`SLACK`] after `now`; a store is due if it is `now` or
/// earlier.
#[inline(always)]
#[must_use]
pub const fn quiet_until(entry: &Entry, now: MonotonicNs, refresh: Refresh) -> MonotonicNs {
    let end = entry.expires.ns() + 1;
    let limit = MonotonicNs::from_second(entry.hard_until_s).ns();
    let longest = now.plus(SLACK).ns();
    let slides =
        entry.ttl_s != 0 && entry.expires.ns() != limit && !matches!(refresh, Refresh::Never);
    let due = if slides {
        // A packet moves the expiry once now + ttl >= expires + SLACK.
        let due = entry.expires.plus(SLACK).ns();
        due.saturating_sub(entry.ttl_s as u64 * SECOND)
    } else {
        longest
    };
    let due = if due < longest { due } else { longest };
    MonotonicNs::from_ns(if due < end { due } else { end })
}

/// Whether the entry of an IPv6 address decides about its packets, rather than
/// the entry of its /64. An expired or open entry hides no live one that drops
/// more.
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
