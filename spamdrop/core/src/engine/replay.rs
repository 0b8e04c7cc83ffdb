//! Replay of a log: time comes from its stamps, and blocks are simulated.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::{Engine, EngineSettings};
use crate::event::{Event, EventKind};
use crate::log::{Needles, Parsed};
use crate::policy::{Decision, IgnoreReason, Protected};
use crate::reputation::{Record, Records};
use crate::target::Target;
use crate::time::{Moment, unix_seconds};

/// The most senders of a log that are remembered; about 50 MiB.
const MAX_SENDERS: usize = 262_144;

/// The simulated effect of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayedLine {
    /// By this rule, the line is an offence of this address. It would have
    /// blocked the address or renewed its block, or it repeats an offence of
    /// less than a second before.
    Match(IpAddr, Cow<'static, str>),
    /// By this rule, the line reports accepted mail.
    Accepted(Cow<'static, str>),
    /// By this rule, the line reports a delivery from this server.
    Delivered(Cow<'static, str>),
    /// The line was understood, but would not have blocked its source.
    Ignored(IgnoreReason),
    /// The line looks like a rejection, but was not taken as one, for this reason.
    NearMiss(&'static str),
    /// The line is neither an event nor a near miss.
    Nothing,
}

/// An engine that takes the time from the log and keeps blocks in memory.
#[derive(Debug)]
pub struct Replay {
    engine: Engine,
    /// The real time, or the earlier time at which the log was written last. It decides
    /// the year of stamps without one, and the age of evidence.
    present: SystemTime,
    ttl: Duration,
    blocked_until: HashMap<Target, Duration>,
    /// The records of the log's senders, for the ceiling.
    senders: Records,
    /// The first stamp of the log.
    start: Option<SystemTime>,
    /// The time between the first stamp and the latest one.
    elapsed: Duration,
}

impl Replay {
    /// A replay of logs that were written before `present`.
    #[must_use]
    pub fn new(settings: EngineSettings, protected: Protected, present: SystemTime) -> Self {
        Self {
            ttl: settings.policy.ttl,
            engine: Engine::new(settings, protected),
            present,
            blocked_until: HashMap::new(),
            senders: Records::new(),
            start: None,
            elapsed: Duration::ZERO,
        }
    }

    /// The strings to search a log for before [`Self::learn`]. A line without
    /// any of them is [`ReplayedLine::Nothing`], and nothing is learned from it.
    #[must_use]
    pub fn needles(&self) -> Needles {
        self.engine.needles()
    }

    /// The strings to search a log for before [`Self::scan`].
    #[must_use]
    pub fn event_needles(&self) -> Needles {
        self.engine.event_needles()
    }

    /// Applies other settings, for the next log.
    pub fn reconfigure(&mut self, settings: EngineSettings) {
        self.ttl = settings.policy.ttl;
        self.engine.reconfigure(settings);
    }

    /// Starts with another log, which was written before `present`. Learned records are
    /// kept.
    pub fn start_log(&mut self, present: SystemTime) {
        self.present = present;
        self.engine.start_log();
        self.blocked_until.clear();
        self.senders.clear();
        self.start = None;
        self.elapsed = Duration::ZERO;
    }

    /// Replays a line without learning from it.
    pub fn scan(&mut self, line: &[u8]) -> ReplayedLine {
        self.replay(line, |_, _| {})
    }

    /// Replays a line and learns its evidence. Nothing is learned from a line
    /// without a stamp, because it may be as old as the log.
    pub fn learn(&mut self, line: &[u8]) -> ReplayedLine {
        self.replay(line, |replay, event| {
            let now = replay.present();
            replay.engine.note_contact(event, now);
            replay.engine.settle(now, false);
            replay.engine.learn(event, now);
        })
    }

    /// Ends a log that was learned from. Pending demotions are applied, unless
    /// the ceiling is tripped at the end of the log.
    pub fn end_log(&mut self) {
        self.engine.settle(self.present(), true);
    }

    /// The number of sources with records to store.
    #[must_use]
    pub fn record_count(&self) -> usize {
        self.engine.record_count()
    }

    /// Takes the records that were learned since the last call.
    pub fn take_records(&mut self) -> Records {
        self.engine.take_records()
    }

    /// Takes back records that the caller could not store.
    pub fn give_back(&mut self, records: Records) {
        self.engine.give_back(records, BTreeMap::new());
    }

    fn replay(&mut self, line: &[u8], learn: impl FnOnce(&mut Self, &Event<'_>)) -> ReplayedLine {
        let event = match self.engine.read(line, true, self.present) {
            Parsed::Event(event) => event,
            Parsed::NearMiss(reason) => return ReplayedLine::NearMiss(reason),
            Parsed::Nothing => return ReplayedLine::Nothing,
        };
        let decision = self.judge(&event);
        learn(self, &event);
        match decision {
            // A repeat is an offence, too; its source is already blocked.
            Decision::Block { .. } | Decision::Ignore(IgnoreReason::Repeat) => {
                ReplayedLine::Match(event.addr, event.rule)
            }
            Decision::Ignore(why) => ReplayedLine::Ignored(why),
            Decision::Known => ReplayedLine::Accepted(event.rule),
            Decision::Delivered => ReplayedLine::Delivered(event.rule),
        }
    }

    fn judge(&mut self, event: &Event<'_>) -> Decision {
        let now = self.advance(event.at.unwrap_or(SystemTime::UNIX_EPOCH));
        let target = self.engine.scope().target(event.addr);
        let until = self.blocked_until.get(&target);
        let is_blocked = until.is_some_and(|until| now.mono <= *until);
        let decision = self.engine.judge(event, now, is_blocked);
        if event.kind == EventKind::Accepted {
            self.remember(event.addr, now);
        }
        if let Decision::Block { .. } = decision {
            self.blocked_until.insert(target, now.mono + self.ttl);
        }
        decision
    }

    /// Records an accepted message, which may make its sender known.
    fn remember(&mut self, addr: IpAddr, now: Moment) {
        let at = unix_seconds(now.wall);
        let is_full = self.senders.len() >= MAX_SENDERS;
        let source = Target::from(addr);
        if is_full && !self.senders.contains_key(&source) {
            return;
        }
        let record = self.senders.entry(source).or_default();
        *record = record.join(Record::accepted(at));
        if record.standing(at).is_known() {
            self.engine.policy.know(addr, now);
        }
    }

    /// Advances the log's monotonic clock to a stamp. If the stamps go back, this clock
    /// stands still until they have caught up.
    fn advance(&mut self, wall: SystemTime) -> Moment {
        let start = *self.start.get_or_insert(wall);
        let since = wall.duration_since(start).unwrap_or_default();
        self.elapsed = self.elapsed.max(since);
        Moment {
            wall,
            mono: self.elapsed,
        }
    }

    /// The real time, with the log's monotonic clock.
    fn present(&self) -> Moment {
        Moment {
            wall: self.present,
            mono: self.elapsed,
        }
    }
}

#[cfg(test)]
mod tests;
