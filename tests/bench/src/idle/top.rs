//! The cost of `top` with a million entries, in terminals of tmux.

use std::path::PathBuf;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use spamdrop_core::duration::parse;
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
/// Time between two looks at the screen.
const LOOK: Duration = Duration::from_secs(1);
/// Time limit for the next read of all entries.
const READ_WITHIN: Duration = Duration::from_secs(600);
/// Maximum share of a core, in percent.
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
        terminals.push(terminal);
    }
    let shares: Vec<Result<f64>> = thread::scope(|scope| {
        let measure = |terminal| scope.spawn(move || share(terminal, length));
        let running: Vec<_> = terminals.iter().map(measure).collect();
        let ended = running.into_iter().map(thread::ScopedJoinHandle::join);
        let ended = ended.map(|share| share.map_err(|_| anyhow!("a measurement panicked"))?);
        ended.collect()
    });
    let mut shares = shares
        .into_iter()
        .collect::<Result<Vec<f64>>>()?
        .into_iter();
    let mut next = || Sample(shares.next().into_iter().collect());
    let name = "top of 1,000,000 entries, part of a core";
    let mut case = Case::new(name, Unit::Percent, "spamdrop, 80x24", next()).with_bar(CPU);
    case.also("spamdrop, 200x60", next(), Some(CPU));
    Ok(case)
}

/// The share of a core that `top` uses, in percent. It is measured from now to the first
/// read of all entries that comes at least `length` later.
fn share(terminal: &Tmux<'_>, length: Duration) -> Result<f64> {
    let pid = terminal.pid()?;
    let (start, before) = (Instant::now(), usage(pid)?.cpu);
    let mut last = Duration::ZERO;
    loop {
        sleep(LOOK);
        let age = read_ago(&terminal.screen()?).context("the screen shows no entries")?;
        let (is_read, passed) = (age < last, start.elapsed());
        if is_read && passed >= length {
            let used = usage(pid)?.cpu - before;
            say(&format!("top of a million: {used:.2} s in {passed:.0?}"));
            return Ok(100.0 * used / start.elapsed().as_secs_f64());
        }
        ensure!(
            passed < READ_WITHIN + length,
            "all entries were not read again"
        );
        last = age;
    }
}

/// The age of the last read of all entries, as the screen shows it; 0 if it shows none.
/// `None`: the screen shows no entries.
fn read_ago(screen: &str) -> Option<Duration> {
    let (_, title) = screen.split_once("\ntop of ")?;
    let (title, _) = title.split_once('\n')?;
    match title.split_once("all read ") {
        None => Some(Duration::ZERO),
        Some((_, age)) => parse(&age.split_once(" ago")?.0.replace(' ', "")).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_the_last_read_is_on_the_screen() {
        let age = |title: &str| read_ago(&format!("gate\n{title}\nADDRESS\n"));
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(age("top of 9 entries, by hits/s"), seconds(0));
        assert_eq!(
            age("top of 9 entries, all read 1m 12s ago, by hits"),
            seconds(72)
        );
        assert_eq!(
            age("top of 9 entries, all read 5s ago, by hits"),
            seconds(5)
        );
        assert_eq!(age("no filter is attached"), None);
    }
}
