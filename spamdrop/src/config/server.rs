//! Zones and slots: from the mail server's own settings if the configuration does
//! not set them.

use anyhow::Result;
use spamdrop_core::dnsbl::rule;
use spamdrop_core::gate::Slots;
use spamdrop_core::log::MailServer;
use spamdrop_core::server_settings::{FILE, ServerSettings, SettingsFile, SlotSetting};
use spamdrop_core::zones::Zones;

use super::Config;
use crate::courier;
use crate::server_settings::{self, HOW_TO_WRITE, are_gathered};

impl Config {
    /// The mail servers' settings that root has gathered with
    /// `spamdrop settings --write`. `None`: there is no such file, or none of
    /// `servers` needs it.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn gathered_settings(&self) -> Result<Option<SettingsFile>> {
        match self.servers.iter().any(|server| are_gathered(*server)) {
            true => server_settings::read(&self.run_dir),
            false => Ok(None),
        }
    }

    /// The first of `servers` whose own settings can be read; `None`: there is none.
    #[must_use]
    pub fn main_server(&self) -> Option<MailServer> {
        let mut servers = self.servers.iter().copied();
        servers.find(|server| *server == MailServer::Courier || are_gathered(*server))
    }

    /// The zones of the configuration (`zones`), or else those of the mail
    /// server on this machine.
    ///
    /// # Errors
    ///
    /// The mail server's settings cannot be read.
    pub fn asked_zones(&self) -> Result<Zones> {
        let servers = match self.main_server() {
            Some(MailServer::Courier) => courier::zones(&self.courier_dir)?,
            Some(server) => match self
                .gathered_settings()?
                .as_ref()
                .and_then(|it| it.of_server(server))
            {
                Some(settings) => {
                    Zones::with_tables(settings.rules.clone(), settings.tables.clone())
                }
                None => Zones::default(),
            },
            None => Zones::default(),
        };
        if self.zones.is_empty() {
            return Ok(servers);
        }
        // The server's own tables stay: a source that they exempt is not rejected by
        // the zones of the configuration either.
        Ok(servers.replace_rules(rule::of_configuration(&self.zones)?))
    }

    /// Number of connections that the mail server serves at once.
    #[must_use]
    pub fn server_slots(&self) -> Slots {
        match self.main_server() {
            Some(MailServer::Courier) => self.courier_slots(),
            Some(server) => {
                let (slots, setting) = match self.gathered(server) {
                    Ok(settings) => known_slots(settings.slots),
                    Err(why) => (Err(why), String::new()),
                };
                Slots::choose(self.slots, slots, &setting)
            }
            None => {
                let why = "it is read from the settings of Courier, Postfix and Exim only";
                Slots::choose(self.slots, Err(why.into()), "")
            }
        }
    }

    fn courier_slots(&self) -> Slots {
        let path = self.courier_dir.join("esmtpd").display().to_string();
        let theirs = match courier::settings(&self.courier_dir) {
            Ok(Some(settings)) => Ok(settings.slots()),
            Ok(None) => Err(format!("there is no file {path}")),
            Err(error) => Err(format!("{error:#}")),
        };
        Slots::choose(self.slots, theirs, &path)
    }

    /// The gathered settings of a server.
    ///
    /// # Errors
    ///
    /// A sentence that says why they are missing, and the next step.
    pub fn gathered(&self, server: MailServer) -> Result<ServerSettings, String> {
        let path = self.run_dir.join(FILE);
        match self.gathered_settings() {
            Ok(Some(file)) => file.of_server(server).cloned().ok_or_else(|| {
                format!(
                    "{} has no settings of {}; {HOW_TO_WRITE}",
                    path.display(),
                    server.name()
                )
            }),
            Ok(None) => Err(format!("there is no {}; {HOW_TO_WRITE}", path.display())),
            Err(error) => Err(format!("{error:#}")),
        }
    }
}

/// The number of slots, or why it is unknown; and the setting that determines it,
/// for messages.
fn known_slots(slots: SlotSetting) -> (Result<u32, String>, String) {
    match slots {
        SlotSetting::Known { count, setting } => (Ok(count), setting),
        SlotSetting::Unknown(why) => (Err(why), String::new()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::fs;

    use spamdrop_core::postfix;
    use spamdrop_core::server_settings::Contents;
    use spamdrop_core::zones::Queried;

    use super::*;

    #[test]
    fn the_configuration_goes_before_courier() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join("esmtpd"),
            "BLACKLISTS=-block=c.example,BLOCK,*",
        )
        .unwrap();
        let mut config = Config {
            courier_dir: dir.path().into(),
            ..Config::default()
        };
        let zone = |config: &Config| {
            let zones = config.asked_zones().unwrap();
            zones.rules().first().map(|rule| rule.zone.clone())
        };
        assert_eq!(zone(&config).as_deref(), Some("c.example"));
        config.zones = vec!["own.example".into()];
        assert_eq!(zone(&config).as_deref(), Some("own.example"));
        config.zones.clear();
        config.servers = vec![MailServer::Haraka];
        assert_eq!(zone(&config), None);
    }

    #[test]
    fn the_settings_of_postfix_come_from_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            run_dir: dir.path().into(),
            servers: vec![MailServer::Rspamd, MailServer::Postfix],
            ..Config::default()
        };
        assert!(config.asked_zones().unwrap().rules().is_empty());
        let trouble = config.server_slots().trouble.unwrap();
        assert!(
            trouble.contains("server.json; run `spamdrop settings --write`"),
            "{trouble}"
        );
        let texts = postfix::PostfixTexts {
            services: "smtp inet n - y - 9 smtpd",
            parameters: "mynetworks = 192.0.2.0/24\nsmtpd_client_restrictions = permit_mynetworks, reject_rbl_client b.example",
        };
        let settings = postfix::read(texts, &|_| Contents::Absent);
        server_settings::write(dir.path(), &server_settings::file_of(vec![settings])).unwrap();
        assert_eq!(config.server_slots().count, 9);
        let zones = config.asked_zones().unwrap();
        assert!(zones.can_list());
        assert_eq!(zones.queried([192, 0, 2, 1].into()), Queried::Exempt);
        let contradicting = Config { slots: 5, ..config };
        let trouble = contradicting.server_slots().trouble.unwrap();
        assert!(
            trouble.contains("number in maxproc of smtpd in master.cf is 9"),
            "{trouble}"
        );
    }
}
