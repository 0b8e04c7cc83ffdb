//! `config` on the command line.

use clap::{Args, Subcommand};

use super::Output;

/// The commands of `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Check the configuration and the mail server's settings
    ///
    /// Exits with 78 if the configuration is wrong, and with 0 if there are
    /// only warnings.
    Check(Check),
}

/// Flags of `config check`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Check {
    /// Do not test whether the DNS blocklists answer
    #[arg(long)]
    pub offline: bool,
    /// Output format.
    #[command(flatten)]
    pub output: Output,
}
