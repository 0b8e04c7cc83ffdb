//! Entry, time and packet → verdict. All times are `CLOCK_MONOTONIC`
//! nanoseconds unless a name ends in `_s`.

use crate::counter::Reason;
use crate::entry::{CidrEntry, Entry, SEALED};
use crate::settings::Refresh;

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

/// A store is skipped when it would move the expiry by less than this: it
/// would dirty a cache line on every packet for nothing that anybody sees.
pub const SLACK: u64 = SECOND;

/// Whether an entry still matches. The last nanosecond is included, as
/// xt_recent `--seconds`: a packet exactly `ttl` after the last one matches.
#[inline(always)]
#[must_use]
pub const fn is_live(expires: u64, now: u64) -> bool {
    now <= expires
}

/// Whether a prefix still matches; its last second is included whole.
#[inline(always)]
#[must_use]
pub const fn is_cidr_live(entry: &CidrEntry, now: u64) -> bool {
    now < (entry.expires_s as u64 + 1) * SECOND
}

/// The expiry of an entry that is set or hit now:
/// `min(now + ttl, hard_until)`.
#[inline(always)]
#[must_use]
pub const fn expiry(now: u64, ttl_s: u32, hard_until_s: u32) -> u64 {
    let sliding = now + ttl_s as u64 * SECOND;
    let limit = hard_until_s as u64 * SECOND;
    if limit != 0 && limit < sliding {
        limit
    } else {
        sliding
    }
}

/// The expiry that a live entry has after a hit: `entry.expires` itself where
/// no store is due, never an earlier one. As xt_recent `--update`.
#[inline(always)]
#[must_use]
pub const fn slide(entry: &Entry, now: u64, syn: bool, refresh: Refresh) -> u64 {
    let slides = match refresh {
        Refresh::Packet => true,
        Refresh::Syn => syn,
        Refresh::Never => false,
    };
    if !slides || entry.ttl_s == 0 {
        return entry.expires;
    }
    let next = expiry(now, entry.ttl_s, entry.hard_until_s);
    if next < entry.expires + SLACK {
        entry.expires
    } else {
        next
    }
}

/// For how long after `now` nothing is due for a live entry but hits: it
/// neither expires, nor does any packet move its expiry. At most [`SLACK`].
#[inline(always)]
#[must_use]
pub const fn quiet(entry: &Entry, now: u64, refresh: Refresh) -> u64 {
    let left = (entry.expires + 1).saturating_sub(now);
    let at_limit = entry.expires == entry.hard_until_s as u64 * SECOND;
    let due = if entry.ttl_s == 0 || at_limit || matches!(refresh, Refresh::Never) {
        SLACK
    } else {
        (entry.expires + SLACK).saturating_sub(now + entry.ttl_s as u64 * SECOND)
    };
    let due = if due < SLACK { due } else { SLACK };
    if due < left { due } else { left }
}

