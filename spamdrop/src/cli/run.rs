//! `run` on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use log::LevelFilter;
use spamdrop_core::duration;

use super::term;

/// Flags of `run`.
#[derive(Clone, Debug, Default, Args)]
pub struct RunFlags {
    /// Network interface on which mail arrives; may be repeated
    #[arg(short, long = "interface", value_name = "IFACE")]
    pub interfaces: Vec<String>,
    /// Mail log to follow, `-` for standard input; may be repeated
    #[arg(short, long = "log", value_name = "FILE")]
    pub logs: Vec<PathBuf>,
    /// Read the systemd journal, whose entries local users cannot forge
    ///
    /// With `--journal` or `--log`, the daemon reads only what these flags name.
    #[arg(long)]
    pub journal: bool,
    /// TCP port to protect; may be repeated, at most 8 [default: 25]
    #[arg(long = "port", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub ports: Vec<u16>,
    /// XDP hook to use [default: auto]
    #[arg(long)]
    pub mode: Option<ModeChoice>,
    /// Time that a block lasts after the sender's last packet [default: 10m]
    #[arg(long, value_name = "TIME", value_parser = term)]
    pub ttl: Option<Duration>,
    /// Time before connections of a blocked sender are ended [default: 3s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub grace: Option<Duration>,
    /// How connections of a blocked sender are ended after --grace [default:
    /// destroy]
    #[arg(long)]
    pub release: Option<Release>,
    /// Follow the logs and say what would be blocked, without a filter
    ///
    /// Attaches nothing, writes nothing, and needs only the right to read the
    /// logs, also while the daemon runs; without root it knows only the senders of
    /// these logs. Each block that would be made is a line of the level `info`. At
    /// SIGINT, SIGTERM or the end of standard input, prints the report of `replay`.
    #[arg(long, conflicts_with_all = ["interfaces", "ports", "mode", "log_packets"])]
    pub dry_run: bool,
    /// Print JSON at the end of a dry run
    #[arg(short, long, requires = "dry_run")]
    pub json: bool,
    /// Log packets at this level; `debug` logs each dropped packet
    #[arg(long, value_name = "LEVEL")]
    pub log_packets: Option<Level>,
}

/// The values of `--mode`, as in [`crate::kernel::attach::AttachMode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModeChoice {
    /// Native if the driver supports it, otherwise generic
    Auto,
    /// The driver's hook, or fail
    Native,
    /// The slower hook that every interface has
    Generic,
}

/// The values of `--release`, as in [`spamdrop_core::release::ReleaseMode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Release {
    /// Close their sockets
    Destroy,
    /// Close their sockets and end the server processes that own them
    Terminate,
    /// Leave them to the server's own timeout
    Off,
}

/// Log levels, with the numbers of aya-log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the usual levels")]
pub enum Level {
    Error = 1,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::Error,
            Level::Warn => Self::Warn,
            Level::Info => Self::Info,
            Level::Debug => Self::Debug,
            Level::Trace => Self::Trace,
        }
    }
}
