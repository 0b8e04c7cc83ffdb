//! The watch task: reads the logs, lets the engine decide, and carries out the
//! effects. While it runs, it waits for no lock and no disk. Only its start
//! waits for the database and its end for the disk, each for a limited time.

mod evidence_store;
mod pipeline;
mod source_status;
mod splitting;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use spamdrop_core::dnsbl::named_zone::ZoneNames;
use spamdrop_core::engine::{Engine, EngineSettings};
use spamdrop_core::near_misses::NearMissHistory;
use spamdrop_core::notice::Notice;
use spamdrop_core::policy::{KnownNets, Protected, Scope};
use spamdrop_core::target::Target;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot::Receiver;
use tokio::time::sleep;

use super::block::{BlockRule, Blocker};
use super::disk::{Disk, take_finished};
use super::gate::GateMessage;
use super::health::Subject;
use super::history::HistoryLog;
use super::release::ReleaseMessage;
use super::sources::SourceSettings;
use super::status::{HealthReporter, StatusMessage, WatchStatus};
use super::ticks::period;
use crate::clock;
use crate::tail::{self, FileStatus, Tail};
use evidence_store::EvidenceStore;
pub(super) use pipeline::moment;
use pipeline::{LogClocks, take_line};
use source_status::{events, source_state};
use splitting::Splitting;

/// Bytes of log that are read before other tasks run.
const BUDGET: usize = 256 * 1024;
/// How often the logs are checked, as inotify may miss changes.
const SECOND: Duration = Duration::from_secs(1);
/// How often the status task gets a report while lines are read; more often
/// than it writes its file, so that the file is up to date.
const TELL: Duration = Duration::from_millis(200);
/// How often offences that wait for the write lock are retried.
const RETRY: Duration = Duration::from_millis(20);
/// Maximum number of attempts to write waiting blocks when the daemon ends.
const END_TRIES: usize = 10;

/// Messages to the task.
pub(super) enum WatchMessage {
    /// The configuration has changed; `sources`: the new logs, if they changed.
    Reconfigure {
        settings: Box<WatchSettings>,
        sources: Option<SourceSettings>,
    },
    /// The set of protected addresses has changed.
    Protect(Protected),
    /// The set of known senders may have changed.
    Know {
        nets: KnownNets,
        senders: Arc<[Target]>,
    },
    /// The zones have changed, or which of them are broken.
    Zones(ZoneNames),
    /// End a pause of the ceiling.
    Resume,
    /// Save the evidence, then end.
    Stop,
}

/// The task's part of the configuration.
#[derive(Clone)]
pub(super) struct WatchSettings {
    pub engine: EngineSettings,
    pub rule: BlockRule,
    /// The path of the database.
    pub store: PathBuf,
    pub pin_dir: PathBuf,
    pub run_dir: PathBuf,
    /// Maximum number of senders in the database.
    pub known_capacity: usize,
}

/// Messages to the supervisor.
pub(super) enum WatchReport {
    /// All logs have ended, and all their effects were carried out.
    LogsEnded,
    /// The private address of a proxy, which must not be blocked; `None`: there is no
    /// proxy any more.
    Proxy(Option<IpAddr>),
}

/// The channels to the tasks that carry out effects.
pub(super) struct WatchOutputs {
    pub gate: UnboundedSender<GateMessage>,
    pub status: UnboundedSender<StatusMessage>,
    pub release: UnboundedSender<ReleaseMessage>,
    pub supervisor: UnboundedSender<WatchReport>,
    pub history: HistoryLog,
}

pub(super) struct WatchTask {
    tail: Tail,
    engine: Engine,
    blocker: Blocker,
    splitting: Splitting,
    store: EvidenceStore,
    disk: Disk,
    outputs: WatchOutputs,
    health: HealthReporter,
    near_misses: NearMissHistory,
    clocks: LogClocks,
    /// The proxy's address, as last sent to the supervisor.
    proxy: Option<IpAddr>,
    /// Why blocking is paused, as last logged.
    ceiling: Option<String>,
    has_ended: bool,
    /// Whether lines were read since the last report to the status task.
    is_untold: bool,
    saving: Option<Receiver<Result<()>>>,
}