/// What becomes of a packet whose source has a live entry and is not on the
/// allowlist: an open entry drops only new connections, a sealed one all.
#[inline(always)]
#[must_use]
pub const fn judge(flags: u16, syn: bool) -> Reason {
    if flags & SEALED != 0 {
        Reason::SealedDropped
    } else if syn {
        Reason::OpenDropped
    } else {
        Reason::OpenPassed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: u32 = 600;
    const START: u64 = 5_000 * SECOND;

    fn entry() -> Entry {
        Entry {
            expires: expiry(START, TTL, 0),
            ttl_s: TTL,
            ..Entry::default()
        }
    }

    #[test]
    fn age_of_exactly_ttl_matches_and_one_more_does_not() {
        let last = START + u64::from(TTL) * SECOND;
        assert!(is_live(entry().expires, last));
        assert!(!is_live(entry().expires, last + 1));
    }

    #[test]
    fn a_prefix_matches_through_its_last_second() {
        let prefix = CidrEntry {
            expires_s: 10,
            hits: 0,
        };
        assert!(is_cidr_live(&prefix, 11 * SECOND - 1));
        assert!(!is_cidr_live(&prefix, 11 * SECOND));
    }

    #[test]
    fn every_packet_slides_by_the_ttl() {
        let now = START + 300 * SECOND;
        let expires = now + u64::from(TTL) * SECOND;
        assert_eq!(slide(&entry(), now, false, Refresh::Packet), expires);
        assert_eq!(slide(&entry(), now, true, Refresh::Packet), expires);
    }

    #[test]
    fn refresh_modes_choose_the_packets_that_slide() {
        let (entry, now) = (entry(), START + 300 * SECOND);
        assert_eq!(slide(&entry, now, false, Refresh::Syn), entry.expires);
        assert!(slide(&entry, now, true, Refresh::Syn) > entry.expires);
        assert_eq!(slide(&entry, now, true, Refresh::Never), entry.expires);
    }

    #[test]
    fn a_move_of_less_than_a_second_is_skipped() {
        let entry = entry();
        let just_under = START + SECOND - 1;
        assert_eq!(
            slide(&entry, just_under, true, Refresh::Packet),
            entry.expires
        );
        assert_eq!(
            slide(&entry, START + SECOND, true, Refresh::Packet),
            entry.expires + SECOND
        );
    }

    #[test]
    fn nothing_slides_past_the_hard_limit_or_backwards() {
        let limited = Entry {
            hard_until_s: 5_700,
            ..entry()
        };
        let now = START + 500 * SECOND;
        assert_eq!(slide(&limited, now, true, Refresh::Packet), 5_700 * SECOND);
        let beyond = Entry {
            hard_until_s: 5_400,
            ..entry()
        };
        assert_eq!(slide(&beyond, now, true, Refresh::Packet), beyond.expires);
    }

    #[test]
    fn a_ttl_of_zero_is_fixed() {
        let fixed = Entry {
            ttl_s: 0,
            ..entry()
        };
        let now = START + 300 * SECOND;
        assert_eq!(slide(&fixed, now, true, Refresh::Packet), fixed.expires);
    }

    /// What [`quiet`] promises, at each end.
    fn assert_quiet(entry: &Entry, now: u64) -> u64 {
        let [packet, syn, never] = [Refresh::Packet, Refresh::Syn, Refresh::Never].map(|refresh| {
            let quiet = quiet(entry, now, refresh);
            let last = now + quiet.saturating_sub(1);
            assert!(quiet == 0 || is_live(entry.expires, last));
            assert!(quiet == 0 || slide(entry, last, true, refresh) == entry.expires);
            assert!(quiet <= SLACK);
            quiet
        });
        assert_eq!(packet, syn);
        assert_eq!(never, SLACK.min(entry.expires + 1 - now));
        packet
    }

    #[test]
    fn nothing_is_due_until_an_entry_slides_expires_or_a_second_has_gone() {
        let entry = entry();
        assert_eq!(assert_quiet(&entry, START), SLACK);
        assert_eq!(assert_quiet(&entry, START + SLACK / 4), SLACK * 3 / 4);
        assert_eq!(assert_quiet(&entry, START + SLACK), 0);
        let fixed = Entry { ttl_s: 0, ..entry };
        assert_eq!(assert_quiet(&fixed, START + 300 * SECOND), SLACK);
        assert_eq!(assert_quiet(&fixed, entry.expires), 1);
        assert_eq!(assert_quiet(&fixed, entry.expires - 9), 10);
        let limited = Entry {
            hard_until_s: 5_600,
            ..entry
        };
        assert_eq!(assert_quiet(&limited, START + 300 * SECOND), SLACK);
        // Made by hand for longer than hits prolong it.
        let long = Entry { ttl_s: 10, ..entry };
        assert_eq!(assert_quiet(&long, START), SLACK);
    }

    #[test]
    fn open_drops_new_connections_and_sealed_drops_all() {
        assert_eq!(judge(0, true), Reason::OpenDropped);
        assert_eq!(judge(0, false), Reason::OpenPassed);
        assert_eq!(judge(SEALED, true), Reason::SealedDropped);
        assert_eq!(judge(SEALED, false), Reason::SealedDropped);
    }
}
