//! `run --dry-run`: follows the live logs, and counts what would be blocked. It
//! attaches nothing, writes to no map and to no file, and takes no lock, so it
//! does not disturb a daemon that runs.

use std::time::Duration;

use anyhow::Result;
use spamdrop_common::gate::GateStats;
use spamdrop_core::dnsbl::key::mask;
use spamdrop_core::engine::{DryRun, Prediction};
use spamdrop_core::escape::escape;
use tokio::runtime;

use super::EndSignals;
use super::sources::SourceSettings;
use super::ticks::period;
use super::watch::moment;
use crate::checks;
use crate::clock;
use crate::config::Config;
use crate::dry_run;
use crate::kernel::blocklist::read_gate_stats;
use crate::tail::{self, FileStatus, Tail};

/// Bytes of log that are read before signals are served.
const BUDGET: usize = 256 * 1024;
/// How often the logs are checked, as inotify may miss changes.
const SECOND: Duration = Duration::from_secs(1);

/// The result of a dry run.
pub struct DryRunResult {
    /// The sources that were read.
    pub sources: String,
    /// Number of lines.
    pub lines: u64,
    /// Number of lines that are too long to be parsed.
    pub overlong: u64,
    /// The effects that the lines would have had.
    pub prediction: Prediction,
    /// The counts of an attached filter's gate during the dry run; `None`: no filter
    /// is attached, or its maps cannot be read.
    pub gate: Option<GateStats>,
}

/// Follows the logs until SIGTERM, SIGINT or the end of standard input.
///
/// # Errors
///
/// A log is not a file, or the machine's addresses cannot be read.
pub fn dry_run(config: &Config) -> Result<DryRunResult> {
    checks::ensure_logs(&config.logs)?;
    let sources = SourceSettings::new(config)?;
    let mut run = dry_run::begin(config, config.engine()?)?;
    let before = read_gate_stats(&config.pin_dir).ok();
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tail = runtime.block_on(async {
        let mut signals = EndSignals::new()?;
        let mut tail = sources.open_unsaved()?;
        // The first read begins at the ends of the logs, so older lines do not count.
        let more = read(&mut tail, &mut run);
        log::info!(
            "dry run: following {}; nothing is blocked; SIGINT or SIGTERM ends it",
            sources.describe()
        );
        follow(&mut tail, &mut run, &mut signals, more).await;
        anyhow::Ok(tail)
    })?;
    let after = read_gate_stats(&config.pin_dir).ok();
    let sum = |count: fn(&FileStatus) -> u64| tail.files().map(count).sum();
    Ok(DryRunResult {
        sources: sources.describe(),
        lines: sum(|file| file.lines),
        overlong: sum(|file| file.overlong),
        prediction: run.prediction(),
        gate: before
            .zip(after)
            .map(|(before, after)| since(before, after)),
    })
}

async fn follow(tail: &mut Tail, run: &mut DryRun, signals: &mut EndSignals, mut more: bool) {
    let mut second = period(SECOND);
    loop {
        tokio::select! {
            biased;
            () = signals.recv() => return,
            _ = second.tick() => {
                run.look_after(moment());
                more = read(tail, run);
            }
            () = tokio::task::yield_now(), if more => more = read(tail, run),
            () = tail.changed() => more = read(tail, run),
        }
        // Only standard input can come to an end.
        let is_ended = |file: &FileStatus| file.state == tail::ReadState::Ended;
        if !more && tail.files().all(is_ended) {
            return;
        }
    }
}

/// Reads some log. Returns whether more can be read.
fn read(tail: &mut Tail, run: &mut DryRun) -> bool {
    tail.poll(clock::instant(), BUDGET, &mut |line| {
        let found = run.take_line(line.bytes, line.path, line.backlog, moment());
        if let Some(block) = found.filter(|block| !block.is_renewed) {
            let text = escape(line.bytes);
            log::info!(target: "spamdrop::block", "would block {}: {}", block.target, mask(&text));
        }
    })
}

/// The increase of the counters between two readings. A counter that is lower than before
/// has restarted at 0, so its increase is its value.
fn since(before: GateStats, after: GateStats) -> GateStats {
    let step = |new: u64, old: u64| new.checked_sub(old).unwrap_or(new);
    let mut refused = after.refused;
    for (new, old) in refused.iter_mut().zip(before.refused) {
        *new = step(*new, old);
    }
    GateStats {
        admitted: step(after.admitted, before.admitted),
        known_or_allowed: step(after.known_or_allowed, before.known_or_allowed),
        starvation_admits: step(after.starvation_admits, before.starvation_admits),
        refused,
        ..after
    }
}
