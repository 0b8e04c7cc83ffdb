//! The FIFO task: carries out the commands that are written to the FIFO.

mod complaints;
mod orders;
mod owned;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use spamdrop_core::policy::{KnownNets, Protected, Scope};
use spamdrop_core::recent::{Commands, FifoCommand};
use spamdrop_core::status::FifoState;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::block::BlockRule;
use super::disk::Disk;
use super::health::Subject;
use super::history::HistoryLog;
use super::hold_log::HoldLog;
use super::release::ReleaseMessage;
use super::status::{HealthReporter, StatusMessage};
use super::ticks::period;
use crate::clock;
use crate::fifo::{Fifo, Got, readable};
use crate::kernel::blocklist::Blocklist;
use crate::lock::{self, WriteLock};
use complaints::{CommandRefusal, Complaints};
pub(super) use owned::OwnedPlaces;
use owned::{OwnedJob, OwnedResults};

/// Bytes per read: some 200 commands, which take a few milliseconds. Other tasks
/// run between two reads.
const BUDGET: usize = 4096;
/// How often the FIFO is checked and `status` is updated.
const SECOND: Duration = Duration::from_secs(1);
/// How often commands that wait for the write lock are retried.
const RETRY: Duration = Duration::from_millis(20);
/// How long each step of a flush, and each job of [`owned`], waits for the write lock.
/// For other commands, the time after which the holder of the lock is reported.
const LOCK_WAIT: Duration = Duration::from_millis(100);
/// How long commands are executed after the order to stop.
const LAST: Duration = Duration::from_millis(500);

/// Messages to the task.
pub(super) enum FifoMessage {
    /// The configuration has changed.
    Reconfigure {
        settings: FifoSettings,
        /// The new FIFO, if its path has changed.
        fifo: Option<Fifo>,
    },
    /// The set of protected addresses has changed.
    Protect(Protected),
    /// The set of known senders may have changed.
    Know(KnownNets),
    /// Execute the commands already written, then end.
    Stop,
}

/// The task's part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FifoSettings {
    /// The path of the FIFO; `None`: there is none.
    pub path: Option<PathBuf>,
    pub rule: BlockRule,
}

/// The inboxes of the tasks that the FIFO's commands concern.
pub(super) struct FifoOutputs {
    pub releases: UnboundedSender<ReleaseMessage>,
    pub status: UnboundedSender<StatusMessage>,
    pub history: HistoryLog,
}

pub(super) struct FifoTask {
    settings: FifoSettings,
    /// `None` after an error, until the FIFO can be opened again.
    fifo: Option<Fifo>,
    commands: Commands,
    /// Commands that were read and are not executed yet; nothing more is read until
    /// they are.
    waiting: VecDeque<FifoCommand>,
    /// The time of the first failed attempt to take the write lock for the first
    /// waiting command; `None` if none has failed.
    refused: Option<Instant>,
    counts: FifoState,
    complaints: Complaints,
    blocklist: Blocklist,
    scope: Scope,
    releases: UnboundedSender<ReleaseMessage>,
    status: UnboundedSender<StatusMessage>,
    health: HealthReporter,
    history: HistoryLog,
    holds: HoldLog,
    disk: Disk,
    places: OwnedPlaces,
    /// The commands of named owners that the disk thread executes now. All other
    /// commands wait.
    owned: Option<OwnedJob>,
}

impl FifoTask {
    /// Opens the FIFO if one is configured.
    ///
    /// # Errors
    ///
    /// The FIFO cannot be opened.
    pub fn open(
        settings: FifoSettings,
        blocklist: Blocklist,
        scope: Scope,
        places: OwnedPlaces,
        disk: Disk,
        outputs: FifoOutputs,
    ) -> Result<Self> {
        let FifoOutputs {
            releases,
            status,
            history,
        } = outputs;
        Ok(Self {
            fifo: settings.path.as_deref().map(Fifo::open).transpose()?,
            counts: counts(&settings),
            settings,
            commands: Commands::default(),
            waiting: VecDeque::new(),
            refused: None,
            complaints: Complaints::default(),
            blocklist,
            scope,
            releases,
            health: HealthReporter::new(status.clone()),
            history,
            holds: HoldLog::new(
                disk.clone(),
                places.store.clone(),
                HealthReporter::new(status.clone()),
                "fifo",
            ),
            disk,
            places,
            owned: None,
            status,
        })
    }

