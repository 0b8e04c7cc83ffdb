//! What stands before the server.

use std::fmt;

/// How spamdrop is configured, if it runs at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// There is no spamdrop.
    Off,
    /// The rule of 2009: after a 511 every packet is dropped.
    Recent,
    /// As it comes.
    Defaults,
}

impl Mode {
    /// All of them, in the order of their invention.
    pub const ALL: [Self; 3] = [Self::Off, Self::Recent, Self::Defaults];

    /// What the configuration says; `None` without spamdrop.
    #[must_use]
    pub fn config(self) -> Option<String> {
        match self {
            Self::Off => None,
            Self::Recent => Some("compat = \"recent\"".into()),
            Self::Defaults => Some(String::new()),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Off => "off",
            Self::Recent => "2009",
            Self::Defaults => "defaults",
        })
    }
}
