//! The command line, as clap reads it. Nothing here opens a file or calls the
//! kernel.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

mod allow;
mod block;
mod config;
mod config_path;
mod export;
mod global;
mod history;
mod known;
mod list;
mod pause;
mod reading;
mod report;
mod run;
mod settings;
mod status;

pub use allow::{Allow, AllowAdd, AllowCheck};
use block::term;
pub use block::{Add, Addrs, Flush, Import, Remove};
pub use config::{Check, ConfigVerb};
pub use config_path::without_config;
pub use export::{Export, ExportFormat};
pub use global::with_json_behind;
pub use history::{Forget, HistoryOptions, WhyOptions};
pub use known::{KnownImport, KnownList, KnownVerb};
pub use list::{Format, List, Show};
pub use pause::Pause;
pub use reading::{Learn, LogOptions, ReplayOptions, Scan};
pub use report::{Report, When};
pub use run::{Level, ModeChoice, Release, RunFlags};
pub use settings::{SettingsOptions, SetupOptions};
pub use status::{StatsOptions, StatusOptions, TopOptions};

/// Keeps botnet spam waves away from a small mail server
///
/// A sender that the mail server rejects because of a DNS blocklist is blocked:
/// for some minutes the network driver drops its packets. While the server's
/// connection slots run short, known senders go first.
#[derive(Debug, Parser)]
#[command(name = "spamdrop", version, max_term_width = 80)]
pub struct Cli {
    /// Configuration file [default: /etc/spamdrop/spamdrop.toml, if it exists]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Also print debug messages, as with `RUST_LOG=spamdrop=debug`; overrides
    /// `RUST_LOG`
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Print only results and errors; overrides `RUST_LOG`
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// The command to run.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the daemon: attach the filter, read the mail log, block
    ///
    /// The daemon runs in the foreground until SIGTERM or SIGINT. It leaves the
    /// filter attached when it stops, so that blocks last until they expire.
    /// `reload` makes it read the configuration again. Flags override the
    /// configuration.
    Run(RunFlags),
    /// Attach the filter to interfaces, without a daemon
    ///
    /// A spamdrop filter that is already attached is replaced without a gap.
    Attach(Attach),
    /// Detach the filter and remove its traces, or detach it from interfaces
    ///
    /// Without interfaces, removes the maps with all entries, the FIFO, and the
    /// files of a running daemon in `run_dir` and `state_dir`. Keeps the
    /// configuration, the allowlist, the known senders, the waves and the
    /// history.
    Detach(Detach),
    /// Block addresses or prefixes
    ///
    /// An IPv6 address is blocked with its whole /64. It is blocked alone if it is
    /// written with `/128`, or if the /64 holds a protected address or a known
    /// sender. The block of an address lasts until no packet has arrived from it for
    /// the given time; the block of a prefix lasts for exactly that time. If one of
    /// the addresses is protected from blocking, nothing is blocked.
    #[command(aliases = ["block", "ban"])]
    Add(Add),
    /// Unblock addresses or prefixes
    ///
    /// Entries inside an IPv4 prefix, or inside an IPv6 prefix shorter than /64, stay;
    /// a warning counts them.
    #[command(aliases = ["unblock", "unban", "rm", "del"])]
    Remove(Remove),
    /// Unblock everything, or what one owner wants; the allowlist stays
    Flush(Flush),
    /// Show what is blocked
    ///
    /// Sorted by address. For a given address, shows the entries that block it; for
    /// a prefix, also all entries in it. Blocked prefixes that contain the address
    /// or prefix are included. The table ends with the number of entries. Exits with
    /// 1 if no entry is found for one of the given addresses or prefixes, or if there
    /// is no such owner.
    #[command(alias = "ls")]
    List(List),
    /// Block the addresses in a file
    ///
    /// Reads one address or prefix a line, as `export` writes them, or lines of
    /// /proc/net/xt_recent/NAME, or a list of Spamhaus, ipset, nft or fail2ban. An
    /// address followed by SECONDS is blocked for that time, any other as by
    /// `add`. Existing blocks of the same owner and addresses are replaced. If a
    /// line is not understood, nothing changes. Addresses that are protected from
    /// blocking are skipped and counted.
    Import(Import),
    /// Print what is blocked, in the format that `import` reads
    ///
    /// Numbers of hits and the reasons that `show` prints are not exported, and the
    /// owners of an entry only with `--owners`.
    Export(Export),
    /// Show why addresses are blocked, and until when
    ///
    /// Of an entry with several owners, shows the end of each. Exits with 1 if one of
    /// the addresses is not blocked. If a word is not an address, nothing is shown.
    #[command(alias = "get")]
    Show(Show),
    /// Explain what happens to an address, and why
    ///
    /// Says what would happen to its next connection and which command changes
    /// that; whether and why it is blocked or allowed, whether it is a known
    /// sender, its place at the gate, what the DNS blocklists say now, and what
    /// happened to it (see `history`). Works without the daemon, and says what it
    /// cannot know without the filter.
    Why(WhyOptions),
    /// Show what happened: blocks, refusals, commands
    ///
    /// Without ADDR, shows the events of all senders: blocks from the log and the
    /// FIFO with the number of offences, blocks that ended by themselves, connections
    /// that were ended, refusals at the gate summed by sender and wave, known senders
    /// that were promoted or demoted, and commands with the user who gave them.
    /// Events are kept for 30 days (`history` of the configuration), but at most
    /// 50,000 refusals and 50,000 other events.
    History(HistoryOptions),
    /// Remove the stored data about addresses
    ///
    /// Removes their blocks, also the saved ones, the evidence for and against them
    /// as senders, the verdict of the blocklists, their history, and the last contact
    /// of their networks (/24 or /48). For an IPv6 address, the evidence and the
    /// events of its /64 stay. Give the /64 to remove them, and those of all its
    /// addresses. Entries of the allowlist, blocked prefixes and their events, the
    /// journal and the mail log stay. Exits with 1 if nothing was stored.
    Forget(Forget),
    /// Edit or show the allowlist: sources that are never blocked
    #[command(subcommand, aliases = ["whitelist", "allowlist"])]
    Allow(Allow),
    /// Edit or show the known senders: sources whose mail is wanted
    ///
    /// The daemon remembers the sources of accepted mail and the hosts that the
    /// mail server delivered mail to. A source becomes known by three accepted
    /// messages on two days within 36 days, or by deliveries to it on two days,
    /// to different recipients, where this server wrote first. It is demoted
    /// when the mail server rejects it because of a blocklist (an hour later), or
    /// after five messages to unknown recipients within an hour, if they outnumber
    /// its accepted mail.
    #[command(subcommand)]
    Known(KnownVerb),
    /// Learn known senders from old mail logs
    ///
    /// Blocks nothing. Give the oldest log first: deliveries count only after a
    /// week that was read in the order of time. Logs may be given more than
    /// once: the same message is not counted twice. Exits with 1 if a file could
    /// not be read to its end.
    Learn(Learn),
    /// Let everything pass for a while
    ///
    /// Blocks stay, their hits count and extend them, and the log is read as
    /// ever. Works without the daemon, and ends by itself even if nothing runs.
    /// A pause replaces an earlier one of the same layers. Meanwhile `status`
    /// reports the protection as degraded.
    Pause(Pause),
    /// End every pause, and print which layers were paused
    ///
    /// This ends what `pause` has paused. Blocking also pauses while blocklists
    /// seem to have gone wrong: too many known senders are refused, or too many
    /// new addresses are blocked. `resume` forgets what was counted towards both
    /// limits, so that blocking continues at once; it pauses again if a limit is
    /// exceeded again. Exits with 1 if nothing pauses, and with 3 if no daemon runs
    /// either.
    Resume,
    /// Make the daemon read the configuration again, and say what has changed
    ///
    /// Checks the configuration first, as `config check --offline` does, but not the
    /// sizes of the pinned maps, and prints its warnings. A wrong configuration
    /// changes nothing (exit status 78). A key that needs a restart of the daemon, or
    /// `detach` and a new start, is named and keeps its old value; the others are
    /// applied. Exits with 3 if no daemon runs, and with 1 if the daemon reads another
    /// file, refuses the configuration, cannot apply all of it, or does not answer
    /// within a minute. A new `run_dir` (exit status 3) or `user` (78) needs a restart
    /// of the daemon.
    Reload(OutputFormat),
    /// Show how well the server is protected, the interfaces, the maps and the daemon;
    /// exits with 1 if the protection is degraded, with 3 if the server is not protected
    Status(StatusOptions),
    /// Show what happens now, on one screen
    ///
    /// Redrawn every second: the health, the slots, the gate, refused SYNs and
    /// dropped packets of the last minute, the wave, the blocked sources with their
    /// hits per second, and the newest events. Keys sort, filter and freeze it, and
    /// show, unblock or allow the selected source; `?` explains them. Works without
    /// the daemon. Takes less than 1 % of a processor: a million entries are read
    /// rarely, and only the top ones each second. `NO_COLOR` is honoured.
    Top(TopOptions),
    /// Show waves: when slots ran short, and which senders had to wait
    ///
    /// The daemon records waves unless `admit` is "off": the newest 1,000, and
    /// the course of the newest 50. The table has as many columns as fit the
    /// terminal, or 80 characters if the output is no terminal; `report WAVE` shows
    /// all.
    Report(Report),
    /// Show how many packets were passed and dropped, by reason
    ///
    /// `--prometheus` prints these and all other figures, those of the daemon
    /// included, and succeeds even if nothing is attached.
    Stats(StatsOptions),
    /// Show which lines of a mail log are understood, and which would block
    ///
    /// Each line is treated as if it had just been written, and each file as if
    /// nothing were blocked before it. Near misses are lines that look like a
    /// rejection and were not taken as one. Exits with 1 if a file could not be
    /// read to its end.
    Scan(Scan),
    /// Show what spamdrop would have done with old mail logs
    ///
    /// Passes the logs through the whole engine, with the logs' own clock: blocks
    /// with their times, known senders that would have been blocked, pauses, and
    /// how many connections came while slots ran short. Needs no filter, and
    /// changes nothing. Ends with a recommendation. Exits with 1 if a file could
    /// not be read to its end.
    Replay(ReplayOptions),
    /// Ask the mail server's DNS blocklists about addresses
    ///
    /// Shows the answer of each zone and the result: whether the mail server
    /// rejects the address, and if not, whether its host name is that of a mail
    /// server. Blocks nothing. Exits with 1 if any address could not be looked
    /// up, or if no zone is known.
    Lookup(Lookup),
    /// Propose the configuration for this machine
    ///
    /// Finds the interface, the mail server and its log or journal, and shows as a
    /// diff, with reasons, what the configuration file lacks. What the file sets
    /// stays. Names what has to be set by hand, and then exits with 1. Never
    /// switches the gate or the responder on.
    Setup(SetupOptions),
    /// Show what is understood of Postfix's or Exim's settings
    ///
    /// Asks the server's own tools (`postconf`, `exim -bP config`), or reads its
    /// files where there is no tool: how many connections it serves, by which DNS
    /// blocklists it rejects, which clients it exempts from them, and whether port
    /// 25 offers AUTH. What is not understood is named. The daemon runs as an
    /// ordinary user, which may not run these tools, so root writes the result for
    /// it, before the start and before a reload. Courier's settings are files that
    /// the daemon reads itself. Without `--write`, exits with 1 if `servers` names
    /// neither Postfix nor Exim.
    Settings(SettingsOptions),
    /// Check the configuration
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Print completions for a shell
    Completions(Completions),
    /// Print the version
    Version,
}

/// Arguments of `attach`.
#[derive(Debug, Args)]
pub struct Attach {
    /// Interfaces on which mail arrives
    #[arg(required = true, value_name = "IFACE")]
    pub interfaces: Vec<String>,
    /// XDP hook to use [default: `mode` of the configuration]
    #[arg(long)]
    pub mode: Option<ModeChoice>,
}

/// Arguments of `detach`.
#[derive(Debug, Args)]
pub struct Detach {
    /// Interfaces to take the filter from; without any, everything is removed
    #[arg(value_name = "IFACE")]
    pub interfaces: Vec<String>,
    /// Detach even while the daemon runs, or if the filter belongs to another
    /// network namespace
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `lookup`.
#[derive(Debug, Args)]
pub struct Lookup {
    /// Addresses such as 192.0.2.1 or 2001:db8::1
    #[arg(required = true, value_name = "ADDR")]
    pub addrs: Vec<String>,
    /// Output format.
    #[command(flatten)]
    pub output: OutputFormat,
}

/// Arguments of `completions`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

/// Output format.
#[derive(Clone, Copy, Debug, Args)]
pub struct OutputFormat {
    /// Print JSON
    #[arg(short, long)]
    pub json: bool,
}
