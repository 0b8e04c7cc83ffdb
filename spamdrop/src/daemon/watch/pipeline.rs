//! Log line → event → effects, carried out.

use spamdrop_core::engine::{Effects, Engine};
use spamdrop_core::event::Event;
use spamdrop_core::log::Parsed;
use spamdrop_core::policy::Decision;
use spamdrop_core::time::Moment;
use tokio::sync::mpsc::UnboundedSender;

use crate::clock;
use crate::daemon::block::{Blocker, Offence};
use crate::daemon::gate::GateMessage;
use crate::tail::Line;

/// Decides about a line, and carries out what follows.
pub(super) fn take_line(
    engine: &mut Engine,
    blocker: &mut Blocker,
    gate: &UnboundedSender<GateMessage>,
    line: &Line<'_>,
) {
    let now = moment();
    let Parsed::Event(event) = engine.read(line.bytes, line.backlog, now.wall) else {
        return;
    };
    let is_blocked = blocker.is_blocked(event.addr, clock::monotonic_ns());
    let Effects { decision, evidence } = engine.decide(&event, now, is_blocked);
    if let Some(evidence) = evidence {
        let message = GateMessage::Heard(event.addr, evidence);
        let _ = gate.send(message);
    }
    carry_out(blocker, &event, decision, line.bytes, is_blocked);
}

fn carry_out(
    blocker: &mut Blocker,
    event: &Event<'_>,
    decision: Decision,
    line: &[u8],
    is_repeated: bool,
) {
    match decision {
        Decision::Block { addr, age } => blocker.add(Offence {
            addr,
            at: clock::monotonic_ns().minus(age),
            line: line.to_vec(),
            is_repeated,
        }),
        Decision::Known | Decision::Delivered => {}
        Decision::Ignore(why) => {
            log::debug!(target: "spamdrop::policy", "{} not blocked: {why}", event.addr);
        }
    }
}

/// Reads both clocks.
pub(super) fn moment() -> Moment {
    Moment {
        wall: clock::wall(),
        mono: clock::monotonic(),
    }
}
