//! Keys whose value is one of a few names.

use serde::Deserialize;

/// Which hits extend an entry; see
/// [`Refresh`](spamdrop_common::settings::Refresh).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "as in `Refresh`")]
pub enum RefreshMode {
    Packet,
    Syn,
    Never,
}

/// When an entry from the log starts to drop every packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seal {
    /// When the peer no longer holds a connection.
    AfterClose,
    /// At once, as in 2009: the peer's QUIT is dropped too, and its slot stays
    /// taken until the server's timeout.
    AtOnce,
}

/// Whether the responder answers listed senders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The mail server answers them, like all other senders.
    #[default]
    Off,
    /// The responder answers them.
    On,
}

/// What the gate does while the server's slots run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admit {
    /// Nothing; there is no gate.
    Off,
    /// The gate counts what it would refuse, and refuses nothing.
    Observe,
    /// The gate refuses new connections of strangers for a while.
    On,
}

/// Presets that reproduce another tool, for comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compat {
    /// No preset.
    Off,
    /// The exact rule of 2009, `-m recent --update -j DROP`.
    Recent,
}
