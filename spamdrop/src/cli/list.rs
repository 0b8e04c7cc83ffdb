//! `list` and `show` on the command line.

use clap::{Args, ValueEnum};
use spamdrop_core::owners::EntryOwner;

use super::OutputFormat;
use crate::render::entry_selection::{EntryOrder, StateWord};

/// Arguments of `list`.
#[derive(Clone, Debug, Args)]
pub struct List {
    /// Show only the entries that block these addresses, and those in these prefixes
    #[arg(value_name = "ADDR")]
    pub addrs: Vec<String>,
    /// Show only entries with this word in the column STATE; with several words,
    /// such as sealed,fixed, only entries with all of them
    #[arg(long, value_delimiter = ',', value_name = "STATE")]
    pub state: Vec<ListState>,
    /// Show only what this owner wants: log, hand, fifo, import:NAME, f2b:JAIL, or
    /// NAME for import:NAME
    #[arg(long)]
    pub owner: Option<EntryOwner>,
    /// Order of the entries [default: by address]
    #[arg(long, value_name = "ORDER")]
    pub sort: Option<ListSort>,
    /// Show only the first N entries of the order
    #[arg(short = 'n', long = "number", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub number: Option<u32>,
    /// Output format [default: table]
    #[arg(long, conflicts_with = "json")]
    pub format: Option<Format>,
    /// Same as `--format json`
    #[arg(short, long)]
    pub json: bool,
}

/// The words of the column STATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListState {
    /// Only new connections are dropped
    Open,
    /// Every packet is dropped
    Sealed,
    /// No packet extends the entry
    Fixed,
    /// The allowlist covers the entry, so the entry has no effect
    Allowed,
}

impl From<ListState> for StateWord {
    fn from(state: ListState) -> Self {
        match state {
            ListState::Open => Self::Open,
            ListState::Sealed => Self::Sealed,
            ListState::Fixed => Self::Fixed,
            ListState::Allowed => Self::Allowed,
        }
    }
}

/// Orders of `list`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListSort {
    /// Most hits first
    Hits,
    /// The next to expire first
    Expires,
    /// The newest block first; also shows when it began
    Since,
}

impl From<ListSort> for EntryOrder {
    fn from(order: ListSort) -> Self {
        match order {
            ListSort::Hits => Self::Hits,
            ListSort::Expires => Self::Expires,
            ListSort::Since => Self::Since,
        }
    }
}

/// Output formats of `list`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people
    Table,
    /// A JSON array, one object a line
    Json,
    /// The lines of /proc/net/xt_recent/NAME
    Recent,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct Show {
    /// Addresses, or blocked prefixes; for several, `--json` prints an array
    #[arg(required = true, value_name = "ADDR")]
    pub addrs: Vec<String>,
    /// Output format.
    #[command(flatten)]
    pub output: OutputFormat,
}