impl WatchTask {
    pub fn new(
        settings: WatchSettings,
        tail: Tail,
        scope: Scope,
        blocker: Blocker,
        disk: Disk,
        outputs: WatchOutputs,
    ) -> Self {
        let health = HealthReporter::new(outputs.status.clone());
        let splitting = Splitting::new(&settings, &scope, disk.clone());
        let (store, capacity) = (settings.store, settings.known_capacity);
        let mut engine = Engine::new(settings.engine, scope.protected);
        engine.know(scope.known);
        Self {
            splitting,
            store: EvidenceStore::open(
                store,
                capacity,
                disk.clone(),
                health.clone(),
                outputs.history.clone(),
            ),
            engine,
            tail,
            blocker,
            disk,
            health,
            outputs,
            near_misses: NearMissHistory::default(),
            clocks: LogClocks::default(),
            proxy: None,
            ceiling: None,
            has_ended: false,
            is_untold: true,
            saving: None,
        }
    }

    /// Runs until it is told to stop.
    pub async fn run(mut self, mut inbox: UnboundedReceiver<WatchMessage>) {
        let mut second = period(SECOND);
        let mut tell = period(TELL);
        let mut retry = period(RETRY);
        self.store.wait_for_senders(&mut self.engine).await;
        let mut more = self.read();
        loop {
            tokio::select! {
                // The order gives priority: a storm of lines delays only the
                // branches that read.
                biased;
                message = inbox.recv() => match message {
                    None | Some(WatchMessage::Stop) => break,
                    Some(message) => {
                        self.take(message);
                        more = self.read();
                    }
                },
                _ = second.tick() => {
                    self.look_after();
                    more = self.read();
                    self.blocker.store_holds();
                    self.publish_status();
                }
                _ = tell.tick(), if self.is_untold => self.publish_status(),
                _ = retry.tick(), if self.blocker.is_waiting() => self.write(),
                // Yield first, because timers and signals are served only
                // between tasks.
                () = tokio::task::yield_now(), if more => more = self.read(),
                () = self.tail.changed() => more = self.read(),
            }
        }
        self.end().await;
    }

    fn take(&mut self, message: WatchMessage) {
        match message {
            WatchMessage::Reconfigure { settings, sources } => {
                self.blocker.reconfigure(settings.rule.clone());
                self.engine.reconfigure(settings.engine.clone());
                self.store
                    .reconfigure(settings.store, settings.known_capacity);
                if let Some(sources) = sources {
                    self.change_sources(&sources);
                }
            }
            WatchMessage::Protect(protected) => {
                self.blocker.forget(|addr| protected.why(addr).is_some());
                let old = &self.engine.scope().protected;
                self.splitting.add_protected(&protected.changes_since(old));
                self.engine.protect(protected);
                self.split();
            }
            WatchMessage::Know { nets, senders } => {
                let old = &self.engine.scope().known;
                self.splitting.add(nets.new_since(old));
                self.engine.know(nets);
                self.engine.know_exactly(senders.iter(), moment());
                self.split();
            }
            WatchMessage::Zones(zones) => self.engine.set_zones(zones),
            WatchMessage::Resume => self.resume(),
            WatchMessage::Stop => {}
        }
    }

    fn change_sources(&mut self, sources: &SourceSettings) {
        match sources.reopen(&self.tail) {
            Ok(tail) => {
                let stays = |path: &Path| tail.files().any(|file| file.path == path);
                for file in self.tail.files().filter(|file| !stays(&file.path)) {
                    self.health.clear(Subject::Silence(file.path.clone()));
                    self.health.clear(Subject::TimeZone(file.path.clone()));
                }
                self.tail = tail;
                self.has_ended = false;
                self.health.clear(Subject::Sources);
            }
            Err(error) => {
                let text = format!("the old logs are still read; restart the daemon: {error:#}");
                self.health.raise(Subject::Sources, text);
            }
        }
    }

    /// Reads some log and writes the resulting blocks. Returns whether more can
    /// be read.
    fn read(&mut self) -> bool {
        let Self {
            tail,
            engine,
            blocker,
            outputs,
            clocks,
            is_untold,
            ..
        } = self;
        let more = tail.poll(clock::instant(), BUDGET, &mut |line| {
            *is_untold = true;
            take_line(engine, blocker, &outputs.gate, clocks, &line);
        });
        self.write();
        more
    }

    fn write(&mut self) {
        self.blocker.write(self.engine.scope());
    }

