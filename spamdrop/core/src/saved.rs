//! Blocks that outlive a reboot: the saved form of an entry, and the entry that
//! it becomes after the boot.
//!
//! The monotonic clock begins anew at a boot, so ends are saved as times of the
//! wall clock. After the boot, an entry has what was left of it at the last
//! save, less the time since then. Where the wall clock is not plausible, as on
//! a machine whose clock has no battery, the time since then counts as 0.

use std::time::Duration;

use spamdrop_common::action::is_live;
use spamdrop_common::entry::{Entry, Origin, SEALED};
use spamdrop_common::time::{MonotonicNs, UnixSeconds};

use crate::target::Target;

/// A time by the wall clock that differs from the saved one by no more than this
/// counts as the same: the two clocks are not read at the same instant, and one is
/// slewed.
const TOLERANCE: Duration = Duration::from_secs(2);
/// The longest time since the last save that is plausible.
const LONGEST_OFF: Duration = Duration::from_secs(366 * 86_400);

/// A reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// The wall clock.
    pub unix: UnixSeconds,
    /// The clock of the entries.
    pub mono: MonotonicNs,
}

/// The saved form of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavedEntry {
    /// The addresses that the entry blocks.
    pub target: Target,
    /// When it ends without a further hit.
    pub ends: UnixSeconds,
    /// Beyond this, no hit moves the end; 0: no limit.
    pub hard_end: UnixSeconds,
    /// As [`Entry::ttl_s`].
    pub ttl_s: u32,
    /// As [`Entry::hits`].
    pub hits: u32,
    /// As [`Entry::refreshes`].
    pub refreshes: u16,
    /// As [`Entry::flags`], always sealed.
    pub flags: u16,
    /// As [`Entry::owners`].
    pub owners: u64,
}

impl SavedEntry {
    /// The saved form of a live entry; `None` if it has expired. No peer holds a
    /// connection after a reboot, so the entry is saved as sealed.
    #[must_use]
    pub fn from_entry(target: Target, entry: &Entry, now: Clocks) -> Option<Self> {
        let wall = |at: MonotonicNs| now.unix.plus(at.elapsed_since(now.mono));
        let hard_end = match entry.hard_until_s {
            0 => UnixSeconds::default(),
            second => wall(MonotonicNs::from_second(second)),
        };
        is_live(entry.expires, now.mono).then(|| Self {
            target,
            ends: wall(entry.expires),
            hard_end,
            ttl_s: entry.ttl_s,
            hits: entry.hits,
            refreshes: entry.refreshes,
            flags: entry.flags | SEALED,
            owners: entry.owners,
        })
    }

    /// Whether `saved` differs by no more than [`TOLERANCE`] in its times, and else not
    /// at all. Then the entry need not be written again.
    #[must_use]
    pub fn is_saved_as(&self, saved: &Self) -> bool {
        let near = |a: UnixSeconds, b: UnixSeconds| {
            a.elapsed_since(b).max(b.elapsed_since(a)) <= TOLERANCE
        };
        let timeless = |entry: &Self| Self {
            ends: UnixSeconds::default(),
            hard_end: UnixSeconds::default(),
            ..*entry
        };
        near(self.ends, saved.ends)
            && near(self.hard_end, saved.hard_end)
            && timeless(self) == timeless(saved)
    }

    /// The entry after a boot; `None` if its time is over. `saved` is when
    /// entries were last saved.
    #[must_use]
    pub fn restored(&self, saved: UnixSeconds, now: Clocks) -> Option<Entry> {
        // The wall clock has whole seconds, so nearly one more may have passed, and no
        // entry may last longer than before.
        let since = reckoned(saved, now.unix).plus(Duration::from_secs(1));
        let mut left = self.ends.elapsed_since(since);
        if matches!(self.target, Target::Net(_)) {
            // A prefix lasts to the end of its last second.
            left = left.saturating_sub(Duration::from_secs(1));
        }
        let hard_until_s = match self.hard_end.elapsed_since(since) {
            _ if self.hard_end == UnixSeconds::default() => 0,
            left => now.mono.plus(left).second(),
        };
        (!left.is_zero()).then(|| Entry {
            expires: now.mono.plus(left),
            hard_until_s,
            ttl_s: self.ttl_s,
            hits: self.hits,
            refreshes: self.refreshes,
            flags: self.flags | SEALED,
            owners: self.owners,
        })
    }
}

/// The time from which a saved end counts: now, or the time of the last save if
/// the wall clock is not plausible.
pub(crate) fn reckoned(saved: UnixSeconds, now: UnixSeconds) -> UnixSeconds {
    let is_plausible = now >= saved && now.elapsed_since(saved) <= LONGEST_OFF;
    if is_plausible { now } else { saved }
}

/// The saved form of the reason for a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedOrigin {
    /// When the address was first blocked.
    pub first_blocked: UnixSeconds,
    /// Offences since then.
    pub offences: u32,
    /// The log line, or the administrator's reason.
    pub text: Vec<u8>,
}

impl SavedOrigin {
    /// The saved form of an origin.
    #[must_use]
    pub fn from_origin(origin: &Origin) -> Self {
        Self {
            first_blocked: origin.first_blocked,
            offences: origin.offences,
            text: origin.used_text().to_vec(),
        }
    }

