//! Values that the mail server's own settings provide if ours are empty.

use anyhow::Result;
use spamdrop_core::dnsbl::rule;
use spamdrop_core::gate::Slots;
use spamdrop_core::log::MailServer;
use spamdrop_core::zones::Zones;

use super::Config;
use crate::courier;

impl Config {
    /// The zones of the configuration (`zones`), or else those of the Courier
    /// on this machine.
    ///
    /// # Errors
    ///
    /// Courier's files cannot be read.
    pub fn asked_zones(&self) -> Result<Zones> {
        let courier = match self.servers.contains(&MailServer::Courier) {
            true => courier::zones(&self.courier_dir)?,
            false => Zones::default(),
        };
        if self.zones.is_empty() {
            return Ok(courier);
        }
        // A source that Courier's access table exempts is not rejected by our
        // zones either.
        Ok(courier.replace_rules(rule::of_configuration(&self.zones)?))
    }

    /// Number of connections that the mail server serves at once.
    #[must_use]
    pub fn server_slots(&self) -> Slots {
        let path = self.courier_dir.join("esmtpd").display().to_string();
        let is_courier = self.servers.contains(&MailServer::Courier);
        let theirs = match courier::settings(&self.courier_dir) {
            _ if !is_courier => Err("it is read from Courier's settings only".into()),
            Ok(Some(settings)) => Ok(settings.slots()),
            Ok(None) => Err(format!("there is no file {path}")),
            Err(error) => Err(format!("{error:#}")),
        };
        Slots::choose(self.slots, theirs, &path)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::fs;

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
        config.servers = vec![MailServer::Postfix];
        assert_eq!(zone(&config), None);
    }
}
