//! `learn`: reads old logs to determine the known senders.

use std::fmt;
use std::io::{self, IsTerminal as _, Read, Write};
use std::time::SystemTime;

use anyhow::{Error, Result};

use super::input::{Input, check, last_of};
use super::known;
use super::reading::{self, Recognized};
use super::search::each_piece;
use super::{count, hand, notify_daemon};
use crate::cli;
use crate::clock;
use crate::config::Config;
use crate::protect;
use crate::store::Store;
use crate::tail::Piece;
use spamdrop_core::engine::{EngineSettings, Replay, ReplayedLine};
use spamdrop_core::policy::Protected;
use spamdrop_core::reputation::Records;

/// Number of lines in a file, by what they report.
#[derive(Debug, Default)]
struct LineCounts {
    lines: u64,
    accepted: u64,
    delivered: u64,
    refused: u64,
}

/// The number of sources whose records are collected before they are stored;
/// about 15 MiB.
const BATCH: usize = 131_072;

/// Runs the verb. A file that cannot be read to its end is learned up to the
/// error. The other files are learned as well, also if one cannot be opened.
///
/// # Errors
///
/// A file cannot be opened or read to its end, or the store cannot be written.
/// The message names the file.
pub fn run(config: &Config, args: &cli::Learn, out: &mut impl Write) -> Result<()> {
    check(&args.files)?;
    // Check the table of known senders first, so that damage is reported before hours of
    // reading.
    let store = known::store(config)?;
    store.check_known()?;
    let protected = protect::protected(&config.allow_file)?;
    let settings = reading::settings(config, &args.reading)?;
    let mut learner = Learner::new(settings, protected, store, BATCH);
    let mut errors = Vec::new();
    for path in &args.files {
        let input = match Input::open(path) {
            Ok(input) => input,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        let (name, present) = (input.name.clone(), input.present());
        let text = input.into_reader(io::stdout().is_terminal());
        let text = learner.recognize(&name, text, &args.reading);
        let (counts, ended) = learner.file(text, present)?;
        writeln!(out, "{name}: {counts}")?;
        if let Err(error) = ended {
            errors.push(Error::new(error).context(format!("cannot read {name} to its end")));
        }
    }
    let all = learner.end(config.known_sources())?.known_senders()?;
    hand::record(config, []);
    notify_daemon(&config.run_dir);
    let now = clock::unix_seconds();
    let known = all
        .iter()
        .filter(|(_, record)| record.standing(now).is_known());
    let known = count(known.count(), "sender is", "senders are");
    writeln!(out, "{known} known now")?;
    last_of(errors)
}

impl fmt::Display for LineCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            lines,
            accepted,
            delivered,
            refused,
        } = self;
        write!(
            f,
            "{}, {accepted} of accepted mail, {delivered} of deliveries, {refused} of listed senders",
            count(*lines, "line", "lines")
        )
    }
}

/// Replays logs and stores the resulting records.
struct Learner {
    settings: EngineSettings,
    replay: Replay,
    store: Store,
    /// Records are stored when this number of sources has been collected.
    batch: usize,
}

impl Learner {
    fn new(settings: EngineSettings, protected: Protected, store: Store, batch: usize) -> Self {
        let settings = EngineSettings {
            // One line may apply a whole batch of pending demotions, in
            // addition to the records of the current batch.
            evidence_capacity: 2 * batch,
            ..settings
        };
        Self {
            replay: Replay::new(settings.clone(), protected, clock::wall()),
            settings,
            store,
            batch,
        }
    }

    /// Unless `--server` is given: recognizes the mail servers by the beginning of the
    /// log, warns about those that `servers` does not name, and makes `replay` read their
    /// lines, too. Returns a reader of the whole log.
    fn recognize(
        &mut self,
        name: &str,
        text: Box<dyn Read + Send>,
        flags: &cli::LogOptions,
    ) -> Box<dyn Read + Send> {
        if !flags.servers.is_empty() {
            return text;
        }
        let text = Recognized::new(text, &self.settings.parser);
        text.warn(name);
        self.replay.reconfigure(text.settings(&self.settings));
        Box::new(text)
    }

    /// Reads a file. Returns its counts, and whether it could be read to its
    /// end. The outer error means that the database could not be written.
    fn file(
        &mut self,
        mut text: impl Read + Send,
        present: SystemTime,
    ) -> Result<(LineCounts, io::Result<()>)> {
        let mut counts = LineCounts::default();
        let mut stored = Ok(());
        self.replay.start_log(present);
        let needles = self.replay.needles();
        let ended = each_piece(&mut text, &needles, &mut |piece| {
            let bytes = match piece {
                Piece::Line { bytes, .. } => bytes,
                Piece::Overlong => &[],
                Piece::Skipped { lines } => {
                    counts.lines += lines;
                    return;
                }
            };
            counts.lines += 1;
            if stored.is_err() {
                return;
            }
            match self.replay.learn(bytes) {
                ReplayedLine::Accepted(_) => counts.accepted += 1,
                ReplayedLine::Delivered(_) => counts.delivered += 1,
                ReplayedLine::Match(..) => counts.refused += 1,
                ReplayedLine::Ignored(_) | ReplayedLine::NearMiss(_) | ReplayedLine::Nothing => {}
            }
            stored = self.store_full_batch();
        });
        stored?;
        self.replay.end_log();
        self.store_full_batch()?;
        Ok((counts, ended))
    }

    /// Stores a full batch without limiting the store to its capacity, because
    /// a later file may change which sources are worth keeping.
    fn store_full_batch(&mut self) -> Result<()> {
        if self.replay.record_count() < self.batch {
            return Ok(());
        }
        let unwanted = self.store_all(usize::MAX)?;
        // Keep the demotions that were not stored, unless they are many: each counts if an
        // older log has evidence of the source's wanted mail.
        if unwanted.len() <= self.batch / 2 {
            self.replay.give_back(unwanted);
        }
        Ok(())
    }

    /// Stores the remaining records, and reduces the database to `capacity` sources.
    fn end(mut self, capacity: usize) -> Result<Store> {
        self.store_all(capacity)?;
        Ok(self.store)
    }

    fn store_all(&mut self, capacity: usize) -> Result<Records> {
        let records = self.replay.take_records();
        let now = clock::unix_seconds();
        let merged = self.store.merge_known(&records, capacity, now)?;
        Ok(merged.unstored)
    }
}

#[cfg(test)]
mod tests;
