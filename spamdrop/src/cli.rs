//! The command line, as clap reads it. Nothing is opened or looked up here.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::config::LONGEST;

mod config;
mod report;

pub use config::{Check, ConfigVerb};
pub use report::{Report, Since};

/// Keeps botnet spam waves away from a small mail server: sources that the
/// server refuses as listed are dropped in the network driver for a while.
#[derive(Debug, Parser)]
#[command(name = "spamdrop", version, max_term_width = 80)]
pub struct Cli {
    /// Configuration file [default: /etc/spamdrop/spamdrop.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Attach if needed, then watch the mail log and block until told to stop
    ///
    /// Stopping leaves the filter in place: what is blocked stays blocked
    /// until it expires. Flags override the configuration.
    Run(Run),
    /// Put the filter on interfaces, without a watcher
    ///
    /// A filter that is there already is replaced without a gap.
    Attach(Attach),
    /// Take the filter off every interface and leave nothing behind
    ///
    /// Removes the maps with all entries, the FIFO, and the files in `run_dir`
    /// and `state_dir`. The configuration, the allowlist and what is known of
    /// senders and waves stay.
    Detach(Detach),
    /// Block addresses or prefixes by hand
    ///
    /// An IPv6 address is blocked with its whole /64. The block of an address
    /// lasts until its peer has been silent for the time given; a prefix is
    /// blocked for exactly that time. If one of the addresses must not be
    /// blocked, none is.
    Add(Add),
    /// Unblock addresses or prefixes
    Remove(Addrs),
    /// Unblock everything; the allowlist stays
    Flush,
    /// Show what is blocked
    List(List),
    /// Block the addresses of a file, one a line
    ///
    /// Reads what `export` writes, addresses and prefixes one a line, and the
    /// lines of /proc/net/xt_recent/NAME. An address with SECONDS behind it
    /// is blocked for that time, one without as by `add`. Older blocks of the
    /// same addresses are replaced. A line that is not understood leaves
    /// everything as it was; what must not be blocked is left out.
    Import(Import),
    /// Print what is blocked, for `import`: one address a line, with its term
    ///
    /// Hits, and what `show` knows of the reasons, are not part of it.
    Export(Export),
    /// Show why an address is blocked, and for how long
    Show(Show),
    /// Edit or show the allowlist: what is never blocked
    #[command(subcommand)]
    Allow(Allow),
    /// Edit or show the known senders: sources whose mail is wanted
    ///
    /// The watcher remembers whose mail was accepted, and whom Courier
    /// delivered to. Three messages on two days within 36 days, or one
    /// delivery, make a source known; a blocklist's rejection, an hour later,
    /// or five unknown recipients within an hour, end that.
    #[command(subcommand)]
    Known(Known),
    /// Learn known senders from old mail logs
    ///
    /// Nothing is blocked. Logs may be given in any order, and again: what is
    /// remembered already is not counted twice. Exits with 1 if a file could
    /// not be read to its end.
    Learn(Learn),
    /// Show interfaces, maps, and the watcher; exits with 3 if not attached
    Status(Output),
    /// Show waves: when the server's slots ran short, and who had to wait
    ///
    /// `run` records them unless `admit` is "off": the newest 1,000, and how 50
    /// of them went.
    Report(Report),
    /// Show how many packets were passed and dropped, and why
    Stats(Output),
    /// Show what a mail log would have blocked, without blocking
    ///
    /// Every line goes through parser and policy as if it were written now,
    /// and each file begins with an empty blocklist. Near misses are lines
    /// that look like a rejection and are none. Exits with 1 if a file could
    /// not be read to its end.
    Scan(Scan),
    /// Ask the mail server's DNS blocklists about addresses
    ///
    /// Shows what each zone says, and what follows: whether the mail server
    /// rejects the address, or whether it has a server's name. Exits with 1 if
    /// of one of the addresses that could not be learned.
    Lookup(Lookup),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Print completions for a shell
    Completions(Completions),
}

/// Flags of `run`.
#[derive(Clone, Debug, Default, Args)]
pub struct Run {
    /// An interface on which mail arrives; may be repeated
    #[arg(short, long = "interface", value_name = "IFACE")]
    pub interfaces: Vec<String>,
    /// A mail log to follow, `-` for standard input; may be repeated
    #[arg(short, long = "log", value_name = "FILE")]
    pub logs: Vec<PathBuf>,
    /// Follow the systemd journal: who wrote an entry cannot be forged
    ///
    /// The sources that are named by flags replace those of the configuration.
    #[arg(long)]
    pub journal: bool,
    /// A TCP port to protect; may be repeated, at most 8 [default: 25]
    #[arg(long = "port", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub ports: Vec<u16>,
    /// Where the filter runs [default: auto]
    #[arg(long)]
    pub mode: Option<Mode>,
    /// Time that a block lasts after the peer's last packet [default: 10m]
    #[arg(long, value_name = "TIME", value_parser = term)]
    pub ttl: Option<Duration>,
    /// Time before a blocked peer's connections are ended [default: 3s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub grace: Option<Duration>,
    /// What becomes of connections after the grace [default: destroy]
    #[arg(long)]
    pub release: Option<Release>,
    /// Log packets at this level; `debug` has a line for each dropped one
    #[arg(long, value_name = "LEVEL")]
    pub log_packets: Option<Level>,
}

