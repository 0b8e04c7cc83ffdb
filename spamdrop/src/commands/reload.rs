//! `reload`: checks the configuration, makes the daemon read it again, and says
//! what has changed.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::Uid;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use spamdrop_core::reload::ReloadState;
use spamdrop_core::status::FILE as STATE_FILE;
use spamdrop_core::time::MonotonicNs;
use spamdrop_core::warning::Warning;

use super::config_check;
use super::status::read_state;
use crate::account;
use crate::checks;
use crate::cli;
use crate::clock;
use crate::config::{Config, absolute_path};
use crate::exit::{self, Exit, Failure};
use crate::lock::{self, ReloadLock};
use crate::render::json;

/// How long to wait for the daemon. It may wait for the write lock, for the mail
/// server, and for the kernel to load the filter.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The time between two reads of the daemon's state while waiting.
const PERIOD: Duration = Duration::from_millis(50);
/// A daemon that has written its state this long after the signal, and knows of no
/// reloads, is of an older version.
const OLD_DAEMON_AFTER: Duration = Duration::from_secs(2);

/// Runs the verb.
///
/// # Errors
///
/// The configuration is wrong ([`Exit::Config`]), no daemon runs
/// ([`Exit::NotAttached`]), the caller may not signal the daemon
/// ([`Exit::NoPermission`]), or the daemon reads another file, refuses the
/// configuration, cannot apply all of it, or gives no result.
pub fn run(
    config: &Config,
    path: Option<&Path>,
    args: cli::OutputFormat,
    out: &mut impl Write,
) -> Result<()> {
    let run_dir = &config.run_dir;
    let pid = daemon_pid(run_dir)?;
    // The daemon keeps only the result of its last reload, so allow only one at a time.
    let _lock = ReloadLock::acquire(run_dir)?;
    ensure_same_file(run_dir, path)?;
    for warning in check(config, path)? {
        log::warn!("{}: {}", warning.about, warning.text);
    }
    let sent = clock::monotonic_ns();
    let daemon = Pid::from_raw(pid.cast_signed()).context("the daemon has no valid pid")?;
    kill_process(daemon, Signal::HUP)
        .map_err(io::Error::from)
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
    match result.keys.failed.is_empty() {
        true => Ok(()),
        false => Err(Failure::silent(Exit::Failed as u8)),
    }
}

/// The pid of the running daemon. Fails if its account is not the one that the
/// configuration names, because a reload cannot change it.
fn daemon_pid(run_dir: &Path) -> Result<u32> {
    let shown = run_dir.display();
    let owner = match fs::metadata(run_dir) {
        Ok(found) => Some(Uid::from_raw(found.uid())),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("cannot look at {shown}")),
    };
    if !geteuid().is_root() && owner.is_some_and(|owner| owner != geteuid()) {
        let message = format!("{shown} belongs to another user; run the command as root");
        return Err(Failure::new(Exit::NoPermission, message));
    }
    let Some(pid) = lock::daemon_pid(run_dir) else {
        let message = format!(
            "no daemon runs (none is named in {shown}); start `spamdrop run`. If it runs and \
             `run_dir` was changed, restart it: `systemctl restart spamdrop`"
        );
        return Err(Failure::new(Exit::NotAttached, message));
    };
    let account = account::daemon();
    match owner {
        Some(owner) if owner != account.uid => {
            let owner = account::user_name(owner);
            let message = format!(
                "the daemon runs as {owner}, and `user` means {account}: only a restart changes \
                 the account. Give {account} the daemon's directories, then `systemctl restart \
                 spamdrop`"
            );
            Err(Failure::new(Exit::Config, message))
        }
        _ => Ok(pid),
    }
}

/// Fails if the daemon reads another file than the one at `path`. The checks of the file
/// at `path` would then say nothing about the daemon.
fn ensure_same_file(run_dir: &Path, path: Option<&Path>) -> Result<()> {
    let state = read_state(&run_dir.join(STATE_FILE))?;
    let Some(read) = state.and_then(|state| state.config) else {
        return Ok(());
    };
    let given = absolute_path(path);
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    ensure!(
        real(&read) == real(&given),
        "the daemon reads {}, not {}; name the daemon's file with `--config`",
        read.display(),
        given.display()
    );
    Ok(())
}

/// Checks the configuration. Returns its warnings; if some of them cannot be collected,
/// logs why.
fn check(config: &Config, path: Option<&Path>) -> Result<Vec<Warning>> {
    let mut warnings: Vec<Warning> = config_check::refresh(config).into_iter().collect();
    checks::ensure_reloadable(config, path)?;
    match config_check::collect_warnings(config, true) {
        Ok(others) => warnings.extend(others),
        Err(error) if exit::has_code(&error, Exit::Config) => return Err(error),
        Err(error) => log::warn!("{error:#}"),
    }
    Ok(warnings)
}

/// Waits for the result of a reload that the daemon has done since `sent`.
fn wait(run_dir: &Path, pid: u32, sent: MonotonicNs) -> Result<ReloadState> {
    let start = clock::instant();
    let path = run_dir.join(STATE_FILE);
    let written = clock::unix_seconds().get() + OLD_DAEMON_AFTER.as_secs();
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
            start.elapsed() < ANSWER_TIMEOUT,
            "the daemon (pid {pid}) has not answered for {}s; see `spamdrop status`",
            ANSWER_TIMEOUT.as_secs()
        );
        thread::sleep(PERIOD);
    }
}
