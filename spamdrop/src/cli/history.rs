//! `why`, `history` and `forget` on the command line.

use clap::Args;

use super::report::{When, when};
use super::{Addrs, OutputFormat};

/// Arguments of `why`.
#[derive(Debug, Args)]
pub struct WhyOptions {
    /// Addresses such as 192.0.2.1 or 2001:db8::1
    #[arg(required = true, value_name = "ADDR")]
    pub addrs: Vec<String>,
    /// Do not ask the DNS blocklists
    #[arg(long)]
    pub no_lookup: bool,
    /// Output format.
    #[command(flatten)]
    pub output: OutputFormat,
}

/// Arguments of `history`.
#[derive(Debug, Args)]
pub struct HistoryOptions {
    /// Show only the events of this address, including those of prefixes that
    /// contain it
    #[arg(value_name = "ADDR")]
    pub addr: Option<String>,
    /// Start of the period: a time ago such as 2h or 7d, a date such as
    /// 2026-11-20, or the start of `today` or `yesterday` [default: everything
    /// that is kept]
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub since: Option<When>,
    /// End of the period [default: now]
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub until: Option<When>,
    /// Output format.
    #[command(flatten)]
    pub output: OutputFormat,
}

/// Arguments of `forget`.
#[derive(Debug, Args)]
pub struct Forget {
    /// Addresses such as 192.0.2.1 or 2001:db8::1, or /64s of IPv6; a single `-`
    /// reads them from standard input, one a line, where `#` starts a comment
    #[arg(required = true, value_name = "ADDR")]
    addrs: Vec<String>,
}

impl Forget {
    /// The given words, in the form that `commands::addresses::read` takes.
    #[must_use]
    pub fn addrs(&self) -> Addrs {
        let addrs = self.addrs.clone();
        Addrs { addrs }
    }
}