/// Arguments of `attach`.
#[derive(Debug, Args)]
pub struct Attach {
    /// Interfaces on which mail arrives
    #[arg(required = true, value_name = "IFACE")]
    pub interfaces: Vec<String>,
    /// Where the filter runs [default: auto]
    #[arg(long)]
    pub mode: Option<Mode>,
}

/// Flags of `detach`.
#[derive(Debug, Args)]
pub struct Detach {
    /// Do so even while `spamdrop run` is active
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `add`.
#[derive(Debug, Args)]
pub struct Add {
    /// What to block.
    #[command(flatten)]
    pub addrs: Addrs,
    /// Time to block, whole seconds such as 90s, 10m or 1d [default: the
    /// configuration's ttl, 10m]
    #[arg(long = "for", value_name = "TIME", value_parser = term)]
    pub term: Option<Duration>,
    /// Let the block end on the clock, whatever the peer sends
    #[arg(long)]
    pub fixed: bool,
    /// Why, for `spamdrop show`; kept for addresses, at most 200 bytes
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Addresses, or `-`.
#[derive(Debug, Args)]
pub struct Addrs {
    /// Addresses or prefixes such as 192.0.2.1, 2001:db8::1 or 192.0.2.0/24;
    /// `-` alone reads them from standard input, one a line, `#` starts a
    /// comment
    #[arg(required = true, value_name = "ADDR")]
    pub addrs: Vec<String>,
}

/// Flags of `list`.
#[derive(Clone, Copy, Debug, Args)]
pub struct List {
    /// The form of the result [default: table]
    #[arg(long, conflicts_with = "json")]
    pub format: Option<Format>,
    /// As `--format json`
    #[arg(long)]
    pub json: bool,
}

/// The forms of `list`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// An array, one object a line
    Json,
    /// The lines of /proc/net/xt_recent/NAME
    Recent,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct Import {
    /// What to read; `-` is standard input
    #[arg(default_value = "-", value_name = "FILE")]
    pub file: PathBuf,
    /// Time to block addresses that come without one, whole seconds such as
    /// 90s, 10m or 1d [default: the configuration's ttl, 10m]
    #[arg(long = "for", value_name = "TIME", value_parser = term)]
    pub term: Option<Duration>,
    /// Let their blocks end on the clock, whatever the peer sends
    #[arg(long)]
    pub fixed: bool,
}

/// Flags of `export`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Export {
    /// The form of the result
    #[arg(long, default_value = "lines")]
    pub format: ExportFormat,
}

/// The forms of `export`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// ADDRESS SECONDS, then what prolongs the block
    Lines,
    /// The lines of /proc/net/xt_recent/NAME
    Recent,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct Show {
    /// An address, or a blocked prefix
    #[arg(value_name = "ADDR")]
    pub addr: String,
    /// The form of the result.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `scan`.
#[derive(Debug, Args)]
pub struct Scan {
    /// Mail logs, plain or gzipped; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Show every near miss, not 3 of each kind, and every address, not 20
    #[arg(long)]
    pub all: bool,
    /// The form of the result.
    #[command(flatten)]
    pub output: Output,
}

/// What `allow` does.
#[derive(Debug, Subcommand)]
pub enum Allow {
    /// Never block these; entries that they cover are removed
    Add(Addrs),
    /// Take prefixes off the allowlist, as they are listed there
    Remove(Addrs),
    /// Show the allowlist, and what is allowed without being on it
    List(Output),
}

/// What `known` does.
#[derive(Debug, Subcommand)]
pub enum Known {
    /// Show the known senders
    List(KnownList),
    /// Make hosts known at once; an IPv6 address with its whole /64
    Add(Addrs),
    /// Forget what was good of hosts: they have to earn it anew
    Remove(Addrs),
    /// As `add`, for the addresses of a file, one a line
    Import(KnownImport),
}

/// Flags of `known list`.
#[derive(Clone, Copy, Debug, Args)]
pub struct KnownList {
    /// Show those, too, who have sent too little, or were demoted
    #[arg(long)]
    pub all: bool,
    /// The form of the result.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `known import`.
#[derive(Debug, Args)]
pub struct KnownImport {
    /// What to read, `#` starts a comment; `-` is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Arguments of `learn`.
#[derive(Debug, Args)]
pub struct Learn {
    /// Mail logs, plain or gzipped; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Arguments of `lookup`.
#[derive(Debug, Args)]
pub struct Lookup {
    /// Addresses such as 192.0.2.1 or 2001:db8::1
    #[arg(required = true, value_name = "ADDR")]
    pub addrs: Vec<String>,
    /// The form of the result.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `completions`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

/// The form of a result.
#[derive(Clone, Copy, Debug, Args)]
pub struct Output {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// As [`crate::kernel::attach::Mode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// In the driver; in the generic hook where the driver cannot
    Auto,
    /// In the driver or not at all
    Native,
    /// In the slower hook that every interface has
    Generic,
}

/// As [`crate::config::Release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Release {
    /// Their sockets are closed
    Destroy,
    /// Their sockets are closed and the processes that own them ended
    Terminate,
    /// They stay until they end by themselves
    Off,
}

/// As aya-log numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the usual levels")]
pub enum Level {
    Error = 1,
    Warn,
    Info,
    Debug,
    Trace,
}

fn term(text: &str) -> Result<Duration, String> {
    let term = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if term.subsec_nanos() != 0 || term.is_zero() || term > LONGEST {
        return Err("give whole seconds, from 1s to 10 years".into());
    }
    Ok(term)
}
