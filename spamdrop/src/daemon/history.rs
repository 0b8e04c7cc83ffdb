//! The history task: collects the events of the other tasks, which the disk thread
//! writes to the database.
//!
//! This task delays no other one: events that cannot be written in time are lost, and
//! `status` says so.

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use spamdrop_core::history::{BlockNote, HistoryBuffer, HistoryEvent};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot::Receiver;

use super::database;
use super::disk::{Disk, take_finished};
use super::health::Subject;
use super::status::HealthReporter;
use super::ticks::period;
use crate::clock;
use crate::store::is_locked;

/// How often events are written, if there are any. A crash loses the events of the last
/// second.
const SECOND: Duration = Duration::from_secs(1);
/// How often old events are deleted, even if no new ones come.
const HOUR: Duration = Duration::from_secs(3600);

/// Messages to the task.
pub(super) enum HistoryMessage {
    /// An event of another kind than a block. Boxed, because it is much larger than a
    /// [`BlockNote`].
    Happened(Box<HistoryEvent>),
    /// A source was blocked.
    Blocked(BlockNote),
    /// The configuration has changed.
    Reconfigure(Box<HistorySettings>),
    /// Write what is left, then end.
    Stop,
}

/// The task's part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HistorySettings {
    /// The path of the database.
    pub store: PathBuf,
    pub pin_dir: PathBuf,
    /// How long events are kept; zero: there is no history.
    pub kept: Duration,
}

/// A task's handle to record events.
#[derive(Clone)]
pub(super) struct HistoryLog {
    inbox: UnboundedSender<HistoryMessage>,
    is_on: Rc<Cell<bool>>,
}

impl HistoryLog {
    pub fn new(inbox: UnboundedSender<HistoryMessage>) -> Self {
        let is_on = Rc::new(Cell::new(false));
        Self { inbox, is_on }
    }

    /// Records an event.
    pub fn add(&self, event: HistoryEvent) {
        self.send(|| HistoryMessage::Happened(Box::new(event)));
    }

    /// Records a block, whose reason is in the filter's map.
    pub fn block(&self, block: BlockNote) {
        self.send(|| HistoryMessage::Blocked(block));
    }

    fn send(&self, message: impl FnOnce() -> HistoryMessage) {
        if self.is_on.get() {
            // The send fails only if the task has ended, because the daemon is
            // ending.
            let _ = self.inbox.send(message());
        }
    }
}

/// The blocks and events of a write.
type HistoryBatch = (Vec<BlockNote>, Vec<HistoryEvent>);
/// A batch whose write failed.
type HistoryWriteResult = Result<(), (HistoryBatch, Error)>;

pub(super) struct HistoryTask {
    settings: HistorySettings,
    buffer: HistoryBuffer,
    /// Tells the other tasks whether events are recorded.
    is_on: Rc<Cell<bool>>,
    disk: Disk,
    writing: Option<Receiver<HistoryWriteResult>>,
    /// When old events were last deleted; `None`: they must be deleted at the next
    /// write.
    cleaned: Option<Instant>,
    health: HealthReporter,
}

impl HistoryTask {
    pub fn new(
        settings: HistorySettings,
        log: &HistoryLog,
        disk: Disk,
        health: HealthReporter,
    ) -> Self {
        let is_on = Rc::clone(&log.is_on);
        is_on.set(!settings.kept.is_zero());
        Self {
            settings,
            buffer: HistoryBuffer::default(),
            is_on,
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
            HistoryMessage::Happened(event) => self.buffer.add(*event),
            HistoryMessage::Blocked(block) => self.buffer.block(block),
            HistoryMessage::Reconfigure(settings) => {
                self.cleaned = None;
                self.is_on.set(!settings.kept.is_zero());
                self.settings = *settings;
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
            self.begin_write(is_due);
        }
    }

    /// `forgets`: whether old events are deleted as well.
    fn begin_write(&mut self, forgets: bool) {
        if forgets {
            self.cleaned = Some(clock::instant());
        }
        let (settings, batch) = (self.settings.clone(), self.buffer.take());
        let write = move || write(&settings, batch, forgets);
        self.writing = Some(self.disk.submit(write));
    }

    fn take_written(&mut self, written: Option<HistoryWriteResult>) {
        let error = match written {
            Some(Ok(())) => None,
            Some(Err(((blocks, events), error))) => {
                // If another process has locked the database, its transaction is short,
                // so the next write will probably succeed. After any other error, the
                // events are lost.
                if is_locked(&error) {
                    self.buffer.put_back(blocks, events);
                }
                Some(error)
            }
            None => Some(Error::msg("the disk thread died")),
        };
        if error.is_some() {
            // Write again soon, even without new events, so that the warning is
            // cleared.
            self.cleaned = None;
        }
        let trouble = match (error, self.buffer.take_lost()) {
            (Some(error), _) => Some(format!("the history is not written: {error:#}")),
            (None, 0) => None,
            (None, _) => Some(
                "the history lacks some events: they came faster than they could be written".into(),
            ),
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
        self.begin_write(false);
        if let Some(writing) = self.writing.take()
            && let Ok(Err((_, error))) = writing.await
        {
            log::warn!("the history lacks the last events: {error:#}");
        }
    }
}

fn write(settings: &HistorySettings, mut batch: HistoryBatch, forgets: bool) -> HistoryWriteResult {
    let HistorySettings {
        store,
        pin_dir,
        kept,
    } = settings;
    let (blocks, events) = &mut batch;
    if kept.is_zero() {
        blocks.clear();
        events.clear();
    }
    let forgotten = match forgets {
        true => database::forget_old_history(store, *kept),
        false => Ok(()),
    };
    let written = forgotten.and_then(|()| database::write_history(store, pin_dir, blocks, events));
    written.map_err(|error| (batch, error))
}
