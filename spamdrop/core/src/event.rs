//! The content of a log line.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// A parsed line of the mail log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'line> {
    /// The peer, as the mail server's kernel reported it; never an
    /// IPv4-mapped IPv6 address.
    pub addr: IpAddr,
    /// The kind of event.
    pub kind: Kind<'line>,
    /// The time of the line's stamp, if it has a usable one.
    pub at: Option<SystemTime>,
    /// The rule that matched: one of spamdrop's own, such as `courier-511`, or
    /// the name of a pattern in the configuration.
    pub rule: Cow<'static, str>,
    /// The rest of what the line says about the message.
    pub envelope: Envelope<'line>,
}

/// What a line says about a message besides its peer. A client chooses all of
/// it, so it only serves to tell messages apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Envelope<'line> {
    /// The sender; empty for a bounce; `None` if the line does not tell it.
    pub sender: Option<&'line [u8]>,
    /// The recipient; `None` if the line does not tell it.
    pub recipient: Option<&'line [u8]>,
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
}

/// An event of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'line> {
    /// The message was refused because the peer is listed.
    Rejected {
        /// The reply after its code, or the text after the address that a
        /// pattern captured. The peer or the blocklist's operator may have
        /// chosen these bytes.
        text: &'line [u8],
    },
    /// The peer's message was accepted.
    Accepted,
    /// The peer accepted a message from this server that is not a bounce.
    Delivered,
}

/// The evidence of an event about its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Its message was accepted.
    Accepted,
    /// It accepted a message from this server.
    Delivered,
    /// It is listed.
    Listed,
    /// It wrote to a recipient that does not exist.
    UnknownRecipient,
}
