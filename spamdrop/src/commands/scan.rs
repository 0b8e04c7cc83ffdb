//! `scan`: replays a log through parser and policy.

use std::collections::HashMap;
use std::io::{self, IsTerminal as _, Read, Write};
use std::net::IpAddr;
use std::time::SystemTime;

use anyhow::{Error, Result};

use super::input::{Input, check, last_of};
use super::reading::{self, Recognized};
use super::search::each_piece;
use super::terminal;
use crate::cli;
use crate::clock;
use crate::config::Config;
use crate::protect;
use crate::render::scan::{self, ScanRecord, Scanned};
use crate::render::table::Style;
use crate::render::{json, trust};
use crate::tail::Piece;
use spamdrop_core::dnsbl::key::mask;
use spamdrop_core::engine::{EngineSettings, Replay, ReplayedLine};
use spamdrop_core::escape::escape;

/// Near misses of each kind that are shown without `--all`.
const NEAR_MISSES: usize = 3;
/// Addresses that are shown without `--all`.
const ADDRESSES: usize = 20;
/// Line width if the output is not a terminal.
const COLUMNS: usize = 160;

/// Runs the verb. A file that cannot be read to its end is shown up to the
/// error. The other files are scanned as well, also if one cannot be opened.
///
/// # Errors
///
/// A file cannot be opened or read to its end. The message names it.
pub fn run(config: &Config, args: &cli::Scan, out: &mut impl Write, style: Style) -> Result<()> {
    check(&args.files)?;
    let protected = protect::protected(&config.allow_file)?;
    let settings = reading::settings(config, &args.reading)?;
    let mut replay = Replay::new(settings.clone(), protected, clock::wall());
    // A bar would interfere with results that are printed one by one, and with
    // a pager.
    let bar = io::stdout().is_terminal() && !args.output.json;
    let mut scan = ScanRun {
        out,
        args,
        columns: terminal::columns().unwrap_or(COLUMNS),
        addrs: HashMap::default(),
    };
    let mut errors = Vec::new();
    for path in &args.files {
        match Input::open(path) {
            Ok(input) => {
                let (name, present) = (input.name.clone(), input.present());
                let text = scan.recognize(&name, input.into_reader(bar), &settings, &mut replay);
                if let Some(error) = scan.file(&name, text, present, &mut replay)? {
                    errors
                        .push(Error::new(error).context(format!("cannot read {name} to its end")));
                }
            }
            Err(error) => errors.push(error),
        }
    }
    scan.addresses(style)?;
    let files = args.files.iter().any(|path| path.as_os_str() != "-");
    if files && !args.output.json {
        trust::note(scan.out)?;
    }
    last_of(errors)
}

/// State that is kept from file to file.
struct ScanRun<'a, W> {
    out: &'a mut W,
    args: &'a cli::Scan,
    columns: usize,
    addrs: HashMap<IpAddr, u64>,
}

impl<W: Write> ScanRun<'_, W> {
    /// Unless `--server` is given: recognizes the mail servers by the beginning of the
    /// log, warns about those that `servers` does not name, and makes `replay` read their
    /// lines, too. Returns a reader of the whole log.
    fn recognize(
        &self,
        name: &str,
        text: Box<dyn Read + Send>,
        settings: &EngineSettings,
        replay: &mut Replay,
    ) -> Box<dyn Read + Send> {
        if !self.args.reading.servers.is_empty() {
            return text;
        }
        let text = Recognized::new(text, &settings.parser);
        text.warn(name);
        replay.reconfigure(text.settings(settings));
        Box::new(text)
    }

    /// Reads a file and prints the result. Returns the error if the file could
    /// not be read to its end. The outer error is one of writing.
    fn file(
        &mut self,
        name: &str,
        mut text: impl Read + Send,
        present: SystemTime,
        replay: &mut Replay,
    ) -> io::Result<Option<io::Error>> {
        let mut scanned = Scanned {
            file: name.into(),
            ..Scanned::default()
        };
        replay.start_log(present);
        let needles = replay.event_needles();
        let mut written = Ok(());
        let error = each_piece(&mut text, &needles, &mut |piece| {
            if written.is_ok() {
                written = self.piece(piece, replay, &mut scanned);
            }
        })
        .err();
        written?;
        // Removes the bar from the terminal.
        drop(text);
        scanned.error = error.as_ref().map(ToString::to_string);
        self.record(&ScanRecord::File(&scanned))?;
        if !self.args.output.json {
            scan::write_text(self.out, &scanned, self.columns)?;
        }
        Ok(error)
    }

    fn piece(
        &mut self,
        piece: Piece<'_>,
        replay: &mut Replay,
        scanned: &mut Scanned,
    ) -> io::Result<()> {
        let bytes = match piece {
            Piece::Line { bytes, .. } => bytes,
            Piece::Overlong => {
                scanned.lines += 1;
                scanned.overlong += 1;
                return Ok(());
            }
            Piece::Skipped { lines } => {
                scanned.lines += lines;
                return Ok(());
            }
        };
        scanned.lines += 1;
        match replay.scan(bytes) {
            ReplayedLine::Match(addr, rule) => {
                *self.addrs.entry(addr).or_default() += 1;
                self.record(&ScanRecord::Match {
                    file: &scanned.file,
                    line: scanned.lines,
                    addr,
                    rule: &rule,
                })?;
                *scanned.matches.entry(rule).or_default() += 1;
            }
            ReplayedLine::Accepted(rule) => *scanned.accepted.entry(rule).or_default() += 1,
            ReplayedLine::Delivered(rule) => *scanned.delivered.entry(rule).or_default() += 1,
            ReplayedLine::Ignored(why) => *scanned.ignored.entry(why.to_string()).or_default() += 1,
            ReplayedLine::NearMiss(reason) => self.near_miss(reason, bytes, scanned)?,
            ReplayedLine::Nothing => {}
        }
        Ok(())
    }

    fn near_miss(
        &mut self,
        reason: &'static str,
        line: &[u8],
        scanned: &mut Scanned,
    ) -> io::Result<()> {
        let misses = scanned.near_misses.entry(reason).or_default();
        misses.count += 1;
        if self.args.output.json {
            return self.record(&ScanRecord::NearMiss {
                file: &scanned.file,
                line: scanned.lines,
                reason,
                text: mask(&escape(line)).into_owned(),
            });
        }
        if self.args.all || misses.shown.len() < NEAR_MISSES {
            // Every byte takes at least one column.
            let text = escape(line.get(..self.columns).unwrap_or(line));
            let text = mask(&text).into_owned();
            misses.shown.push((scanned.lines, text));
        }
        Ok(())
    }

    /// Prints the addresses of all files.
    fn addresses(&mut self, style: Style) -> io::Result<()> {
        let addresses = scan::most_frequent(self.addrs.drain());
        if !self.args.output.json {
            let shown = if self.args.all { usize::MAX } else { ADDRESSES };
            return scan::addresses(self.out, style, &addresses, shown);
        }
        addresses
            .into_iter()
            .try_for_each(|(addr, lines)| self.record(&ScanRecord::Address { addr, lines }))
    }

    fn record(&mut self, record: &ScanRecord<'_>) -> io::Result<()> {
        if self.args.output.json {
            json::object(self.out, record)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
