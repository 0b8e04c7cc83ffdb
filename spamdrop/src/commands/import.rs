//! `import`: block the addresses of a list.

mod owned_list;
mod parser;

use std::fs;
use std::io::{self, Read as _, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use spamdrop_common::entry::{Entry, SEALED};

use super::{block, count, hand, owners, saved};
use crate::cli;
use crate::clock;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::kernel::blocklist::{Blocklist, CHUNK};
use crate::lock::WriteLock;
use crate::owned_blocks::Released;
use owned_list::{AllAhead, OwnedList};
use parser::{ImportParser, ParsedList};
use spamdrop_core::escape::escape;
use spamdrop_core::listing::ListReader;
use spamdrop_core::lists::{ListFormat, ListParser};
use spamdrop_core::owners::{EntryOwner, OwnerMask};
use spamdrop_core::target::Target;

/// How many invalid lines, and how many addresses that must not be blocked, a message
/// names at most.
const NAMED: usize = 5;
/// Entries that are written under one lock acquisition: enough for several
/// threads, and written in some 30 ms, so that other writers do not wait long.
const BATCH: usize = 1 << 16;
/// Minimum number of entries for a progress bar.
const MANY: usize = 1 << 18;

/// Runs the verb. The whole list is read and checked before anything is
/// written.
///
/// # Errors
///
/// Nothing is attached, the file cannot be read, a line is invalid or
/// the list does not fit ([`Exit::Failed`], nothing is imported), or a map operation fails.
pub fn run(config: &Config, args: &cli::Import, out: &mut impl Write) -> Result<()> {
    let mut blocklist = Blocklist::open(&config.pin_dir)?;
    let (name, text) = read(&args.file)?;
    let mut ahead = Some(AllAhead::begin(config, &blocklist)?);
    let term = block::term(config, args.term, args.fixed);
    let peers = block::peers(config, &blocklist)?;
    let parser = ImportParser {
        list: ListParser {
            reader: ListReader::new(term),
            format: args
                .format
                .map_or_else(|| ListFormat::recognize(&text), Into::into),
            local_now: clock::local(),
        },
        scope: &block::scope(config, text.contains(&b':'))?,
        connected: &block::held(&peers),
        is_owned: args.owner.is_some(),
    };
    let parsed = parser.parse(&text);
    drop(text);
    ensure_understood(&name, &parsed)?;
    let targets = parsed.targets();
    block::ensure_fit(targets.iter().copied(), &blocklist, "imported")?;

    ensure_something(args, &targets)?;
    let (mut gone, mut owners) = (Released::default(), Vec::new());
    let owner = args.owner.as_ref().unwrap_or(&EntryOwner::Hand);
    for (owner, entries) in std::iter::once((owner, &parsed.entries)).chain(&parsed.others) {
        let all = match ahead.take() {
            Some(all) => all,
            None => AllAhead::begin(config, &blocklist)?,
        };
        let mut list = OwnedList::read(config, args, owner, &blocklist, all, entries)?;
        put(config, &mut blocklist, &mut list, entries)?;
        gone.add(list.let_go(config, &mut blocklist)?);
        owners.push((list.owner(), entries));
    }
    let nets = parsed.connected.iter().copied();
    let origins = block::pending(nets, &peers, block::origin("", term.start));
    // The reasons of other owners stay.
    let of_list = |target| {
        let names = |entries: &[(Target, Entry)]| {
            let found = entries.binary_search_by_key(&target, |(target, _)| *target);
            found.is_ok()
        };
        let all = owners.iter().filter(|(_, entries)| names(entries));
        all.fold(OwnerMask::default(), |all, (owner, _)| all.and(*owner))
    };
    let older = block::noted(&blocklist, |target| targets.binary_search(&target).is_ok())?;
    let older = block::without_others(&blocklist, older, of_list)?;
    block::note(config, &mut blocklist, &origins, older)?;
    hand::record(config, targets.iter().map(|target| target.net()));
    report(config, &parsed, targets.len(), out)?;
    if args.replace {
        writeln!(
            out,
            "removed {}",
            count(gone.removed.len(), "entry", "entries")
        )?;
        owners::write_kept(out, &gone)?;
        saved::forget_released(config, &gone)?;
    }
    Ok(())
}

/// Refuses to replace a list by an empty one, which is probably a failed download.
fn ensure_something(args: &cli::Import, targets: &[Target]) -> Result<()> {
    match (&args.owner, args.replace && targets.is_empty()) {
        (Some(owner), true) => {
            let message = format!(
                "nothing was changed, because the list is empty; `spamdrop flush --owner {owner}` removes all blocks of this owner"
            );
            Err(Failure::new(Exit::Failed, message))
        }
        _ => Ok(()),
    }
}

/// Reads a file. Returns its name for messages, and its content.
pub(super) fn read(path: &Path) -> Result<(String, Vec<u8>)> {
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

fn ensure_understood(name: &str, list: &ParsedList) -> Result<()> {
    if list.bad == 0 {
        return Ok(());
    }
    let lines = count(list.bad, "line is", "lines are");
    let mut message = format!("nothing was imported, because {lines} not understood:");
    for (line, error) in &list.errors {
        message.push_str(&format!("\n  {name}:{line}: {error:#}"));
    }
    Err(Failure::new(Exit::Failed, message))
}

fn put(
    config: &Config,
    blocklist: &mut Blocklist,
    list: &mut OwnedList,
    entries: &[(Target, Entry)],
) -> Result<()> {
    let (bar, all, mut done) = (bar(entries.len()), entries.len(), 0);
    for batch in entries.chunks(BATCH) {
        // Entries with other owners need the database, which is slower than the maps, so
        // write fewer of them under one lock.
        let size = if list.meets_others(batch) {
            CHUNK
        } else {
            BATCH
        };
        for chunk in batch.chunks(size) {
            WriteLock::acquire(&config.run_dir)
                .and_then(|lock| list.put(&lock, blocklist, chunk))
                .with_context(|| {
                    format!(
                        "only {done} of {all} entries are certainly imported; import the list again"
                    )
                })?;
            done += chunk.len();
            bar.inc(chunk.len() as u64);
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// Reports the imported entries and the skipped ones.
fn report(config: &Config, list: &ParsedList, number: usize, out: &mut impl Write) -> Result<()> {
    let open = |entries: &[(Target, Entry)]| {
        let open = entries
            .iter()
            .filter(|(_, entry)| entry.flags & SEALED == 0);
        open.count()
    };
    let others = list.others.values().map(|entries| open(entries));
    block::tell_if_open(config, open(&list.entries) + others.sum::<usize>());
    for left_out in &list.named {
        log::warn!("left out {left_out}");
    }
    writeln!(out, "imported {}", count(number, "entry", "entries"))?;
    if list.left_out > 0 {
        writeln!(out, "left out {} that must not be blocked", list.left_out)?;
    }
    Ok(())
}

/// Shows the progress of a long list on standard error, if that is a terminal.
fn bar(entries: usize) -> ProgressBar {
    if entries < MANY {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{human_pos} of {human_len} [{bar:20}] {eta:>4}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::new(entries as u64).with_style(style)
}
