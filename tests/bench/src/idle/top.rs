//! The cost of `top` with a million entries, in a real terminal.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use spamdrop_lab::Tmux;

use super::{READY_WITHIN, usage};
use crate::lists::{MANY, Spamdrop, addresses, run, write};
use crate::packets::{capacity, say};
use crate::sample::Sample;
use crate::table::{Bar, Case, Unit};

const LIST: &str = "/run/million";
/// The widths and heights of the terminals.
const SIZES: [[&str; 2]; 2] = [["80", "24"], ["200", "60"]];
/// Time limit for the first screen, which needs a read of all entries.
const DRAWN_WITHIN: Duration = Duration::from_secs(60);
/// The largest share of a core, in percent.
const CPU: Bar = Bar::AtMost(1.0);

/// Measures `top` in terminals of two sizes at the same time, beside the daemon.
///
/// # Errors
///
/// spamdrop or tmux does not start, or the screen does not show the entries.
pub fn measure(length: Duration) -> Result<Case> {
    say("top of a million");
    let spamdrop = Spamdrop::new(capacity(MANY))?;
    let list: String = addresses(MANY).map(|addr| format!("{addr}\n")).collect();
    write(&spamdrop.host, LIST, list)?;
    let daemon = run(&spamdrop)?;
    daemon.wait_for(|line| line.contains("ready: "), READY_WITHIN)?;
    spamdrop.time(&["import", "--for", "1d", LIST])?;
    let top = spamdrop.argv(&["top"]);
    let top = top.iter().filter_map(|word| word.to_str());
    let words: Vec<&str> = ["env", "LC_ALL=C.UTF-8"].into_iter().chain(top).collect();
    let drawn = format!("top of {MANY} entries");
    let socket = |[width, _]: [&str; 2]| PathBuf::from(format!("/run/tmux-{width}"));
    let mut terminals = Vec::new();
    for size in SIZES {
        let terminal = Tmux::open(&spamdrop.host, socket(size), size, &words)?;
        terminal.wait_for(&drawn, DRAWN_WITHIN, |screen| screen.contains(&drawn))?;
        terminals.push((terminal.pid()?, terminal));
    }
    let used = || -> Result<Vec<f64>> {
        let pids = terminals.iter();
        pids.map(|(pid, _)| Ok(usage(*pid)?.cpu)).collect()
    };
    let (start, before) = (Instant::now(), used()?);
    sleep(length);
    let (after, seconds) = (used()?, start.elapsed().as_secs_f64());
    let shares = before.iter().zip(&after);
    let mut shares = shares.map(|(before, after)| 100.0 * (after - before) / seconds);
    let mut next = || Sample(shares.next().into_iter().collect());
    let name = "top of 1,000,000 entries, part of a core";
    let mut case = Case::new(name, Unit::Percent, "spamdrop, 80x24", next()).with_bar(CPU);
    case.also("spamdrop, 200x60", next(), Some(CPU));
    Ok(case)
}
