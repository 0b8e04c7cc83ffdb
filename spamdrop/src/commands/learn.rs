//! `learn`: old logs, read for whose mail was accepted.

use std::io::{self, IsTerminal as _, Read, Write};

use anyhow::{Error, Result};

use super::input::{each_piece, open_all};
use super::known;
use super::replay::{Replay, Seen};
use super::{count, tell_watcher};
use crate::cli;
use crate::clock;
use crate::config::Config;
use crate::protect;
use crate::store::Store;
use crate::tail::Piece;
use spamdrop_core::reputation::{EvidenceBuffer, Records};

/// What was found in a file, in lines.
#[derive(Debug, Default)]
struct Found {
    lines: u64,
    accepted: u64,
    delivered: u64,
    refused: u64,
}

/// Sources of which records gather before they are written; about 15 MiB.
const BATCH: usize = 131_072;

/// Runs the verb. A file that cannot be read to its end is learned as far as
/// it goes, and the others as well.
///
/// # Errors
///
/// A file cannot be opened, or not be read to its end; or what is known cannot
/// be written. The message names it.
pub fn run(config: &Config, args: &cli::Learn, out: &mut impl Write) -> Result<()> {
    let inputs = open_all(&args.files, "learn")?;
    // What is wrong with it is better told at once.
    let store = known::store(config)?;
    store.check_known()?;
    let protected = protect::protected(config)?;
    let mut notes = Notes::new(store, BATCH);
    let mut errors = Vec::new();
    for input in inputs {
        let name = input.name.clone();
        let replay = Replay::new(config, &protected)?;
        let text = input.text(io::stdout().is_terminal());
        let (found, ended) = notes.file(text, replay)?;
        let Found {
            lines,
            accepted,
            delivered,
            refused,
        } = found;
        writeln!(
            out,
            "{name}: {lines} lines, {accepted} of accepted mail, {delivered} of deliveries, {refused} of listed senders"
        )?;
        if let Err(error) = ended {
            errors.push(Error::new(error).context(format!("cannot read {name} to its end")));
        }
    }
    let all = notes.end(config.known_sources())?.known_senders()?;
    tell_watcher(&config.run_dir);
    let now = clock::unix_s32();
    let known = all
        .iter()
        .filter(|(_, record)| record.standing(now).is_known());
    let known = count(known.count(), "sender is", "senders are");
    writeln!(out, "{known} known now")?;
    let last = errors.pop();
    for error in errors {
        log::error!("{error:#}");
    }
    last.map_or(Ok(()), Err)
}

/// What was learned, on its way to the store.
struct Notes {
    store: Store,
    evidence_buffer: EvidenceBuffer,
    /// So many sources are written at once.
    batch: usize,
}

impl Notes {
    fn new(store: Store, batch: usize) -> Self {
        Self {
            store,
            // One line may let many count that were held.
            evidence_buffer: EvidenceBuffer::new(2 * batch),
            batch,
        }
    }

    /// Reads a file; what was in it, and whether it could be read to its end.
    /// An error is one of writing.
    fn file(
        &mut self,
        mut text: impl Read,
        mut replay: Replay<'_>,
    ) -> Result<(Found, io::Result<()>)> {
        let mut found = Found::default();
        let mut written = Ok(());
        let needles = replay.needles();
        self.evidence_buffer.start_log();
        let ended = each_piece(&mut text, &needles, &mut |piece| {
            let bytes = match piece {
                Piece::Line { bytes, .. } => bytes,
                Piece::Overlong => &[],
                Piece::Skipped { lines } => {
                    found.lines += lines;
                    return;
                }
            };
            found.lines += 1;
            if written.is_err() {
                return;
            }
            match replay.teach(bytes, &mut self.evidence_buffer) {
                Seen::Accepted(_) => found.accepted += 1,
                Seen::Delivered(_) => found.delivered += 1,
                Seen::Match(..) => found.refused += 1,
                Seen::Ignored(_) | Seen::NearMiss(_) | Seen::Nothing => {}
            }
            written = self.keep_up();
        });
        written?;
        replay.end(&mut self.evidence_buffer);
        self.keep_up()?;
        Ok((found, ended))
    }

    /// Writes, if so many sources have gathered. Nothing is forgotten yet:
    /// what comes may make a source worth more than another.
    fn keep_up(&mut self) -> Result<()> {
        if self.evidence_buffer.len() < self.batch {
            return Ok(());
        }
        let unwanted = self.write(usize::MAX)?;
        // That a source proved bad counts if an older log tells good of it.
        if unwanted.len() <= self.batch / 2 {
            self.evidence_buffer.give_back(unwanted);
        }
        Ok(())
    }

    /// Writes the rest, and forgets what is too much.
    fn end(mut self, capacity: usize) -> Result<Store> {
        self.write(capacity)?;
        Ok(self.store)
    }

    fn write(&mut self, capacity: usize) -> Result<Records> {
        let records = self.evidence_buffer.take();
        self.store
            .merge_known(&records, capacity, clock::unix_s32())
    }
}

#[cfg(test)]
mod tests;
