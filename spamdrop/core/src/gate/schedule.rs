//! How soon the server's connections are counted again.
//!
//! Each count walks the kernel's table of all connections, so a quiet server is
//! looked at seldom. The filter wakes the daemon when a burst begins.

use std::time::Duration;

use spamdrop_common::gate::Gate;
use spamdrop_common::time::MonotonicNs;

/// The pause between two looks while slots may run short.
const QUICK: Duration = Duration::from_millis(200);
/// The pause while most slots are free and few SYNs come.
const SLOW: Duration = Duration::from_secs(2);
/// How long the gate holds between slow looks: two may be late.
const FRESH_WHILE_SLOW: Duration = Duration::from_secs(5);
/// Slots may run short while more than this part of them is taken: a third.
const TAKEN: u64 = 3;
/// Slots may run short while this part of them is admitted in a second: a tenth.
const ADMITTED: u64 = 10;
/// Slots may run short for this time after a SYN was refused.
const REFUSED: Duration = Duration::from_secs(10);
/// The minimum time for which SYNs are counted.
const SECOND: Duration = Duration::from_secs(1);

/// The time of the next look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextLook {
    /// The pause until then.
    pub after: Duration,
    /// How long the gate holds.
    pub fresh_for: Duration,
    /// Look at once when this many SYNs were admitted; 0: do not.
    pub wake_after: u32,
}

impl NextLook {
    /// The next look while slots may run short.
    pub const QUICK: Self = Self {
        after: QUICK,
        fresh_for: Duration::ZERO,
        wake_after: 0,
    };

    /// Writes the fields from which the filter learns of it.
    pub fn write_to(self, gate: &mut Gate) {
        gate.fresh_for_ms = u32::try_from(self.fresh_for.as_millis()).unwrap_or_default();
        gate.wake_after = self.wake_after;
    }
}

/// A look at the server and at the filter's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// [`Gate::open`].
    pub open: u32,
    /// The number of open connections from which the worst class has to wait.
    pub limit: u32,
    /// Connections that wait to be accepted.
    pub waiting: u32,
    /// SYNs that were admitted so far.
    pub admitted: u64,
    /// SYNs that were refused so far, or would have been.
    pub refused: u64,
}

/// Decides from each look how soon the next one is due.
#[derive(Clone, Debug, Default)]
pub struct LookSchedule {
    /// Start of the counting window, and the SYNs admitted until then; renewed
    /// when it is at least 1 s old.
    since: Option<(MonotonicNs, u64)>,
    /// The SYNs that were refused until the last look.
    refused: u64,
    /// The looks are quick until then.
    quick_until: MonotonicNs,
}

impl LookSchedule {
    /// Takes a look at a server with this many slots.
    pub fn next(&mut self, look: Look, slots: u32, now: MonotonicNs) -> NextLook {
        // On a server with few slots, a class waits before a third is taken.
        let is_taken = look.open >= look.limit
            || u64::from(look.open) * TAKEN > u64::from(slots)
            || look.waiting > 0;
        // The SYNs are counted in any case.
        if self.is_fast(slots.into(), look.admitted, now) | is_taken {
            self.stay_quick(now.plus(SECOND));
        }
        if std::mem::replace(&mut self.refused, look.refused) != look.refused {
            self.stay_quick(now.plus(REFUSED));
        }
        if now < self.quick_until {
            return NextLook::QUICK;
        }
        NextLook {
            after: SLOW,
            fresh_for: FRESH_WHILE_SLOW,
            wake_after: (slots / ADMITTED as u32).max(1),
        }
    }

    fn stay_quick(&mut self, until: MonotonicNs) {
        self.quick_until = self.quick_until.max(until);
    }