    /// The origin after a boot. The time of the last offence is no longer known,
    /// because the monotonic clock has begun anew.
    #[must_use]
    pub fn restored(&self) -> Origin {
        let mut origin = Origin {
            first_blocked: self.first_blocked,
            offences: self.offences,
            ..Origin::default()
        };
        origin.set_text(&self.text);
        origin
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use spamdrop_common::entry::ORIGIN_LOG;

    use super::*;

    /// The clocks before the reboot. The machine has run for two days.
    const BEFORE: Clocks = Clocks {
        unix: UnixSeconds::new(1_795_392_000),
        mono: MonotonicNs::from_second(172_800),
    };

    fn booted(seconds_later: i64) -> Clocks {
        let unix = i64::try_from(BEFORE.unix.get()).unwrap() + seconds_later;
        Clocks {
            unix: UnixSeconds::new(unix.unsigned_abs()),
            mono: MonotonicNs::from_second(20),
        }
    }

    /// An open entry with ten minutes left, and an hour to its limit.
    fn entry() -> Entry {
        Entry {
            expires: BEFORE.mono.plus_seconds(600),
            hard_until_s: BEFORE.mono.second() + 3_600,
            ttl_s: 900,
            hits: 7,
            refreshes: 3,
            flags: ORIGIN_LOG,
            owners: 5,
        }
    }

    fn saved() -> SavedEntry {
        let target = "192.0.2.1".parse().unwrap();
        SavedEntry::from_entry(target, &entry(), BEFORE).unwrap()
    }

    #[test]
    fn an_entry_goes_on_sealed_with_what_is_left_of_it() {
        let restored = saved().restored(BEFORE.unix, booted(60)).unwrap();
        let expected = Entry {
            expires: MonotonicNs::from_second(20 + 539),
            hard_until_s: 20 + 3_539,
            flags: ORIGIN_LOG | SEALED,
            ..entry()
        };
        assert_eq!(restored, expected);
        let left = |later| {
            let restored = saved().restored(BEFORE.unix, booted(later))?;
            Some(restored.expires.second() - 20)
        };
        assert_eq!(left(0), Some(599));
        assert_eq!((left(598), left(599)), (Some(1), None));
        assert_eq!(left(366 * 86_400), None);
        // A clock that was set back, or is more than 366 days ahead, is not believed.
        assert_eq!(left(-1), Some(599));
        assert_eq!(left(-1_700_000_000), Some(599));
        assert_eq!(left(367 * 86_400), Some(599));
    }

    #[test]
    fn a_prefix_lasts_no_longer_than_before() {
        let target = "192.0.2.0/24".parse().unwrap();
        let saved = SavedEntry::from_entry(target, &entry(), BEFORE).unwrap();
        let restored = saved.restored(BEFORE.unix, booted(0)).unwrap();
        // The map holds only the second, and the prefix lasts to its end.
        let end = MonotonicNs::from_second(restored.expires.second() + 1);
        assert_eq!(end, booted(0).mono.plus_seconds(599));
    }

    /// An entry that has not changed is not written again, so its row may be
    /// older than the last save.
    #[test]
    fn what_is_left_counts_from_the_last_save() {
        let last_save = BEFORE.unix.plus(Duration::from_secs(300));
        let restored = saved().restored(last_save, booted(-9)).unwrap();
        assert_eq!(restored.expires, MonotonicNs::from_second(20 + 299));
    }

    #[test]
    fn an_entry_without_a_limit_has_none_later() {
        let unlimited = Entry {
            hard_until_s: 0,
            ..entry()
        };
        let saved = SavedEntry::from_entry(saved().target, &unlimited, BEFORE).unwrap();
        assert_eq!(saved.hard_end, UnixSeconds::default());
        let restored = saved.restored(BEFORE.unix, booted(60)).unwrap();
        assert_eq!(restored.hard_until_s, 0);
    }

    #[test]
    fn an_expired_entry_is_not_saved() {
        let late = Clocks {
            mono: entry().expires.plus_seconds(1),
            ..BEFORE
        };
        assert_eq!(SavedEntry::from_entry(saved().target, &entry(), late), None);
    }

    #[test]
    fn only_what_has_changed_is_written_again() {
        let later = |seconds: u32, skew: u64| Clocks {
            unix: UnixSeconds::new(BEFORE.unix.get() + u64::from(seconds) + skew),
            mono: BEFORE.mono.plus_seconds(seconds),
        };
        let is_saved = |entry: Entry, now| {
            let new = SavedEntry::from_entry(saved().target, &entry, now).unwrap();
            new.is_saved_as(&saved())
        };
        assert!(is_saved(entry(), later(60, 0)));
        assert!(is_saved(entry(), later(60, 2)));
        assert!(!is_saved(entry(), later(60, 3)));
        for changed in [
            Entry {
                expires: entry().expires.plus_seconds(3),
                ..entry()
            },
            Entry {
                hard_until_s: entry().hard_until_s + 3,
                ..entry()
            },
            Entry { hits: 8, ..entry() },
            Entry {
                ttl_s: 901,
                ..entry()
            },
        ] {
            assert!(!is_saved(changed, later(60, 0)), "{changed:?}");
        }
        // An open entry is saved as sealed, so sealing it changes nothing.
        let sealed = Entry {
            flags: ORIGIN_LOG | SEALED,
            ..entry()
        };
        assert!(is_saved(sealed, later(60, 0)));
    }

    #[test]
    fn a_reason_is_kept_without_the_time_of_the_last_offence() {
        let mut origin = Origin {
            first_blocked: BEFORE.unix,
            last_offence: BEFORE.mono,
            offences: 3,
            release_pending: 1,
            ..Origin::default()
        };
        origin.set_text(b"511 listed");
        let restored = SavedOrigin::from_origin(&origin).restored();
        let expected = Origin {
            last_offence: MonotonicNs::default(),
            release_pending: 0,
            ..origin
        };
        assert_eq!(restored, expected);
    }
}
