//! The watcher.

use anyhow::Result;

use crate::config::Config;

/// What only the command line says.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// The level of `--log-packets`; 0: off.
    pub log_level: u8,
}

/// Watches and blocks until told to stop.
///
/// # Errors
///
/// Not there yet.
pub fn run(_config: Config, _options: RunOptions) -> Result<()> {
    anyhow::bail!("`spamdrop run` is not there yet")
}
