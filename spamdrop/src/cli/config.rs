//! `config` on the command line.

use clap::{Args, Subcommand};

use super::Output;

/// What `config` does.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Check the configuration, and the mail server beside it
    ///
    /// Exits with 78 if the configuration is wrong, with 0 if there are only
    /// warnings.
    Check(Check),
}

/// Flags of `config check`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Check {
    /// Do not ask the DNS blocklists whether they answer
    #[arg(long)]
    pub offline: bool,
    /// The form of the result.
    #[command(flatten)]
    pub output: Output,
}
