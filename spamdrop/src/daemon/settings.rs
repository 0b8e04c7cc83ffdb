//! The configuration, as the settings that each task needs.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use rustix::process::getuid;
use spamdrop_common::gate::GateMode;

use super::block::BlockRule;
use super::fifo_control::FifoSettings;
use super::gate::GateSettings;
use super::release::ReleaseSettings;
use super::responder::ResponderSettings;
use super::watch::WatchSettings;
use crate::config::{Admit, Answer, Config, Seal};
use crate::dnsbl::resolver::name_servers;
use crate::exit::{Exit, Failure};
use crate::install::FilterSettings;
use crate::tail::Tail;
use spamdrop_core::release::ReleaseMode;

/// Everything that the tasks are told of the configuration.
pub(super) struct Settings {
    pub filter: FilterSettings,
    pub sources: SourceSettings,
    pub fifo: FifoSettings,
    pub watch: WatchSettings,
    pub release: ReleaseSettings,
    pub gate: GateSettings,
    /// `None`: the mail server answers listed senders.
    pub responder: Option<ResponderSettings>,
}

/// The logs to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceSettings {
    pub logs: Vec<PathBuf>,
    /// What journalctl is told to match; `None`: the journal is not read.
    journal: Option<Vec<String>>,
    state_dir: PathBuf,
    positions: PathBuf,
}

impl Settings {
    /// # Errors
    ///
    /// Something that `run` needs is missing or wrong.
    pub fn new(config: &Config) -> Result<Self> {
        ensure_complete(config)?;
        let rule = BlockRule {
            ttl_s: config.ttl_s(),
            hard_limit_s: config.hard_limit_s(),
            sealed: config.seal == Seal::AtOnce,
            releases: config.release != ReleaseMode::Off,
            grace: config.grace,
        };
        let path = &config.fifo;
        Ok(Self {
            filter: config.filter(),
            sources: SourceSettings::new(config)?,
            fifo: FifoSettings {
                path: (!path.as_os_str().is_empty()).then(|| path.clone()),
                rule: rule.clone(),
            },
            watch: WatchSettings {
                engine: config.engine()?,
                rule,
                store: config.store_file(),
                known_capacity: config.known_sources(),
            },
            release: ReleaseSettings {
                mode: config.release,
                grace: config.grace,
                ports: config.ports.clone(),
            },
            gate: gate(config),
            responder: responder(config),
        })
    }
}

/// What only `run` needs of the configuration.
fn ensure_complete(config: &Config) -> Result<()> {
    let missing = if config.interfaces.is_empty() {
        "no interface to protect; name one: `interfaces = [\"eth0\"]` or `--interface eth0`"
    } else if config.logs.is_empty() && !config.journal {
        "no log to watch; name one: `journal = true`, `logs = [\"/var/log/mail.log\"]` or `--log FILE`"
    } else {
        return Ok(());
    };
    Err(Failure::new(Exit::Config, missing))
}

fn gate(config: &Config) -> GateSettings {
    let lookups = || Ok((config.asked_zones()?, name_servers(&config.resolv_conf)?));
    GateSettings {
        mode: match config.admit {
            Admit::Off => GateMode::Off,
            Admit::Observe => GateMode::Observe,
            Admit::On => GateMode::On,
        },
        slots: config.server_slots(),
        lookups: lookups().map_err(|error: anyhow::Error| format!("{error:#}")),
        max_lookups_per_day: config.max_lookups_per_day,
        store: config.store_file(),
        pin_dir: config.pin_dir.clone(),
    }
}

fn responder(config: &Config) -> Option<ResponderSettings> {
    (config.answer == Answer::On).then(|| ResponderSettings {
        courier_dir: config.courier_dir.clone(),
        syslog: config.syslog.clone(),
        program: config.program.clone(),
        pin_dir: config.pin_dir.clone(),
    })
}

impl SourceSettings {
    fn new(config: &Config) -> Result<Self> {
        let journal = match config.journal {
            true => Some(journal_matches(config)?),
            false => None,
        };
        Ok(Self {
            logs: config.logs.clone(),
            journal,
            state_dir: config.state_dir.clone(),
            positions: config.positions_file(),
        })
    }

    /// Opens the logs where they were read last.
    ///
    /// # Errors
    ///
    /// The state directory cannot be made, or standard input not be read.
    pub fn open(&self) -> Result<Tail> {
        fs::create_dir_all(&self.state_dir)
            .with_context(|| format!("cannot make the directory {}", self.state_dir.display()))?;
        let tail = Tail::open(&self.logs, Some(self.positions.clone()))?;
        Ok(self.with_journal(tail))
    }

    /// Opens the logs in the place of others, each where it was read last.
    ///
    /// # Errors
    ///
    /// As [`SourceSettings::open`].
    pub fn reopen(&self, old: &Tail) -> Result<Tail> {
        Ok(self.with_journal(old.reopen(&self.logs)?))
    }

    fn with_journal(&self, tail: Tail) -> Tail {
        match &self.journal {
            None => tail,
            Some(matches) => tail.with_journal(matches.clone()),
        }
    }

    /// Whether standard input is among them.
    pub fn reads_stdin(&self) -> bool {
        self.logs.iter().any(|log| log.as_os_str() == "-")
    }

    /// What is watched, in words.
    pub fn describe(&self) -> String {
        let journal = self.journal.as_ref().map(|_| "the journal".to_owned());
        let logs = self.logs.iter().map(|path| path.display().to_string());
        let all: Vec<String> = journal.into_iter().chain(logs).collect();
        all.join(", ")
    }
}

fn journal_matches(config: &Config) -> Result<Vec<String>> {
    let mut matches = config.journal_args()?;
    if config.answer == Answer::On {
        matches.extend(own_entries(getuid().as_raw(), std::process::id()));
    }
    Ok(matches)
}

/// What the responder logs, as journalctl matches it. A process that had this
/// number before counts only if it ran as the same user.
fn own_entries(uid: u32, pid: u32) -> [String; 5] {
    [
        "+".into(),
        "_TRANSPORT=syslog".into(),
        "PRIORITY=3".into(),
        format!("_UID={uid}"),
        format!("_PID={pid}"),
    ]
}
