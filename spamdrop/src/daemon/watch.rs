//! The watch task: reads the logs, lets the engine decide, and carries out the
//! effects. While it runs, it waits for no lock and no disk. Only its start
//! waits for the database and its end for the disk, each for a limited time.

mod pipeline;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Error, Result};
use spamdrop_core::engine::{Engine, EngineSettings};
use spamdrop_core::policy::Protected;
use spamdrop_core::reputation::Records;
use spamdrop_core::status::SourceState;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot::Receiver;
use tokio::time::{sleep, timeout};

use super::block::{BlockRule, Blocker};
use super::database::{self, SenderRecords};
use super::disk::{Disk, take_finished};
use super::gate::GateMessage;
use super::health::Subject;
use super::period;
use super::sources::SourceSettings;
use super::status::{Health, StatusMessage, WatchStatus};
use crate::clock;
use crate::store::is_locked;
use crate::tail::{self, FileStatus, Tail};
use pipeline::{moment, take_line};

/// Bytes of log that are read before other tasks run.
const BUDGET: usize = 256 * 1024;
/// How often the logs are checked, as inotify may miss changes.
const SECOND: Duration = Duration::from_secs(1);
/// How often the status task gets a report; more often than it writes its file,
/// so that the file is up to date.
const TELL: Duration = Duration::from_millis(200);
/// How often offences that wait for the write lock are retried.
const RETRY: Duration = Duration::from_millis(20);
/// How often new evidence about senders is written, if there is any. A crash
/// loses at most this period's evidence, and pending demotions.
const WRITE_PERIOD: Duration = Duration::from_secs(5);
/// Maximum number of attempts to write waiting blocks when the daemon ends.
const END_TRIES: usize = 10;
/// How long the first lines wait for the senders of the database.
const SENDERS_WAIT: Duration = Duration::from_secs(1);

/// Messages to the task.
pub(super) enum WatchMessage {
    /// The configuration has changed; `sources`: the new logs, if they changed.
    Reconfigure {
        settings: Box<WatchSettings>,
        sources: Option<SourceSettings>,
    },
    /// The set of protected addresses has changed.
    Protect(Protected),
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
    /// Maximum number of senders in the database.
    pub known_capacity: usize,
}

/// Message to the supervisor: all logs have ended, and all their effects were
/// carried out.
pub(super) struct LogsEnded;

/// The channels to the tasks that carry out effects.
pub(super) struct WatchOutputs {
    pub gate: UnboundedSender<GateMessage>,
    pub status: UnboundedSender<StatusMessage>,
    pub supervisor: UnboundedSender<LogsEnded>,
}

pub(super) struct WatchTask {
    settings: WatchSettings,
    tail: Tail,
    engine: Engine,
    blocker: Blocker,
    disk: Disk,
    outputs: WatchOutputs,
    health: Health,
    /// Why blocking is paused, as last logged.
    ceiling: Option<String>,
    has_ended: bool,
    senders: Option<Receiver<Result<SenderRecords>>>,
    merging: Option<Receiver<Result<(), (Records, Error)>>>,
    last_merge: std::time::Instant,
    saving: Option<Receiver<Result<()>>>,
}

impl WatchTask {
    pub fn new(
        settings: WatchSettings,
        tail: Tail,
        protected: Protected,
        blocker: Blocker,
        disk: Disk,
        outputs: WatchOutputs,
    ) -> Self {
        let store = settings.store.clone();
        Self {
            engine: Engine::new(settings.engine.clone(), protected),
            settings,
            tail,
            blocker,
            senders: Some(disk.submit(move || database::senders(&store))),
            disk,
            health: Health::new(outputs.status.clone()),
            outputs,
            ceiling: None,
            has_ended: false,
            merging: None,
            last_merge: clock::instant(),
            saving: None,
        }
    }

