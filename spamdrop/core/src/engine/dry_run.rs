//! The engine without a filter: its decisions are carried out in memory, and
//! counted in a [`Prediction`].
//!
//! `run --dry-run` passes the lines of the live logs with the real time.
//! `replay` passes old logs, whose stamps are the time ([`LogClock`]).

mod blocks;
mod dropped;
mod held;
mod log_clock;
mod regulars;
mod senders;
mod settings;
mod slot_counts;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

pub use blocks::BlockTerm;
pub use log_clock::LogClock;
pub use settings::{DryRunSettings, WouldBlock};

use super::Engine;
use super::duplicates::Duplicates;
use super::prediction::{HitSender, PredictedBlock, Prediction};
use crate::dnsbl::named_zone::ZoneNames;
use crate::event::{Event, EventKind};
use crate::log::{DatedSlotLine, Needles, Parsed, SlotChange, SlotLine};
use crate::policy::{Decision, IgnoreReason, Protected, Protection};
use crate::reputation::Record;
use crate::target::Target;
use crate::time::Moment;
use blocks::SimulatedBlocks;
use dropped::DroppedConnections;
use held::{HeldConnections, HeldMore};
use regulars::Regulars;
use senders::DryRunSenders;
use slot_counts::SlotCounts;

/// How often [`DryRun::look_after`] is due.
const SECOND: Duration = Duration::from_secs(1);
/// The interval of the simulated checks in a gap of an old log, and of those for an outage.
const MINUTE: Duration = Duration::from_secs(60);
/// The most checks for one gap: a day of them. Further checks would change nothing.
const MINUTES: u32 = 1_440;

/// An engine whose blocks are simulated.
#[derive(Debug)]
pub struct DryRun {
    engine: Engine,
    protected: Protected,
    proxy: Option<IpAddr>,
    blocks: SimulatedBlocks,
    dropped: DroppedConnections,
    senders: DryRunSenders,
    regulars: Regulars,
    held: Option<HeldConnections>,
    slots: SlotCounts,
    /// Recognises lines about connections that another log has reported.
    slot_lines: Duplicates,
    prediction: Prediction,
    /// The last [`DryRun::look_after`]; `None` before the first line.
    looked: Option<Moment>,
    checked_outage: Duration,
}

impl DryRun {
    /// A dry run that has seen no line. `senders`: the records of the database.
    /// `zones`: the zones of the mail server. No zone is tested, so all rejections count.
    #[must_use]
    pub fn new(
        settings: DryRunSettings,
        protected: Protected,
        senders: HashMap<Target, Record>,
        zones: ZoneNames,
    ) -> Self {
        let mut engine = Engine::new(settings.engine, protected.clone());
        engine.set_zones(zones);
        Self {
            engine,
            protected,
            proxy: None,
            blocks: SimulatedBlocks::new(settings.term),
            dropped: DroppedConnections::default(),
            senders: DryRunSenders::new(senders),
            regulars: Regulars::default(),
            held: settings.grace.map(HeldConnections::new),
            slots: SlotCounts::default(),
            slot_lines: Duplicates::default(),
            prediction: Prediction::new(settings.slots),
            looked: None,
            checked_outage: Duration::ZERO,
        }
    }

    /// The strings to search a log for, as [`Engine::needles`].
    #[must_use]
    pub fn needles(&self) -> Needles {
        self.engine.needles()
    }

    /// Takes a line of a live log, which was read at `now`. `is_backlog`: as in
    /// [`Engine::read`]. Returns the block that the line would have made or renewed.
    pub fn take_line(
        &mut self,
        line: &[u8],
        path: &Path,
        is_backlog: bool,
        now: Moment,
    ) -> Option<WouldBlock> {
        self.begin(now);
        let parsed = self.engine.read(line, is_backlog, now.wall);
        // A connection in the backlog began before `now`, so it is not counted.
        let slot = self.engine.take_slot_line().filter(|_| !is_backlog);
        self.take_parsed(parsed, slot, path, now)
    }

