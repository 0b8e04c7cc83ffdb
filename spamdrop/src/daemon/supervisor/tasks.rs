//! The supervisor's handles of the tasks: an inbox and a join handle each.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, timeout_at};

use crate::daemon::block::Blocker;
use crate::daemon::disk::Disk;
use crate::daemon::fifo_control::{FifoMessage, FifoOutputs, FifoTask, OwnedPlaces};
use crate::daemon::gate::{GateMessage, GateTask, KnownOutputs};
use crate::daemon::history::{HistoryLog, HistoryMessage, HistoryTask};
use crate::daemon::hold_log::HoldLog;
use crate::daemon::release::{ReleaseMessage, ReleaseTask};
use crate::daemon::responder::{ResponderMessage, ResponderTask};
use crate::daemon::settings::DaemonSettings;
use crate::daemon::status::{self, HealthReporter, StatusMessage};
use crate::daemon::watch::{WatchMessage, WatchOutputs, WatchReport, WatchTask};
use crate::kernel::blocklist::Blocklist;
use crate::tail::Tail;
use spamdrop_core::policy::Scope;

/// Maximum time to end the tasks, so that SIGTERM ends the daemon within a
/// second, whatever a disk or a lock does.
const END: Duration = Duration::from_millis(800);

pub(super) struct Tasks {
    watch: Task<WatchMessage>,
    fifo: Task<FifoMessage>,
    release: Task<ReleaseMessage>,
    gate: Task<GateMessage>,
    responder: Task<ResponderMessage>,
    history: Task<HistoryMessage>,
    status: Task<StatusMessage>,
}

struct Task<M> {
    name: &'static str,
    inbox: UnboundedSender<M>,
    handle: JoinHandle<()>,
}

impl<M> Task<M> {
    fn new(
        name: &'static str,
        inbox: UnboundedSender<M>,
        task: impl Future<Output = ()> + 'static,
    ) -> Self {
        let handle = spawn_local(task);
        Self {
            name,
            inbox,
            handle,
        }
    }

    /// Sends a message. The send fails only if the task has ended, which
    /// [`Tasks::ensure_running`] reports.
    fn send(&self, message: M) {
        let _ = self.inbox.send(message);
    }

    /// Returns whether the task ended before the deadline.
    async fn ended(&mut self, deadline: Instant) -> bool {
        self.handle.is_finished() || timeout_at(deadline, &mut self.handle).await.is_ok()
    }
}

impl Tasks {
    /// Spawns all tasks. `config` is the path of the configuration file.
    ///
    /// # Errors
    ///
    /// A map or the FIFO cannot be opened.
    pub fn spawn(
        settings: &DaemonSettings,
        tail: Tail,
        scope: &Scope,
        disk: &Disk,
        config: PathBuf,
        supervisor: UnboundedSender<WatchReport>,
    ) -> Result<Self> {
        let filter = &settings.filter;
        let run_dir = &filter.run_dir;
        let blocklist = || Blocklist::open(&filter.pin_dir);
        let (watch, watch_inbox) = unbounded_channel();
        let (fifo, fifo_inbox) = unbounded_channel();
        let (release, release_inbox) = unbounded_channel();
        let (gate, gate_inbox) = unbounded_channel();
        let (responder, responder_inbox) = unbounded_channel();
        let (history, history_inbox) = unbounded_channel();
        let (status, status_inbox) = unbounded_channel();
        let history_log = HistoryLog::new(history.clone());

        let gate_task = GateTask::open(
            settings.gate.clone(),
            blocklist()?,
            disk.clone(),
            KnownOutputs {
                watch: watch.clone(),
                fifo: fifo.clone(),
            },
            status.clone(),
            history_log.clone(),
        )?;
        let responder_task = ResponderTask::new(gate_task.texts(), gate.clone(), status.clone());
        let release_task = ReleaseTask::new(
            settings.release.clone(),
            blocklist()?,
            scope.protected.clone(),
            run_dir.clone(),
            gate.clone(),
            status.clone(),
            history_log.clone(),
        );
        let store = &settings.history.store;
        let fifo_task = FifoTask::open(
            settings.fifo.clone(),
            blocklist()?,
            scope.clone(),
            OwnedPlaces {
                store: store.clone(),
                pin_dir: filter.pin_dir.clone(),
                run_dir: run_dir.clone(),
            },
            disk.clone(),
            FifoOutputs {
                releases: release.clone(),
                status: status.clone(),
                history: history_log.clone(),
            },
        )?;
        let blocker = Blocker::new(
            blocklist()?,
            settings.watch.rule.clone(),
            run_dir.clone(),
            release.clone(),
            HealthReporter::new(status.clone()),
            history_log.clone(),
            HoldLog::new(
                disk.clone(),
                store.clone(),
                HealthReporter::new(status.clone()),
                "watch",
            ),
        );
        let history_task = HistoryTask::new(
            settings.history.clone(),
            &history_log,
            disk.clone(),
            HealthReporter::new(status.clone()),
        );
        let outputs = WatchOutputs {
            gate: gate.clone(),
            status: status.clone(),
            release: release.clone(),
            supervisor,
            history: history_log,
        };
        let watch_task = WatchTask::new(
            settings.watch.clone(),
            tail,
            scope.clone(),
            blocker,
            disk.clone(),
            outputs,
        );
        let status_task = status::run(run_dir.clone(), config, status_inbox);
        Ok(Self {
            status: Task::new("status", status, status_task),
            history: Task::new("history", history, history_task.run(history_inbox)),
            release: Task::new("release", release, release_task.run(release_inbox)),
            gate: Task::new("gate", gate, gate_task.run(gate_inbox)),
            responder: Task::new("responder", responder, responder_task.run(responder_inbox)),
            fifo: Task::new("fifo", fifo, fifo_task.run(fifo_inbox)),
            watch: Task::new("watch", watch, watch_task.run(watch_inbox)),
        })
    }

