//! Occupancy → gate. Pure: it reads no clock and no socket.

use std::time::Duration;

use spamdrop_common::gate::{CLASSES, Gate, GateMode};
use spamdrop_common::time::MonotonicNs;

use super::Occupancy;

/// Shares of the slots, in percent, from which on each class waits. Nested, so
/// that the worst never take the best one's slots (trunk reservation).
const LIMITS: [u32; CLASSES] = [80, 70, 60];
/// At least so many SYNs without an echo, and at least this share of the
/// slots, make a flood.
const FLOOD: u32 = 8;
const FLOOD_SHARE: u32 = 4;
/// Looks in a row at which somebody waits to be accepted.
const FULL: u32 = 3;
/// And if SYNs fill the gate from one look to the next, but the connections do
/// not grow by this share of them, the kernel has thrown them away.
const LOST_SHARE: u64 = 4;
/// Looks further apart tell nothing.
const NEAR: Duration = Duration::from_secs(1);
/// For how long a flood is assumed after its last sign.
const FLOOD_KEPT: Duration = Duration::from_secs(60);

/// Decides how the gate is set, from look to look.
#[derive(Clone, Debug)]
pub struct GateController {
    mode: GateMode,
    slots: u32,
    seed: u32,
    flooded_until: MonotonicNs,
    waited: u32,
    last: Option<Look>,
}

/// What is compared with the next look.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: MonotonicNs,
    admitted: u64,
    connections: u32,
}

impl GateController {
    /// A controller for a server with so many slots. The seed is nobody's to know.
    #[must_use]
    pub fn new(mode: GateMode, slots: u32, seed: u32) -> Self {
        Self {
            mode,
            slots,
            seed,
            flooded_until: MonotonicNs::default(),
            waited: 0,
            last: None,
        }
    }

    /// The server's slots.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// What the gate does.
    #[must_use]
    pub fn mode(&self) -> GateMode {
        self.mode
    }

    /// Whether there is a flood of SYNs that nobody follows up.
    #[must_use]
    pub fn is_flooded(&self, now: MonotonicNs) -> bool {
        now < self.flooded_until
    }

    /// The gate after a look at the sockets; `admitted` was read before it.
    /// `responders`: the families that have one, as [`Gate::responders`].
    pub fn set(
        &mut self,
        seen: Occupancy,
        admitted: u64,
        responders: u32,
        now: MonotonicNs,
    ) -> Gate {
        let limits = LIMITS.map(|share| limit(self.slots, share));
        // A flood's newest SYNs are among the open. While there is room for all,
        // what nobody follows up is the noise of the Internet.
        let crowded = seen.open >= limits[CLASSES - 1];
        let unanswered = seen.unanswered >= FLOOD.max(self.slots / FLOOD_SHARE);
        let look = Look {
            at: now,
            admitted,
            connections: seen.open.saturating_add(seen.unanswered),
        };
        let lost = self.last.replace(look).map_or(0, |last| look.lost(&last));
        // A full server's kernel throws away what it cannot queue.
        let filled = seen.open < self.slots && lost >= u64::from(limits[CLASSES - 1]);
        if crowded && unanswered || filled {
            self.flooded_until = now.plus(FLOOD_KEPT);
        }
        // Somebody waits at look after look because all slots are taken, also
        // by processes that have no connection any more.
        self.waited = if seen.waiting > 0 {
            self.waited.saturating_add(1)
        } else {
            0
        };
        let full = self.waited >= FULL;
        Gate {
            written: now,
            admitted,
            mode: self.mode as u32,
            open: if full {
                seen.open.max(self.slots)
            } else {
                seen.open
            },
            limits,
            flooded: self.is_flooded(now).into(),
            responders,
            seed: self.seed,
            ..Gate::default()
        }
    }
}

impl Look {
    /// SYNs that passed since the last look, if they left hardly a trace.
    fn lost(&self, last: &Self) -> u64 {
        let admitted = self.admitted.wrapping_sub(last.admitted);
        let grown = self.connections.saturating_sub(last.connections);
        let is_lost = u64::from(grown) < admitted / LOST_SHARE;
        if is_lost && self.at.elapsed_since(last.at) <= NEAR {
            admitted
        } else {
            0
        }
    }
}

