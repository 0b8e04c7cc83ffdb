//! When the server's connections are counted again.
//!
//! Each count walks the kernel's table of all connections, so the connections of
//! a quiet server are counted seldom. In between, the filter's counters show
//! whether a burst has begun.

use std::time::Duration;

use spamdrop_common::gate::{CLASSES, Gate, GateStats};
use spamdrop_common::time::MonotonicNs;

use super::Occupancy;

/// The time between two looks while slots may run short.
const QUICK: Duration = Duration::from_millis(200);
/// The time between two looks at the filter's counters while the server is quiet.
const CALM: Duration = Duration::from_millis(500);
/// The time between two counts of a quiet server: less than two seconds, so that
/// the look two seconds after a count is not too early.
const SLOW: Duration = Duration::from_millis(1_900);
/// The time between two counts while the last one found no connection and the filter
/// has admitted no SYN since. Only connections that the filter does not see, such as
/// those of the loopback interface, are counted so late.
const EMPTY: Duration = Duration::from_millis(9_900);
/// Slots may run short while more than one in this many is taken: a third.
const TAKEN: u64 = 3;
/// Slots may run short while the SYNs admitted in a second are at least one for this
/// many slots: a tenth.
const ADMITTED: u64 = 10;
/// Slots may run short for this time after a SYN was refused.
const REFUSED: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

/// Decides when to look, and at each look whether to count the connections.
#[derive(Clone, Debug, Default)]
pub struct CountSchedule {
    /// The time of the last count, and the filter's counters just before it;
    /// `None`: a count is due in any case.
    last: Option<(MonotonicNs, Counters)>,
    /// Start of the second in which admitted SYNs are counted, and the counter
    /// at that time.
    since: Option<(MonotonicNs, u64)>,
    /// A count is due at each look until then.
    quick_until: MonotonicNs,
    /// Whether the last count found a server without connections. Whether a server has
    /// started is looked for more often.
    is_empty: bool,
}

/// The filter's counters that tell of a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counters {
    admitted: u64,
    refused: u64,
}

impl CountSchedule {
    /// Whether the connections are to be counted now: slots may run short, or
    /// the last count was 1.9 s or longer ago, 9.9 s if there can be no new connection.
    #[must_use]
    pub fn is_due(&self, stats: &GateStats, slots: u32, now: MonotonicNs) -> bool {
        let Some((at, before)) = self.last else {
            return true;
        };
        let counters = Counters::from_stats(stats);
        let is_still_empty = self.is_empty && counters == before;
        now < self.quick_until
            || now >= at.plus(if is_still_empty { EMPTY } else { SLOW })
            || counters.refused != before.refused
            || is_tenth(counters.admitted, before.admitted, slots, SECOND)
    }

    /// The time from this look to the next.
    #[must_use]
    pub fn pause(&self, now: MonotonicNs) -> Duration {
        if self.last.is_none() || now < self.quick_until {
            QUICK
        } else {
            CALM
        }
    }

    /// Takes a count of the connections. `stats` must have been read before the
    /// count.
    pub fn counted(
        &mut self,
        gate: &Gate,
        seen: Occupancy,
        stats: &GateStats,
        slots: u32,
        now: MonotonicNs,
    ) {
        let counters = Counters::from_stats(stats);
        let last = self.last.replace((now, counters));
        let was_refused = last.is_none_or(|(_, before)| before.refused != counters.refused);
        if was_refused {
            self.stay_quick(now.plus(REFUSED));
        }
        self.is_empty = seen.listeners > 0 && gate.open == 0 && seen.open == 0 && seen.pending == 0;
        // On a server with few slots, a class waits before a third is taken.
        let is_taken = gate.open >= gate.limits[CLASSES - 1]
            || u64::from(gate.open) * TAKEN > u64::from(slots)
            || seen.waiting > 0;
        // `is_fast` comes first, because it must see each count of the SYNs.
        if self.is_fast(slots, counters.admitted, now) || is_taken {
            self.stay_quick(now.plus(SECOND));
        }
    }

    fn stay_quick(&mut self, until: MonotonicNs) {
        self.quick_until = self.quick_until.max(until);
    }