    fn split(&mut self) {
        let (scope, outputs) = (self.engine.scope(), &self.outputs);
        self.splitting
            .poll(&scope.protected, &outputs.release, &self.health);
    }

    /// Periodic checks, once a second.
    fn look_after(&mut self) {
        self.say_ceiling();
        if self.engine.take_surge(moment()) {
            let _ = self.outputs.gate.send(GateMessage::TestZones);
        }
        self.split();
        self.check_sources();
        self.check_proxy();
        self.engine.settle(moment(), false);
        if self.store.poll(&mut self.engine) {
            let _ = self.outputs.gate.send(GateMessage::SendersChanged);
        }
        self.keep_positions();
        // Only standard input can come to an end.
        let is_ended = |file: &FileStatus| file.state == tail::ReadState::Ended;
        if !self.has_ended && !self.blocker.is_waiting() && self.tail.files().all(is_ended) {
            self.has_ended = true;
            let _ = self.outputs.supervisor.send(WatchReport::LogsEnded);
        }
    }

    fn say_ceiling(&mut self) {
        let ceiling = self.engine.ceiling(moment()).map(|trip| trip.to_string());
        if self.ceiling.is_some() != ceiling.is_some() {
            match &ceiling {
                Some(text) => {
                    log::error!(target: Notice::Ceiling.target(), "no new blocks: {text}");
                }
                None => log::warn!(target: "spamdrop::policy", "blocking again"),
            }
            let message = GateMessage::Paused(ceiling.is_some());
            let _ = self.outputs.gate.send(message);
        }
        self.ceiling = ceiling;
    }

    /// Ends a pause of the ceiling by order of the administrator.
    fn resume(&mut self) {
        if self.engine.ceiling(moment()).is_some() {
            log::info!(target: "spamdrop::policy", "`spamdrop resume` ended the ceiling's pause");
        }
        self.engine.resume();
        self.say_ceiling();
        self.publish_status();
    }

    fn keep_positions(&mut self) {
        match take_finished(&mut self.saving) {
            None => {}
            Some(Some(Ok(()))) => self.health.clear(Subject::Positions),
            Some(Some(Err(error))) => {
                self.tail.forget_save();
                let text = format!("cannot save the log positions: {error:#}");
                self.health.raise(Subject::Positions, text);
            }
            Some(None) => self.tail.forget_save(),
        }
        // Save nothing while blocks wait: after a crash, their lines must be read again.
        if self.saving.is_none()
            && !self.blocker.is_waiting()
            && let Some(save) = self.tail.begin_save()
        {
            self.saving = Some(self.disk.submit(save));
        }
    }

    fn publish_status(&mut self) {
        self.is_untold = false;
        let failed = self.blocker.failed();
        let blocked = self.engine.counts().get("blocked").copied();
        let blocked = blocked.unwrap_or_default().saturating_sub(failed);
        let _ = self.outputs.gate.send(GateMessage::Blocked(blocked));
        let near_misses = self.engine.near_misses().iter();
        let _ = self.outputs.status.send(StatusMessage::Watch(WatchStatus {
            sources: self.tail.files().map(source_state).collect(),
            events: events(self.engine.counts(), failed),
            near_misses: near_misses.map(|(k, v)| (*k, *v)).collect(),
            ceiling: self.ceiling.clone(),
        }));
    }

    /// Writes the waiting blocks, unless the write lock stays unavailable.
    async fn write_blocks(&mut self) {
        for _ in 0..END_TRIES {
            self.write();
            if !self.blocker.is_waiting() {
                return;
            }
            sleep(RETRY).await;
        }
    }

    /// Submits the remaining writes to the disk thread. The supervisor limits
    /// how long they may take.
    async fn end(mut self) {
        self.write_blocks().await;
        self.blocker.end_holds().await;
        self.publish_status();
        if let Some(saving) = self.saving.take()
            && !matches!(saving.await, Ok(Ok(())))
        {
            self.tail.forget_save();
        }
        if self.blocker.is_waiting() {
            log::warn!(
                "some blocks still wait for the write lock; their log lines are read again at the next start"
            );
        } else if let Some(save) = self.tail.begin_save()
            && let Ok(Err(error)) = self.disk.submit(save).await
        {
            log::warn!("cannot save the log positions: {error:#}");
        }
        self.store.end(&mut self.engine).await;
    }
}
