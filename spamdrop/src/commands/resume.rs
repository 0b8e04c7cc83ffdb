//! `resume`: end every pause, by hand or of the ceiling.

use std::fs;
use std::io::Write;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use spamdrop_core::pause::{PausedLayer, describe};
use spamdrop_core::status::FILE as STATE_FILE;

use super::hand;
use super::status::read_state;
use crate::clock;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::kernel::blocklist::{Blocklist, pins};
use crate::lock::{self, WriteLock};

/// Runs the verb.
///
/// # Errors
///
/// Nothing pauses ([`Exit::Failed`], or [`Exit::NotAttached`] if the daemon does
/// not run either), or the daemon cannot be notified. In the latter case, pauses by
/// hand have ended already.
pub fn run(config: &Config, out: &mut impl Write) -> Result<()> {
    let ended = end_pauses(config, out)?;
    let ceiling = ceiling(config)?;
    if ended || ceiling.is_some() {
        hand::record(config, []);
    }
    match ceiling {
        Some((pid, ceiling)) => end_ceiling(pid, &ceiling, out),
        None if ended => Ok(()),
        None if lock::daemon_pid(&config.run_dir).is_none() => {
            let message = "there is no pause to end: no layer is paused, and no daemon runs; `spamdrop run` starts it";
            Err(Failure::new(Exit::NotAttached, message))
        }
        None => Err(Failure::new(
            Exit::Failed,
            "blocking does not pause, and no layer is paused",
        )),
    }
}

/// Ends the pauses by hand. Returns whether there was one.
fn end_pauses(config: &Config, out: &mut impl Write) -> Result<bool> {
    if !pins::exist(&config.pin_dir)? {
        return Ok(false);
    }
    let mut blocklist = Blocklist::open(&config.pin_dir)?;
    if blocklist.pauses(clock::monotonic_ns())?.is_empty() {
        return Ok(false);
    }
    let lock = WriteLock::acquire(&config.run_dir)?;
    let now = clock::monotonic_ns();
    let ended = blocklist.end_pauses(&lock, now)?;
    let ended: Vec<PausedLayer> = ended.into_iter().map(|pause| pause.layer_at(now)).collect();
    if ended.is_empty() {
        return Ok(false);
    }
    let what = describe(&ended);
    writeln!(out, "resumed what was still paused: {what}")?;
    Ok(true)
}

/// The daemon's pid, and why its ceiling pauses blocking. `None`: it does not.
fn ceiling(config: &Config) -> Result<Option<(u32, String)>> {
    let Some(pid) = lock::daemon_pid(&config.run_dir) else {
        return Ok(None);
    };
    let state = read_state(&config.run_dir.join(STATE_FILE))?;
    Ok(state.and_then(|state| Some((pid, state.ceiling?))))
}

fn end_ceiling(pid: u32, ceiling: &str, out: &mut impl Write) -> Result<()> {
    ensure!(
        catches(pid, Signal::USR2)?,
        "the daemon (pid {pid}) is of an older version; restart `spamdrop run`, which ends the pause"
    );
    let daemon = Pid::from_raw(pid.cast_signed()).context("the daemon has no valid pid")?;
    kill_process(daemon, Signal::USR2)
        .with_context(|| format!("cannot notify the daemon (pid {pid})"))?;
    writeln!(
        out,
        "the ceiling paused blocking: {ceiling}\n\
         The daemon resumes blocking now, and counts anew for both limits of the ceiling. If one \
         is exceeded again, blocking pauses again; see `spamdrop status`."
    )?;
    Ok(())
}

/// Whether a process handles a signal. A daemon of an older version does not, and the
/// signal would end it.
fn catches(pid: u32, signal: Signal) -> Result<bool> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::try_from(signal.as_raw() - 1).unwrap_or(u32::MAX);
    Ok(mask.unwrap_or_default() & 1_u64.checked_shl(bit).unwrap_or_default() != 0)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_process_that_does_not_handle_the_signal_is_not_sent_it() {
        let own = std::process::id();
        assert!(!catches(own, Signal::USR2).unwrap());
        // The runtime of Rust handles SIGSEGV.
        assert!(catches(own, Signal::SEGV).unwrap());
        assert!(catches(u32::MAX, Signal::USR2).is_err());
    }
}
