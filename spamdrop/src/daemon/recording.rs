//! What is seen of waves, written now and then for `spamdrop report`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use log::Level;

use super::Daemon;
use crate::clock;
use crate::render;
use crate::store::{DAEMON_WAIT, Store};
use spamdrop_core::event::Evidence;
use spamdrop_core::wave::{Heard, News, Recorder, Sample, Snapshot, Totals};

/// How often it is written, if there is anything: with the second that it may
/// be late, a crash loses no more than five.
const WRITE_PERIOD: Duration = Duration::from_secs(4);

/// The recorder, and a batch that is being written in a thread of its own: a
/// disk may be slow.
pub(super) struct Recording {
    recorder: Recorder,
    writing: Option<JoinHandle<Result<i64, Unwritten>>>,
    /// What could not be written.
    unwritten: Vec<Snapshot>,
    /// The newest wave of earlier watchers, once the file was read.
    base: Option<i64>,
    last: Instant,
}

type Unwritten = (Vec<Snapshot>, Error);

impl Recording {
    pub fn new() -> Self {
        Self {
            recorder: Recorder::new(),
            writing: None,
            unwritten: Vec::new(),
            base: None,
            last: clock::instant(),
        }
    }

    /// A source came while its class had to wait.
    pub fn delayed(&mut self, source: IpAddr, known: bool) {
        self.recorder.delayed(source, known, clock::monotonic());
    }

    /// The log told of a source just now.
    pub fn heard(&mut self, source: IpAddr, evidence: Evidence) {
        let heard = match evidence {
            Evidence::Accepted => Heard::Accepted,
            Evidence::Listed => Heard::Listed,
            Evidence::Delivered | Evidence::UnknownRecipient => return,
        };
        self.recorder.heard(source, heard, clock::monotonic());
    }

    /// Says what an administrator should know of waves at once.
    fn tell(&mut self) {
        for news in self.recorder.take_news() {
            let level = match news {
                News::Begins(_) | News::Lasts(_) => Level::Warn,
                News::IsOver(_) => Level::Info,
            };
            log::log!(target: "spamdrop::wave", level, "{}", render::wave::news(&news));
        }
    }
}

impl Daemon {
    /// Takes up the history. One that cannot be read is no reason not to
    /// watch.
    pub(super) fn open_history(&mut self) {
        let begin = || -> Result<Option<i64>> {
            let store = Store::open_existing(&self.config.store_file(), DAEMON_WAIT)?;
            store.map(|mut store| store.begin_waves()).transpose()
        };
        match begin() {
            Ok(base) => self.recording.base = base,
            Err(error) => self.cannot_keep_waves(&error),
        }
    }

    /// Once a second: looks at the server, and writes what was seen, unless
    /// that was done just now.
    pub(super) fn keep_waves(&mut self) {
        self.record();
        let recording = &mut self.recording;
        recording.tell();
        let is_writing = |writing: &JoinHandle<_>| !writing.is_finished();
        if recording.writing.as_ref().is_some_and(is_writing) {
            return;
        }
        self.end_writing_waves();
        if self.recording.last.elapsed() < WRITE_PERIOD {
            return;
        }
        self.recording.last = clock::instant();
        let snapshots = self.unwritten_waves();
        if !snapshots.is_empty() {
            let (path, base) = (self.config.store_file(), self.recording.base);
            let writer = thread::spawn(move || write(path, base, snapshots));
            self.recording.writing = Some(writer);
        }
    }

    /// Writes the rest, whatever time that takes.
    pub(super) fn keep_all_waves(&mut self) {
        self.end_writing_waves();
        self.recording.recorder.end();
        let mut snapshots = self.unwritten_waves();
        // What failed before may hold back what came later.
        snapshots.extend(self.recording.recorder.take());
        if !snapshots.is_empty()
            && let Err((_, error)) = write(self.config.store_file(), self.recording.base, snapshots)
        {
            log::warn!("cannot keep the waves: {error:#}");
        }
    }

    fn record(&mut self) {
        if !self.admitting.is_on() {
            return self.recording.recorder.end();
        }
        let Some(sample) = self.admitting.take_sample() else {
            return;
        };
        match self.count(sample) {
            Ok(sample) => {
                self.recording.recorder.sample(sample);
                self.upkeep.fine("samples");
            }
            Err(error) => {
                let text = format!("cannot tell waves apart: {error:#}");
                self.upkeep.warn("samples", text);
            }
        }
    }

    /// Adds what the gate does not count.
    fn count(&self, sample: Sample) -> Result<Sample> {
        let counted = self.blocklist.counters()?;
        let dropped = counted.open_dropped + counted.sealed_dropped + counted.cidr_dropped;
        let blocked = self.intake.counts.get("blocked").copied();
        let totals = Totals {
            answered: counted.gate_answered,
            dropped,
            blocked: blocked.unwrap_or_default(),
            released: self.upkeep.released,
            ..sample.totals
        };
        Ok(Sample { totals, ..sample })
    }

    /// What failed to be written comes first, alone: later points are no good
    /// without it.
    fn unwritten_waves(&mut self) -> Vec<Snapshot> {
        let unwritten = std::mem::take(&mut self.recording.unwritten);
        if unwritten.is_empty() {
            return self.recording.recorder.take();
        }
        unwritten
    }

    fn end_writing_waves(&mut self) {
        match self.recording.writing.take().map(JoinHandle::join) {
            None => {}
            Some(Ok(Ok(base))) => {
                self.recording.base = Some(base);
                self.upkeep.fine("waves");
            }
            Some(Ok(Err((snapshots, error)))) => {
                self.recording.unwritten = snapshots;
                self.cannot_keep_waves(&error);
            }
            Some(Err(_panic)) => self.cannot_keep_waves(&Error::msg("the writer panicked")),
        }
    }

    fn cannot_keep_waves(&mut self, error: &Error) {
        let text = format!("cannot keep the waves: {error:#}");
        self.upkeep.warn("waves", text);
    }
}

/// The newest wave of earlier watchers.
fn write(path: PathBuf, base: Option<i64>, snapshots: Vec<Snapshot>) -> Result<i64, Unwritten> {
    let write = || {
        let mut store = Store::open(&path, DAEMON_WAIT)?;
        let base = base.map_or_else(|| store.begin_waves(), Ok)?;
        store.write_waves(base, &snapshots)?;
        Ok(base)
    };
    write().map_err(|error| (snapshots, error))
}
