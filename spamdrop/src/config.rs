//! Reads and checks the configuration file.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use jiff::tz::TimeZone;
use regex::bytes::Regex;
use serde::Deserialize;
use spamdrop_common::settings::MAX_PORTS;

use crate::account;
use crate::exit::{Exit, Failure};
use crate::kernel::attach::AttachMode;
use crate::kernel::cpus;
use crate::store;
use spamdrop_core::dnsbl::rule;
use spamdrop_core::duration;
use spamdrop_core::engine::EngineSettings;
use spamdrop_core::history::KEPT;
use spamdrop_core::log::{MailServer, Parser, ParserSettings, Pattern};
use spamdrop_core::nat64::Nat64Prefix;
use spamdrop_core::policy::PolicyConfig;
use spamdrop_core::release::ReleaseMode;
use spamdrop_core::term::LONGEST;

mod change;
mod choice;
mod filter;
mod journal;
mod mistake;
mod program;
mod reload;
mod server;

pub use change::ConfigChange;
pub use choice::{Admit, AnswerMode, Compat, Destinations, RefreshMode, Seal};
pub use mistake::keys;
pub use program::{Names, Programs};

/// The path of the configuration file, unless `--config` names another.
pub const PATH: &str = "/etc/spamdrop/spamdrop.toml";

/// Every key of the configuration file. The file `spamdrop.toml` of this crate
/// describes the keys. A test ensures that `spamdrop.toml` has each key, with the
/// default of the code.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "spamdrop.toml documents each key, for its users"
)]
pub struct Config {
    pub interfaces: Vec<String>,
    pub mode: AttachMode,
    pub ports: Vec<u16>,
    pub addresses: Destinations,
    #[serde(deserialize_with = "choice::nat64")]
    pub nat64: Vec<Nat64Prefix>,
    pub journal: bool,
    pub journal_match: Vec<String>,
    pub logs: Vec<PathBuf>,
    pub servers: Vec<MailServer>,
    pub program: Programs,
    pub pattern: Vec<Pattern>,
    pub reject_text: String,
    pub fifo: PathBuf,
    #[serde(deserialize_with = "duration::deserialize")]
    pub ttl: Duration,
    pub refresh: RefreshMode,
    #[serde(deserialize_with = "duration::deserialize")]
    pub hard_limit: Duration,
    pub seal: Seal,
    pub release: ReleaseMode,
    #[serde(deserialize_with = "duration::deserialize")]
    pub grace: Duration,
    pub compat: Compat,
    pub answer: AnswerMode,
    pub syslog: PathBuf,
    pub max_new_per_minute: u32,
    pub admit: Admit,
    pub slots: u32,
    pub capacity4: u32,
    pub capacity6: u32,
    pub known_capacity: u32,
    pub allow_file: PathBuf,
    pub pin_dir: PathBuf,
    pub run_dir: PathBuf,
    pub state_dir: PathBuf,
    pub courier_dir: PathBuf,
    pub zones: Vec<String>,
    pub resolv_conf: PathBuf,
    pub user: String,
    pub max_lookups_per_day: u32,
    #[serde(deserialize_with = "duration::deserialize")]
    pub history: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            mode: AttachMode::Auto,
            ports: vec![25],
            addresses: Destinations::Own,
            nat64: Vec::new(),
            journal: false,
            journal_match: Vec::new(),
            logs: vec!["/var/log/mail.log".into()],
            servers: vec![MailServer::Courier],
            program: Programs::default(),
            pattern: Vec::new(),
            reject_text: String::new(),
            fifo: PathBuf::new(),
            ttl: Duration::from_secs(600),
            refresh: RefreshMode::Packet,
            hard_limit: Duration::from_secs(3600),
            seal: Seal::AfterClose,
            release: ReleaseMode::Destroy,
            grace: Duration::from_secs(3),
            compat: Compat::Off,
            answer: AnswerMode::Off,
            syslog: "/dev/log".into(),
            max_new_per_minute: 6_000,
            admit: Admit::Observe,
            slots: 0,
            capacity4: 262_144,
            capacity6: 65_536,
            known_capacity: 65_536,
            allow_file: "/etc/spamdrop/allow".into(),
            pin_dir: "/sys/fs/bpf/spamdrop".into(),
            run_dir: "/run/spamdrop".into(),
            state_dir: "/var/lib/spamdrop".into(),
            courier_dir: "/etc/courier".into(),
            zones: Vec::new(),
            resolv_conf: "/etc/resolv.conf".into(),
            user: account::DEFAULT.into(),
            max_lookups_per_day: 100_000,
            history: KEPT,
        }
    }
}

