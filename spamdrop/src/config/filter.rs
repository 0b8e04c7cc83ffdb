//! The filter's part of the configuration.

use spamdrop_common::nat64;
use spamdrop_common::settings::{Refresh, Settings};

use super::{Config, Destinations, RefreshMode};
use crate::kernel::attach::Plan;
use crate::kernel::blocklist::pins::Capacity;

impl Config {
    /// The parameters with which `attach` loads the filter.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let capacity = Capacity {
            v4: self.capacity4,
            v6: self.capacity6,
            known: self.known_capacity,
        };
        Plan {
            capacity,
            mode: self.mode,
            log_level: 0,
        }
    }

    /// The packets that extend an entry.
    #[must_use]
    pub fn refresh_mode(&self) -> Refresh {
        match self.refresh {
            RefreshMode::Packet => Refresh::Packet,
            RefreshMode::Syn => Refresh::Syn,
            RefreshMode::Never => Refresh::Never,
        }
    }

    /// The settings that the filter reads from its map.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings
            .ports
            .iter_mut()
            .zip(&self.ports)
            .for_each(|(slot, port)| *slot = *port);
        settings.refresh = self.refresh_mode() as u32;
        settings.destinations = (self.addresses != Destinations::Any).into();
        for (slot, prefix) in settings.nat64.iter_mut().zip(&self.nat64) {
            let [a, b, c, d, e, f, g, h, i, j, k, l] = prefix.bytes();
            *slot = nat64::prefix([a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0, 0]);
            settings.nat64_count += 1;
        }
        settings
    }
}
