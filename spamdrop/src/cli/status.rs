//! Arguments of `status`, `top` and `stats`.

use clap::Args;

/// Flags of `status`.
#[derive(Clone, Copy, Debug, Args)]
pub struct StatusOptions {
    /// Print JSON
    #[arg(short, long)]
    pub json: bool,
    /// Print one line as a monitoring plugin does, with figures behind `|`;
    /// exit with 0 (protected), 1 (degraded), 2 (not protected) or 3 (unknown)
    #[arg(long, conflicts_with = "json")]
    pub check: bool,
    /// Print a line each second until Ctrl-C: the time, the health line, and the
    /// slots, refused SYNs and dropped packets; goes on even if nothing is attached
    #[arg(long, conflicts_with_all = ["json", "check"])]
    pub watch: bool,
}

/// Flags of `top`.
#[derive(Clone, Copy, Debug, Args)]
pub struct TopOptions {
    /// Print the screen once, as text; takes a second, and exits with 0 even if
    /// nothing is attached
    #[arg(long)]
    pub once: bool,
    /// Print the data of the screen once, as JSON; takes a second, and exits with 0
    /// even if nothing is attached
    #[arg(short, long)]
    pub json: bool,
}

/// Flags of `stats`.
#[derive(Clone, Copy, Debug, Args)]
pub struct StatsOptions {
    /// Print JSON
    #[arg(short, long)]
    pub json: bool,
    /// Print metrics in the text format of Prometheus
    #[arg(long, conflicts_with = "json")]
    pub prometheus: bool,
}
