//! What a log line says.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// One line of the mail log, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'line> {
    /// The peer, as the mail server's kernel reported it; never an
    /// IPv4-mapped IPv6 address.
    pub addr: IpAddr,
    /// What happened to it.
    pub kind: Kind<'line>,
    /// When the line was written, if its stamp says so.
    pub at: Option<SystemTime>,
    /// What matched: one of spamdrop's own rules, such as `courier-511`, or
    /// the name of a pattern in the configuration.
    pub rule: Cow<'static, str>,
}

impl Event<'_> {
    /// How long ago it happened. An event without a stamp has just happened;
    /// so has one in the future, because the clock that stamped it is ahead.
    #[must_use]
    pub fn age(&self, now: SystemTime) -> Duration {
        self.at
            .and_then(|at| now.duration_since(at).ok())
            .unwrap_or_default()
    }
}

/// What happened to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'line> {
    /// Its message was refused for being on a blocklist.
    Rejected {
        /// The reply after its code, or what follows the address that a
        /// pattern took; bytes that the peer or the blocklist's operator may
        /// have chosen.
        text: &'line [u8],
    },
    /// Its message was accepted.
    Accepted,
    /// It took a message from us that is no bounce.
    Delivered,
}

/// What an event says about its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Its message was accepted.
    Accepted,
    /// It took a message from us.
    Delivered,
    /// It is on a blocklist.
    Listed,
    /// It wrote to a recipient that does not exist.
    UnknownRecipient,
}
