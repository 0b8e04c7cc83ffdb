//! The history task: collects the events of the other tasks, which the disk thread
//! writes to the database.
//!
//! It delays no other task: events that the disk does not take are lost, and
//! `status` says so.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use spamdrop_core::history::{HistoryBuffer, HistoryEvent, WAITING};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot::Receiver;

use super::database;
use super::disk::{Disk, take_finished};
use super::health::Subject;
use super::period;
use super::status::Health;
use crate::clock;
use crate::store::is_locked;

/// How often events are written, if there are any. A crash loses those of this
/// time.
const SECOND: Duration = Duration::from_secs(1);
/// How often old events are deleted, even if no new ones come.
const HOUR: Duration = Duration::from_secs(3600);

/// Messages to the task.
pub(super) enum HistoryMessage {
    /// Something happened.
    Happened(HistoryEvent),
    /// The configuration has changed.
    Reconfigure(HistorySettings),
    /// Write what is left, then end.
    Stop,
}

/// The task's part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HistorySettings {
    /// The path of the database.
    pub store: PathBuf,
    /// How long events are kept; zero: there is no history.
    pub kept: Duration,
}

/// A task's handle to record events.
#[derive(Clone)]
pub(super) struct HistoryLog(UnboundedSender<HistoryMessage>);

impl HistoryLog {
    pub fn new(history: UnboundedSender<HistoryMessage>) -> Self {
        Self(history)
    }

    /// Records an event.
    pub fn add(&self, event: HistoryEvent) {
        // The send fails only if the task has ended, because the daemon is ending.
        let _ = self.0.send(HistoryMessage::Happened(event));
    }
}

/// The events whose write failed.
type Written = Result<(), (Vec<HistoryEvent>, Error)>;

pub(super) struct HistoryTask {
    settings: HistorySettings,
    buffer: HistoryBuffer,
    disk: Disk,
    writing: Option<Receiver<Written>>,
    /// When old events were last deleted; `None`: with another configuration.
    cleaned: Option<Instant>,
    health: Health,
}

impl HistoryTask {
    pub fn new(settings: HistorySettings, disk: Disk, health: Health) -> Self {
        Self {
            settings,
            buffer: HistoryBuffer::default(),
            disk,
            writing: None,
            cleaned: None,
            health,
        }
    }

    /// Runs until it is told to stop.
    pub async fn run(mut self, mut inbox: UnboundedReceiver<HistoryMessage>) {
        let mut second = period(SECOND);
        loop {
            tokio::select! {
                biased;
                message = inbox.recv() => match message {
                    None | Some(HistoryMessage::Stop) => break,
                    Some(message) => self.take(message),
                },
                _ = second.tick() => self.poll(),
            }
        }
        self.end().await;
    }

    fn take(&mut self, message: HistoryMessage) {
        match message {
            HistoryMessage::Happened(event) => {
                if !self.settings.kept.is_zero() {
                    self.buffer.add(event);
                }
                // In a storm of blocks, more come within a second than wait.
                if self.buffer.len() > WAITING / 2 {
                    self.poll();
                }
            }
            HistoryMessage::Reconfigure(settings) => {
                self.cleaned = None;
                self.settings = settings;
            }
            HistoryMessage::Stop => {}
        }
    }

    fn poll(&mut self) {
        if let Some(written) = take_finished(&mut self.writing) {
            self.take_written(written);
        }
        if self.writing.is_some() {
            return;
        }
        let is_due = self.cleaned.is_none_or(|at| at.elapsed() >= HOUR);
        if is_due || !self.buffer.is_empty() {
            self.begin_write();
        }
    }

    fn begin_write(&mut self) {
        self.cleaned = Some(clock::instant());
        let HistorySettings { store, kept } = self.settings.clone();
        let events = self.buffer.take();
        self.writing = Some(self.disk.submit(move || write(&store, events, kept)));
    }

    fn take_written(&mut self, written: Option<Written>) {
        let error = match written {
            Some(Ok(())) => None,
            Some(Err((events, error))) => {
                // Another process's transaction is short.
                if is_locked(&error) {
                    events.into_iter().for_each(|event| self.buffer.add(event));
                }
                Some(error)
            }
            None => Some(Error::msg("the thread that wrote died")),
        };
        let trouble = match (error, self.buffer.take_lost()) {
            (Some(error), _) => Some(format!("the history is not kept: {error:#}")),
            (None, 0) => None,
            (None, _) => Some("the history has gaps: more happens than the disk takes".into()),
        };
        self.health.set(Subject::History, trouble);
    }

    /// Writes all events. The supervisor limits how long this may wait for the
    /// disk.
    async fn end(mut self) {
        if let Some(writing) = self.writing.take() {
            let written = writing.await.ok();
            self.take_written(written);
        }
        if self.buffer.is_empty() {
            return;
        }
        self.begin_write();
        if let Some(writing) = self.writing.take()
            && let Ok(Err((_, error))) = writing.await
        {
            log::warn!("the history lacks the last events: {error:#}");
        }
    }
}

fn write(path: &Path, events: Vec<HistoryEvent>, kept: Duration) -> Written {
    database::write_history(path, &events, kept).map_err(|error| (events, error))
}
