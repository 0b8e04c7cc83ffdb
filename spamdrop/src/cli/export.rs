//! `export` on the command line.

use clap::{Args, ValueEnum};

/// Flags of `export`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Export {
    /// Output format
    #[arg(long, default_value = "lines")]
    pub format: ExportFormat,
    /// One line for each owner of an entry, with its own end, so that `import`
    /// restores the owners
    #[arg(long)]
    pub owners: bool,
}

/// The forms of `export`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// ADDRESS and SECONDS, then `fixed` or `ttl=SECONDS`, and what else `import` needs
    Lines,
    /// The lines of /proc/net/xt_recent/NAME
    Recent,
}
