//! The gate task: counts the server's connections, has refused sources looked
//! up, and tells the filter of connections, verdicts and known senders.

mod known_sender_sync;
mod wave_history;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use spamdrop_common::gate::{
    CLASSES, Gate, GateMode, GateStats, RESPONDER_IPV4, RESPONDER_IPV6, SMTP_PORT,
};
use spamdrop_core::event::Evidence;
use spamdrop_core::gate::{GateController, Occupancy};
use spamdrop_core::smtp::DEFAULT_TEXT;
use spamdrop_core::status::{self, GateState};
use spamdrop_core::wave::{Sample, Totals};
use spamdrop_core::zones::Zones;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::disk::Disk;
use super::health::Subject;
use super::period;
use super::responder_view::ResponderView;
use super::status::{Health, StatusMessage};
use crate::clock;
use crate::dnsbl::{Answer, Asked, Lookups, Resolver};
use crate::kernel::blocklist::{Blocklist, GateMaps};
use crate::kernel::occupancy;
use crate::responder::Texts;
use known_sender_sync::KnownSenderSync;
use wave_history::WaveHistory;

/// How often the server's connections are counted.
const PERIOD: Duration = Duration::from_millis(200);
/// How often the history gets a sample and `status` is told.
const SECOND: Duration = Duration::from_secs(1);
/// Look-up requests that are read in one go; more than the filter can queue
/// between two of them.
const REQUESTS: usize = 4_096;
/// What a flood of forged addresses leads to.
const BUDGET_SPENT: &str = "`max_lookups_per_day` is spent, so only a few refused senders are looked up until it has recovered; `spamdrop report` shows who came; raise it only as far as your blocklists allow";

/// What the task is told.
pub(super) enum GateMessage {
    /// Another configuration holds.
    Reconfigure(GateSettings),
    /// The log has just told of a source.
    Heard(IpAddr, Evidence),
    /// Sources that were blocked so far.
    Blocked(u64),
    /// Connections that were released so far.
    Released(u64),
    /// Whether blocking is paused, because a blocklist may be broken.
    Paused(bool),
    /// The responder started, or ended.
    Responder(Option<ResponderView>),
    /// The known senders may have changed.
    SendersChanged,
    /// Writes the history, opens the gate and ends.
    Stop,
}

/// What the task needs of the configuration.
#[derive(Clone, Debug)]
pub(super) struct GateSettings {
    pub mode: GateMode,
    /// Connections that the mail server serves at once.
    pub slots: u32,
    /// The zones and the name servers, or why they are unknown.
    pub lookups: Result<(Zones, Vec<SocketAddr>), String>,
    pub max_lookups_per_day: u32,
    /// The database.
    pub store: PathBuf,
    pub pin_dir: PathBuf,
}

pub(super) struct GateTask {
    settings: GateSettings,
    controller: GateController,
    maps: GateMaps,
    /// For its counters.
    blocklist: Blocklist,
    lookups: Lookups,
    senders: KnownSenderSync,
    history: WaveHistory,
    responder: Option<ResponderView>,
    is_paused: bool,
    seen: Occupancy,
    /// The most that was seen since the last sample, if anything was.
    peak: Option<Occupancy>,
    /// The last class's limit.
    limit: u32,
    stats: GateStats,
    /// Looks at which all slots were taken.
    full: u64,
    blocked: u64,
    released: u64,
    status: UnboundedSender<StatusMessage>,
    health: Health,
}

impl GateTask {
    /// Opens the gate's maps, and forgets verdicts that other zones gave.
    ///
    /// # Errors
    ///
    /// They are not pinned, or the kernel refuses.
    pub fn open(
        settings: GateSettings,
        blocklist: Blocklist,
        disk: Disk,
        status: UnboundedSender<StatusMessage>,
    ) -> Result<Self> {
        let mut maps = GateMaps::open(&settings.pin_dir)?;
        maps.clear_verdicts()?;
        let health = Health::new(status.clone());
        let (zones, resolver) = lookups(&settings, &health);
        Ok(Self {
            controller: controller(&settings),
            maps,
            blocklist,
            lookups: Lookups::new(zones, resolver, settings.max_lookups_per_day),
            senders: KnownSenderSync::new(disk.clone()),
            history: WaveHistory::begin(disk, &settings.store),
            settings,
            responder: None,
            is_paused: false,
            seen: Occupancy::default(),
            peak: None,
            limit: u32::MAX,
            stats: GateStats::default(),
            full: 0,
            blocked: 0,
            released: 0,
            status,
            health,
        })
    }

