//! What the mail server's own settings say, where ours leave it to them.

use anyhow::Result;
use spamdrop_core::courier::esmtpd::DEFAULT_SLOTS;
use spamdrop_core::dnsbl::rule;
use spamdrop_core::log::MailServer;
use spamdrop_core::zones::Zones;

use super::Config;
use crate::courier;

impl Config {
    /// The zones of the configuration (`zones`), or else those that the
    /// Courier beside it is told to ask.
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
        // A source that Courier's table spares is not rejected by our zones
        // either.
        Ok(Zones::with_access(
            rule::of_configuration(&self.zones)?,
            courier.access().clone(),
        ))
    }

    /// How many connections the mail server serves at once.
    #[must_use]
    pub fn server_slots(&self) -> u32 {
        match self.slots {
            // A file that cannot be read is warned about at the start.
            0 => courier::settings(&self.courier_dir)
                .ok()
                .flatten()
                .map_or(DEFAULT_SLOTS, |settings| settings.slots()),
            slots => slots,
        }
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
