//! The status task: collects the state that `spamdrop status` shows of the
//! daemon.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use spamdrop_core::reload::ReloadState;
use spamdrop_core::status::{
    DaemonState, FILE, FifoState, GateState, ResponderState, SettingsState, SourceState, VERSION,
    ZoneFigures,
};
use spamdrop_core::summary::Summary;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::health::{Registry, Subject};
use super::ticks::period;
use crate::clock;
use crate::durable;

/// How often the state file is written.
const PERIOD: Duration = Duration::from_secs(1);

/// Reports of the tasks.
pub(super) enum StatusMessage {
    /// A subject has a problem.
    Raised(Subject, String),
    /// A subject has no problem any more.
    Cleared(Subject),
    /// State of the watch task, once a second.
    Watch(WatchStatus),
    /// Number of pending releases, and of connections ended so far.
    Release { pending: u64, ended: u64 },
    /// State of the gate; `None` while it is off.
    Gate(Option<GateState>),
    /// State of the responder; `None` while it does not run.
    Responder(Option<ResponderState>),
    /// State of the FIFO; `None` if none is configured.
    Fifo(Option<FifoState>),
    /// The zones that are looked up.
    Zones(Vec<ZoneFigures>),
    /// The mail server's settings that are in force; `None` if root has read
    /// none.
    ServerSettings(Option<SettingsState>),
    /// The configuration was read again, or could not be. The file is written at
    /// once, because a command waits for it.
    Reloaded(ReloadState),
    /// Write the file once more, then end.
    Stop,
}

/// State of the watch task.
#[derive(Default)]
pub(super) struct WatchStatus {
    pub sources: Vec<SourceState>,
    /// Number of lines by decision.
    pub events: Vec<(&'static str, u64)>,
    /// Near misses by their reason.
    pub near_misses: Vec<(&'static str, u64)>,
    /// Why blocking is paused; `None` if it is not.
    pub ceiling: Option<String>,
}

/// A task's handle to report problems.
#[derive(Clone)]
pub(super) struct HealthReporter(UnboundedSender<StatusMessage>);

impl HealthReporter {
    pub fn new(status: UnboundedSender<StatusMessage>) -> Self {
        Self(status)
    }

    /// Reports that a subject has a problem, described by this text.
    pub fn raise(&self, subject: Subject, text: impl Into<String>) {
        // The status task ends last. If a message cannot be sent, the daemon is
        // ending and the message does not matter.
        let _ = self.0.send(StatusMessage::Raised(subject, text.into()));
    }

    /// Reports that a subject has no problem.
    pub fn clear(&self, subject: Subject) {
        let _ = self.0.send(StatusMessage::Cleared(subject));
    }

    /// Raises the error, or clears the subject on success. `failed` describes
    /// the operation that failed.
    pub fn report(&self, subject: Subject, failed: &str, result: Result<()>) {
        match result {
            Ok(()) => self.clear(subject),
            Err(error) => self.raise(subject, format!("{failed}: {error:#}")),
        }
    }

    /// Raises the text, or clears the subject if there is none.
    pub fn set(&self, subject: Subject, trouble: Option<String>) {
        match trouble {
            Some(text) => self.raise(subject, text),
            None => self.clear(subject),
        }
    }
}

/// Runs until it is told to stop.
pub(super) async fn run(
    run_dir: PathBuf,
    config: PathBuf,
    mut inbox: UnboundedReceiver<StatusMessage>,
) {
    let mut state = DaemonState {
        version: VERSION,
        since_unix_s: clock::unix_seconds().get(),
        config: Some(config),
        reload: Some(ReloadState::default()),
        ..DaemonState::default()
    };
    let mut health = Registry::default();
    let mut summary = Summary::new(clock::monotonic());
    let mut second = period(PERIOD);
    let mut is_due = false;
    loop {
        tokio::select! {
            biased;
            message = inbox.recv() => match message {
                None | Some(StatusMessage::Stop) => break,
                Some(message) => {
                    let had_gate = state.gate.is_some();
                    let is_awaited = matches!(message, StatusMessage::Reloaded(_));
                    take(&mut state, &mut health, message);
                    if is_awaited {
                        write_state(&run_dir, &mut state, &mut health);
                    }
                    if !had_gate {
                        summary.skip(&state);
                    }
                }
            },
            _ = second.tick() => {
                // Let the tasks that share this tick report first.
                tokio::task::yield_now().await;
                is_due = true;
            }
            () = std::future::ready(()), if is_due => {
                is_due = false;
                write_state(&run_dir, &mut state, &mut health);
                log_summary(summary.poll(&state, clock::monotonic()));
            }
        }
    }
    log_summary(summary.take(&state, clock::monotonic()));
    write_state(&run_dir, &mut state, &mut health);
}

fn log_summary(line: Option<String>) {
    if let Some(line) = line {
        log::info!(target: "spamdrop::summary", "{line}");
    }
}

fn take(state: &mut DaemonState, health: &mut Registry, message: StatusMessage) {
    match message {
        StatusMessage::Raised(subject, text) => health.raise(subject, text),
        StatusMessage::Cleared(subject) => health.clear(&subject),
        StatusMessage::Watch(watch) => {
            state.sources = watch.sources;
            let owned = |(name, count): (&str, u64)| (name.to_owned(), count);
            state.events = watch.events.into_iter().map(owned).collect();
            state.near_misses = watch.near_misses.into_iter().map(owned).collect();
            state.ceiling = watch.ceiling;
        }
        StatusMessage::Release { pending, ended } => {
            state.pending_releases = pending;
            state.released = ended;
        }
        StatusMessage::Gate(gate) => state.gate = gate,
        StatusMessage::Responder(responder) => state.responder = responder,
        StatusMessage::Fifo(fifo) => state.fifo = fifo,
        StatusMessage::ServerSettings(settings) => state.server_settings = settings,
        StatusMessage::Zones(zones) => state.zones = zones,
        StatusMessage::Reloaded(reload) => state.reload = Some(reload),
        StatusMessage::Stop => {}
    }
}

fn write_state(run_dir: &Path, state: &mut DaemonState, health: &mut Registry) {
    state.written_unix_s = clock::unix_seconds().get();
    state.warnings = health.texts();
    state.degraded_by = health.degraded_by();
    match write(run_dir, state) {
        Ok(()) => health.clear(&Subject::StateFile),
        Err(error) => health.raise(Subject::StateFile, format!("{error:#}")),
    }
}

fn write(run_dir: &Path, state: &DaemonState) -> Result<()> {
    let path = run_dir.join(FILE);
    durable::replace(&path, serde_json::to_string(state)?.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}
