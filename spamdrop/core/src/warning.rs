//! What is unwise in a configuration without being wrong.

use serde::Serialize;

/// One unwise setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Where: a key of the configuration, or a setting of the mail server
    /// (`TARPIT`, `BLACKLISTS`, `ESMTP_LOG_DIALOG`, `TCPDOPTS`).
    pub about: &'static str,
    /// What is unwise, and what to do. Bytes from other programs' files that
    /// are not printable ASCII are written as `\xNN`.
    pub text: String,
}