    /// Runs until it is told to stop.
    pub async fn run(mut self, mut inbox: UnboundedReceiver<WatchMessage>) {
        let mut second = period(SECOND);
        let mut tell = period(TELL);
        let mut retry = period(RETRY);
        self.wait_for_senders().await;
        let mut more = self.read();
        loop {
            tokio::select! {
                // The order gives priority: a storm of lines delays no branch
                // above it.
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
                }
                _ = tell.tick() => self.tell(),
                _ = retry.tick(), if self.blocker.is_waiting() => self.blocker.write(),
                // Yield first, because timers and signals are served only
                // between tasks.
                () = tokio::task::yield_now(), if more => more = self.read(),
                () = self.tail.changed() => more = self.read(),
            }
        }
        self.end().await;
    }

    /// Waits a moment for the senders in the database. Without them, the
    /// ceiling would let a broken blocklist block them.
    async fn wait_for_senders(&mut self) {
        if let Some(senders) = &mut self.senders
            && let Ok(result) = timeout(SENDERS_WAIT, senders).await
        {
            self.senders = None;
            self.remember_senders(result.ok());
        }
    }

    fn take(&mut self, message: WatchMessage) {
        match message {
            WatchMessage::Reconfigure { settings, sources } => {
                self.blocker.reconfigure(settings.rule.clone());
                self.engine.reconfigure(settings.engine.clone());
                self.settings = *settings;
                if let Some(sources) = sources {
                    self.change_sources(&sources);
                }
            }
            WatchMessage::Protect(protected) => {
                self.blocker.forget(|addr| protected.why(addr).is_some());
                self.engine.protect(protected);
            }
            WatchMessage::Stop => {}
        }
    }

    fn change_sources(&mut self, sources: &SourceSettings) {
        match sources.reopen(&self.tail) {
            Ok(tail) => {
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
            ..
        } = self;
        let more = tail.poll(clock::instant(), BUDGET, &mut |line| {
            take_line(engine, blocker, &outputs.gate, &line);
        });
        self.blocker.write();
        more
    }

    /// Periodic checks, once a second.
    fn look_after(&mut self) {
        if let Some(senders) = take_finished(&mut self.senders) {
            self.remember_senders(senders);
        }
        self.say_ceiling();
        self.keep_records();
        self.keep_positions();
        // Only standard input can come to an end.
        let is_ended = |file: &FileStatus| file.state == tail::State::Ended;
        if !self.has_ended && !self.blocker.is_waiting() && self.tail.files().all(is_ended) {
            self.has_ended = true;
            let _ = self.outputs.supervisor.send(LogsEnded);
        }
    }

    /// Passes the stored senders to the engine, because the ceiling needs those
    /// of the last day.
    fn remember_senders(&mut self, senders: Option<Result<SenderRecords>>) {
        match senders {
            Some(Ok(senders)) => {
                let now = moment();
                for (source, record) in &senders {
                    self.engine.remember(*source, record, now);
                }
            }
            Some(Err(error)) => {
                let text = format!("nothing is known of senders: {error:#}");
                self.health.raise(Subject::Reputation, text);
                if is_locked(&error) {
                    let store = self.settings.store.clone();
                    self.senders = Some(self.disk.submit(move || database::senders(&store)));
                }
            }
            None => self.health.raise(
                Subject::Reputation,
                "nothing is known of senders: the thread that read died",
            ),
        }
    }

    fn say_ceiling(&mut self) {
        let ceiling = self.engine.ceiling(moment()).map(|trip| trip.to_string());
        if self.ceiling.is_some() != ceiling.is_some() {
            match &ceiling {
                Some(text) => log::error!(target: "spamdrop::policy", "no new blocks: {text}"),
                None => log::warn!(target: "spamdrop::policy", "blocking again"),
            }
            let message = GateMessage::Paused(ceiling.is_some());
            let _ = self.outputs.gate.send(message);
        }
        self.ceiling = ceiling;
    }

    /// Writes new evidence about senders, unless a write was made recently.
    fn keep_records(&mut self) {
        self.engine.settle(moment(), false);
        match take_finished(&mut self.merging) {
            None => {}
            Some(Some(Ok(()))) => {
                let _ = self.outputs.gate.send(GateMessage::SendersChanged);
                self.health.clear(Subject::Reputation);
            }
            Some(Some(Err((records, error)))) => {
                self.engine.give_back(records);
                self.cannot_keep_records(&error);
            }
            Some(None) => self.cannot_keep_records(&Error::msg("the thread that wrote died")),
        }
        let is_due = self.last_merge.elapsed() >= WRITE_PERIOD;
        if self.merging.is_none() && is_due && self.engine.has_records() {
            self.last_merge = clock::instant();
            self.merging = Some(self.begin_merge());
        }
    }

    fn begin_merge(&mut self) -> Receiver<Result<(), (Records, Error)>> {
        let records = self.engine.take_records();
        let (store, capacity) = (self.settings.store.clone(), self.settings.known_capacity);
        self.disk
            .submit(move || database::merge(&store, records, capacity))
    }

    fn cannot_keep_records(&self, error: &Error) {
        let text = format!("cannot keep what was learned of senders: {error:#}");
        self.health.raise(Subject::Reputation, text);
    }

    fn keep_positions(&mut self) {
        match take_finished(&mut self.saving) {
            None => {}
            Some(Some(Ok(()))) => self.health.clear(Subject::Positions),
            Some(Some(Err(error))) => {
                self.tail.forget_save();
                let text = format!("cannot keep the log positions: {error:#}");
                self.health.raise(Subject::Positions, text);
            }
            Some(None) => self.tail.forget_save(),
        }
        // While a block waits, its line must be read again after a crash.
        if self.saving.is_none()
            && !self.blocker.is_waiting()
            && let Some(save) = self.tail.begin_save()
        {
            self.saving = Some(self.disk.submit(save));
        }
    }

    fn tell(&self) {
        let mut events: Vec<_> = self.engine.counts().iter().map(|(k, v)| (*k, *v)).collect();
        let failed = self.blocker.failed();
        if failed > 0 {
            events.push(("failed", failed));
        }
        let blocked = self.engine.counts().get("blocked").copied();
        let blocked = blocked.unwrap_or_default().saturating_sub(failed);
        let _ = self.outputs.gate.send(GateMessage::Blocked(blocked));
        let _ = self.outputs.status.send(StatusMessage::Watch(WatchStatus {
            sources: self.tail.files().map(source_state).collect(),
            events,
            ceiling: self.ceiling.clone(),
        }));
    }

    /// Writes the waiting blocks, unless the write lock stays unavailable.
    async fn write_blocks(&mut self) {
        for _ in 0..END_TRIES {
            self.blocker.write();
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
        self.tell();
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
            log::warn!("cannot keep the log positions: {error:#}");
        }
        if let Some(merging) = self.merging.take()
            && let Ok(Err((records, _))) = merging.await
        {
            self.engine.give_back(records);
        }
        self.engine.settle(moment(), true);
        if self.engine.has_records()
            && let Ok(Err((_, error))) = self.begin_merge().await
        {
            log::warn!("cannot keep what was learned of senders: {error:#}");
        }
    }
}

fn source_state(status: &FileStatus) -> SourceState {
    SourceState {
        path: status.path.clone(),
        trusted: status.trusted,
        state: status.state.to_string(),
        lines: status.lines,
        overlong: status.overlong,
        unfit: status.unfit,
        lag_bytes: status.lag,
    }
}
