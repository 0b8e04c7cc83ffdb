//! `detach`: removes the filter and every file of spamdrop, except the
//! configuration, the allowlist and the store.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::cli;
use crate::config::Config;
use crate::durable;
use crate::exit::{Exit, Failure};
use crate::fifo;
use crate::kernel::attach;
use crate::kernel::blocklist::pins;
use crate::lock::{self, WriteLock};
use crate::store;
use spamdrop_core::status;

/// Runs the verb.
///
/// # Errors
///
/// The daemon runs, nothing was attached, or something cannot be removed.
pub fn run(config: &Config, args: &cli::Detach, out: &mut impl Write) -> Result<()> {
    if let Some(pid) = lock::daemon_pid(&config.run_dir)
        && !args.force
    {
        let message = format!(
            "`spamdrop run` is active (pid {pid}); stop it first, or use --force to detach all the same"
        );
        return Err(Failure::new(Exit::Failed, message));
    }
    let attached = pins::exist(&config.pin_dir)?;
    let lock = WriteLock::acquire(&config.run_dir)?;
    for link in attach::linked(&config.pin_dir)? {
        writeln!(out, "{}: filter removed", link.name)?;
    }
    attach::detach(&lock, &config.pin_dir)?;
    if attached {
        writeln!(out, "removed {}", config.pin_dir.display())?;
    }
    for path in files(config) {
        remove(&path, fs::remove_file)?;
    }
    // Only a FIFO is removed: the path may name a file of somebody else.
    if fifo::is_left(&config.fifo) {
        remove(&config.fifo, fs::remove_file)?;
    }
    // Known senders and waves took weeks to gather.
    let keeps = store::exists(&config.store_file())?;
    let state_dir = (!keeps).then_some(&config.state_dir);
    for dir in state_dir.into_iter().chain([&config.run_dir]) {
        if remove(dir, fs::remove_dir)? {
            writeln!(out, "removed {}", dir.display())?;
        }
    }
    if !attached {
        let message = format!(
            "no filter was attached (nothing was pinned in {})",
            config.pin_dir.display()
        );
        return Err(Failure::new(Exit::NotAttached, message));
    }
    Ok(())
}

/// The files that `run` and the verbs make, the lock last.
fn files(config: &Config) -> Vec<PathBuf> {
    let replaced = [
        config.positions_file(),
        config.run_dir.join(status::FILE),
        // As spamdrop 0.1 called it.
        config.run_dir.join("watcher.json"),
    ];
    let beside = replaced.each_ref().map(|path| durable::beside(path));
    let locks = lock::files(&config.run_dir);
    replaced.into_iter().chain(beside).chain(locks).collect()
}

/// Whether the path existed and was removed. A directory that holds files of
/// others is kept.
fn remove(path: &Path, how: fn(PathBuf) -> io::Result<()>) -> Result<bool> {
    match how(path.to_owned()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
            log::warn!(
                "kept {}: it holds files that are not spamdrop's",
                path.display()
            );
            Ok(false)
        }
        Err(error) => Err(error).with_context(|| format!("cannot remove {}", path.display())),
    }
}
