//! The content of a log line.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use crate::zone_offset::ZoneOffset;

/// A parsed line of the mail log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'line> {
    /// The peer, as the mail server's kernel reported it; never an
    /// IPv4-mapped IPv6 address.
    pub addr: IpAddr,
    /// The kind of event.
    pub kind: EventKind<'line>,
    /// The time of the line's stamp, if it has a usable one.
    pub at: Option<SystemTime>,
    /// Where the time in `at` comes from.
    pub clock: Clock,
    /// The rule that matched: one of spamdrop's own, such as `courier-511`, or
    /// the name of a pattern in the configuration.
    pub rule: Cow<'static, str>,
    /// The line's other fields about the message.
    pub envelope: Envelope<'line>,
}

/// The fields of a line that describe a message. A client chooses all of them,
/// so they only serve to tell messages apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope<'line> {
    /// The sender; empty for a bounce; `None` if the line does not tell it.
    pub sender: Option<Cow<'line, [u8]>>,
    /// The recipient; `None` if the line does not tell it.
    pub recipient: Option<Cow<'line, [u8]>>,
    /// The peer's port, which identifies its connection.
    pub port: Option<u16>,
}

impl Event<'_> {
    /// The age of the event. It is zero without a stamp, and for a stamp in the
    /// future, because the clock that stamped it is ahead.
    #[must_use]
    pub fn age(&self, now: SystemTime) -> Duration {
        self.at
            .and_then(|at| now.duration_since(at).ok())
            .unwrap_or_default()
    }

    /// The time between the event and `now`, also for a stamp in the future, which is
    /// as little fresh as an old one. It is zero without a stamp.
    #[must_use]
    pub fn distance(&self, now: SystemTime) -> Duration {
        let ahead = |at: SystemTime| at.duration_since(now).unwrap_or_default();
        self.at
            .map_or(Duration::ZERO, |at| self.age(now).max(ahead(at)))
    }

    /// The same event, which owns its text instead of borrowing it from the line.
    #[must_use]
    pub fn into_owned(self) -> Event<'static> {
        Event {
            addr: self.addr,
            kind: self.kind.into_owned(),
            at: self.at,
            clock: self.clock,
            rule: self.rule,
            envelope: self.envelope.into_owned(),
        }
    }
}

impl Envelope<'_> {
    fn into_owned(self) -> Envelope<'static> {
        let owned = |text: Cow<'_, [u8]>| Cow::Owned(text.into_owned());
        Envelope {
            sender: self.sender.map(owned),
            recipient: self.recipient.map(owned),
            port: self.port,
        }
    }
}

/// Where the time of an event comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// From a stamp that names its time zone, or there is no stamp.
    #[default]
    Zoned,
    /// From a stamp without a time zone, taken as local time.
    Local,
    /// From the clock of the reader: the line was just written, and the stamp is
    /// off by a whole number of quarter hours.
    Off(ZoneOffset),
}

/// An event of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind<'line> {
    /// The message was refused because the peer is listed.
    Rejected {
        /// The reply after its code, or the text after the address that a
        /// pattern captured. The peer or the blocklist's operator may have
        /// chosen these bytes.
        text: Cow<'line, [u8]>,
    },
    /// The peer's message was accepted.
    Accepted,
    /// The peer accepted a message from this server that is not a bounce.
    Delivered,
}

impl EventKind<'_> {
    fn into_owned(self) -> EventKind<'static> {
        match self {
            Self::Rejected { text } => EventKind::Rejected {
                text: Cow::Owned(text.into_owned()),
            },
            Self::Accepted => EventKind::Accepted,
            Self::Delivered => EventKind::Delivered,
        }
    }
}

/// The evidence of an event about its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// A message from the source was accepted.
    Accepted,
    /// The source accepted a message from this server.
    Delivered,
    /// The source is listed.
    Listed,
    /// The source wrote to a recipient that does not exist.
    UnknownRecipient,
}
