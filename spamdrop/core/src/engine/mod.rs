//! Log line → event → effects: the one path that `run`, `scan`, `learn` and
//! `replay` take.
//!
//! The caller reads the clocks, looks up whether the source of an event is
//! blocked, and carries out the [`Effects`]. The engine never calls back.
//!
//! ```text
//! bytes ─ Engine::read ─ Event ─ Engine::decide ─ Effects ─ (the caller blocks)
//!           Parser                 Policy          │
//!                                                  └ EvidenceBuffer ─ Records ─ (the caller stores)
//! ```

mod dry_run;
mod duplicates;
mod prediction;
mod replay;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

pub use dry_run::{BlockTerm, DryRun, DryRunSettings, LogClock, WouldBlock};
pub use prediction::{
    HitSender, ListingOutage, PredictedBlock, PredictedPause, Prediction, SlotPrediction,
    SlotShortage,
};
pub use replay::{Replay, ReplayedLine};

use crate::dnsbl::named_zone::ZoneNames;
use crate::event::{Clock, Event, EventKind, Evidence};
use crate::log::{DatedSlotLine, Needles, Parsed, Parser, ParserSettings};
use crate::policy::{Decision, KnownNets, Policy, PolicyConfig, Protected, Proxies, Scope, Trip};
use crate::reputation::{
    Contacts, DemotionReason, EvidenceBuffer, Record, Records, StoredContacts, date,
};
use crate::target::Target;
use crate::time::{Moment, system_time, unix_seconds};
use crate::zone_offset::ZoneOffset;
use duplicates::Duplicates;

/// Maximum age of evidence for the wave recorder. Older lines say nothing about
/// the current wave.
const JUST_NOW: Duration = Duration::from_secs(60);

/// All settings of the administrator that the engine depends on.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// How lines are parsed.
    pub parser: ParserSettings,
    /// Which events block.
    pub policy: PolicyConfig,
    /// The most sources whose evidence is kept in memory until it is stored.
    pub evidence_capacity: usize,
}

/// The result of [`Engine::decide`], which has already counted the event and
/// learned from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effects {
    /// The decision about the source.
    pub decision: Decision,
    /// The event's evidence about its source, if the event happened within the
    /// last minute; for the wave recorder.
    pub evidence: Option<Evidence>,
}

/// Reads lines, decides about events and learns from them.
#[derive(Debug)]
pub struct Engine {
    parser: Parser,
    policy: Policy,
    proxies: Proxies,
    scope: Scope,
    evidence: EvidenceBuffer,
    contacts: Contacts,
    duplicates: Duplicates,
    counts: BTreeMap<&'static str, u64>,
    near_misses: BTreeMap<&'static str, u64>,
}

impl Engine {
    /// An engine that has seen nothing.
    #[must_use]
    pub fn new(settings: EngineSettings, protected: Protected) -> Self {
        Self {
            parser: Parser::new(settings.parser),
            policy: Policy::new(settings.policy),
            proxies: Proxies::default(),
            scope: Scope {
                protected,
                known: KnownNets::default(),
            },
            evidence: EvidenceBuffer::new(settings.evidence_capacity),
            contacts: Contacts::default(),
            duplicates: Duplicates::default(),
            counts: BTreeMap::new(),
            near_misses: BTreeMap::new(),
        }
    }

    /// Applies other settings; learned state is kept. A parser whose settings
    /// did not change keeps the connections that it has seen.
    pub fn reconfigure(&mut self, settings: EngineSettings) {
        self.parser.reconfigure(settings.parser);
        self.policy.reconfigure(settings.policy);
        self.evidence.set_capacity(settings.evidence_capacity);
    }

    /// Replaces the addresses that are never blocked.
    pub fn protect(&mut self, protected: Protected) {
        self.scope.protected = protected;
    }

    /// Replaces the /64s that hold a known sender. A new engine has none.
    pub fn know(&mut self, known: KnownNets) {
        self.scope.known = known;
    }

    /// The protected addresses and the /64s of known senders, which limit a block.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The strings to search a log for. A line without any of them is
    /// [`Parsed::Nothing`] and need not be parsed.
    #[must_use]
    pub fn needles(&self) -> Needles {
        self.parser.needles()
    }

    /// As [`Self::needles`], for a caller that learns no evidence.
    #[must_use]
    pub fn event_needles(&self) -> Needles {
        self.parser.event_needles()
    }