    /// Takes a line of an old log. Its stamp sets the time.
    pub fn replay_line(
        &mut self,
        line: &[u8],
        path: &Path,
        clock: &mut LogClock,
    ) -> Option<WouldBlock> {
        let mut parsed = self.engine.read(line, true, clock.present());
        let slot = self.engine.take_slot_line();
        if let Parsed::Event(event) = &mut parsed {
            // A line of a backlog without a stamp is dated 1970.
            event.at = event.at.filter(|at| *at != SystemTime::UNIX_EPOCH);
            self.prediction.unstamped += u64::from(event.at.is_none());
        }
        let stamp = match &parsed {
            Parsed::Event(event) => event.at,
            Parsed::NearMiss(_) | Parsed::Nothing => slot.and_then(|(_, at)| at),
        };
        let now = match stamp {
            Some(stamp) => clock.advance(stamp),
            None => clock.now(),
        };
        self.prediction.set_back = clock.set_back();
        self.begin(now);
        self.look_after_until(now);
        self.take_parsed(parsed, slot, path, now)
    }

    fn begin(&mut self, now: Moment) {
        if self.looked.is_none() {
            self.senders.begin(&mut self.engine, now);
            self.looked = Some(now);
        }
    }

    fn take_parsed(
        &mut self,
        parsed: Parsed<'_>,
        slot: Option<DatedSlotLine>,
        path: &Path,
        now: Moment,
    ) -> Option<WouldBlock> {
        if let Some(slot) = slot
            && !self.is_own(slot.0.addr)
            && !self.slot_lines.is_known_slot(&slot, path, now)
        {
            self.take_slot(&slot.0, now);
        }
        match parsed {
            Parsed::Event(event) => self.take_event(&event, path, now),
            Parsed::NearMiss(_) | Parsed::Nothing => None,
        }
    }

    /// Whether a connection comes from this machine, such as from a content
    /// filter. The `smtpd` for such connections has slots of its own.
    fn is_own(&self, addr: IpAddr) -> bool {
        let why = self.protected.why(addr);
        matches!(why, Some(Protection::Loopback | Protection::OwnAddress))
    }

    fn take_slot(&mut self, line: &SlotLine, now: Moment) {
        self.prediction.note_time(now.wall);
        let is_known = self.senders.is_known(line.addr);
        let total = &mut self.prediction.slots;
        let counts = self.slots.take(line, is_known, now.mono, total);
        if counts && line.change != SlotChange::Closed {
            let is_dropped = self.hit(line.addr, now);
            self.dropped
                .open(line.addr, line.port, is_dropped, now.mono);
        }
        self.take_held(|held| held.take(line, now.mono));
    }

    fn take_event(&mut self, event: &Event<'_>, path: &Path, now: Moment) -> Option<WouldBlock> {
        self.prediction.note_time(now.wall);
        if self.engine.is_duplicate(event, path, now) {
            return None;
        }
        let (addr, port) = (event.addr, event.envelope.port);
        let is_rejection = matches!(event.kind, EventKind::Rejected { .. });
        if is_rejection && self.dropped.contains(addr, port, now.mono) {
            self.slots.end(addr, port);
            self.prediction.prevented += 1;
            return None;
        }
        let is_blocked = self.blocks.is_blocked(addr, now);
        let decision = self.engine.decide(event, now, is_blocked).decision;
        match &event.kind {
            EventKind::Delivered => return None,
            EventKind::Accepted => {
                self.slots.end(addr, port);
                self.regulars.accept(addr, now);
                if is_blocked {
                    self.prediction
                        .add_accepted_hit(HitSender::new(event, now.wall));
                }
                return None;
            }
            EventKind::Rejected { text } => {
                self.slots.end(addr, port);
                if is_listing(decision) {
                    self.slots.list(addr);
                    self.regulars.reject(addr, text, now);
                }
            }
        }
        match decision {
            Decision::Block { age, .. } => Some(self.block(event, now, age)),
            Decision::Ignore(why) => {
                self.ignore(addr, why, now);
                if why == IgnoreReason::Repeat {
                    self.take_held(|held| held.reject(addr, port, now.mono));
                }
                None
            }
            Decision::Known | Decision::Delivered => None,
        }
    }

    fn block(&mut self, event: &Event<'_>, now: Moment, age: Duration) -> WouldBlock {
        let addr = event.addr;
        let port = event.envelope.port;
        let target = self.engine.scope().target(addr);
        let (block, is_renewed) = self.blocks.offence(target, addr, now, age);
        let until = block.until(now);
        match self.prediction.block(block.index) {
            Some(known) => {
                known.offences += 1;
                known.until = until;
            }
            None if !is_renewed => {
                block.index = self.prediction.add_block(PredictedBlock {
                    target,
                    from: now.wall - age,
                    until,
                    offences: 1,
                    dropped: 0,
                    rule: event.rule.clone(),
                });
            }
            None => {}
        }
        if is_renewed {
            self.prediction.renewed += 1;
        } else if self.senders.is_known(addr) {
            self.prediction
                .add_known_hit(HitSender::new(event, now.wall));
        }
        self.take_held(|held| held.reject(addr, port, now.mono));
        WouldBlock {
            addr,
            target,
            is_renewed,
        }
    }

