//! `import`: block what a file lists.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read as _, Write};
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use ipnet::IpNet;
use spamdrop_common::entry::{Entry, SEALED};

use super::{block, count};
use crate::blocklist::{Blocklist, Term};
use crate::cli;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::listing::{Listed, Reader};
use crate::lock::Turn;
use crate::policy::Protected;
use crate::protect;
use crate::report::allowed::shown;
use crate::report::escape::escape;
use crate::target::Target;

/// Bad lines, and addresses that must not be blocked, that are named.
const NAMED: usize = 5;
/// Entries that are written in one turn: enough for several threads, and
/// written in some 30 ms, so that others need not wait for long.
const TURN: usize = 1 << 16;
/// Fewer entries are written in no time.
const MANY: usize = 1 << 18;

/// Runs the verb. Everything is read and checked before anything is written.
///
/// # Errors
///
/// Nothing is attached, the file cannot be read, a line is not understood
/// ([`Exit::Usage`]) or more is listed than fits ([`Exit::Failed`], nothing is
/// imported), or the kernel refuses.
pub fn run(config: &Config, args: &cli::Import, out: &mut impl Write) -> Result<()> {
    let mut blocklist = Blocklist::open(&config.pin_dir)?;
    let (name, text) = read(&args.file)?;
    let term = block::term(config, args.term, args.fixed);
    let mut sieve = Sieve::new(
        protect::protected(config)?,
        block::peers(config, &blocklist)?,
    );
    parse(&name, &text, term, |listed| sieve.take(listed))?;
    drop(text);
    sieve.each_once();
    let entries = &sieve.entries;
    block::ensure_fit(
        entries.iter().map(|(target, _)| *target),
        &blocklist,
        "imported",
    )?;

    put(config, &mut blocklist, entries)?;
    let origins = block::pending(sieve.connected, &sieve.peers, block::origin("", term.start));
    let older = block::noted(&blocklist, |target| {
        entries
            .binary_search_by_key(&target, |(target, _)| *target)
            .is_ok()
    })?;
    block::note(config, &mut blocklist, &origins, older)?;
    let open = entries
        .iter()
        .filter(|(_, entry)| entry.flags & SEALED == 0);
    block::tell_if_open(config, open.count());
    writeln!(out, "imported {}", count(entries.len(), "entry", "entries"))?;
    for text in &sieve.named {
        log::warn!("{text}");
    }
    if sieve.left_out > 0 {
        writeln!(out, "left out {} that must not be blocked", sieve.left_out)?;
    }
    Ok(())
}

/// The file's name for messages, and what is in it.
fn read(path: &Path) -> Result<(String, Vec<u8>)> {
    if path.as_os_str() == "-" {
        let mut text = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut text);
        read.context("cannot read standard input")?;
        return Ok(("standard input".into(), text));
    }
    let name = escape(path.as_os_str().as_encoded_bytes());
    let text = fs::read(path).with_context(|| format!("cannot read {name}"))?;
    Ok((name, text))
}

/// Reads every line, and hands over what is on it.
fn parse(name: &str, text: &[u8], term: Term, mut take: impl FnMut(Listed)) -> Result<()> {
    let reader = Reader::new(term);
    let mut bad = Vec::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        match reader.line(line) {
            Ok(None) => {}
            Ok(Some(listed)) => take(listed),
            Err(error) => bad.push(format!("\n  {name}:{}: {error:#}", index + 1)),
        }
    }
    if bad.is_empty() {
        return Ok(());
    }
    let lines = count(bad.len(), "line is", "lines are");
    bad.truncate(NAMED);
    let bad = bad.concat();
    let message = format!("nothing was imported, for {lines} not understood:{bad}");
    Err(Failure::new(Exit::Usage, message))
}

/// Keeps what may be blocked.
struct Sieve {
    protected: Protected,
    /// Who holds a connection, and what their entries cover.
    peers: HashSet<IpAddr>,
    held: HashSet<Target>,
    /// What is to be written.
    entries: Vec<(Target, Entry)>,
    /// What of it peers are connected from.
    connected: Vec<IpNet>,
    /// How much must not be blocked, and why the first of it must not.
    left_out: usize,
    named: Vec<String>,
}

impl Sieve {
    fn new(protected: Protected, peers: HashSet<IpAddr>) -> Self {
        Self {
            held: peers.iter().copied().map(Target::from).collect(),
            protected,
            peers,
            entries: Vec::new(),
            connected: Vec::new(),
            left_out: 0,
            named: Vec::new(),
        }
    }

    fn take(&mut self, listed: Listed) {
        let Listed { net, mut entry } = listed;
        let why = if net.prefix_len() == net.max_prefix_len() {
            self.protected.why(net.addr())
        } else {
            self.protected.why_net(net)
        };
        if let Some(why) = why {
            self.left_out += 1;
            if self.left_out <= NAMED {
                self.named.push(format!("left out {}: {why}", shown(net)));
            }
            return;
        }
        let target = Target::from(net);
        if self.held.contains(&target) {
            self.connected.push(net);
        } else {
            entry.flags |= SEALED;
        }
        self.entries.push((target, entry));
    }

    /// Sorts the entries; of several for one target, the last counts.
    fn each_once(&mut self) {
        self.entries.sort_by_key(|(target, _)| *target);
        self.entries.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                *kept = *later;
            }
            same
        });
    }
}

fn put(config: &Config, blocklist: &mut Blocklist, entries: &[(Target, Entry)]) -> Result<()> {
    let bar = bar(entries.len());
    for chunk in entries.chunks(TURN) {
        blocklist.put_all(&Turn::take(&config.run_dir)?, chunk.iter().copied())?;
        bar.inc(chunk.len() as u64);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Shows on standard error, if that is a terminal, how far a long list is.
fn bar(entries: usize) -> ProgressBar {
    if entries < MANY {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{human_pos} of {human_len} [{bar:20}] {eta:>4}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::new(entries as u64).with_style(style)
}
