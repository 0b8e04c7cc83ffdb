//! `reload`: checks the configuration, makes the daemon read it again, and says
//! what has changed.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use spamdrop_core::reload::ReloadState;
use spamdrop_core::status::FILE as STATE_FILE;
use spamdrop_core::time::MonotonicNs;

use super::config_check;
use super::status::read_state;
use crate::checks;
use crate::cli;
use crate::clock;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::lock;
use crate::render::json;

/// How long to wait for the daemon. It may wait for the write lock, for the mail
/// server, and for the kernel to load the filter.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the daemon's state is read meanwhile.
const PERIOD: Duration = Duration::from_millis(50);
/// A daemon that has written its state this long after the signal, and knows of no
/// reloads, is of an older version.
const WRITTEN: Duration = Duration::from_secs(2);

/// Runs the verb.
///
/// # Errors
///
/// The configuration is wrong ([`Exit::Config`]), no daemon runs
/// ([`Exit::NotAttached`]), or it refuses the configuration or gives no result.
pub fn run(
    config: &Config,
    path: Option<&Path>,
    args: cli::Output,
    out: &mut impl Write,
) -> Result<()> {
    let refreshed = config_check::refresh(config);
    checks::ensure_reloadable(config, path)?;
    for warning in refreshed
        .into_iter()
        .chain(config_check::unwise(config, true)?)
    {
        log::warn!("{}: {}", warning.about, warning.text);
    }
    let run_dir = &config.run_dir;
    ensure_readable(&run_dir.join(STATE_FILE))?;
    let Some(pid) = lock::daemon_pid(run_dir) else {
        let run_dir = run_dir.display();
        let message = format!("no daemon runs (none is named in {run_dir}); start `spamdrop run`");
        return Err(Failure::new(Exit::NotAttached, message));
    };
    let sent = clock::monotonic_ns();
    let daemon = Pid::from_raw(pid.cast_signed()).context("the daemon has no valid pid")?;
    kill_process(daemon, Signal::HUP)
        .with_context(|| format!("cannot notify the daemon (pid {pid})"))?;
    let result = wait(run_dir, pid, sent)?;
    if result.error.is_some() {
        bail!("{result}");
    }
    if args.json {
        json::object(out, &result.keys)?;
    } else {
        for sentence in result.keys.sentences() {
            writeln!(out, "{sentence}")?;
        }
    }
    Ok(())
}

/// Fails for a user who must not look into the run directory, and so finds no daemon.
fn ensure_readable(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(error).with_context(|| format!("cannot read {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Waits until the daemon has read the configuration after this time.
fn wait(run_dir: &Path, pid: u32, sent: MonotonicNs) -> Result<ReloadState> {
    let start = clock::instant();
    let path = run_dir.join(STATE_FILE);
    let written = clock::unix_seconds().get() + WRITTEN.as_secs();
    loop {
        // While the daemon starts, the file may be missing or an earlier daemon's.
        if let Some(state) = read_state(&path)? {
            match state.reload {
                Some(reload) if reload.is_since(sent) => return Ok(reload),
                Some(_) => {}
                None => ensure!(
                    state.written_unix_s < written,
                    "the daemon (pid {pid}) is of an older version, which does not tell the \
                     result; see its log, or restart it"
                ),
            }
        }
        ensure!(
            lock::daemon_pid(run_dir) == Some(pid),
            "the daemon (pid {pid}) has ended meanwhile; see its log"
        );
        ensure!(
            start.elapsed() < PATIENCE,
            "the daemon (pid {pid}) has not answered for {}s; see `spamdrop status`",
            PATIENCE.as_secs()
        );
        thread::sleep(PERIOD);
    }
}
