//! `settings` and `setup` on the command line.

use clap::Args;

use super::Output;

/// Flags of `setup`.
#[derive(Clone, Copy, Debug, Args)]
pub struct SetupOptions {
    /// Write the proposal, and what `settings --write` writes
    #[arg(long)]
    pub write: bool,
}

/// Flags of `settings`.
#[derive(Clone, Copy, Debug, Args)]
pub struct SettingsOptions {
    /// Write what was understood to `server.json` in `run_dir`, for the daemon,
    /// whose directories are made if they are missing
    #[arg(long)]
    pub write: bool,
    /// Output format.
    #[command(flatten)]
    pub output: Output,
}
