//! `settings` and `setup` on the command line.

use clap::Args;

use super::OutputFormat;

/// Flags of `setup`.
#[derive(Clone, Copy, Debug, Args)]
pub struct SetupOptions {
    /// Write the proposal to the configuration file, and the settings of Postfix or
    /// Exim to `server.json` in `run_dir`
    #[arg(long)]
    pub write: bool,
}

/// Flags of `settings`.
#[derive(Clone, Copy, Debug, Args)]
pub struct SettingsOptions {
    /// Write what was understood to `server.json` in `run_dir`, where the daemon
    /// reads it; creates the daemon's directories if they are missing
    #[arg(long)]
    pub write: bool,
    /// Output format.
    #[command(flatten)]
    pub output: OutputFormat,
}
