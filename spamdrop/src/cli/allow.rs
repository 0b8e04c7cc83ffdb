//! `allow` on the command line.

use clap::{Args, Subcommand};

use super::{Addrs, Output};

/// The commands of `allow`.
#[derive(Debug, Subcommand)]
pub enum Allow {
    /// Never block these sources; remove their existing blocks
    Add(AllowAdd),
    /// Take sources off the allowlist, written as `allow list` shows them
    #[command(aliases = ["rm", "del"])]
    Remove(Addrs),
    /// Show the allowlist and what is protected automatically
    #[command(alias = "ls")]
    List(Output),
}

/// Arguments of `allow add`.
#[derive(Debug, Args)]
pub struct AllowAdd {
    /// The sources.
    #[command(flatten)]
    pub addrs: Addrs,
    /// Allow prefixes wider than /8 (IPv4) or /19 (IPv6), too
    #[arg(long)]
    pub force: bool,
}
