//! Checks that only root and the daemon's account can change the daemon's files.

use std::path::Path;

use anyhow::Result;
use spamdrop_core::warning::Warning;

use crate::account::{self, Account, DEFAULT, HOW_TO_MAKE};
use crate::config::{Config, PATH};
use crate::directory::{self, Owned};
use crate::exit::{Exit, Failure};

/// Ensures that only root and the account can change the directories of the daemon, and
/// that only root and the user who starts the daemon can change the configuration (the
/// file at `path`). The account may not change it, because it could set another `user`.
///
/// # Errors
///
/// Another user can change the configuration or one of the directories, or the daemon
/// could not make the FIFO ([`Exit::Config`]).
pub fn ensure_trusted(config: &Config, path: Option<&Path>, account: &Account) -> Result<()> {
    let configuration = path.unwrap_or(Path::new(PATH));
    directory::ensure_trusted(configuration, "--config", &Account::of_process())?;
    for (directory, key) in [
        (&directory::of_file(&config.allow_file), "allow_file"),
        (&config.run_dir, "run_dir"),
        (&config.state_dir, "state_dir"),
        (&config.pin_dir, "pin_dir"),
    ] {
        directory::ensure_trusted(directory, key, account)?;
    }
    match config.fifo.as_os_str().is_empty() {
        true => Ok(()),
        false => ensure_fifo_can_be_made(config, account),
    }
}

/// Ensures that the FIFO is in a directory of the daemon's account, because the daemon
/// makes the FIFO there, and replaces it by a symbolic link at its end.
fn ensure_fifo_can_be_made(config: &Config, account: &Account) -> Result<()> {
    let directory = directory::of_file(&config.fifo);
    directory::ensure_trusted(&directory, "fifo", account)?;
    if directory == config.run_dir || directory::is_owned_by(&directory, account) {
        return Ok(());
    }
    let message = format!(
        "`fifo`: the daemon runs as {account} and cannot make a file in {}; name one in `run_dir`, \
         such as {}",
        directory.display(),
        config.run_dir.join("recent").display()
    );
    Err(Failure::new(Exit::Config, message))
}

/// Ensures that `run_dir`, `state_dir` and `pin_dir` belong to the daemon's account,
/// where they exist.
///
/// # Errors
///
/// Another account owns one of them, or can change it ([`Exit::Config`]).
pub fn ensure_owned(config: &Config, account: &Account) -> Result<()> {
    for (directory, owned) in [
        (&config.run_dir, Owned::Run),
        (&config.state_dir, Owned::State),
        (&config.pin_dir, Owned::Pins),
    ] {
        directory::ensure_owned(directory, owned, account)?;
    }
    Ok(())
}

/// Warns about a daemon that would stay root.
#[must_use]
pub fn stays_root(config: &Config) -> Option<Warning> {
    let is_missing = matches!(Account::for_setting(&config.user), Ok(None));
    let is_root = account::daemon().uid.is_root();
    let text = match (is_missing, is_root) {
        (true, _) => format!(
            "there is no account `{DEFAULT}`, so `spamdrop run` stays root; {HOW_TO_MAKE}, or set \
             `user` to another account"
        ),
        (false, true) => "`spamdrop run` stays root; name an account for the daemon".into(),
        (false, false) => return None,
    };
    Some(Warning {
        about: "user",
        text,
    })
}