    /// Counts a connection if its source is blocked. Returns whether it is.
    fn hit(&mut self, addr: IpAddr, now: Moment) -> bool {
        let Some(block) = self.blocks.hit(addr, now) else {
            return false;
        };
        self.prediction.dropped_connections += 1;
        if let Some(known) = self.prediction.block(block.index) {
            known.dropped += 1;
            known.until = block.until(now);
        }
        true
    }

    fn take_held(&mut self, take: impl FnOnce(&mut HeldConnections) -> HeldMore) {
        if let Some(held) = &mut self.held {
            let more = take(held);
            self.prediction.held_connections += u64::from(more.is_first);
            self.prediction.held += more.time;
        }
    }

    fn ignore(&mut self, addr: IpAddr, why: IgnoreReason, now: Moment) {
        match why {
            IgnoreReason::Ceiling => {
                self.note_pause(now);
                self.prediction.hold_back();
            }
            IgnoreReason::Protected(_) => self.prediction.protect(addr),
            _ => {}
        }
        // Without the prefix, so that the whole allowlist counts as one reason.
        let text = match why {
            IgnoreReason::Protected(Protection::Allowlist(_)) => "on the allowlist".into(),
            why => why.to_string(),
        };
        self.prediction.ignore(text);
    }

    /// Periodic checks, once a second, as the daemon makes them.
    pub fn look_after(&mut self, now: Moment) {
        self.begin(now);
        self.looked = Some(now);
        self.note_pause(now);
        self.check_proxy(now);
        self.engine.settle(now, false);
        for net in self.senders.sync(&mut self.engine, now) {
            self.blocks.split(net);
        }
        self.blocks.sweep(now);
        self.dropped.sweep(now.mono);
        if now.mono.saturating_sub(self.checked_outage) >= MINUTE {
            self.checked_outage = now.mono;
            let last = self.prediction.outages.last();
            let goes_on = last.is_some_and(|outage| outage.until.is_none());
            let outage = self.regulars.outage(goes_on, now);
            self.prediction.note_outage(outage, now.wall);
        }
    }

    fn note_pause(&mut self, now: Moment) {
        let why = self.engine.ceiling(now).map(|trip| trip.to_string());
        self.prediction.note_pause(why, now.wall);
    }

    /// Makes the checks that were due since the last line of an old log.
    fn look_after_until(&mut self, now: Moment) {
        let Some(looked) = self.looked else { return };
        let gap = now.mono.saturating_sub(looked.mono);
        if gap < SECOND {
            return;
        }
        for minute in 1..=MINUTES {
            let passed = MINUTE * minute;
            if passed >= gap {
                break;
            }
            self.look_after(Moment {
                wall: now.wall - (gap - passed),
                mono: looked.mono + passed,
            });
        }
        self.look_after(now);
    }

    /// Protects a private address that has proved to be a proxy's.
    fn check_proxy(&mut self, now: Moment) {
        let proxy = self.engine.proxy(now);
        if proxy == self.proxy {
            return;
        }
        self.proxy = proxy;
        self.prediction.proxies.extend(proxy);
        let nets = self.protected.nets();
        let proxy = proxy.map(|addr| (addr.into(), Protection::Proxy));
        self.engine.protect(Protected::new(nets.chain(proxy)));
    }

    /// The prediction so far.
    #[must_use]
    pub fn prediction(&self) -> Prediction {
        let mut prediction = self.prediction.clone();
        prediction.events = self.engine.counts().clone();
        prediction.near_misses = self.engine.near_misses().clone();
        self.slots.write(&mut prediction.slots);
        let targets = prediction.blocks.iter().map(|block| block.target);
        let sources: HashSet<Target> = targets.collect();
        prediction.sources = sources.len() as u64;
        prediction
    }
}

/// Whether a rejection with this decision shows that its source is listed.
fn is_listing(decision: Decision) -> bool {
    match decision {
        Decision::Block { .. } => true,
        Decision::Ignore(IgnoreReason::Repeat | IgnoreReason::Ceiling) => true,
        Decision::Ignore(IgnoreReason::Protected(_)) => true,
        Decision::Ignore(_) | Decision::Known | Decision::Delivered => false,
    }
}

#[cfg(test)]
mod tests;
