//! Occupancy → gate. Pure: reads no clock and no socket.

use std::time::Duration;

use spamdrop_common::gate::{CLASSES, Gate, GateMode};
use spamdrop_common::time::MonotonicNs;

use super::Occupancy;

/// The occupancy, in percent of the slots, from which each class has to wait.
/// The limits are nested, so that a worse class never takes the slots of a
/// better one (trunk reservation).
const LIMITS: [u32; CLASSES] = [80, 70, 60];
/// The smallest number of unanswered SYNs that counts as a flood. It must also
/// be at least this fraction of the slots (1/4).
const FLOOD: u32 = 8;
const FLOOD_SHARE: u32 = 4;
/// The number of successive samples with a waiting connection after which the
/// server counts as full.
const FULL: u32 = 3;
/// A second sign of a flood: between two samples, as many SYNs pass as the
/// lowest limit allows connections, but the connections grow by less than this
/// fraction of them (1/4). The kernel has then discarded the SYNs.
const LOST_SHARE: u64 = 4;
/// Samples that are further apart than this are not compared.
const NEAR: Duration = Duration::from_secs(1);
/// How long a flood is assumed after its last sign.
const FLOOD_KEPT: Duration = Duration::from_secs(60);

/// Computes the gate from successive samples of the occupancy.
#[derive(Clone, Debug)]
pub struct GateController {
    mode: GateMode,
    slots: u32,
    seed: u32,
    flooded_until: MonotonicNs,
    waited: u32,
    last: Option<Look>,
}

/// The values that are compared with the next sample.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: MonotonicNs,
    admitted: u64,
    connections: u32,
}

impl GateController {
    /// A controller for a server with this many slots. The seed must be secret.
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

    /// The number of the server's slots.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// The mode of the gate.
    #[must_use]
    pub fn mode(&self) -> GateMode {
        self.mode
    }

    /// Whether there is a flood of SYNs that do not become connections.
    #[must_use]
    pub fn is_flooded(&self, now: MonotonicNs) -> bool {
        now < self.flooded_until
    }

    /// Computes the gate from a sample of the sockets. `admitted` must have
    /// been read before the sample. `responders`: the families with a
    /// responder, as in [`Gate::responders`].
    pub fn set(
        &mut self,
        seen: Occupancy,
        admitted: u64,
        responders: u32,
        now: MonotonicNs,
    ) -> Gate {
        let limits = LIMITS.map(|share| limit(self.slots, share));
        // A flood also fills `open`, because its newest SYNs count there until
        // their SYN-ACK is repeated. While no class has to wait, unanswered
        // SYNs are the usual noise of the Internet.
        let crowded = seen.open >= limits[CLASSES - 1];
        let unanswered = seen.unanswered >= FLOOD.max(self.slots / FLOOD_SHARE);
        let look = Look {
            at: now,
            admitted,
            connections: seen.open.saturating_add(seen.unanswered),
        };
        let lost = self.last.replace(look).map_or(0, |last| look.lost(&last));
        // A full server is exempt: its kernel discards SYNs that it cannot
        // queue.
        let filled = seen.open < self.slots && lost >= u64::from(limits[CLASSES - 1]);
        if crowded && unanswered || filled {
            self.flooded_until = now.plus(FLOOD_KEPT);
        }
        // A connection that waits in several successive samples shows that all
        // slots are taken, possibly by processes whose connection has ended.
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
    /// The SYNs that passed since the last sample, if hardly any of them became
    /// connections; otherwise 0.
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

/// Converts a share in percent to a number of connections, at least one.
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
            listeners: 1,
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
        // One or two samples prove nothing: the server may not have accepted
        // the connections yet.
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

    /// The kernel discards a SYN with a wrong checksum, for example.
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
        // Below the limits, no class waits.
        let mut idle = self::controller();
        assert_eq!(idle.set(seen(23, 0, 1_000), 0, 0, START).flooded, 0);
        assert_eq!(idle.set(seen(24, 0, 10), 0, 0, START).flooded, 1);
        let mut small = GateController::new(GateMode::On, 4, 0);
        assert_eq!(small.set(seen(2, 0, 7), 0, 0, START).flooded, 0);
        assert_eq!(small.set(seen(2, 0, 8), 0, 0, START).flooded, 1);
    }
}
