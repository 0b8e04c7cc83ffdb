//! What each server's grammar consists of, and what it makes of a line.

use std::borrow::Cow;
use std::net::IpAddr;

use regex::bytes::{Regex, RegexBuilder};

use super::header::Header;
use super::sessions::SessionPeers;
use crate::event::Kind;

/// How the lines of one server are read.
pub(super) struct Grammar {
    /// Reads a line, split behind its header.
    pub(super) read: for<'line> fn(&mut Context<'_>, &Header<'line>) -> GrammarResult<'line>,
    /// Whether a line that was not taken looks like a rejection by this
    /// server's blocklists. Such a line is a near miss.
    pub(super) looks_rejected: fn(&[u8]) -> bool,
    /// A line without any of these strings is neither an event nor a near
    /// miss, nor needed to understand a later line.
    pub(super) needles: &'static [&'static str],
    /// Whether the lines tell for certain whose mail was accepted.
    pub(super) tells_acceptances: bool,
}

/// What a grammar depends on besides the line.
pub(super) struct Context<'a> {
    /// The name of Courier's SMTP server in the log.
    pub(super) courier_program: &'a [u8],
    pub(super) sessions: &'a mut SessionPeers,
}

/// What a line says.
#[derive(Debug)]
pub(super) struct Finding<'line> {
    pub(super) addr: IpAddr,
    pub(super) kind: Kind<'line>,
    pub(super) rule: Cow<'static, str>,
}

/// What a grammar makes of a line, or why it does not take it.
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
        let rule = rule.into();
        Self { addr, kind, rule }
    }
}

/// Compiles an expression of one of our own grammars. It matches bytes.
pub(super) fn expression(pattern: &str) -> Regex {
    let built = RegexBuilder::new(pattern).unicode(false).build();
    built.expect("grammars are constants, and each is used in a test")
}