/// The absolute path of the configuration file. `given`: that of `--config`.
#[must_use]
pub fn absolute_path(given: Option<&Path>) -> PathBuf {
    let path = given.unwrap_or(Path::new(PATH));
    // `absolute` fails if the path is empty or the working directory was removed.
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

impl Config {
    /// Reads the configuration. Without `path`, [`PATH`] is read if it exists;
    /// otherwise the defaults apply.
    ///
    /// # Errors
    ///
    /// [`Exit::Config`]: no such file, not TOML, an unknown key, a value out of
    /// its range.
    pub fn read(path: Option<&Path>) -> Result<Self> {
        Self::parse_file(path, &read_text(path)?)
    }

    /// As [`Config::parse`], but the message names the file, as that of [`Config::read`].
    fn parse_file(path: Option<&Path>, text: &str) -> Result<Self> {
        let path = path.unwrap_or(Path::new(PATH));
        Self::parse(text).map_err(|error| wrong(path, &format!("{error:#}")))
    }

    /// Parses a configuration from TOML and checks it.
    ///
    /// # Errors
    ///
    /// As [`Config::read`], but the message does not name the file.
    pub fn parse(text: &str) -> Result<Self> {
        let config = toml::from_str(text);
        let mut config: Self = config.map_err(|error| mistake::describe(text, &error))?;
        // If `journal` is set and `logs` is not, the default log file is not read.
        if config.journal && !toml::from_str::<toml::Table>(text)?.contains_key("logs") {
            config.logs.clear();
        }
        if config.compat == Compat::Recent {
            config.seal = Seal::AtOnce;
            config.release = ReleaseMode::Off;
            config.hard_limit = Duration::ZERO;
            config.refresh = RefreshMode::Packet;
            config.admit = Admit::Off;
            config.answer = AnswerMode::Off;
        }
        config.check()?;
        Ok(config)
    }

    /// Checks the values. Call it again after flags have changed any of them.
    ///
    /// # Errors
    ///
    /// A value is out of its range.
    pub fn check(&self) -> Result<()> {
        if self.ports.is_empty() || self.ports.len() > MAX_PORTS || self.ports.contains(&0) {
            anyhow::bail!("`ports` must name 1 to {MAX_PORTS} ports from 1 to 65535");
        }
        seconds("ttl", self.ttl, 1)?;
        seconds("hard_limit", self.hard_limit, 0)?;
        seconds("history", self.history, 0)?;
        if self.grace > Duration::from_secs(3600) {
            anyhow::bail!("`grace` is longer than an hour");
        }
        capacity("capacity4", self.capacity4)?;
        capacity("capacity6", self.capacity6)?;
        if !(1..=MAX_KNOWN).contains(&self.known_capacity) {
            anyhow::bail!("`known_capacity` must be from 1 to {MAX_KNOWN}");
        }
        self.check_programs()?;
        if self.answer == AnswerMode::On && self.admit == Admit::Off {
            anyhow::bail!(
                "`answer` is \"on\", but only the gate looks up whether senders are listed; set `admit` to \"observe\" or \"on\""
            );
        }
        self.check_journal()?;
        self.check_patterns()?;
        rule::of_configuration(&self.zones)?;
        self.reject_pattern().map(drop)
    }

    fn check_patterns(&self) -> Result<()> {
        if self.servers.is_empty() && self.pattern.is_empty() {
            anyhow::bail!("`servers` is empty and there is no [[pattern]]: no line would be read");
        }
        let mut names = HashSet::new();
        for pattern in &self.pattern {
            let name = pattern.name();
            if !names.insert(name) {
                anyhow::bail!("two patterns are named {name:?}; give each its own name");
            }
        }
        Ok(())
    }

    /// The settings of the engine. Log stamps without a time zone are taken as
    /// local time.
    ///
    /// # Errors
    ///
    /// As [`Config::reject_pattern`].
    pub fn engine(&self) -> Result<EngineSettings> {
        Ok(EngineSettings {
            parser: self.parser_settings(),
            policy: self.policy()?,
            evidence_capacity: self.known_sources(),
        })
    }

    /// The parser for the lines of the configured servers and patterns.
    #[must_use]
    pub fn parser(&self) -> Parser {
        Parser::new(self.parser_settings())
    }

    fn parser_settings(&self) -> ParserSettings {
        let mut servers = self.servers.clone();
        // The responder logs in Courier's format, whichever the mail server is.
        if self.answer == AnswerMode::On && !servers.contains(&MailServer::Courier) {
            servers.push(MailServer::Courier);
        }
        ParserSettings {
            servers,
            programs: self.program_names(),
            patterns: self.pattern.clone(),
            zone: TimeZone::system(),
        }
    }

    /// `reject_text`, compiled; `None` if it is empty.
    ///
    /// # Errors
    ///
    /// The value is not a regular expression.
    pub fn reject_pattern(&self) -> Result<Option<Regex>> {
        if self.reject_text.is_empty() {
            return Ok(None);
        }
        let pattern = Regex::new(&self.reject_text);
        pattern
            .map(Some)
            .map_err(|error| anyhow::anyhow!("`reject_text`: {error}"))
    }

    /// `ttl` in whole seconds.
    #[must_use]
    pub fn ttl_s(&self) -> u32 {
        whole_seconds(self.ttl)
    }

    /// `hard_limit` in whole seconds; 0: no limit.
    #[must_use]
    pub fn hard_limit_s(&self) -> u32 {
        whole_seconds(self.hard_limit)
    }

    /// The path of the file with the read positions of the logs.
    #[must_use]
    pub fn positions_file(&self) -> PathBuf {
        self.state_dir.join("positions.json")
    }

    /// The path of the database, `spamdrop.db`.
    #[must_use]
    pub fn store_file(&self) -> PathBuf {
        self.state_dir.join(store::FILE)
    }

    /// The path of the file with the saved blocks.
    #[must_use]
    pub fn saved_blocks_file(&self) -> PathBuf {
        self.state_dir.join(store::saved_blocks::FILE)
    }

    /// `known_capacity` as a `usize`.
    #[must_use]
    pub fn known_sources(&self) -> usize {
        usize::try_from(self.known_capacity).unwrap_or(usize::MAX)
    }

    /// The settings of the policy.
    ///
    /// # Errors
    ///
    /// As [`Config::reject_pattern`].
    pub fn policy(&self) -> Result<PolicyConfig> {
        Ok(PolicyConfig {
            ttl: self.ttl,
            reject_text: self.reject_pattern()?,
            max_new_per_minute: self.max_new_per_minute,
        })
    }
}

/// The time zone with this name of the IANA database.
///
/// # Errors
///
/// There is no such zone.
pub fn timezone(name: &str) -> Result<TimeZone> {
    TimeZone::get(name).map_err(|_| {
        anyhow::anyhow!(
            "{name:?} is no time zone of this machine; `timedatectl list-timezones` lists them"
        )
    })
}

/// Maximum of `known_capacity`.
const MAX_KNOWN: u32 = 1 << 20;

fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

fn seconds(key: &str, value: Duration, least: u64) -> Result<()> {
    if value.subsec_nanos() != 0 || value.as_secs() < least || value > LONGEST {
        anyhow::bail!("`{key}` must be whole seconds, from {least} s to 10 years");
    }
    Ok(())
}

/// Checks the capacity of a block map. It must be a power of two, at most 2^24, and
/// at least 1,024 for each CPU: with less, the kernel's LRU map evicts entries before
/// the map is full.
fn capacity(key: &str, value: u32) -> Result<()> {
    let least = cpus::possible().saturating_mul(1024);
    if !value.is_power_of_two() || value < least || value > 1 << 24 {
        let least = least.next_power_of_two();
        anyhow::bail!(
            "`{key}` is {value}, but must be a power of two from {least} (1,024 for each CPU) to 16777216"
        );
    }
    Ok(())
}

/// The text of the configuration file; empty if it is optional and missing.
fn read_text(path: Option<&Path>) -> Result<String> {
    let (path, optional) = path.map_or((Path::new(PATH), true), |path| (path, false));
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if optional && error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(wrong(path, &error.to_string())),
    }
}

fn wrong(path: &Path, error: &str) -> anyhow::Error {
    let message = format!("{}: {}", path.display(), error.trim_end());
    Failure::new(Exit::Config, message)
}

#[cfg(test)]
mod tests;