    /// Parses one line, without its line end, and counts near misses. Lines
    /// must come in the order of the log. `is_backlog`: the line was in the log
    /// before the daemon followed it. Without a stamp, such a line may be as
    /// old as the log, so its event is dated 1970. The stamp of any other line
    /// may be in another time zone, see [`ZoneOffset`]. `wall` decides the year
    /// of a stamp without one.
    pub fn read<'line>(
        &mut self,
        line: &'line [u8],
        is_backlog: bool,
        wall: SystemTime,
    ) -> Parsed<'line> {
        let mut parsed = self.parser.parse(line, wall);
        if let Some(connection) = self.parser.take_connection() {
            // A line of the backlog without a stamp may be as old as the log.
            let at = connection.at.or((!is_backlog).then_some(wall));
            if let Some(at) = at {
                self.contacts.connected(connection.addr, unix_seconds(at));
            }
        }
        match &mut parsed {
            Parsed::Event(event) if is_backlog => {
                event.at.get_or_insert(SystemTime::UNIX_EPOCH);
            }
            Parsed::Event(event) if event.clock == Clock::Local => correct(event, wall),
            Parsed::NearMiss(reason) => *self.near_misses.entry(reason).or_default() += 1,
            Parsed::Event(_) | Parsed::Nothing => {}
        }
        parsed
    }

    /// The peer's address and port of the connection that the server's listening
    /// process has handed to another, if the last line reported that.
    pub fn take_handed_over(&mut self) -> Option<(IpAddr, u16)> {
        self.parser.take_handed_over()
    }

    /// The last line's report about the server's slots, if it had one.
    pub fn take_slot_line(&mut self) -> Option<DatedSlotLine> {
        self.parser.take_slot_line()
    }

    /// Whether another log than `source` reported this event before, within a
    /// minute. Such an event must not be decided about again.
    pub fn is_duplicate(&mut self, event: &Event<'_>, source: &Path, now: Moment) -> bool {
        let is_known = self.duplicates.is_known(event, source, now);
        if is_known {
            *self.counts.entry("duplicate").or_default() += 1;
        }
        is_known
    }

    /// Decides about an event and learns from it. Events must come in the order
    /// of the log; the monotonic clock of `now` must not go back. `is_blocked`:
    /// whether the event's source is blocked now; only rejections depend on it.
    pub fn decide(&mut self, event: &Event<'_>, now: Moment, is_blocked: bool) -> Effects {
        if event.kind != EventKind::Delivered && event.distance(now.wall) <= JUST_NOW {
            self.proxies
                .record(event.addr, event.envelope.port, now.mono);
        }
        self.note_contact(event, now);
        Effects {
            decision: self.judge(event, now, is_blocked),
            evidence: self.learn(event, now),
        }
    }

    fn judge(&mut self, event: &Event<'_>, now: Moment, is_blocked: bool) -> Decision {
        let protected = &self.scope.protected;
        let decision = self.policy.decide(event, now, protected, is_blocked);
        *self.counts.entry(decision.name()).or_default() += 1;
        decision
    }

    /// Records a contact of the source. For a delivery, records only how far the log was read.
    fn note_contact(&mut self, event: &Event<'_>, now: Moment) {
        if event.at == Some(SystemTime::UNIX_EPOCH) {
            return;
        }
        let at = date(event.at, now);
        match event.kind {
            EventKind::Delivered => self.contacts.read_line(at),
            _ => self.contacts.connected(event.addr, at),
        }
    }

    /// Learns the evidence of an event that was just decided about. Returns the
    /// evidence if the event is recent.
    fn learn(&mut self, event: &Event<'_>, now: Moment) -> Option<Evidence> {
        let evidence = self.policy.evidence(event, &self.scope.protected)?;
        let at = date(event.at, now);
        if evidence == Evidence::Delivered && !self.contacts.wrote_first(event.addr, at) {
            return None;
        }
        let zone = self.policy.listing_zone(event);
        self.evidence.learn(event, evidence, zone, now);
        (event.distance(now.wall) <= JUST_NOW).then_some(evidence)
    }

    /// Applies the pending demotions that have waited long enough; with `all`,
    /// every one. While the ceiling is tripped, drops every pending demotion
    /// instead, because the blocklist may have been wrong.
    pub fn settle(&mut self, now: Moment, all: bool) {
        let until = if all { Duration::MAX } else { now.mono };
        let is_wrong = self.ceiling(now).is_some();
        self.evidence.settle(is_wrong, until);
    }

    /// The limit that tripped the ceiling; `None` if the ceiling is not
    /// tripped.
    pub fn ceiling(&mut self, now: Moment) -> Option<Trip> {
        self.policy.ceiling(now)
    }

    /// The private address that seems to be a proxy's, because most connections
    /// of the last hour came from it. It must not be blocked.
    pub fn proxy(&mut self, now: Moment) -> Option<IpAddr> {
        self.proxies.proxy(now.mono)
    }

    /// Whether blocks surge; true at most once a minute. The caller should then
    /// test the zones.
    pub fn take_surge(&mut self, now: Moment) -> bool {
        self.policy.take_surge(now)
    }

    /// Replaces the zones of the mail server. Rejections by a broken zone do not
    /// count, and pending demotions because of one are dropped.
    pub fn set_zones(&mut self, zones: ZoneNames) {
        for zone in zones.broken() {
            self.evidence.drop_zone(zone);
        }
        self.policy.set_zones(zones);
    }

    /// Ends a pause of the ceiling: forgets what it has counted.
    pub fn resume(&mut self) {
        self.policy.resume();
    }

    /// Takes a stored record of a source, at the start of the engine. If the
    /// source is known, the ceiling counts it.
    pub fn remember(&mut self, source: Target, record: &Record, now: Moment) {
        self.evidence.remember(source, record, now);
        if record.standing(unix_seconds(now.wall)).is_known()
            && let Some(addr) = counted(&source)
        {
            let accepted = system_time(record.last_accepted());
            let age = now.wall.duration_since(accepted).unwrap_or_default();
            self.policy.remember(addr, age, now);
        }
    }

    /// Replaces the known senders that the ceiling counts.
    pub fn know_exactly<'a>(&mut self, known: impl IntoIterator<Item = &'a Target>, now: Moment) {
        self.policy
            .know_exactly(known.into_iter().filter_map(counted), now);
    }

    /// Continues with the contacts that an earlier process stored.
    pub fn restore_contacts(&mut self, contacts: StoredContacts) {
        self.contacts.restore(contacts);
    }

    /// Takes the contacts to store.
    pub fn take_contacts(&mut self) -> StoredContacts {
        self.contacts.take_changes()
    }

    /// Takes back contacts that the caller could not store.
    pub fn give_back_contacts(&mut self, contacts: StoredContacts) {
        self.contacts.give_back(contacts);
    }

    /// As [`EvidenceBuffer::take_reasons`].
    pub fn take_demotion_reasons(&mut self) -> BTreeMap<Target, DemotionReason> {
        self.evidence.take_reasons()
    }

    /// Takes the records that were learned since the last call.
    pub fn take_records(&mut self) -> Records {
        self.evidence.take()
    }

    /// As [`EvidenceBuffer::give_back`].
    pub fn give_back(&mut self, records: Records, reasons: BTreeMap<Target, DemotionReason>) {
        self.evidence.give_back(records, reasons);
    }

    /// Whether there are records to store.
    #[must_use]
    pub fn has_records(&self) -> bool {
        !self.evidence.is_empty()
    }

    /// Whether there are records or contacts to store.
    #[must_use]
    pub fn has_evidence(&self) -> bool {
        self.has_records() || self.contacts.has_changes()
    }

    /// The number of sources with records to store.
    #[must_use]
    pub fn record_count(&self) -> usize {
        self.evidence.len()
    }

    /// Number of events by the name of their decision, of `duplicate` events, and of
    /// `failed` decisions.
    #[must_use]
    pub fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// Counts a decision that could not be carried out, as `failed`.
    pub fn count_failure(&mut self) {
        *self.counts.entry("failed").or_default() += 1;
    }

    /// Number of near misses by the reason why they were not taken.
    #[must_use]
    pub fn near_misses(&self) -> &BTreeMap<&'static str, u64> {
        &self.near_misses
    }

    /// Starts with another log. The sessions and unknown recipients of the last
    /// log are forgotten, because they are unrelated. Records, contacts and
    /// counts are kept.
    pub fn start_log(&mut self) {
        self.parser.start_log();
        self.policy.start_log();
        self.evidence.start_log();
    }
}

/// Dates the event of a line that was just written at `now`, if its stamp is
/// wrong by a time-zone offset only.
fn correct(event: &mut Event<'_>, now: SystemTime) {
    if let Some(offset) = event.at.and_then(|at| ZoneOffset::between(at, now)) {
        event.at = Some(now);
        event.clock = Clock::Off(offset);
    }
}

#[cfg(test)]
mod model;
/// The address by which the ceiling counts a known sender. `None`: the sender
/// is known by its IPv6 address alone. The ceiling counts by the /64, so it
/// would take the rejections of the sender's neighbours for its own.
fn counted(source: &Target) -> Option<IpAddr> {
    match source {
        Target::V6Address(_) => None,
        _ => Some(source.net().addr()),
    }
}

#[cfg(test)]
mod tests;
