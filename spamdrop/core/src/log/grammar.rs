//! The parts of a server's grammar, and its results.

use std::borrow::Cow;
use std::net::IpAddr;

use regex::bytes::{Regex, RegexBuilder};

use super::header::Header;
use super::refused_queries::RefusedQueries;
use super::sessions::SessionPeers;
use crate::event::{Envelope, Kind};

/// How the lines of one server are parsed.
pub(super) struct Grammar {
    /// Parses a line whose header has been split off.
    pub(super) read: for<'line> fn(&mut Context<'_>, &Header<'line>) -> GrammarResult<'line>,
    /// Whether a line that was not taken looks like a rejection because of this
    /// server's blocklists. Such a line is a near miss.
    pub(super) looks_rejected: fn(&[u8]) -> bool,
    /// A line without any of these strings is neither an event nor a near miss,
    /// and is not needed to parse a later line.
    pub(super) needles: &'static [&'static str],
    /// Whether the lines show reliably which peer's mail was accepted.
    pub(super) tells_acceptances: bool,
}

/// The input of a grammar besides the line.
pub(super) struct Context<'a> {
    /// The name of Courier's SMTP server in the log.
    pub(super) courier_program: &'a [u8],
    /// Set by a grammar that does not take the line: the peer whose connection
    /// the line reports.
    pub(super) connected: Option<IpAddr>,
    pub(super) refused_queries: &'a mut RefusedQueries,
    pub(super) sessions: &'a mut SessionPeers,
}

/// The event of a line, without its time.
#[derive(Debug)]
pub(super) struct Finding<'line> {
    pub(super) addr: IpAddr,
    pub(super) kind: Kind<'line>,
    pub(super) rule: Cow<'static, str>,
    pub(super) envelope: Envelope<'line>,
}

/// The result of a grammar for a line, or the reason why the line is not taken.
pub(super) type GrammarResult<'line> = Result<Finding<'line>, &'static str>;

impl<'line> Finding<'line> {
    pub(super) fn rejected(addr: IpAddr, text: &'line [u8], rule: &'static str) -> Self {
        Self::new(addr, Kind::Rejected { text }, rule)
    }

    pub(super) fn accepted(addr: IpAddr, rule: &'static str) -> Self {
        Self::new(addr, Kind::Accepted, rule)
    }

    pub(super) fn delivered(addr: IpAddr, rule: &'static str) -> Self {
        Self::new(addr, Kind::Delivered, rule)
    }

    fn new(addr: IpAddr, kind: Kind<'line>, rule: &'static str) -> Self {
        Self {
            addr,
            kind,
            rule: rule.into(),
            envelope: Envelope::default(),
        }
    }

    /// Adds what else the line says about the message.
    pub(super) fn with(self, envelope: Envelope<'line>) -> Self {
        Self { envelope, ..self }
    }
}

/// Compiles an expression of a built-in grammar. It matches bytes.
pub(super) fn expression(pattern: &str) -> Regex {
    let built = RegexBuilder::new(pattern).unicode(false).build();
    built.expect("grammars are constants, and each is used in a test")
}
