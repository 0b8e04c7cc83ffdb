//! Warnings about unwise but valid settings.

use serde::Serialize;

/// A warning about one setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The affected setting: a key of the configuration, or a setting of the
    /// mail server (`TARPIT`, `BLACKLISTS`, `ESMTP_LOG_DIALOG`, `TCPDOPTS`).
    pub about: &'static str,
    /// The problem and the advice. Bytes from other programs' files that are
    /// not printable ASCII are written as `\xNN`.
    pub text: String,
}
