//! The gate task: counts the server's connections, looks up refused sources,
//! and writes the gate, verdicts and known senders to the filter's maps.

mod figures;
mod known_sender_sync;
mod strangers;
mod troubles;
mod wave_history;
mod zone_trust;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use spamdrop_common::gate::{
    CLASSES, Gate, GateMode, GateStats, RESPONDER_IPV4, RESPONDER_IPV6, SMTP_PORT,
};
use spamdrop_common::settings::Settings;
use spamdrop_core::event::Evidence;
use spamdrop_core::gate::{
    GateController, HandedOver, Occupancy, Slots, Visibility, WaitingStrangers, WhenFull,
};
use spamdrop_core::server_settings::SettingsFile;
use spamdrop_core::smtp::DEFAULT_TEXT;
use spamdrop_core::zones::Zones;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::disk::Disk;
use super::health::Subject;
use super::history::HistoryLog;
use super::period;
use super::responder_view::ResponderView;
use super::status::{Health, StatusMessage};
use crate::clock;
use crate::dnsbl::Lookups;
use crate::kernel::blocklist::{Blocklist, GateMaps};
use crate::kernel::occupancy::{self, ConnectionCounter};
use crate::responder::Texts;
pub(super) use known_sender_sync::KnownOutputs;
use known_sender_sync::KnownSenderSync;
use troubles::{lookups, report_server, report_slots};
use wave_history::WaveHistory;
use zone_trust::ZoneTrust;

/// How often the server's connections are counted.
const PERIOD: Duration = Duration::from_millis(200);
/// How often the history gets a sample and `status` is updated.
const SECOND: Duration = Duration::from_secs(1);
/// Maximum number of messages that are handled at once; a storm of log lines
/// sends many.
const MESSAGES: usize = 1_024;
/// Messages to the task.
pub(super) enum GateMessage {
    /// The configuration has changed.
    Reconfigure(Box<GateSettings>),
    /// A log line has given evidence about a source.
    Heard(IpAddr, Evidence),
    /// The peer's address and port of a connection that postscreen has handed
    /// to smtpd.
    HandedOver(IpAddr, u16),
    /// Number of sources blocked so far.
    Blocked(u64),
    /// Number of connections released so far.
    Released(u64),
    /// Whether blocking is paused, because a blocklist may be broken.
    Paused(bool),
    /// Test the zones at once, because blocks surge.
    TestZones,
    /// The responder has started or ended.
    Responder(Option<ResponderView>),
    /// The known senders may have changed.
    SendersChanged,
    /// Write the history, open the gate, then end.
    Stop,
}

/// The task's part of the configuration.
#[derive(Clone, Debug)]
pub(super) struct GateSettings {
    pub mode: GateMode,
    pub slots: Slots,
    pub when_full: WhenFull,
    /// The settings of Postfix or Exim that root has read.
    pub server: Option<SettingsFile>,
    /// The zones and the name servers, or why they are unknown.
    pub lookups: Result<(Zones, Vec<SocketAddr>), String>,
    pub max_lookups_per_day: u32,
    /// The path of the database.
    pub store: PathBuf,
    pub pin_dir: PathBuf,
}

pub(super) struct GateTask {
    settings: GateSettings,
    controller: GateController,
    maps: GateMaps,
    /// For the filter's counters.
    blocklist: Blocklist,
    lookups: Lookups,
    strangers: WaitingStrangers,
    senders: KnownSenderSync,
    zone_trust: ZoneTrust,
    history: WaveHistory,
    responder: Option<ResponderView>,
    is_paused: bool,
    /// The filter's settings, for the pauses by hand.
    filter: Settings,
    /// Whether verdicts of other zones may be left in the map.
    has_old_verdicts: bool,
    counter: ConnectionCounter,
    handed_over: HandedOver,
    when_full: WhenFull,
    seen: Occupancy,
    visibility: Visibility,
    /// The maximum since the last sample, if any count was taken.
    peak: Option<Occupancy>,
    /// The limit of the last class.
    limit: u32,
    stats: GateStats,
    /// Number of counts at which all slots were taken.
    full: u64,
    blocked: u64,
    released: u64,
    status: UnboundedSender<StatusMessage>,
    health: Health,
}

