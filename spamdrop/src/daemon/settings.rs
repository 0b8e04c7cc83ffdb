//! Splits the configuration into the settings of each task.

use std::path::PathBuf;

use anyhow::Result;
use spamdrop_common::gate::GateMode;

use super::block::BlockRule;
use super::fifo_control::FifoSettings;
use super::gate::GateSettings;
use super::history::HistorySettings;
use super::release::ReleaseSettings;
use super::responder::ResponderSettings;
use super::saved_blocks::BlockPlaces;
use super::sources::SourceSettings;
use super::watch::WatchSettings;
use crate::checks;
use crate::config::{Admit, AnswerMode, Config, Seal};
use crate::dnsbl::resolver::name_servers;
use crate::install::FilterSettings;
use crate::responder::host_name;
use spamdrop_core::gate::{Slots, WhenFull};
use spamdrop_core::log::MailServer;
use spamdrop_core::release::ReleaseMode;

/// The settings of all tasks.
pub(super) struct DaemonSettings {
    pub filter: FilterSettings,
    /// The path of the file with the saved blocks.
    pub saved_blocks: PathBuf,
    pub sources: SourceSettings,
    pub fifo: FifoSettings,
    pub watch: WatchSettings,
    pub release: ReleaseSettings,
    pub gate: GateSettings,
    pub history: HistorySettings,
    /// `None`: the mail server answers listed senders.
    pub responder: Option<ResponderSettings>,
}

impl DaemonSettings {
    /// Derives the settings from the configuration.
    ///
    /// # Errors
    ///
    /// A value that `run` needs is missing or wrong.
    pub fn new(config: &Config) -> Result<Self> {
        checks::ensure_complete(config)?;
        checks::ensure_logs(&config.logs)?;
        let slots = config.server_slots();
        checks::ensure_slots(config.admit, &slots)?;
        let rule = BlockRule {
            ttl_s: config.ttl_s(),
            hard_limit_s: config.hard_limit_s(),
            sealed: config.seal == Seal::AtOnce,
            releases: config.release != ReleaseMode::Off,
            grace: config.grace,
        };
        let path = &config.fifo;
        Ok(Self {
            filter: FilterSettings::new(config),
            saved_blocks: config.saved_blocks_file(),
            sources: SourceSettings::new(config)?,
            fifo: FifoSettings {
                path: (!path.as_os_str().is_empty()).then(|| path.clone()),
                rule: rule.clone(),
            },
            watch: WatchSettings {
                engine: config.engine()?,
                rule,
                store: config.store_file(),
                pin_dir: config.pin_dir.clone(),
                run_dir: config.run_dir.clone(),
                known_capacity: config.known_sources(),
            },
            release: ReleaseSettings {
                mode: config.release,
                grace: config.grace,
                ports: config.ports.clone(),
                seals_at_once: config.seal == Seal::AtOnce,
            },
            gate: gate(config, slots),
            history: HistorySettings {
                store: config.store_file(),
                pin_dir: config.pin_dir.clone(),
                kept: config.history,
            },
            responder: responder(config),
        })
    }
}

impl DaemonSettings {
    /// The files and pins of the blocks.
    pub fn block_places(&self) -> BlockPlaces {
        BlockPlaces {
            file: self.saved_blocks.clone(),
            store: self.gate.store.clone(),
            pin_dir: self.filter.pin_dir.clone(),
            run_dir: self.filter.run_dir.clone(),
        }
    }
}

fn gate(config: &Config, slots: Slots) -> GateSettings {
    let lookups = || Ok((config.asked_zones()?, name_servers(&config.resolv_conf)?));
    GateSettings {
        mode: match config.admit {
            Admit::Off => GateMode::Off,
            Admit::Observe => GateMode::Observe,
            Admit::On => GateMode::On,
        },
        slots,
        when_full: match config.servers.contains(&MailServer::Exim) {
            true => WhenFull::Refuses,
            false => WhenFull::Waits,
        },
        server: config
            .gathered_settings()
            .map_err(|error| format!("{error:#}")),
        lookups: lookups().map_err(|error: anyhow::Error| format!("{error:#}")),
        max_lookups_per_day: config.max_lookups_per_day,
        store: config.store_file(),
        pin_dir: config.pin_dir.clone(),
    }
}

fn responder(config: &Config) -> Option<ResponderSettings> {
    (config.answer == AnswerMode::On).then(|| ResponderSettings {
        host: host_name(&config.courier_dir),
        syslog: config.syslog.clone(),
        program: config.courier_program(),
        pin_dir: config.pin_dir.clone(),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::fs;

    use spamdrop_core::server_settings::FILE;

    use super::*;

    #[test]
    fn settings_of_a_server_that_cannot_be_read_are_reported_once() {
        let dir = tempfile::tempdir().unwrap();
        let (courier_first, postfix_first) = (
            [MailServer::Courier, MailServer::Postfix],
            [MailServer::Postfix, MailServer::Courier],
        );
        let trouble = |servers: [MailServer; 2], admit| {
            let config = Config {
                servers: servers.into(),
                admit,
                run_dir: dir.path().into(),
                courier_dir: dir.path().into(),
                ..Config::default()
            };
            gate(&config, config.server_slots()).server_trouble()
        };
        assert_eq!(trouble(courier_first, Admit::Observe), None);
        fs::write(dir.path().join(FILE), "{").unwrap();
        for (servers, admit) in [(courier_first, Admit::Observe), (postfix_first, Admit::Off)] {
            let text = trouble(servers, admit).unwrap();
            assert!(
                text.contains("server.json; run `spamdrop settings --write`"),
                "{text}"
            );
        }
        // The zones come from this file, so the look-ups report it.
        assert_eq!(trouble(postfix_first, Admit::Observe), None);
    }
}
