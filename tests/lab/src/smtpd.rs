//! `lab-smtpd`, a miniature SMTP server that answers and logs like Courier
//! 1.0.16.

use std::ffi::OsString;
use std::fmt::{self, Display};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::daemon::Daemon;
use crate::host::Host;

const READY_WITHIN: Duration = Duration::from_secs(10);

/// The options of `lab-smtpd`.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The mail log. It is opened for each line, so it can be rotated by
    /// renaming.
    #[arg(long, value_name = "FILE")]
    pub log: PathBuf,
    /// The listed addresses and prefixes, one per line; read at the start of
    /// each session. If the file is missing, no peer is listed.
    #[arg(long, value_name = "FILE")]
    pub listed: PathBuf,
    /// Number of simultaneous sessions, as Courier's `MAXDAEMONS`; further
    /// connections wait in the backlog.
    #[arg(long, default_value_t = Self::SLOTS)]
    pub slots: usize,
    /// Number of connections that can wait to be accepted.
    #[arg(long, default_value_t = Self::BACKLOG)]
    pub backlog: u16,
    /// Delay before the first 5xx of a session is logged and sent, as Courier's
    /// `TARPIT` (8 s there). Each further 5xx waits twice as long as the one before,
    /// at most 16 times the first delay.
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "0")]
    pub tarpit: Duration,
    /// Delay of a session before its banner, as for DNS look-ups.
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "0")]
    pub lookup: Duration,
    /// Time that a session waits for the peer; 0 = no limit.
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "600")]
    pub read_timeout: Duration,
    /// Format of the mail log's time stamps.
    #[arg(long, value_enum, default_value_t = Stamp::Rfc3339)]
    pub stamp: Stamp,
}

/// A syslog time stamp, in local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stamp {
    /// `2026-11-23T08:50:54.615769+00:00`, rsyslog's default in Debian 12.
    Rfc3339,
    /// `Nov  3 08:50:54`.
    Bsd,
}

/// A running `lab-smtpd` on port 25 of a host, IPv4 and IPv6. Dropping it kills
/// it and its sessions.
pub struct Smtpd {
    daemon: Daemon,
}

impl Options {
    const SLOTS: usize = 40;
    const BACKLOG: u16 = 128;

    /// Courier's defaults, but without a tarpit.
    #[must_use]
    pub fn new(log: impl Into<PathBuf>, listed: impl Into<PathBuf>) -> Self {
        Self {
            log: log.into(),
            listed: listed.into(),
            slots: Self::SLOTS,
            backlog: Self::BACKLOG,
            tarpit: Duration::ZERO,
            lookup: Duration::ZERO,
            read_timeout: Duration::from_secs(600),
            stamp: Stamp::Rfc3339,
        }
    }

    fn to_args(&self) -> Vec<OsString> {
        let secs = |duration: Duration| duration.as_secs_f64().to_string().into();
        [
            ("--log", self.log.clone().into()),
            ("--listed", self.listed.clone().into()),
            ("--slots", self.slots.to_string().into()),
            ("--backlog", self.backlog.to_string().into()),
            ("--tarpit", secs(self.tarpit)),
            ("--lookup", secs(self.lookup)),
            ("--read-timeout", secs(self.read_timeout)),
            ("--stamp", self.stamp.to_string().into()),
        ]
        .into_iter()
        .flat_map(|(option, value): (&str, OsString)| [option.into(), value])
        .collect()
    }
}

impl Smtpd {
    /// Starts the program `binary`, whose path [`binary`](crate::binary) finds.
    /// Returns when it listens.
    ///
    /// # Errors
    ///
    /// The server did not start to listen; the error contains its output.
    pub fn start(host: &Host, binary: &Path, options: &Options) -> Result<Self> {
        let none: [(&str, &str); 0] = [];
        let daemon = Daemon::start(host, binary, options.to_args(), none)?;
        daemon
            .wait_for(|line| line == "ready", READY_WITHIN)
            .with_context(|| format!("start {} on {}", binary.display(), host.name()))?;
        Ok(Self { daemon })
    }

    /// The id of the process that listens and accepts.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// The process ids of the running sessions.
    ///
    /// # Errors
    ///
    /// `/proc` cannot be read.
    pub fn session_pids(&self) -> Result<Vec<u32>> {
        let pid = self.pid();
        let path = format!("/proc/{pid}/task/{pid}/children");
        match fs::read_to_string(&path) {
            Ok(pids) => Ok(pids
                .split_ascii_whitespace()
                .map(str::parse)
                .collect::<Result<_, _>>()?),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error).context(path),
        }
    }

    /// The number of running sessions.
    ///
    /// # Errors
    ///
    /// `/proc` cannot be read.
    pub fn sessions(&self) -> Result<usize> {
        Ok(self.session_pids()?.len())
    }

    /// The server's standard output and standard error.
    #[must_use]
    pub fn output(&self) -> String {
        self.daemon.output()
    }
}

impl Display for Stamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Rfc3339 => "rfc3339",
            Self::Bsd => "bsd",
        })
    }
}

fn seconds(text: &str) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}