    /// Runs until it is told to stop.
    pub async fn run(mut self, mut inbox: UnboundedReceiver<FifoMessage>) {
        let mut second = period(SECOND);
        let mut retry = period(RETRY);
        loop {
            tokio::select! {
                biased;
                message = inbox.recv() => match message {
                    None | Some(FifoMessage::Stop) => break,
                    Some(FifoMessage::Protect(protected)) => self.scope.protected = protected,
                    Some(FifoMessage::Know(known)) => self.scope.known = known,
                    Some(FifoMessage::Reconfigure { settings, fifo }) => self.reconfigure(settings, fifo),
                },
                _ = second.tick() => self.look_after(),
                results = finished(self.owned.as_mut()) => self.take_owned(results),
                _ = retry.tick(), if self.refused.is_some() => self.carry_out(),
                () = yield_now(), if self.goes_on() => self.carry_out(),
                () = readable(self.fifo.as_ref()), if self.is_idle() => { self.read(); }
            }
        }
        self.read_the_rest().await;
        self.holds.end().await;
    }

    /// At the stop, executes the commands that are still in the FIFO, for at most [`LAST`].
    /// Warns of those that are lost.
    async fn read_the_rest(&mut self) {
        let start = clock::instant();
        while self.owned.is_some() || self.read_or_go_on() {
            if self.owned.is_some() {
                let left = LAST.saturating_sub(start.elapsed());
                match timeout(left, finished(self.owned.as_mut())).await {
                    Ok(results) => self.take_owned(results),
                    Err(_) => return self.lose_owned("the disk is too slow"),
                }
            }
            if start.elapsed() >= LAST {
                let target = "spamdrop::fifo";
                log::warn!(
                    target: target,
                    "commands of the FIFO may be lost: not all could be executed within {LAST:?} \
                     at the stop"
                );
                return;
            }
            yield_now().await;
        }
        if !self.waiting.is_empty() {
            log::warn!(
                target: "spamdrop::fifo",
                "{} commands of the FIFO are lost: another process holds the write lock",
                self.waiting.len()
            );
        }
    }

    /// Whether commands wait that can be executed now.
    fn goes_on(&self) -> bool {
        self.refused.is_none() && self.owned.is_none() && !self.waiting.is_empty()
    }

    fn is_idle(&self) -> bool {
        self.owned.is_none() && self.waiting.is_empty()
    }

    /// Executes waiting commands, or else reads more. Returns whether there may be
    /// more that can be executed now.
    fn read_or_go_on(&mut self) -> bool {
        let mut more = true;
        if self.waiting.is_empty() {
            more = self.read();
        } else {
            self.carry_out();
        }
        self.refused.is_none() && (more || !self.waiting.is_empty())
    }

    fn reconfigure(&mut self, settings: FifoSettings, fifo: Option<Fifo>) {
        if settings.path != self.settings.path {
            self.fifo = fifo;
            self.commands = Commands::default();
            self.counts = counts(&settings);
        }
        self.settings = settings;
        self.look_after();
    }

    /// Reopens the FIFO if it is closed or was removed, and reports to the
    /// status task.
    fn look_after(&mut self) {
        self.holds.poll();
        if let Some(path) = &self.settings.path {
            if self.fifo.as_ref().is_some_and(Fifo::is_in_place) {
                if self.waiting.is_empty() {
                    self.health.clear(Subject::Fifo);
                }
            } else {
                match Fifo::open(path) {
                    Ok(fifo) => self.fifo = Some(fifo),
                    Err(error) => self.health.raise(Subject::Fifo, format!("{error:#}")),
                }
            }
        } else {
            self.health.clear(Subject::Fifo);
        }
        self.publish_status();
    }

