//! `allow` on the command line.

use std::time::Duration;

use clap::{Args, Subcommand};
use spamdrop_core::allowlist::checked_comment;

use super::{Addrs, OutputFormat, term};

/// The commands of `allow`.
#[derive(Debug, Subcommand)]
pub enum Allow {
    /// Never block these sources; remove their existing blocks
    ///
    /// The daemon takes off entries whose time is over; if no daemon runs, the next
    /// `allow add`, `allow remove`, `attach` or `run` does. A source that is on the
    /// list already gets the new time (without `--for`, no end), and the new comment
    /// if one is given. With `--for`, a source that is allowed for longer, or without
    /// an end, stays unchanged, unless `--force` is given.
    Add(AllowAdd),
    /// Take sources off the allowlist, written as `allow list` shows them
    #[command(aliases = ["rm", "del"])]
    Remove(Addrs),
    /// Say whether a source is never blocked, and by which entry
    ///
    /// Exits with 1 if it is not allowed, or if the filter does not have the entry yet.
    Check(AllowCheck),
    /// Show the allowlist, and apart from it what the attached filter protects automatically
    #[command(alias = "ls")]
    List(OutputFormat),
}

/// Arguments of `allow add`.
#[derive(Debug, Args)]
pub struct AllowAdd {
    /// The sources.
    #[command(flatten)]
    pub addrs: Addrs,
    /// Allow them for this time only, such as 12h or 7d, from 1s to 10 years
    #[arg(long = "for", aliases = ["duration", "ttl"], value_name = "TIME", value_parser = term)]
    pub term: Option<Duration>,
    /// Note for `allow list`, at most 200 bytes
    #[arg(long, value_name = "TEXT", value_parser = checked_comment)]
    pub comment: Option<String>,
    /// Allow prefixes wider than /8 (IPv4) or /19 (IPv6), too, and shorten the time of
    /// sources that are allowed for longer already
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `allow check`.
#[derive(Debug, Args)]
pub struct AllowCheck {
    /// An address or prefix
    #[arg(value_name = "ADDR")]
    pub addr: String,
    /// Output format.
    #[command(flatten)]
    pub output: OutputFormat,
}
