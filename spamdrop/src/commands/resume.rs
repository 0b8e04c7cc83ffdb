//! `resume`: end a pause of the ceiling.

use std::fs;
use std::io::Write;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::status::read_state;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::lock;
use spamdrop_core::status::FILE as STATE_FILE;

/// Runs the verb.
///
/// # Errors
///
/// The daemon does not run ([`Exit::NotAttached`]), blocking does not pause
/// ([`Exit::Failed`]), or the daemon cannot be told.
pub fn run(config: &Config, out: &mut impl Write) -> Result<()> {
    let Some(pid) = lock::daemon_pid(&config.run_dir) else {
        let message = "no daemon runs, so nothing pauses; start `spamdrop run`";
        return Err(Failure::new(Exit::NotAttached, message));
    };
    let state = read_state(&config.run_dir.join(STATE_FILE))?;
    let Some(ceiling) = state.and_then(|state| state.ceiling) else {
        return Err(Failure::new(Exit::Failed, "blocking does not pause"));
    };
    ensure!(
        catches(pid, Signal::USR2)?,
        "the daemon (pid {pid}) is of an older version; restart `spamdrop run`, which ends the pause"
    );
    let daemon = Pid::from_raw(pid.cast_signed()).context("the daemon has no valid pid")?;
    kill_process(daemon, Signal::USR2)
        .with_context(|| format!("cannot notify the daemon (pid {pid})"))?;
    writeln!(
        out,
        "blocking paused: {ceiling}\n\
         The daemon resumes it now, and forgets what it has counted so far. It pauses again if a \
         limit is exceeded again; see `spamdrop status`."
    )?;
    Ok(())
}

/// Whether a process handles a signal. The signal would end a daemon of an older
/// version.
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