/// At least one connection.
fn limit(slots: u32, share: u32) -> u32 {
    let limit = u64::from(slots) * u64::from(share) / 100;
    u32::try_from(limit).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use spamdrop_common::gate::RESPONDER_IPV6;

    use super::*;

    const START: MonotonicNs = MonotonicNs::from_second(0);

    fn seen(open: u32, waiting: u32, unanswered: u32) -> Occupancy {
        Occupancy {
            open,
            waiting,
            unanswered,
        }
    }

    fn controller() -> GateController {
        GateController::new(GateMode::On, 40, 7)
    }

    #[test]
    fn the_gate_is_told_what_was_seen() {
        let gate = controller().set(seen(12, 0, 0), 99, RESPONDER_IPV6, MonotonicNs::from_ns(5));
        let expected = Gate {
            written: MonotonicNs::from_ns(5),
            admitted: 99,
            mode: GateMode::On as u32,
            open: 12,
            limits: [32, 28, 24],
            flooded: 0,
            responders: RESPONDER_IPV6,
            seed: 7,
            ..Gate::default()
        };
        assert_eq!(gate, expected);
    }

    #[test]
    fn small_servers_have_limits_too() {
        let limits = |slots| {
            let gate = GateController::new(GateMode::On, slots, 0).set(seen(0, 0, 0), 0, 0, START);
            gate.limits
        };
        assert_eq!(limits(10), [8, 7, 6]);
        assert_eq!(limits(1), [1, 1, 1]);
        assert_eq!(limits(u32::MAX)[0], 3_435_973_836);
    }

    #[test]
    fn who_waits_thrice_in_a_row_shows_that_all_slots_are_taken() {
        let mut controller = controller();
        let mut open = |waiting| controller.set(seen(9, waiting, 0), 0, 0, START).open;
        // Some may just not have been accepted yet.
        let opens = [
            open(1),
            open(1),
            open(1),
            open(0),
            open(1),
            open(1),
            open(2),
        ];
        assert_eq!(opens, [9, 9, 40, 9, 9, 9, 40]);
        let more = controller.set(seen(169, 129, 0), 0, 0, START);
        assert_eq!(more.open, 169);
    }

    /// As those with a wrong checksum are.
    #[test]
    fn syns_that_the_kernel_throws_away_are_a_flood() {
        let flooded = |admitted: u64, open, pause| {
            let mut controller = controller();
            controller.set(seen(10, 0, 0), 1_000, 0, START);
            let gate = controller.set(seen(open, 0, 0), 1_000 + admitted, 0, START.plus(pause));
            gate.flooded == 1
        };
        assert!(flooded(24, 10, NEAR / 5));
        assert!(!flooded(23, 10, NEAR / 5), "there is room for all");
        assert!(!flooded(24, 16, NEAR / 5), "they became connections");
        assert!(
            !flooded(24, 10, NEAR + Duration::from_nanos(1)),
            "they may have come and gone"
        );
        assert!(!flooded(1_000, 40, NEAR / 5), "the server is full");
    }

    #[test]
    fn a_flood_lasts_a_minute_beyond_its_last_sign() {
        let mut controller = controller();
        let mut flooded = |unanswered, at| {
            let gate = controller.set(seen(24, 0, unanswered), 0, 0, MonotonicNs::from_second(at));
            gate.flooded == 1
        };
        assert!(!flooded(9, 1_000));
        assert!(flooded(10, 1_001));
        assert!(flooded(10, 1_030));
        assert!(flooded(0, 1_089));
        assert!(!flooded(0, 1_090));
        // There is room for everybody.
        let mut idle = self::controller();
        assert_eq!(idle.set(seen(23, 0, 1_000), 0, 0, START).flooded, 0);
        assert_eq!(idle.set(seen(24, 0, 10), 0, 0, START).flooded, 1);
        let mut small = GateController::new(GateMode::On, 4, 0);
        assert_eq!(small.set(seen(2, 0, 7), 0, 0, START).flooded, 0);
        assert_eq!(small.set(seen(2, 0, 8), 0, 0, START).flooded, 1);
    }
}
