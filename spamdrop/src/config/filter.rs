//! What the filter is told of the configuration.

use spamdrop_common::settings::{Refresh, Settings};

use super::{Config, RefreshMode};
use crate::kernel::attach::Plan;
use crate::kernel::blocklist::pins::Capacity;

impl Config {
    /// What `attach` shall load.
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

    /// What the filter is told.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings
            .ports
            .iter_mut()
            .zip(&self.ports)
            .for_each(|(slot, port)| *slot = *port);
        settings.refresh = match self.refresh {
            RefreshMode::Packet => Refresh::Packet,
            RefreshMode::Syn => Refresh::Syn,
            RefreshMode::Never => Refresh::Never,
        } as u32;
        settings
    }
}