    /// Whether SYNs are admitted fast; also at the first look, which knows
    /// nothing.
    fn is_fast(&mut self, slots: u64, admitted: u64, now: MonotonicNs) -> bool {
        let Some((at, before)) = self.since else {
            self.since = Some((now, admitted));
            return true;
        };
        let passed = now.elapsed_since(at).max(SECOND);
        if now >= at.plus(SECOND) {
            self.since = Some((now, admitted));
        }
        // A count that went back began anew.
        let more = u128::from(admitted.saturating_sub(before)) * u128::from(ADMITTED);
        more > 0 && more * 1_000 >= u128::from(slots) * passed.as_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS: u32 = 40;
    const CALM: NextLook = NextLook {
        after: SLOW,
        fresh_for: FRESH_WHILE_SLOW,
        wake_after: 4,
    };

    const QUIET: Look = Look {
        open: 0,
        limit: SLOTS * 6 / 10,
        waiting: 0,
        admitted: 0,
        refused: 0,
    };

    fn at(ms: u64) -> MonotonicNs {
        MonotonicNs::from_second(1_000).plus(Duration::from_millis(ms))
    }

    fn look_at(
        schedule: &mut LookSchedule,
        (open, admitted, refused): (u32, u64, u64),
        ms: u64,
    ) -> NextLook {
        let look = Look {
            open,
            admitted,
            refused,
            ..QUIET
        };
        schedule.next(look, SLOTS, at(ms))
    }

    /// A schedule that has seen a quiet server until `at(0)`.
    fn calm() -> LookSchedule {
        let mut schedule = LookSchedule::default();
        let look = Look {
            admitted: 90,
            refused: 5,
            ..QUIET
        };
        let start = at(0).minus(Duration::from_secs(12));
        assert_eq!(schedule.next(look, SLOTS, start), NextLook::QUICK);
        assert_eq!(schedule.next(look, SLOTS, at(0)), CALM);
        schedule
    }

    #[test]
    fn a_quiet_server_is_looked_at_every_two_seconds() {
        let mut schedule = LookSchedule::default();
        let looks = [0, 200, 800, 1_000, 3_000, 5_000];
        let next = looks.map(|ms| look_at(&mut schedule, (13, 7, 3), ms).after);
        // Before the first second is over, nothing is known of the SYNs; the
        // refusals before the start may be a moment old.
        assert_eq!(next[..4], [QUICK; 4]);
        let next = [10_001, 12_001].map(|ms| look_at(&mut schedule, (13, 7, 3), ms));
        assert_eq!(next, [CALM; 2]);
    }

    #[test]
    fn more_than_a_third_of_the_slots_keeps_looks_quick() {
        let mut schedule = calm();
        assert_eq!(look_at(&mut schedule, (13, 90, 5), 2_000), CALM);
        assert_eq!(look_at(&mut schedule, (14, 90, 5), 4_000), NextLook::QUICK);
        assert_eq!(look_at(&mut schedule, (13, 90, 5), 4_999), NextLook::QUICK);
        assert_eq!(look_at(&mut schedule, (13, 90, 5), 5_000), CALM);
        let waits = Look {
            open: 1,
            waiting: 1,
            admitted: 90,
            refused: 5,
            ..QUIET
        };
        assert_eq!(schedule.next(waits, SLOTS, at(7_000)), NextLook::QUICK);
    }

    /// One of three slots is not more than a third of them.
    #[test]
    fn looks_are_quick_while_a_class_has_to_wait() {
        let mut schedule = calm();
        let look = |open| Look {
            open,
            limit: 1,
            admitted: 90,
            refused: 5,
            ..QUIET
        };
        assert_eq!(schedule.next(look(0), 3, at(2_000)).after, SLOW);
        assert_eq!(schedule.next(look(1), 3, at(4_000)), NextLook::QUICK);
    }

    #[test]
    fn a_tenth_of_the_slots_in_a_second_keeps_looks_quick() {
        let mut schedule = calm();
        // Three within a moment, then seven within two seconds.
        assert_eq!(look_at(&mut schedule, (3, 93, 5), 100), CALM);
        assert_eq!(look_at(&mut schedule, (3, 97, 5), 2_000), CALM);
        assert_eq!(look_at(&mut schedule, (3, 105, 5), 4_000), NextLook::QUICK);
        // The filter woke the daemon in a burst.
        let mut schedule = calm();
        assert_eq!(look_at(&mut schedule, (0, 94, 5), 20), NextLook::QUICK);
        assert_eq!(look_at(&mut schedule, (4, 94, 5), 1_000), NextLook::QUICK);
        assert_eq!(look_at(&mut schedule, (4, 94, 5), 2_000), CALM);
        // A count that went back began anew.
        assert_eq!(look_at(&mut schedule, (4, 1, 5), 4_000), CALM);
    }

    #[test]
    fn a_refusal_keeps_looks_quick_for_ten_seconds() {
        let mut schedule = calm();
        assert_eq!(look_at(&mut schedule, (0, 90, 6), 2_000), NextLook::QUICK);
        assert_eq!(look_at(&mut schedule, (0, 90, 6), 11_999), NextLook::QUICK);
        assert_eq!(look_at(&mut schedule, (0, 90, 6), 12_000), CALM);
    }

    #[test]
    fn the_smallest_server_wakes_the_daemon_too() {
        let mut schedule = calm();
        let look = |admitted| Look {
            admitted,
            refused: 5,
            ..QUIET
        };
        assert_eq!(schedule.next(look(90), 1, at(2_000)).wake_after, 1);
        assert_eq!(schedule.next(look(91), 1, at(2_100)), NextLook::QUICK);
    }

    #[test]
    fn the_filter_is_told() {
        let mut gate = Gate::default();
        CALM.write_to(&mut gate);
        assert_eq!((gate.fresh_for_ms, gate.wake_after), (5_000, 4));
        NextLook::QUICK.write_to(&mut gate);
        assert_eq!(gate, Gate::default());
        // The next look comes before the gate is stale, even if one is missed.
        assert!(2 * CALM.after < CALM.fresh_for);
    }
}