impl GateTask {
    /// Opens the gate's maps, and removes verdicts that other zones gave.
    ///
    /// # Errors
    ///
    /// The maps are not pinned, or a map operation fails.
    pub fn open(
        settings: GateSettings,
        blocklist: Blocklist,
        disk: Disk,
        outputs: KnownOutputs,
        status: UnboundedSender<StatusMessage>,
        history: HistoryLog,
    ) -> Result<Self> {
        let mut maps = GateMaps::open(&settings.pin_dir)?;
        maps.clear_verdicts()?;
        let health = Health::new(status.clone());
        report_slots(&settings, &health);
        report_server(&settings, &status);
        let (zones, resolver) = lookups(&settings, &health);
        Ok(Self {
            controller: controller(&settings),
            maps,
            blocklist,
            lookups: Lookups::new(zones, resolver, settings.max_lookups_per_day),
            strangers: WaitingStrangers::default(),
            zone_trust: ZoneTrust::new(outputs.watch.clone()),
            senders: KnownSenderSync::new(disk.clone(), outputs),
            history: WaveHistory::begin(disk, &settings.store, history),
            when_full: settings.when_full,
            settings,
            responder: None,
            is_paused: false,
            filter: Settings::default(),
            has_old_verdicts: false,
            counter: ConnectionCounter::default(),
            handed_over: HandedOver::default(),
            seen: Occupancy::default(),
            visibility: Visibility::default(),
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

    /// The reply texts of the responder.
    pub fn texts(&self) -> Texts {
        let texts = self.lookups.texts();
        Arc::new(move |source| texts(source).map_or_else(|| DEFAULT_TEXT.into(), Into::into))
    }

    /// Runs until it is told to stop.
    pub async fn run(mut self, mut inbox: UnboundedReceiver<GateMessage>) {
        let mut look = period(PERIOD);
        let mut second = period(SECOND);
        let mut messages = Vec::new();
        loop {
            tokio::select! {
                biased;
                _ = look.tick(), if self.is_on() => self.look(),
                count = inbox.recv_many(&mut messages, MESSAGES) => {
                    if count == 0 || self.take_all(&mut messages) {
                        break;
                    }
                }
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

    /// Handles messages. Returns whether the task must stop.
    fn take_all(&mut self, messages: &mut Vec<GateMessage>) -> bool {
        // Read the requests first, so that a SYN is recorded before its log
        // line.
        self.read_requests();
        let mut is_stopped = false;
        for message in messages.drain(..) {
            is_stopped |= matches!(message, GateMessage::Stop);
            self.take(message);
        }
        is_stopped
    }

    fn take(&mut self, message: GateMessage) {
        match message {
            GateMessage::Reconfigure(settings) => self.reconfigure(*settings),
            GateMessage::Heard(source, evidence) => {
                if evidence != Evidence::Delivered && self.visibility.is_due(clock::instant()) {
                    let accepted = occupancy::accepted().ok();
                    self.visibility.logged(accepted, clock::instant());
                }
                self.history.heard(source, evidence);
            }
            GateMessage::HandedOver(addr, port) => {
                self.handed_over.add(addr, port, clock::instant());
                // It is postscreen that listens.
                self.when_full = WhenFull::Refuses;
            }
            GateMessage::Blocked(count) => self.blocked = count,
            GateMessage::Released(count) => self.released = count,
            GateMessage::Paused(is_paused) => self.is_paused = is_paused,
            GateMessage::TestZones => self.lookups.hurry_tests(),
            GateMessage::Responder(view) => self.responder = view,
            GateMessage::SendersChanged => self.senders.mark_changed(),
            GateMessage::Stop => {}
        }
    }

    fn reconfigure(&mut self, settings: GateSettings) {
        let was_on = self.is_on();
        self.settings = settings;
        self.controller = controller(&self.settings);
        self.when_full = self.settings.when_full;
        self.has_old_verdicts = true;
        self.clear_verdicts();
        report_slots(&self.settings, &self.health);
        report_server(&self.settings, &self.status);
        let (zones, resolver) = lookups(&self.settings, &self.health);
        let per_day = self.settings.max_lookups_per_day;
        self.lookups.reconfigure(zones, resolver, per_day);
        self.senders.mark_changed();
        if !was_on {
            self.senders.mark_untold();
            self.visibility = Visibility::default();
        }
        if !self.is_on() {
            self.open_gate();
            for subject in [Subject::Gate, Subject::Samples, Subject::Resolver] {
                self.health.clear(subject);
            }
        }
    }

    /// Removes the verdicts that other zones gave, if that has not succeeded
    /// yet.
    fn clear_verdicts(&mut self) {
        if self.has_old_verdicts {
            let cleared = self.maps.clear_verdicts();
            self.has_old_verdicts = cleared.is_err();
            let failed = "the filter may use verdicts of other zones";
            self.health.report(Subject::Verdicts, failed, cleared);
        }
    }

    /// Counts the connections and sets the gate. If the gate is not set for two
    /// seconds, the filter treats it as open.
    fn look(&mut self) {
        self.read_requests();
        // Until the filter has the known senders, the gate only observes.
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
        self.filter = self.blocklist.settings()?;
        // While blocking is paused, a blocklist may list every sender; before
        // the filter has the known senders, it may list one of them. In both
        // cases, the responder must answer nobody. While it is paused by hand,
        // the filter steers nobody to it.
        let is_safe =
            !self.is_paused && self.senders.is_told() && !self.filter.is_responder_paused(now);
        let responders = match &self.responder {
            Some(view) if is_safe => view.families,
            _ => 0,
        };
        let is_answered = |peer: IpAddr| {
            let family = if peer.is_ipv6() {
                RESPONDER_IPV6
            } else {
                RESPONDER_IPV4
            };
            // In doubt the connection counts as taking a slot.
            responders & family != 0 && self.maps.is_steered(peer, now).unwrap_or(false)
        };
        let answered = self
            .responder
            .as_ref()
            .map_or(0, ResponderView::connections);
        let instant = clock::instant();
        let refuses = self.when_full == WhenFull::Refuses;
        let is_handed_over = |peer, port| {
            if refuses {
                self.strangers.connected(peer);
            }
            self.handed_over.holds(peer, port, instant)
        };
        let seen = self.counter.count(SMTP_PORT, is_answered, is_handed_over);
        let seen = seen.context("cannot count the connections")?;
        self.handed_over.forget_ended(instant);
        self.visibility.sample(seen, instant);
        let seen = seen.without(answered);
        let mut gate = self.controller.set(seen, stats.admitted, responders, now);
        gate.mode = self.effective_mode() as u32;
        self.full += u64::from(gate.open >= self.controller.slots());
        self.strangers.set_share(gate.share);
        if refuses {
            // Others must not take the slots that are promised.
            gate.open = gate.open.saturating_add(self.strangers.promised());
        }
        (self.seen, self.stats) = (seen, stats);
        self.peak = Some(self.peak.unwrap_or(seen).max(seen));
        self.limit = gate.limits[CLASSES - 1];
        self.maps.set(gate)?;
        self.admit_waiting(now);
        Ok(())
    }

    /// The configured mode, but the gate only observes until the filter has the
    /// known senders, and while it is paused by hand.
    fn effective_mode(&self) -> GateMode {
        let is_paused = self.filter.is_gate_paused(clock::monotonic_ns());
        match self.settings.mode {
            GateMode::On if is_paused || !self.senders.is_told() => GateMode::Observe,
            mode => mode,
        }
    }

    /// Opens the gate at once, rather than when its last state goes stale.
    fn open_gate(&mut self) {
        if let Err(error) = self.maps.set(Gate::default()) {
            log::warn!("{error:#}; it opens by itself in two seconds");
        }
    }

    /// Runs the periodic work, once a second.
    fn look_after(&mut self) {
        self.clear_verdicts();
        self.remove_old_admits();
        // Read requests first: a source that was refused before this sync
        // counts by the known senders of that time.
        self.read_requests();
        self.senders.poll(&self.settings, &self.health);
        self.report_troubles();
        self.record();
        self.history.poll(&self.settings.store, &self.health);
        self.tell();
    }

    fn tell(&self) {
        let _ = self.status.send(StatusMessage::Gate(self.state()));
    }
}

fn controller(settings: &GateSettings) -> GateController {
    let slots = settings.slots.count;
    GateController::new(settings.mode, slots)
}
