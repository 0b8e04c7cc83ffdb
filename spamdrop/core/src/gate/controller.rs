//! Computes the gate from the occupancy. Reads no clock and no socket.

use spamdrop_common::gate::{CLASSES, Gate, GateMode, SHARE_ONE};
use spamdrop_common::time::MonotonicNs;

use super::Occupancy;
use super::share::SynShare;

/// The occupancy, in percent of the slots, from which each class has to wait.
/// The limits are nested, so that a worse class never takes the slots of a
/// better one (trunk reservation).
pub(crate) const LIMITS: [u32; CLASSES] = [80, 70, 60];
/// The number of successive samples with a waiting connection after which the
/// server counts as full.
const FULL: u32 = 3;

/// Computes the gate from successive samples of the occupancy.
#[derive(Clone, Debug)]
pub struct GateController {
    mode: GateMode,
    slots: u32,
    waited: u32,
    share: SynShare,
}

impl GateController {
    /// A controller for a server with this many slots.
    #[must_use]
    pub fn new(mode: GateMode, slots: u32) -> Self {
        Self {
            mode,
            slots,
            waited: 0,
            share: SynShare::new(slots),
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

    /// Computes the gate from a sample of the sockets. `admitted`: the SYNs that the
    /// gate has admitted so far, read before the sample. `responders`: the families
    /// with a responder, as in [`Gate::responders`].
    pub fn set(
        &mut self,
        seen: Occupancy,
        admitted: u64,
        responders: u32,
        now: MonotonicNs,
    ) -> Gate {
        let share = self.share.update(admitted, seen.opened, seen.pending, now);
        // A connection that waits in several successive samples shows that all
        // slots are in use, possibly by processes whose connection has ended.
        self.waited = if seen.waiting > 0 {
            self.waited.saturating_add(1)
        } else {
            0
        };
        let full = self.waited >= FULL;
        let expected = u64::from(seen.pending) * u64::from(share) / u64::from(SHARE_ONE);
        let open = seen.open.saturating_add(expected as u32);
        Gate {
            written: now,
            admitted,
            mode: self.mode as u32,
            open: if full { open.max(self.slots) } else { open },
            limits: limits(self.slots),
            share,
            responders,
            ..Gate::default()
        }
    }
}

/// The numbers of connections from which each class has to wait, the best class
/// first.
#[must_use]
pub fn limits(slots: u32) -> [u32; CLASSES] {
    LIMITS.map(|share| limit(slots, share))
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

    fn seen(open: u32, waiting: u32) -> Occupancy {
        Occupancy {
            open,
            waiting,
            listeners: 1,
            ..Occupancy::default()
        }
    }

    fn controller() -> GateController {
        GateController::new(GateMode::On, 40)
    }

    #[test]
    fn the_gate_is_told_what_was_seen() {
        let mut controller = controller();
        assert_eq!((controller.mode(), controller.slots()), (GateMode::On, 40));
        let gate = controller.set(seen(12, 0), 99, RESPONDER_IPV6, MonotonicNs::from_ns(5));
        let expected = Gate {
            written: MonotonicNs::from_ns(5),
            admitted: 99,
            mode: GateMode::On as u32,
            open: 12,
            limits: [32, 28, 24],
            share: SHARE_ONE,
            responders: RESPONDER_IPV6,
            ..Gate::default()
        };
        assert_eq!(gate, expected);
    }

    #[test]
    fn small_servers_have_limits_too() {
        let limits = |slots| {
            let gate = GateController::new(GateMode::On, slots).set(seen(0, 0), 0, 0, START);
            gate.limits
        };
        assert_eq!(limits(10), [8, 7, 6]);
        assert_eq!(limits(1), [1, 1, 1]);
        assert_eq!(limits(u32::MAX)[0], 3_435_973_836);
    }

    #[test]
    fn waiting_thrice_in_a_row_shows_that_all_slots_are_taken() {
        let mut controller = controller();
        let mut open = |waiting| controller.set(seen(9, waiting), 0, 0, START).open;
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
        let more = controller.set(seen(169, 129), 0, 0, START);
        assert_eq!(more.open, 169);
    }

    /// Handshakes of a flood that are never completed do not fill the server.
    #[test]
    fn handshakes_under_way_count_as_their_syns_do() {
        let mut controller = controller();
        let mut open = |pending, admitted| {
            let seen = Occupancy {
                pending,
                ..seen(3, 0)
            };
            controller.set(seen, admitted, 0, START).open
        };
        assert_eq!(open(0, 0), 3);
        assert_eq!(open(20, 20), 23);
        // 93 SYNs did not become connections, so each of the 42 handshakes counts 2 * 5/98.
        assert_eq!(open(42, 135), 7);
    }
}