    /// What the responder tells a listed source.
    pub fn texts(&self) -> Texts {
        let texts = self.lookups.texts();
        Arc::new(move |source| texts(source).map_or_else(|| DEFAULT_TEXT.into(), Into::into))
    }

    /// Runs until it is told to stop.
    pub async fn run(mut self, mut inbox: UnboundedReceiver<GateMessage>) {
        let mut look = period(PERIOD);
        let mut second = period(SECOND);
        loop {
            tokio::select! {
                biased;
                _ = look.tick(), if self.is_on() => self.look(),
                message = inbox.recv() => match message {
                    None | Some(GateMessage::Stop) => break,
                    Some(message) => self.take(message),
                },
                _ = second.tick() => self.look_after(),
                answer = self.lookups.next() => self.keep_verdict(&answer),
            }
        }
        self.open_gate();
        self.history.end(&self.settings.store).await;
    }

    fn is_on(&self) -> bool {
        self.settings.mode != GateMode::Off
    }

    fn take(&mut self, message: GateMessage) {
        match message {
            GateMessage::Reconfigure(settings) => self.reconfigure(settings),
            GateMessage::Heard(source, evidence) => {
                // A SYN comes before its log line, so it is recorded first.
                self.read_requests();
                self.history.heard(source, evidence);
            }
            GateMessage::Blocked(count) => self.blocked = count,
            GateMessage::Released(count) => self.released = count,
            GateMessage::Paused(is_paused) => self.is_paused = is_paused,
            GateMessage::Responder(view) => self.responder = view,
            GateMessage::SendersChanged => self.senders.mark_changed(),
            GateMessage::Stop => {}
        }
    }

    fn reconfigure(&mut self, settings: GateSettings) {
        let was_on = self.is_on();
        self.settings = settings;
        self.controller = controller(&self.settings);
        let forgotten = self.maps.clear_verdicts();
        let failed = "the filter may use verdicts of other zones";
        self.health.report(Subject::Gate, failed, forgotten);
        let (zones, resolver) = lookups(&self.settings, &self.health);
        let per_day = self.settings.max_lookups_per_day;
        self.lookups.reconfigure(zones, resolver, per_day);
        self.senders.mark_changed();
        if !was_on {
            self.senders.mark_untold();
        }
        if !self.is_on() {
            self.open_gate();
        }
    }

    /// Counts the connections and sets the gate. After two seconds without
    /// that, the filter takes the gate for open.
    fn look(&mut self) {
        self.read_requests();
        // The gate only observes until the filter knows them.
        self.senders.poll(&self.settings, &self.health);
        match self.try_look() {
            Ok(()) => self.health.clear(Subject::Gate),
            Err(error) => {
                let text = format!("the gate is open: {error:#}");
                self.health.raise(Subject::Gate, text);
            }
        }
        self.tell();
    }

    fn try_look(&mut self) -> Result<()> {
        let stats = self.maps.stats()?;
        let now = clock::monotonic_ns();
        // While a blocklist may list everybody, nobody is answered by it.
        let responders = match &self.responder {
            Some(view) if !self.is_paused => view.families,
            _ => 0,
        };
        let is_answered = |peer: IpAddr| {
            let family = if peer.is_ipv6() {
                RESPONDER_IPV6
            } else {
                RESPONDER_IPV4
            };
            // In doubt it takes a slot.
            responders & family != 0 && self.maps.is_steered(peer, now).unwrap_or(false)
        };
        let answered = self
            .responder
            .as_ref()
            .map_or(0, ResponderView::connections);
        let seen = occupancy::count(SMTP_PORT, is_answered)
            .context("cannot count the connections")?
            .without(answered);
        let mut gate = self.controller.set(seen, stats.admitted, responders, now);
        if gate.mode == GateMode::On as u32 && !self.senders.is_told() {
            gate.mode = GateMode::Observe as u32;
        }
        self.full += u64::from(gate.open >= self.controller.slots());
        (self.seen, self.stats) = (seen, stats);
        self.peak = Some(self.peak.unwrap_or(seen).max(seen));
        self.limit = gate.limits[CLASSES - 1];
        self.maps.set(gate)
    }

    /// Opens the gate at once, rather than when it has gone stale.
    fn open_gate(&mut self) {
        if let Err(error) = self.maps.set(Gate::default()) {
            log::warn!("{error:#}; it opens by itself in two seconds");
        }
    }

