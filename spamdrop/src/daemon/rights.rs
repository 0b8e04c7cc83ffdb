//! At the start, the daemon changes to the account of the configuration, and gives
//! up the rights that it does not need.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::account;
use crate::checks::directories;
use crate::config::Config;
use crate::directory::{self, Owned};
use crate::kernel::blocklist::pins;
use crate::kernel::{files, privileges, syscalls};
use spamdrop_core::release::ReleaseMode;

/// Prepares the daemon's directories and gives up all rights but the needed
/// ones. Call it while the process has one thread.
///
/// # Errors
///
/// Other users could change the daemon's files, or the account cannot be taken.
pub(super) fn give_up(config: &Config, path: Option<&Path>) -> Result<()> {
    let account = account::daemon();
    directories::ensure_trusted(config, path, &account)?;
    prepare_directories(config)?;
    directories::ensure_owned(config, &account)?;
    let terminates = config.release == ReleaseMode::Terminate;
    let missing = privileges::reduce(&account, terminates)
        .with_context(|| format!("cannot run as {account}; to stay root, set `user = \"root\"`"))?;
    if !missing.is_empty() {
        let missing = missing.join(", ");
        log::warn!("running as {account} without {missing}; grant that, or start as root");
    }
    // All later threads and journalctl inherit the limits. Nothing is gained by
    // stricter limits after the start, because a new thread, a restart of journalctl
    // and a reload need all the rights that the start needs.
    limit_files(config);
    if let Err(error) = syscalls::limit() {
        log::info!("the system calls are not limited: {error:#}");
    }
    log::debug!("running as {account}");
    Ok(())
}

/// Makes the directories of the daemon. Root gives them to the daemon's account, so
/// that the daemon can be started as that account.
///
/// # Errors
///
/// A directory cannot be made, others could write to it, or it holds foreign
/// files.
pub fn prepare_directories(config: &Config) -> Result<()> {
    directory::prepare(&config.run_dir, Owned::Run)?;
    directory::prepare(&config.state_dir, Owned::State)?;
    if !account::daemon().uid.is_root() {
        pins::prepare(&config.pin_dir)?;
    }
    Ok(())
}

/// Limits the directories in which the daemon can change files. This second line of
/// defence is not needed for the daemon's work, so an error is only logged.
fn limit_files(config: &Config) {
    if config.release == ReleaseMode::Terminate {
        // Landlock hides the processes that own the sockets.
        log::info!("changes of files are not limited, because of `release = \"terminate\"`");
        return;
    }
    let fifo = directory::of_file(&config.fifo);
    let mut writable = vec![&*config.run_dir, &*config.state_dir, &*config.pin_dir];
    if !config.fifo.as_os_str().is_empty() {
        writable.push(&fifo);
    }
    // A daemon that stays root creates `pin_dir` later, so the nearest existing
    // directory above it must be writable.
    for directory in &mut writable {
        let nearest = directory.ancestors().find(|directory| directory.exists());
        *directory = nearest.unwrap_or(directory);
    }
    match files::limit(&writable) {
        Ok(enforced) => log::debug!("changes of files are {enforced}"),
        Err(error) => log::info!("changes of files are not limited: {error:#}"),
    }
}
