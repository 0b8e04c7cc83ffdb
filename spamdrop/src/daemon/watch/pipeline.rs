//! Passes a log line to the engine, and carries out what the engine decides.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use spamdrop_core::engine::{Effects, Engine};
use spamdrop_core::event::{Clock, Event};
use spamdrop_core::log::Parsed;
use spamdrop_core::policy::Decision;
use spamdrop_core::time::Moment;
use spamdrop_core::zone_offset::{OffsetHistory, TOLERANCE};
use tokio::sync::mpsc::UnboundedSender;

use crate::clock;
use crate::daemon::block::{Blocker, Offence};
use crate::daemon::gate::GateMessage;
use crate::tail::LogLine;

/// For each log by its path, how far its stamps without a time zone are off.
#[derive(Default)]
pub(super) struct LogClocks(BTreeMap<PathBuf, OffsetHistory>);

impl LogClocks {
    /// Adds the event of a line. Old lines, as of an archive, say nothing about
    /// the time zone.
    fn add(&mut self, line: &LogLine<'_>, event: &Event<'_>, now: SystemTime) {
        let offset = match event.clock {
            Clock::Off(offset) => Some(offset),
            Clock::Local if event.distance(now) <= TOLERANCE => None,
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

    /// Each log, with a phrase on how far its stamps are off; `None`: they are right.
    pub(super) fn troubles(&self) -> impl Iterator<Item = (&Path, Option<String>)> {
        let histories = self.0.iter();
        histories.map(|(path, history)| (path.as_path(), history.trouble()))
    }
}

/// Decides about a line, queues the block if it is an offence, and sends evidence
/// about the source to the gate.
pub(super) fn take_line(
    engine: &mut Engine,
    blocker: &mut Blocker,
    gate: &UnboundedSender<GateMessage>,
    clocks: &mut LogClocks,
    line: &LogLine<'_>,
) {
    let now = moment();
    let parsed = engine.read(line.bytes, line.backlog, now.wall);
    let handed_over = engine.take_handed_over();
    // The connection of a line from before the start may have ended long ago.
    if let Some((addr, port)) = handed_over.filter(|_| !line.backlog) {
        let _ = gate.send(GateMessage::HandedOver(addr, port));
    }
    let Parsed::Event(event) = parsed else {
        return;
    };
    clocks.add(line, &event, now.wall);
    if engine.is_duplicate(&event, line.path, now) {
        return;
    }
    let is_blocked = blocker.is_blocked(event.addr, clock::monotonic_ns());
    let Effects { decision, evidence } = engine.decide(&event, now, is_blocked);
    if let Some(evidence) = evidence {
        let message = GateMessage::Heard(event.addr, evidence);
        let _ = gate.send(message);
    }
    carry_out(blocker, &event, decision, line.bytes);
}

fn carry_out(blocker: &mut Blocker, event: &Event<'_>, decision: Decision, line: &[u8]) {
    match decision {
        Decision::Block { addr, age } => blocker.add(Offence {
            addr,
            at: clock::monotonic_ns().minus(age),
            line: line.to_vec(),
        }),
        Decision::Known | Decision::Delivered => {}
        Decision::Ignore(why) => {
            log::debug!(target: "spamdrop::policy", "{} not blocked: {why}", event.addr);
        }
    }
}

/// Reads both clocks.
pub(in crate::daemon) fn moment() -> Moment {
    Moment {
        wall: clock::wall(),
        mono: clock::monotonic(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::{Duration, UNIX_EPOCH};

    use spamdrop_core::event::{Envelope, EventKind};
    use spamdrop_core::zone_offset::ZoneOffset;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn now() -> SystemTime {
        UNIX_EPOCH + 1_000 * HOUR
    }

    fn event(clock: Clock, age: Duration) -> Event<'static> {
        Event {
            addr: IpAddr::from([192, 0, 2, 1]),
            kind: EventKind::Accepted,
            at: Some(now() - age),
            clock,
            rule: "exim-accepted".into(),
            envelope: Envelope::default(),
        }
    }

    fn troubles(clocks: &LogClocks) -> Vec<String> {
        let troubles = clocks.troubles();
        let troubles = troubles.filter_map(|(path, trouble)| trouble.map(|text| (path, text)));
        troubles
            .map(|(path, text)| format!("{}: {text}", path.display()))
            .collect()
    }

    #[test]
    fn each_log_has_a_time_zone() {
        let line = |path| LogLine {
            bytes: b"",
            path: Path::new(path),
            offset: 0,
            backlog: false,
        };
        let mut clocks = LogClocks::default();
        let mut add = |path, event: Event<'_>| {
            clocks.add(&line(path), &event, now());
            troubles(&clocks)
        };
        let off = || {
            let offset = ZoneOffset::between(now() - HOUR, now());
            let clock = offset.map_or(Clock::Local, Clock::Off);
            event(clock, Duration::ZERO)
        };
        for expected in [0, 0, 1, 1] {
            assert_eq!(add("a.log", off()).len(), expected);
            add("b.log", event(Clock::Local, Duration::ZERO));
        }
        // An archive that is appended, and lines that name their zone.
        for _ in 0..5 {
            add("a.log", event(Clock::Local, 500 * HOUR));
            let named = add("a.log", event(Clock::Zoned, Duration::ZERO));
            let text = named.concat();
            assert!(
                text.starts_with("a.log: its stamps have no time zone and are 1h behind;"),
                "{text}"
            );
        }
        for expected in [1, 1, 0] {
            let right = event(Clock::Local, Duration::from_secs(60));
            assert_eq!(add("a.log", right).len(), expected);
        }
    }
}