    /// Reads whose class has to wait, records them, and looks up those without
    /// a verdict.
    fn read_requests(&mut self) {
        for _ in 0..REQUESTS {
            let Some((source, has_verdict)) = self.maps.next_lookup_request() else {
                return;
            };
            let is_known = self.senders.contains(source);
            self.history.delayed(source, is_known);
            if !has_verdict && let Asked::Known(answer) = self.lookups.ask(source) {
                self.keep_verdict(&answer);
            }
        }
    }

    fn keep_verdict(&mut self, answer: &Answer) {
        let Some(verdict) = answer.verdict(clock::monotonic_ns()) else {
            return;
        };
        match self.maps.set_verdict(answer.addr.into(), verdict) {
            Ok(()) => self.health.clear(Subject::Resolver),
            Err(error) => self.health.raise(Subject::Resolver, format!("{error:#}")),
        }
    }

    /// Once a second.
    fn look_after(&mut self) {
        // A source that was refused until now was not known until now.
        self.read_requests();
        self.senders.poll(&self.settings, &self.health);
        let spent = self.lookups.is_spent().then(|| BUDGET_SPENT.into());
        self.health.set(Subject::Lookups, spent);
        let refused = self.lookups.refusals().trouble();
        self.health.set(Subject::Zones, refused);
        self.record();
        self.history.poll(&self.settings.store, &self.health);
        self.tell();
    }

    fn tell(&self) {
        let _ = self.status.send(StatusMessage::Gate(self.state()));
    }

    fn record(&mut self) {
        if !self.is_on() {
            return self.history.end_wave();
        }
        let Some(peak) = self.peak.take() else {
            return;
        };
        match self.sample(peak) {
            Ok(sample) => {
                self.history.sample(sample);
                self.health.clear(Subject::Samples);
            }
            Err(error) => {
                let text = format!("cannot tell waves apart: {error:#}");
                self.health.raise(Subject::Samples, text);
            }
        }
    }

    fn sample(&self, peak: Occupancy) -> Result<Sample> {
        let counted = self.blocklist.counters()?;
        let stats = &self.stats;
        Ok(Sample {
            at: clock::monotonic(),
            unix_s: clock::unix_seconds().get(),
            open: peak.open,
            waiting: peak.waiting,
            slots: self.controller.slots(),
            limit: self.limit,
            observed: self.settings.mode == GateMode::Observe,
            totals: Totals {
                admitted: stats.admitted,
                known_or_allowed: stats.known_or_allowed,
                starvation_admits: stats.starvation_admits,
                refused: stats.refused,
                unconfirmed: stats.unconfirmed,
                answered: counted.gate_answered,
                dropped: counted.open_dropped + counted.sealed_dropped + counted.cidr_dropped,
                blocked: self.blocked,
                released: self.released,
            },
        })
    }

    /// What `status` is told, while the gate is not off.
    fn state(&self) -> Option<GateState> {
        let mode = match self.settings.mode {
            GateMode::Off => return None,
            GateMode::Observe => status::ActiveGateMode::Observe,
            GateMode::On => status::ActiveGateMode::On,
        };
        let stats = &self.stats;
        Some(GateState {
            mode,
            open: self.seen.open,
            slots: self.controller.slots(),
            flooded: self.controller.is_flooded(clock::monotonic_ns()),
            known: self.senders.len() as u64,
            admitted: stats.admitted,
            known_or_allowed: stats.known_or_allowed,
            starvation_admits: stats.starvation_admits,
            refused: stats.refused,
            unconfirmed: stats.unconfirmed,
            full: self.full,
        })
    }
}

fn controller(settings: &GateSettings) -> GateController {
    // Its keys come from the kernel's random numbers.
    let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), settings.slots);
    GateController::new(settings.mode, settings.slots, seed as u32)
}

/// Without them the gate knows no verdicts, and goes on.
fn lookups(settings: &GateSettings, health: &Health) -> (Zones, Resolver) {
    match &settings.lookups {
        Ok((zones, servers)) => {
            health.clear(Subject::Resolver);
            (zones.clone(), Resolver::new(servers))
        }
        Err(error) => {
            let text = format!("refused senders are not looked up: {error}");
            health.raise(Subject::Resolver, text);
            (Zones::default(), Resolver::new(&[]))
        }
    }
}
