//! Reads the known senders and contacts from the database for the engine, and
//! writes the engine's evidence and contacts to it, both in the disk thread.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use spamdrop_core::engine::Engine;
use spamdrop_core::history::HistoryEvent;
use tokio::sync::oneshot::Receiver;
use tokio::time::timeout;

use super::pipeline::moment;
use crate::clock;
use crate::daemon::database::{self, LearnedEvidence, Memory};
use crate::daemon::disk::{Disk, take_finished};
use crate::daemon::health::Subject;
use crate::daemon::history::HistoryLog;
use crate::daemon::status::HealthReporter;

/// How soon the senders are read again after an error.
const READ_RETRY: Duration = Duration::from_secs(5);
/// How often new evidence about senders is written, if there is any. A crash
/// loses at most this period's evidence, and pending demotions.
const WRITE_PERIOD: Duration = Duration::from_secs(5);
/// How long the first lines wait for the senders of the database.
const SENDERS_WAIT: Duration = Duration::from_secs(1);

/// The watch task's reads and writes of the database.
pub(super) struct EvidenceStore {
    /// The path of the database.
    path: PathBuf,
    /// Maximum number of senders in the database.
    capacity: usize,
    disk: Disk,
    health: HealthReporter,
    history: HistoryLog,
    reading: Option<Receiver<Result<Memory>>>,
    /// When the last read failed; `None`: it did not.
    unread_since: Option<Instant>,
    writing: Option<Receiver<Merged>>,
    /// Whether `writing` has records of senders, not only contacts.
    has_records: bool,
    last_write: Instant,
}

/// The senders whose standing changed, as events; or the evidence that could not
/// be written.
type Merged = Result<Vec<HistoryEvent>, (LearnedEvidence, Error)>;

impl EvidenceStore {
    /// Begins to read the senders.
    pub fn open(
        path: PathBuf,
        capacity: usize,
        disk: Disk,
        health: HealthReporter,
        history: HistoryLog,
    ) -> Self {
        let mut store = Self {
            path,
            capacity,
            disk,
            health,
            history,
            reading: None,
            unread_since: None,
            writing: None,
            has_records: false,
            last_write: clock::instant(),
        };
        store.begin_read();
        store
    }

    pub fn reconfigure(&mut self, path: PathBuf, capacity: usize) {
        (self.path, self.capacity) = (path, capacity);
    }

    fn begin_read(&mut self) {
        let path = self.path.clone();
        self.reading = Some(self.disk.submit(move || database::memory(&path)));
    }

    /// Waits at most [`SENDERS_WAIT`] for the senders in the database. Without them,
    /// the ceiling would not notice that a broken blocklist rejects known senders.
    pub async fn wait_for_senders(&mut self, engine: &mut Engine) {
        if let Some(reading) = &mut self.reading
            && let Ok(result) = timeout(SENDERS_WAIT, reading).await
        {
            self.reading = None;
            self.remember_senders(result.ok(), engine);
        }
    }

    /// Takes the results of the disk thread. Begins a write if there is new
    /// evidence and the last write is not recent. Returns whether records of
    /// senders were written.
    pub fn poll(&mut self, engine: &mut Engine) -> bool {
        if let Some(senders) = take_finished(&mut self.reading) {
            self.remember_senders(senders, engine);
        }
        let is_due = |since: Instant| since.elapsed() >= READ_RETRY;
        if self.reading.is_none() && self.unread_since.is_some_and(is_due) {
            self.begin_read();
        }
        let is_written = self.take_written(engine);
        let is_due = self.last_write.elapsed() >= WRITE_PERIOD;
        if self.writing.is_none() && is_due && engine.has_evidence() {
            self.last_write = clock::instant();
            self.has_records = engine.has_records();
            self.writing = Some(self.begin_write(engine));
        }
        is_written
    }

    fn take_written(&mut self, engine: &mut Engine) -> bool {
        match take_finished(&mut self.writing) {
            None => return false,
            Some(Some(Ok(events))) => {
                events.into_iter().for_each(|event| self.history.add(event));
                self.health.clear(Subject::Reputation);
                return self.has_records;
            }
            Some(Some(Err((evidence, error)))) => {
                give_back(engine, evidence);
                self.cannot_write(&error);
            }
            Some(None) => self.cannot_write(&Error::msg("the disk thread died")),
        }
        false
    }

    fn begin_write(&self, engine: &mut Engine) -> Receiver<Merged> {
        let evidence = LearnedEvidence {
            reasons: engine.take_demotion_reasons(),
            records: engine.take_records(),
            contacts: engine.take_contacts(),
        };
        let (path, capacity) = (self.path.clone(), self.capacity);
        self.disk
            .submit(move || database::merge(&path, evidence, capacity))
    }

    fn cannot_write(&self, error: &Error) {
        let text = format!("cannot save new evidence about senders: {error:#}");
        self.health.raise(Subject::Reputation, text);
    }

    /// Passes the stored senders to the engine, because the ceiling needs those
    /// of the last day. After an error, they are read again.
    fn remember_senders(&mut self, memory: Option<Result<Memory>>, engine: &mut Engine) {
        let why = match memory {
            Some(Ok(Memory { senders, contacts })) => {
                let now = moment();
                for (source, record) in &senders {
                    engine.remember(*source, record, now);
                }
                engine.restore_contacts(contacts);
                self.unread_since = None;
                self.health.clear(Subject::CeilingSenders);
                return;
            }
            Some(Err(error)) => format!("{error:#}"),
            None => "the disk thread died".into(),
        };
        self.unread_since = Some(clock::instant());
        let text = format!("cannot read the known senders: {why}; the ceiling does not count them");
        self.health.raise(Subject::CeilingSenders, text);
    }

    /// Writes all evidence. The supervisor limits how long this may wait for
    /// the disk.
    pub async fn end(&mut self, engine: &mut Engine) {
        if let Some(writing) = self.writing.take()
            && let Ok(Err((evidence, _))) = writing.await
        {
            give_back(engine, evidence);
        }
        engine.settle(moment(), true);
        if !engine.has_evidence() {
            return;
        }
        match self.begin_write(engine).await {
            Ok(Ok(events)) => events.into_iter().for_each(|event| self.history.add(event)),
            Ok(Err((_, error))) => {
                log::warn!("cannot save new evidence about senders: {error:#}");
            }
            // The disk thread died.
            Err(_) => {}
        }
    }
}

fn give_back(engine: &mut Engine, evidence: LearnedEvidence) {
    engine.give_back(evidence.records, evidence.reasons);
    engine.give_back_contacts(evidence.contacts);
}
