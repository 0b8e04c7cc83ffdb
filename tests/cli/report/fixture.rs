//! Made-up waves for pictures, the same in every run.

use spamdrop_core::wave::{Point, Snapshot, SourceCounts, Totals, WantedWait, Wave};

/// 2026-11-23, a Monday, 0:00 UTC.
pub const MONDAY: u64 = 1_795_392_000;

/// Numbers that look random (Knuth's linear congruential generator).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit.max(1)
    }
}

/// A wave.
#[derive(Clone, Copy)]
pub struct WavePlan {
    pub number: i64,
    pub start_unix_s: u64,
    pub length_s: u32,
    pub slots: u32,
    /// Factor for the numbers of SYNs; 1 for a small server.
    pub scale: u32,
    pub observed: bool,
    pub responder: bool,
}

/// The course of a wave: the connections rise to the limit of the worst class and
/// stay there, SYNs are refused, and a minute of silence follows.
pub fn wave(plan: WavePlan) -> Snapshot {
    let mut dice = Dice::new(plan.number.unsigned_abs());
    let mut roll = |limit: u32| u32::try_from(dice.below(limit.into())).unwrap();
    let end = plan.length_s;
    let limit = plan.slots * 6 / 10;
    let (known, slowest) = (roll(plan.slots / 4) + 2, roll(50) + 5);
    let mut points = Vec::new();
    for at_s in 0..end + 60 {
        let strength = if at_s < end { at_s.min(end - at_s) } else { 0 };
        let rising = (plan.slots / 3 + strength / 2).min(limit);
        let syns = (strength / 20).min(12) * plan.scale;
        let refused = if rising == limit { roll(syns + 1) } else { 0 };
        let open = match at_s < end {
            true => rising + roll(known),
            false => (limit * (end + 60 - at_s) / 60).min(limit),
        };
        points.push(Point {
            at_s,
            open: match plan.observed && refused > 0 {
                true => (open + plan.slots / 4).min(plan.slots),
                false => open,
            },
            waiting: roll(3),
            admitted: roll(4 * plan.scale),
            refused,
            answered: match plan.responder {
                true => refused / 3,
                false => 0,
            },
        });
    }
    let sum = |number: fn(&Point) -> u32| points.iter().map(|p| u64::from(number(p))).sum();
    let refused: u64 = sum(|point| point.refused);
    let wait = |n: u32| WantedWait {
        at_s: f64::from((n * end / 15).min(end)),
        wait_s: f64::from(n * 37 % slowest + 2) + 0.5,
    };
    let waits: Vec<_> = (2..12).map(wait).collect();
    let longest = waits.iter().map(|wait| wait.wait_s).fold(0.0, f64::max);
    Snapshot {
        id: plan.number,
        wave: Wave {
            start_unix_s: plan.start_unix_s,
            length_s: f64::from(end),
            observed: plan.observed,
            slots: plan.slots,
            peak_open: points.iter().map(|point| point.open).max().unwrap(),
            peak_waiting: 2,
            who: SourceCounts {
                sources: refused / 2 + 60,
                listed: refused * 2 / 5,
                accepted: 60,
                delayed: refused / 2,
                delayed_listed: refused / 3,
                delayed_accepted: 10,
                ..SourceCounts::default()
            },
            repeats: refused / 2,
            totals: Totals {
                admitted: sum(|point| point.admitted),
                known_or_allowed: 52,
                starvation_admits: 31,
                refused: [0, refused / 100, refused - refused / 100],
                answered: sum(|point| point.answered),
                dropped: refused * 3,
                blocked: refused * 2 / 5,
                released: 17,
            },
            longest_wait_s: Some(longest).filter(|_| !plan.observed),
            longest_listed_wait_s: Some(41.0),
            waits: match plan.observed {
                true => Vec::new(),
                false => waits,
            },
            ..Wave::default()
        },
        points,
    }
}

/// One wave of eleven minutes, on Monday at 14:03.
pub fn one() -> Vec<Snapshot> {
    vec![wave(WavePlan {
        number: 1,
        start_unix_s: MONDAY + 50_602,
        length_s: 663,
        slots: 40,
        scale: 1,
        observed: false,
        responder: true,
    })]
}

/// A week with thirty waves: the gate observes for two days.
pub fn week() -> Vec<Snapshot> {
    let mut dice = Dice::new(7);
    let mut start_unix_s = MONDAY;
    let mut plan = |number: i64| {
        start_unix_s += 3_600 + dice.below(30_000);
        wave(WavePlan {
            number,
            start_unix_s,
            length_s: u32::try_from(60 + dice.below(900)).unwrap(),
            slots: 40,
            scale: 1,
            observed: start_unix_s < MONDAY + 2 * 86_400,
            responder: start_unix_s > MONDAY + 4 * 86_400,
        })
    };
    (1..=30).map(&mut plan).collect()
}

/// A wave of 25 hours against a large server, and one with numbers as large as they can
/// be.
pub fn huge() -> Vec<Snapshot> {
    let mut great = wave(WavePlan {
        number: 1,
        start_unix_s: MONDAY,
        length_s: 90_000,
        slots: 60_000,
        scale: 40_000,
        observed: false,
        responder: true,
    });
    // The recorder, too, keeps fewer points of a long wave.
    great.points.retain(|point| point.at_s % 32 == 0);
    great.wave.longest_wait_s = Some(5_400.0);
    great.wave.waits.push(WantedWait {
        at_s: 80_000.0,
        wait_s: 5_400.0,
    });
    let mut wild = great.clone();
    wild.id = 2;
    wild.wave.start_unix_s += 100_000;
    wild.wave.peak_open = u32::MAX;
    wild.wave.slots = 1;
    wild.wave.who.sources = u64::MAX;
    wild.wave.totals.refused = [u64::MAX; 3];
    wild.wave.totals.answered = u64::MAX;
    wild.wave.length_s = 1e12;
    vec![great, wild]
}
