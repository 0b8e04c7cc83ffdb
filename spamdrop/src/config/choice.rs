//! The keys that name one of a few.

use serde::Deserialize;

/// Which hits slide an entry; see [`Refresh`](spamdrop_common::settings::Refresh).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "as in `Refresh`")]
pub enum RefreshMode {
    Packet,
    Syn,
    Never,
}

/// When an entry of the log starts to drop every packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seal {
    /// When the peer holds no connection any more.
    AfterClose,
    /// With the block, as in 2009: the peer's QUIT is dropped too, and its
    /// slot stays taken until the server's timeout.
    AtOnce,
}

/// Whether listed senders are answered here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// By the mail server, as everybody.
    #[default]
    Off,
    /// By the responder.
    On,
}

/// What the gate does while the server's slots run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admit {
    /// Nothing.
    Off,
    /// The gate counts what it would refuse, and refuses nothing.
    Observe,
    /// It refuses strangers for a while.
    On,
}

/// Presets for comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compat {
    /// No preset.
    Off,
    /// The rule of 2009, `-m recent --update -j DROP`, exactly.
    Recent,
}
