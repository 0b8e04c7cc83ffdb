//! The gate task: counts the server's connections, looks up refused sources,
//! and writes the gate, verdicts and known senders to the filter's maps.

mod figures;
mod known_sender_sync;
mod look;
mod strangers;
mod troubles;
mod wave_history;
mod zone_trust;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use spamdrop_common::gate::{Gate, GateMode, GateStats};
use spamdrop_common::settings::Settings;
use spamdrop_core::event::Evidence;
use spamdrop_core::gate::{
    CountSchedule, GateController, HandedOver, Occupancy, Slots, Visibility, WaitingStrangers,
    WhenFull,
};
use spamdrop_core::server_settings::SettingsFile;
use spamdrop_core::smtp::DEFAULT_TEXT;
use spamdrop_core::zones::Zones;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, sleep_until};

use super::disk::Disk;
use super::health::Subject;
use super::history::HistoryLog;
use super::responder_view::ResponderView;
use super::status::{HealthReporter, StatusMessage};
use super::ticks::period;
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
    /// The settings of Postfix or Exim that root has read, or why they are unknown.
    pub server: Result<Option<SettingsFile>, String>,
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
    schedule: CountSchedule,
    next_look: Instant,
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
    /// The filter's settings, which hold the ends of the pauses by `spamdrop pause`.
    filter: Settings,
    /// Whether the map may hold verdicts of zones that were removed or are broken.
    has_old_verdicts: bool,
    counter: ConnectionCounter,
    handed_over: HandedOver,
    when_full: WhenFull,
    seen: Occupancy,
    visibility: Visibility,
    /// The highest count since the last sample of the history; `None`: no count yet.
    peak: Option<Occupancy>,
    /// The gate as last written to the filter. The default is an open gate.
    gate: Gate,
    stats: GateStats,
    /// Number of counts at which all slots were in use.
    full: u64,
    blocked: u64,
    released: u64,
    status: UnboundedSender<StatusMessage>,
    health: HealthReporter,
}

impl GateTask {
    /// Opens the gate's maps, and removes the verdicts of an earlier daemon, which may
    /// have used other zones.
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
        let health = HealthReporter::new(status.clone());
        report_slots(&settings, &health);
        report_server(&settings, &status);
        let (zones, resolver) = lookups(&settings, &health);
        Ok(Self {
            controller: controller(&settings),
            schedule: CountSchedule::default(),
            next_look: Instant::now(),
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
            gate: Gate::default(),
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
        let mut second = period(SECOND);
        let mut messages = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = sleep_until(self.next_look), if self.is_on() => self.look(),
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
        // Read the filter's look-up requests first, so that a refused SYN is recorded
        // before the log line of its connection.
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
                // Its connection may have been too short to be counted.
                if evidence != Evidence::Delivered {
                    self.strangers.connected(source);
                }
                if evidence != Evidence::Delivered && self.visibility.is_due(clock::instant()) {
                    let accepted = occupancy::accepted().ok();
                    self.visibility.logged(accepted, clock::instant());
                }
                self.history.heard(source, evidence);
            }
            GateMessage::HandedOver(addr, port) => {
                self.handed_over.add(addr, port, clock::instant());
                // The line shows that postscreen listens, which refuses connections
                // for which there is no slot.
                self.when_full = WhenFull::Refuses;
            }
            GateMessage::Blocked(count) => self.blocked = count,
            GateMessage::Released(count) => self.released = count,
            GateMessage::Paused(is_paused) => {
                self.is_paused = is_paused;
                self.count_soon();
            }
            GateMessage::TestZones => self.lookups.hurry_tests(),
            GateMessage::Responder(view) => {
                self.responder = view;
                self.count_soon();
            }
            GateMessage::SendersChanged => self.senders.mark_changed(),
            GateMessage::Stop => {}
        }
    }

    fn reconfigure(&mut self, settings: GateSettings) {
        let was_on = self.is_on();
        self.settings = settings;
        self.controller = controller(&self.settings);
        self.count_soon();
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

    /// Removes all verdicts from the filter, if zones were removed or have proved broken
    /// since the last successful removal.
    fn clear_verdicts(&mut self) {
        if self.has_old_verdicts {
            let cleared = self.maps.clear_verdicts();
            self.has_old_verdicts = cleared.is_err();
            let failed = "the filter may use verdicts of zones that were removed or are broken";
            self.health.report(Subject::Verdicts, failed, cleared);
        }
    }

    /// Runs the periodic work, once a second.
    fn look_after(&mut self) {
        self.clear_verdicts();
        self.remove_old_admits();
        // Read the look-up requests before `senders` changes, so that the history
        // records whether a source was known when it was refused.
        self.read_requests();
        self.senders.poll(&self.settings, &self.health);
        self.report_troubles();
        self.record();
        self.history.poll(&self.settings.store, &self.health);
        self.publish_status();
    }

    fn publish_status(&self) {
        let _ = self.status.send(StatusMessage::Gate(self.state()));
    }
}

fn controller(settings: &GateSettings) -> GateController {
    let slots = settings.slots.count;
    GateController::new(settings.mode, slots)
}
