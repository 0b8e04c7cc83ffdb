//! What is learned of sources, written now and then.

use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Error, Result};

use super::Daemon;
use crate::clock;
use crate::config::Config;
use crate::store::{DAEMON_WAIT, Store};
use spamdrop_core::reputation::{Record, Records};
use spamdrop_core::target::Target;

/// How often it is written, if there is anything. A crash loses no more, and
/// what is held.
const WRITE_PERIOD: Duration = Duration::from_secs(5);

/// A batch that is being written, in a thread of its own: a disk may be slow.
#[derive(Debug)]
pub(super) struct Learning {
    writing: Option<JoinHandle<Result<(), Unwritten>>>,
    last: Instant,
}

type Unwritten = (Records, Error);

impl Learning {
    pub(super) fn new() -> Self {
        Self {
            writing: None,
            last: clock::instant(),
        }
    }
}

impl Daemon {
    /// Tells the policy of the senders of the last day, so that a restart does
    /// not make it blind, and the filter of the known ones, before it refuses
    /// anybody. A store that cannot be read is no reason not to watch.
    pub(super) fn remind(&mut self) {
        match checked_senders(&self.config.store_file()) {
            Ok(senders) => {
                for (source, record) in &senders {
                    self.intake.remind(*source, record);
                }
                self.introduce(&senders);
            }
            Err(error) => {
                let text = format!("nothing is known of senders: {error:#}");
                self.upkeep.warn("known", text);
            }
        }
    }

    /// Writes what was learned, unless that was done just now.
    pub(super) fn keep_known(&mut self) {
        self.intake.settle(false);
        if self
            .learning
            .writing
            .as_ref()
            .is_some_and(|writing| !writing.is_finished())
        {
            return;
        }
        self.end_writing();
        if self.intake.evidence_buffer.is_empty() || self.learning.last.elapsed() < WRITE_PERIOD {
            return;
        }
        self.learning.last = clock::instant();
        let records = self.intake.evidence_buffer.take();
        let config = self.config.clone();
        self.learning.writing = Some(thread::spawn(move || write(&config, records)));
    }

    /// Writes the rest, whatever time that takes.
    pub(super) fn keep_all_known(&mut self) {
        self.end_writing();
        self.intake.settle(true);
        let records = self.intake.evidence_buffer.take();
        if !records.is_empty()
            && let Err((_, error)) = write(&self.config, records)
        {
            log::warn!("cannot keep what was learned of senders: {error:#}");
        }
    }

    fn end_writing(&mut self) {
        match self.learning.writing.take().map(JoinHandle::join) {
            None => {}
            Some(Ok(Ok(()))) => {
                self.admitting.senders_changed();
                self.upkeep.fine("known");
            }
            Some(Ok(Err((records, error)))) => {
                self.intake.evidence_buffer.give_back(records);
                let text = format!("cannot keep what was learned of senders: {error:#}");
                self.upkeep.warn("known", text);
            }
            Some(Err(_panic)) => self.upkeep.warn(
                "known",
                "cannot keep what was learned of senders: the writer panicked".into(),
            ),
        }
    }
}

/// As [`senders`], after a look for damage.
fn checked_senders(path: &Path) -> Result<Vec<(Target, Record)>> {
    if let Some(store) = Store::open_existing(path, DAEMON_WAIT)? {
        store.check_known()?;
    }
    senders(path)
}

pub(super) fn senders(path: &Path) -> Result<Vec<(Target, Record)>> {
    Store::open_existing(path, DAEMON_WAIT)?
        .map_or_else(|| Ok(Vec::new()), |store| store.known_senders())
}

fn write(config: &Config, records: Records) -> Result<(), Unwritten> {
    let merge = |path: &Path| {
        Store::open(path, DAEMON_WAIT)?.merge_known(
            &records,
            config.known_sources(),
            clock::unix_s32(),
        )
    };
    match merge(&config.store_file()) {
        Ok(_unwanted) => Ok(()),
        Err(error) => Err((records, error)),
    }
}
