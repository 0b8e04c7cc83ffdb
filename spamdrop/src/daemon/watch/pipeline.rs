//! Log line → event → effects, carried out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use spamdrop_core::engine::{Effects, Engine};
use spamdrop_core::event::{Clock, Event};
use spamdrop_core::log::Parsed;
use spamdrop_core::policy::Decision;
use spamdrop_core::time::Moment;
use spamdrop_core::zone_offset::OffsetHistory;
use tokio::sync::mpsc::UnboundedSender;

use crate::clock;
use crate::daemon::block::{Blocker, Offence};
use crate::daemon::gate::GateMessage;
use crate::tail::Line;

/// The time zones of the logs whose stamps have none, by their path.
#[derive(Default)]
pub(super) struct LogClocks(BTreeMap<PathBuf, OffsetHistory>);

impl LogClocks {
    fn add(&mut self, line: &Line<'_>, clock: Clock) {
        let offset = match clock {
            Clock::Off(offset) => Some(offset),
            Clock::Local if !line.backlog => None,
            Clock::Local | Clock::Zoned => return,
        };
        match self.0.get_mut(line.path) {
            Some(history) => history.add(offset),
            None => {
                let history = self.0.entry(line.path.to_owned()).or_default();
                history.add(offset);
            }
        }
    }

    /// A phrase for each log, if its stamps are off.
    pub(super) fn troubles(&self) -> impl Iterator<Item = (&Path, Option<String>)> {
        let histories = self.0.iter();
        histories.map(|(path, history)| (path.as_path(), history.trouble()))
    }
}

/// Decides about a line, and carries out what follows.
pub(super) fn take_line(
    engine: &mut Engine,
    blocker: &mut Blocker,
    gate: &UnboundedSender<GateMessage>,
    clocks: &mut LogClocks,
    line: &Line<'_>,
) {
    let now = moment();
    let Parsed::Event(event) = engine.read(line.bytes, line.backlog, now.wall) else {
        return;
    };
    clocks.add(line, event.clock);
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