    fn publish_status(&self) {
        let counts = self.settings.path.is_some().then(|| self.counts.clone());
        let _ = self.status.send(StatusMessage::Fifo(counts));
    }

    /// Reads and executes commands. Returns whether there may be more.
    fn read(&mut self) -> bool {
        let Some(fifo) = &mut self.fifo else {
            return false;
        };
        let (mut read, mut malformed) = (Vec::new(), Vec::new());
        let mut take = |command| match command {
            Ok(command) => read.push(command),
            Err(error) => malformed.push(error),
        };
        let mut buffer = [0; BUDGET];
        let got = fifo.read(&mut buffer);
        let more = matches!(got, Ok(Got::Bytes(_)));
        match got {
            Ok(Got::Bytes(bytes)) => self.commands.feed(bytes, &mut take),
            Ok(Got::End) => self.commands.finish(&mut take),
            Ok(Got::Nothing) => {}
            Err(error) => {
                self.fifo = None;
                let text = format!("cannot read the FIFO: {error}");
                self.health.raise(Subject::Fifo, text);
            }
        }
        for error in malformed {
            self.counts.malformed += 1;
            self.complaints.log(
                CommandRefusal::Malformed(error.mistake()),
                &error.to_string(),
            );
        }
        for command in read {
            // A second flush directly after another would find nothing.
            if command != FifoCommand::Flush || self.waiting.back() != Some(&command) {
                self.waiting.push_back(command);
            }
        }
        self.carry_out();
        self.publish_status();
        more
    }

    /// Executes waiting commands under one write lock. Stops when the lock is
    /// unavailable, when the disk thread must execute the next command, or after a
    /// flush, which may take long.
    fn carry_out(&mut self) {
        let mut lock = None;
        while let Some(command) = self.waiting.front().cloned() {
            if self.owned.is_some() {
                return;
            }
            if let FifoCommand::Owned(..) = command {
                return self.begin_owned();
            }
            match self.obey(&command, &mut lock) {
                Ok(true) => {}
                Ok(false) => {
                    let since = *self.refused.get_or_insert_with(clock::instant);
                    if since.elapsed() >= LOCK_WAIT {
                        self.name_holder();
                    }
                    return;
                }
                Err(error) => {
                    self.counts.failed += 1;
                    self.complaints
                        .log(CommandRefusal::Failed, &format!("{error:#}"));
                }
            }
            self.refused = None;
            self.waiting.pop_front();
            if command == FifoCommand::Flush {
                break;
            }
        }
        drop(lock);
        self.holds.begin();
    }

    /// Executes a command. Returns whether the write lock was free.
    fn obey(&mut self, command: &FifoCommand, lock: &mut Option<WriteLock>) -> Result<bool> {
        if let FifoCommand::Flush = command {
            // A flush takes the lock itself, once for each step.
            *lock = None;
            return self.flush().map(|()| true);
        }
        if lock.is_none() {
            *lock = WriteLock::try_acquire(&self.places.run_dir, Duration::ZERO)?;
        }
        let Some(lock) = lock else {
            return Ok(false);
        };
        match command {
            FifoCommand::Add(addr, ttl_s) => self.block(lock, *addr, *ttl_s)?,
            FifoCommand::Remove(addr) => self.unblock(lock, *addr)?,
            FifoCommand::Flush | FifoCommand::Owned(..) => {}
        }
        Ok(true)
    }

    fn name_holder(&self) {
        if let Some(holder) = lock::holder(&self.places.run_dir) {
            let text = format!("{holder} holds the write lock; commands of the FIFO wait");
            self.health.raise(Subject::Fifo, text);
        }
    }
}

fn counts(settings: &FifoSettings) -> FifoState {
    FifoState {
        path: settings.path.clone().unwrap_or_default(),
        ..FifoState::default()
    }
}

/// Resolves with the results of the job, or with `None` if the disk thread died.
/// Never resolves if there is no job.
async fn finished(job: Option<&mut OwnedJob>) -> Option<OwnedResults> {
    match job {
        Some(job) => (&mut job.results).await.ok(),
        None => std::future::pending().await,
    }
}
