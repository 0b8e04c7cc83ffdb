//! `config` on the command line.

use clap::{Args, Subcommand};

use super::OutputFormat;

/// The commands of `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Check the configuration and the mail server's settings
    ///
    /// Reads everything that `run` reads. As root, it first writes the settings of
    /// Postfix and Exim, as `settings --write` does; it changes nothing else. Exits
    /// with 0 if the configuration lets `run` start, even if there are warnings;
    /// else as `run` would: with 78 if the configuration is wrong. What the machine
    /// forbids, such as missing capabilities, shows only at the start.
    Check(Check),
}

/// Flags of `config check`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Check {
    /// Do not test whether the DNS blocklists answer
    #[arg(long)]
    pub offline: bool,
    /// Exit with 1 if there are warnings
    #[arg(long)]
    pub strict: bool,
    /// Output format.
    #[command(flatten)]
    pub output: OutputFormat,
}
