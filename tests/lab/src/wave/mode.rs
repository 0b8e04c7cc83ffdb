//! The protection of the server in a wave.

use std::fmt::{self, Write as _};

use super::blocklist::ZONE;
use super::scale::Scale;
use crate::site::Site;

/// The syslog socket, a file of the site.
pub const SYSLOG: &str = "syslog";
/// The resolver's configuration, a file of the site.
pub const RESOLV_CONF: &str = "resolv.conf";

/// The configuration of spamdrop, if it runs at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Without spamdrop.
    Off,
    /// `compat = "recent"`, the rule of 2009: after a 511, every packet is dropped.
    Recent,
    /// The default configuration.
    Defaults,
    /// `admit = "on"`: strangers wait while slots run short.
    Admit,
    /// `answer = "on"` in addition: the responder answers listed senders with a 511.
    Answer,
}

impl Mode {
    /// All modes, from the oldest to the newest.
    pub const ALL: [Self; 5] = [
        Self::Off,
        Self::Recent,
        Self::Defaults,
        Self::Admit,
        Self::Answer,
    ];

    /// Whether the gate makes strangers wait while slots run short.
    #[must_use]
    pub fn has_gate(self) -> bool {
        matches!(self, Self::Admit | Self::Answer)
    }

    /// The settings of this mode; `None` without spamdrop.
    #[must_use]
    pub fn config(self, site: &Site, scale: &Scale) -> Option<String> {
        let mut config = String::new();
        match self {
            Self::Off => return None,
            Self::Recent => config.push_str("compat = \"recent\"\n"),
            Self::Defaults => {}
            Self::Admit | Self::Answer => {
                let (slots, resolv) = (scale.slots, site.path(RESOLV_CONF));
                // Writing to a String cannot fail.
                let _ = writeln!(config, "admit = \"on\"\nslots = {slots}");
                let _ = writeln!(config, "zones = [{ZONE:?}]\nresolv_conf = {resolv:?}");
            }
        }
        if self == Self::Answer {
            let socket = site.path(SYSLOG);
            let _ = writeln!(config, "answer = \"on\"\nsyslog = {socket:?}");
        }
        Some(config)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Off => "off",
            Self::Recent => "2009",
            Self::Defaults => "defaults",
            Self::Admit => "admit",
            Self::Answer => "admit+answer",
        })
    }
}
