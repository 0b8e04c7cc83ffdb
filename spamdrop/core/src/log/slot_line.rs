//! Lines that tell how many connections the mail server holds.

use std::net::IpAddr;
use std::time::SystemTime;

/// A line about a connection that takes one of the server's slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotLine {
    /// The peer.
    pub addr: IpAddr,
    /// The peer's port, if the line tells it.
    pub port: Option<u16>,
    /// The change of the connection.
    pub change: SlotChange,
    /// Whether postscreen wrote the line. Where postscreen listens, the slots are
    /// its own, and the connections of `smtpd` take none of them.
    pub is_postscreen: bool,
}

/// A line's report about the server's slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlotChange {
    /// A connection began. Its end will be logged.
    Opened,
    /// A connection began. The server does not log its end.
    OpenedWithoutEnd,
    /// A connection began. The server counts this many, including it.
    Counted(u32),
    /// A connection has ended.
    Closed,
}

/// A [`SlotLine`] and the time of its stamp, if it has a usable one.
pub type DatedSlotLine = (SlotLine, Option<SystemTime>);

impl SlotLine {
    pub(super) fn new(addr: IpAddr, change: SlotChange) -> Self {
        Self {
            addr,
            port: None,
            change,
            is_postscreen: false,
        }
    }

    pub(super) fn with_port(self, port: Option<u16>) -> Self {
        Self { port, ..self }
    }

    pub(super) fn by_postscreen(self) -> Self {
        Self {
            is_postscreen: true,
            ..self
        }
    }
}