    /// Whether the SYNs admitted in a second are at least a tenth of the slots. Begins
    /// the next second when this one is over.
    fn is_fast(&mut self, slots: u32, admitted: u64, now: MonotonicNs) -> bool {
        let (at, before) = *self.since.get_or_insert((now, admitted));
        let passed = now.elapsed_since(at).max(SECOND);
        if now >= at.plus(SECOND) {
            self.since = Some((now, admitted));
        }
        is_tenth(admitted, before, slots, passed)
    }
}

impl Counters {
    fn from_stats(stats: &GateStats) -> Self {
        Self {
            admitted: stats.admitted,
            refused: stats.refused.iter().sum(),
        }
    }
}

/// Whether the SYNs admitted in a second are at least a tenth of the slots. `before`
/// and `admitted`: two counts of SYNs, `passed` apart.
fn is_tenth(admitted: u64, before: u64, slots: u32, passed: Duration) -> bool {
    // The count has gone back if the filter's counters began anew.
    let more = u128::from(admitted.saturating_sub(before)) * u128::from(ADMITTED);
    more > 0 && more * 1_000 >= u128::from(slots) * passed.as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS: u32 = 40;

    /// A server without connections.
    const EMPTY_SERVER: Occupancy = Occupancy {
        open: 0,
        waiting: 0,
        opened: 0,
        pending: 0,
        listeners: 1,
    };

    fn moment(ms: u64) -> MonotonicNs {
        MonotonicNs::from_second(1_000).plus(Duration::from_millis(ms))
    }

    fn stats(admitted: u64, refused: u64) -> GateStats {
        GateStats {
            admitted,
            refused: [0, 0, refused],
            ..GateStats::default()
        }
    }

    fn gate(open: u32) -> Gate {
        Gate {
            open,
            limits: [32, 28, 24],
            ..Gate::default()
        }
    }

    /// A schedule whose two counts, 20 s before `moment(0)` and at `moment(0)`, showed no
    /// connection and no new SYN.
    fn quiet() -> CountSchedule {
        let mut schedule = CountSchedule::default();
        assert!(schedule.is_due(&stats(90, 5), SLOTS, moment(0)));
        for seconds in [0, 20] {
            let now = moment(0).minus(Duration::from_secs(20 - seconds));
            count(&mut schedule, 0, (90, 5), now);
        }
        schedule
    }

    fn count(schedule: &mut CountSchedule, open: u32, counters: (u64, u64), now: MonotonicNs) {
        let stats = stats(counters.0, counters.1);
        schedule.counted(&gate(open), EMPTY_SERVER, &stats, SLOTS, now);
    }

    /// The times in ms of the looks after `moment(0)`, and of those that count.
    /// `counters`: the filter's counters at such a time.
    fn looks(
        schedule: &mut CountSchedule,
        counters: impl Fn(u64) -> (u64, u64),
        until_ms: u64,
    ) -> (Vec<u64>, Vec<u64>) {
        let (mut looks, mut counts, mut ms) = (Vec::new(), Vec::new(), 0);
        loop {
            ms += schedule.pause(moment(ms)).as_millis() as u64;
            if ms > until_ms {
                return (looks, counts);
            }
            looks.push(ms);
            let (admitted, refused) = counters(ms);
            if schedule.is_due(&stats(admitted, refused), SLOTS, moment(ms)) {
                count(schedule, 0, (admitted, refused), moment(ms));
                counts.push(ms);
            }
        }
    }

    fn every(step: usize, range: std::ops::RangeInclusive<u64>) -> Vec<u64> {
        range.step_by(step).collect()
    }

    #[test]
    fn an_empty_server_is_counted_every_ten_seconds() {
        let (looked, counted) = looks(&mut quiet(), |_| (90, 5), 30_000);
        assert_eq!(looked, every(500, 500..=30_000));
        assert_eq!(counted, [10_000, 20_000, 30_000]);
    }

    #[test]
    fn a_quiet_server_is_counted_every_two_seconds() {
        // It holds a connection, one is being established, or a SYN comes now and then.
        let open = Occupancy {
            open: 1,
            ..EMPTY_SERVER
        };
        let pending = Occupancy {
            pending: 1,
            ..EMPTY_SERVER
        };
        // Or no server listens yet.
        let none = Occupancy::default();
        for (open, seen) in [
            (1, open),
            (0, open),
            (0, pending),
            (1, EMPTY_SERVER),
            (0, none),
        ] {
            let mut schedule = quiet();
            schedule.counted(&gate(open), seen, &stats(90, 5), SLOTS, moment(0));
            let due = [1_899, 1_900].map(|ms| schedule.is_due(&stats(90, 5), SLOTS, moment(ms)));
            assert_eq!(due, [false, true], "{open} {seen:?}");
        }
        let few = |ms| (90 + ms / 700, 5);
        assert_eq!(looks(&mut quiet(), few, 6_000).1, [2_000, 4_000, 6_000]);
        // The first SYN after a long time.
        let first = |ms| (90 + ms / 4_500, 5);
        assert_eq!(looks(&mut quiet(), first, 8_000).1, [4_500]);
    }

    #[test]
    fn after_a_start_the_counts_are_quick_for_ten_seconds() {
        let mut schedule = CountSchedule::default();
        assert_eq!(schedule.pause(moment(0)), QUICK);
        count(&mut schedule, 0, (90, 5), moment(0));
        let (looked, counted) = looks(&mut schedule, |_| (90, 5), 12_000);
        let quick = every(200, 200..=9_800);
        let calm = [10_000, 10_500, 11_000, 11_500, 12_000];
        assert_eq!(looked, [&quick[..], &calm].concat());
        assert_eq!(counted, quick);
    }

    #[test]
    fn a_burst_of_a_tenth_of_the_slots_is_counted_at_the_next_look() {
        let schedule = quiet();
        assert!(!schedule.is_due(&stats(93, 5), SLOTS, moment(200)));
        assert!(schedule.is_due(&stats(94, 5), SLOTS, moment(200)));
        // Then each look counts until 1.9 s: a second after the last count within the
        // burst's second.
        let (_, counted) = looks(&mut quiet(), |_| (94, 5), 4_000);
        let quick = every(200, 500..=1_700);
        assert_eq!(counted, quick);
    }

    #[test]
    fn a_steady_tenth_a_second_stays_quick() {
        // Five SYNs a second; the first four make a burst.
        let (_, counted) = looks(&mut quiet(), |ms| (90 + ms / 200, 5), 10_000);
        assert_eq!(counted, every(200, 1_000..=10_000));
    }

    #[test]
    fn counts_are_quick_while_slots_are_taken() {
        let waiting = Occupancy {
            waiting: 1,
            ..Occupancy::default()
        };
        let none = Occupancy::default();
        // Below and above a third of 40 slots, below and at the lowest limit of a server
        // with three slots, and one connection in the queue.
        let cases = [
            (gate(13), none, SLOTS, false),
            (gate(14), none, SLOTS, true),
            (
                Gate {
                    limits: [2, 2, 1],
                    ..gate(0)
                },
                none,
                3,
                false,
            ),
            (
                Gate {
                    limits: [2, 2, 1],
                    ..gate(1)
                },
                none,
                3,
                true,
            ),
            (gate(0), waiting, SLOTS, true),
        ];
        for (gate, seen, slots, expected) in cases {
            let mut schedule = quiet();
            schedule.counted(&gate, seen, &stats(90, 5), slots, moment(0));
            let due = [200, 999, 1_000].map(|ms| schedule.is_due(&stats(90, 5), slots, moment(ms)));
            assert_eq!(due, [expected, expected, false], "{gate:?}");
        }
    }

    #[test]
    fn a_refusal_is_counted_at_once_and_for_ten_seconds() {
        let mut schedule = quiet();
        assert!(schedule.is_due(&stats(90, 6), SLOTS, moment(200)));
        count(&mut schedule, 0, (90, 6), moment(200));
        let due = [10_199, 10_200].map(|ms| {
            let is_due = schedule.is_due(&stats(90, 6), SLOTS, moment(ms));
            count(&mut schedule, 0, (90, 6), moment(ms));
            is_due
        });
        assert_eq!(due, [true, false]);
    }

    #[test]
    fn one_syn_is_a_burst_on_the_smallest_server_and_a_new_count_is_none() {
        let schedule = quiet();
        assert!(!schedule.is_due(&stats(90, 5), 1, moment(200)));
        assert!(schedule.is_due(&stats(91, 5), 1, moment(200)));
        assert!(!schedule.is_due(&stats(1, 5), 1, moment(200)));
    }
}