    pub fn health(&self) -> HealthReporter {
        HealthReporter::new(self.status.inbox.clone())
    }

    pub fn tell_status(&self, message: StatusMessage) {
        self.status.send(message);
    }

    pub fn tell_watch(&self, message: WatchMessage) {
        self.watch.send(message);
    }

    pub fn tell_fifo(&self, message: FifoMessage) {
        self.fifo.send(message);
    }

    pub fn tell_release(&self, message: ReleaseMessage) {
        self.release.send(message);
    }

    pub fn tell_gate(&self, message: GateMessage) {
        self.gate.send(message);
    }

    pub fn tell_history(&self, message: HistoryMessage) {
        self.history.send(message);
    }

    pub fn tell_responder(&self, message: ResponderMessage) {
        self.responder.send(message);
    }

    /// Resolves when the release task has ended, which it does only after
    /// [`ReleaseMessage::Finish`].
    ///
    /// # Errors
    ///
    /// The task died.
    pub async fn released(&mut self) -> Result<()> {
        let ended = (&mut self.release.handle).await;
        ended.context("the release task died; start `spamdrop run` again")
    }

    /// Checks that every task runs, except the release task, which [`Tasks::released`]
    /// watches.
    ///
    /// # Errors
    ///
    /// A task has ended, which none of these does by itself.
    pub fn ensure_running(&self) -> Result<()> {
        let tasks = [
            (self.watch.name, &self.watch.handle),
            (self.fifo.name, &self.fifo.handle),
            (self.gate.name, &self.gate.handle),
            (self.responder.name, &self.responder.handle),
            (self.history.name, &self.history.handle),
            (self.status.name, &self.status.handle),
        ];
        for (name, handle) in tasks {
            if handle.is_finished() {
                bail!("the {name} task died; start `spamdrop run` again");
            }
        }
        Ok(())
    }

    /// Ends all tasks. Data that the disk does not accept in time is lost.
    pub async fn stop(&mut self) {
        let deadline = Instant::now() + END;
        // Commands already written to the FIFO are executed first.
        self.fifo.send(FifoMessage::Stop);
        let mut late = !self.fifo.ended(deadline).await;
        self.watch.send(WatchMessage::Stop);
        self.release.send(ReleaseMessage::Stop);
        self.responder.send(ResponderMessage::Stop);
        late |= !self.watch.ended(deadline).await;
        // The gate ends after the watch task, because its history and its known senders
        // include the last log lines.
        self.gate.send(GateMessage::Stop);
        late |= !self.gate.ended(deadline).await;
        late |= !self.release.ended(deadline).await;
        late |= !self.responder.ended(deadline).await;
        // The other tasks have sent their last events to the history.
        self.history.send(HistoryMessage::Stop);
        late |= !self.history.ended(deadline).await;
        if late {
            log::warn!("not all data was saved within {END:?}: a disk or a lock takes too long");
        }
        self.status.send(StatusMessage::Stop);
        let last = Instant::now() + Duration::from_millis(100);
        self.status.ended(last).await;
    }
}
