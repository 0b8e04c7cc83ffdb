//! Records waves, and writes them to the database.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use log::Level;
use spamdrop_core::event::Evidence;
use spamdrop_core::history::RefusalSums;
use spamdrop_core::notice::Notice;
use spamdrop_core::wave::{KnownSenderDelays, News, Recorder, Sample, Snapshot, WaveEvidence};
use tokio::sync::oneshot::Receiver;

use crate::clock;
use crate::daemon::database;
use crate::daemon::disk::{Disk, take_finished};
use crate::daemon::health::Subject;
use crate::daemon::history::HistoryLog;
use crate::daemon::status::HealthReporter;
use crate::render;

/// Minimum time between two writes. Since a write may take another second, a
/// crash loses at most five seconds.
const WRITE_PERIOD: Duration = Duration::from_secs(4);

/// Maximum number of sources whose refusals are recorded in the history each second.
const REFUSALS: usize = 512;

/// The recorder, and the batch that is being written.
pub(super) struct WaveHistory {
    recorder: Recorder,
    disk: Disk,
    writing: Option<Receiver<WaveWriteResult>>,
    /// Whether the database could be opened.
    is_begun: bool,
    /// Snapshots whose write failed. They are written again before newer ones, because
    /// each snapshot has only the points that are new since the one before.
    unwritten: Vec<Snapshot>,
    /// The number of the newest wave of earlier daemons, once the database was
    /// read.
    base: Option<i64>,
    last: Instant,
    delays: KnownSenderDelays,
    refusals: RefusalSums,
    history: HistoryLog,
}

/// The number of the newest wave of earlier daemons, if there is a database; or
/// the snapshots whose write failed.
type WaveWriteResult = Result<Option<i64>, (Vec<Snapshot>, Error)>;

impl WaveHistory {
    /// Ends the wave that a crash left open in the database, and records from
    /// now on.
    pub fn begin(disk: Disk, store: &Path, history: HistoryLog) -> Self {
        Self {
            recorder: Recorder::new(),
            writing: Some(begin(&disk, store)),
            is_begun: false,
            disk,
            unwritten: Vec::new(),
            base: None,
            last: clock::instant(),
            delays: KnownSenderDelays::default(),
            refusals: RefusalSums::default(),
            history,
        }
    }

    /// Records that a source arrived while its class had to wait.
    /// `is_refused`: whether the gate is on, and does not only observe.
    pub fn delayed(&mut self, source: IpAddr, is_known: bool, is_refused: bool) {
        if is_known {
            self.delays.add(source, is_refused);
        }
        self.recorder.delayed(source, is_known, clock::monotonic());
        let Some(wave) = self.recorder.current_start() else {
            return;
        };
        self.refusals
            .add(source, wave, clock::unix_seconds(), is_refused);
    }

    /// Records in the history the refusals of at most `most` sources.
    fn record_refusals(&mut self, most: usize) {
        let events = self.refusals.take(most).into_iter();
        events.for_each(|event| self.history.add(event));
    }

    /// Records that a log line has given evidence about a source.
    pub fn heard(&mut self, source: IpAddr, evidence: Evidence) {
        let heard = match evidence {
            Evidence::Accepted => WaveEvidence::Accepted,
            Evidence::Listed => WaveEvidence::Listed,
            Evidence::Delivered | Evidence::UnknownRecipient => return,
        };
        self.recorder.heard(source, heard, clock::monotonic());
    }

    pub fn sample(&mut self, sample: Sample) {
        self.recorder.sample(sample);
    }

    /// Ends the wave, if there is one.
    pub fn end_wave(&mut self) {
        self.recorder.end();
    }

    /// Logs events, and writes the snapshots that are due.
    pub fn poll(&mut self, store: &Path, health: &HealthReporter) {
        self.log_news();
        self.record_refusals(REFUSALS);
        if let Some(written) = take_finished(&mut self.writing) {
            self.take(written, health);
        }
        if self.writing.is_none() && self.last.elapsed() >= WRITE_PERIOD {
            self.last = clock::instant();
            self.write(store);
        }
    }

    fn log_news(&mut self) {
        if let Some(text) = self.delays.take(clock::monotonic()) {
            log::warn!(target: Notice::KnownSenderDelayed.target(), "{text}");
        }
        for news in self.recorder.take_news() {
            let (level, target) = match news {
                News::Begins(_) => (Level::Warn, Notice::WaveBegins.target()),
                News::Lasts(_) => (Level::Warn, "spamdrop::wave"),
                News::IsOver(_) => (Level::Info, Notice::WaveEnds.target()),
            };
            log::log!(target: target, level, "{}", render::wave::news(&news));
        }
    }

    fn write(&mut self, store: &Path) {
        let mut snapshots = std::mem::take(&mut self.unwritten);
        if snapshots.is_empty() {
            snapshots = self.recorder.take();
        }
        if snapshots.is_empty() && !self.is_begun {
            self.writing = Some(begin(&self.disk, store));
        } else if !snapshots.is_empty() {
            let (store, base) = (store.to_owned(), self.base);
            let write = move || write(store, base, snapshots);
            self.writing = Some(self.disk.submit(write));
        }
    }

    fn take(&mut self, written: Option<WaveWriteResult>, health: &HealthReporter) {
        let error = match written {
            Some(Ok(base)) => {
                self.base = base;
                self.is_begun = true;
                return health.clear(Subject::WaveHistory);
            }
            Some(Err((snapshots, error))) => {
                self.unwritten = snapshots;
                error
            }
            None => Error::msg("the disk thread died"),
        };
        let text = format!("cannot save the wave history: {error:#}");
        health.raise(Subject::WaveHistory, text);
    }

    /// Ends the wave and writes what is not written yet. The supervisor limits
    /// how long this may wait for the disk.
    pub async fn end(&mut self, store: &Path) {
        if let Some(writing) = self.writing.take() {
            match writing.await {
                Ok(Ok(base)) => self.base = base,
                Ok(Err((snapshots, _))) => self.unwritten = snapshots,
                // The disk thread died.
                Err(_) => {}
            }
        }
        self.recorder.end();
        self.record_refusals(usize::MAX);
        // If nothing is left to write, do not try again to open a database that
        // could not be opened so far.
        self.is_begun = true;
        loop {
            self.write(store);
            let Some(writing) = self.writing.take() else {
                return;
            };
            match writing.await {
                Ok(Ok(base)) => self.base = base,
                Ok(Err((_, error))) => {
                    return log::warn!("cannot save the wave history: {error:#}");
                }
                // The disk thread died.
                Err(_) => return,
            }
        }
    }
}

/// Ends the wave that a crash left open in the database.
fn begin(disk: &Disk, store: &Path) -> Receiver<WaveWriteResult> {
    let store = store.to_owned();
    disk.submit(move || database::begin_waves(&store).map_err(|error| (Vec::new(), error)))
}

fn write(path: PathBuf, base: Option<i64>, snapshots: Vec<Snapshot>) -> WaveWriteResult {
    match database::write_waves(&path, base, &snapshots) {
        Ok(base) => Ok(Some(base)),
        Err(error) => Err((snapshots, error)),
    }
}
