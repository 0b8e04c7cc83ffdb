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
use crate::known::Pupil;
use crate::protect;
use crate::tail::Piece;

/// What was found in a file, in lines.
#[derive(Debug, Default)]
struct Found {
    lines: u64,
    accepted: u64,
    delivered: u64,
    refused: u64,
}

/// Runs the verb. A file that cannot be read to its end is learned as far as
/// it goes, and the others as well. It is written at the end, at once.
///
/// # Errors
///
/// A file cannot be opened, or not be read to its end; or what is known cannot
/// be written. The message names it.
pub fn run(config: &Config, args: &cli::Learn, out: &mut impl Write) -> Result<()> {
    let inputs = open_all(&args.files, "learn")?;
    // What is wrong with it is better told at once.
    let mut store = known::store(config)?;
    store.check()?;
    let protected = protect::protected(config)?;
    let mut pupil = Pupil::new(usize::MAX);
    let mut errors = Vec::new();
    for input in inputs {
        let name = input.name.clone();
        let replay = Replay::new(config, &protected)?;
        pupil.turn_page();
        let text = input.text(io::stdout().is_terminal());
        let (found, ended) = file(text, replay, &mut pupil);
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
    let now = clock::unix_s32();
    store.merge(&pupil.take(), config.known_sources(), now)?;
    tell_watcher(&config.run_dir);
    let all = store.all()?;
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

/// Reads a file; what was in it, and whether it could be read to its end.
fn file(mut text: impl Read, mut replay: Replay<'_>, pupil: &mut Pupil) -> (Found, io::Result<()>) {
    let mut found = Found::default();
    let needles = replay.needles();
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
        match replay.teach(bytes, pupil) {
            Seen::Accepted(_) => found.accepted += 1,
            Seen::Delivered(_) => found.delivered += 1,
            Seen::Match(..) => found.refused += 1,
            Seen::Ignored(_) | Seen::NearMiss(_) | Seen::Nothing => {}
        }
    });
    replay.end(pupil);
    (found, ended)
}
