//! Arguments of `scan`, `learn` and `replay`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use jiff::tz::TimeZone;
use spamdrop_core::log::MailServer;

use super::OutputFormat;
use crate::config::ConfigChange;

/// Arguments of `scan`.
#[derive(Debug, Args)]
pub struct Scan {
    /// Mail logs, plain or compressed by gzip, xz or zstd; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Show all near misses (not 3 of each kind) and all addresses (not 20)
    #[arg(long)]
    pub all: bool,
    /// How the logs are read.
    #[command(flatten)]
    pub reading: LogOptions,
    /// Output format.
    #[command(flatten)]
    pub output: OutputFormat,
}

/// Arguments of `learn`.
#[derive(Debug, Args)]
pub struct Learn {
    /// Mail logs, plain or compressed by gzip, xz or zstd; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How the logs are read.
    #[command(flatten)]
    pub reading: LogOptions,
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub struct ReplayOptions {
    /// Mail logs, plain or compressed by gzip, xz or zstd, in any order; `-` is
    /// standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Also show how the result would differ with another value of a configuration
    /// key, such as `ttl=5m`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub changes: Vec<ConfigChange>,
    /// Show all blocks (not 20) in the order of time, and all accepted messages
    #[arg(long)]
    pub all: bool,
    /// How the logs are read.
    #[command(flatten)]
    pub reading: LogOptions,
    /// Output format.
    #[command(flatten)]
    pub output: OutputFormat,
}

/// How logs are read.
#[derive(Clone, Debug, Default, Args)]
pub struct LogOptions {
    /// The mail server that wrote the logs; repeat it for several [default:
    /// `servers` of the configuration, and any other that is recognised where
    /// those do not fit]
    #[arg(long = "server", value_name = "NAME", value_parser = server())]
    pub servers: Vec<MailServer>,
    /// The time zone of stamps that name none, such as Europe/Berlin [default:
    /// that of this machine]
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    pub timezone: Option<TimeZone>,
}

fn server() -> impl clap::builder::TypedValueParser<Value = MailServer> {
    PossibleValuesParser::new(MailServer::ALL.map(MailServer::name))
        .try_map(|name| MailServer::named(&name).ok_or("it is no mail server"))
}

fn zone(name: &str) -> Result<TimeZone, String> {
    crate::config::timezone(name).map_err(|error| error.to_string())
}
