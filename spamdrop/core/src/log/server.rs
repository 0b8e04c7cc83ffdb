//! The mail servers whose lines are understood.

use std::borrow::Cow;
use std::net::IpAddr;

use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;

use super::header::Header;
use super::opensmtpd::Sessions;
use super::{courier, exim, haraka, opensmtpd, postfix, rblsmtpd, rspamd, sendmail};
use crate::event::Kind;

/// A mail server, or what it asks about its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it; each has a module")]
pub enum Server {
    Courier,
    Postfix,
    Exim,
    Sendmail,
    Opensmtpd,
    Rblsmtpd,
    Haraka,
    Rspamd,
}

/// What a line tells.
#[derive(Debug)]
pub(super) struct Found<'line> {
    pub(super) addr: IpAddr,
    pub(super) kind: Kind<'line>,
    pub(super) rule: Cow<'static, str>,
}

impl<'line> Found<'line> {
    pub(super) fn rejected(addr: IpAddr, text: &'line [u8], rule: &'static str) -> Self {
        let kind = Kind::Rejected { text };
        let rule = rule.into();
        Self { addr, kind, rule }
    }

    pub(super) fn accepted(addr: IpAddr, rule: &'static str) -> Self {
        Self::plain(addr, Kind::Accepted, rule)
    }

    pub(super) fn delivered(addr: IpAddr, rule: &'static str) -> Self {
        Self::plain(addr, Kind::Delivered, rule)
    }

    fn plain(addr: IpAddr, kind: Kind<'static>, rule: &'static str) -> Self {
        let rule = rule.into();
        Self { addr, kind, rule }
    }
}

/// What a server's grammar makes of a line, or why it does not take it.
pub(super) type Reading<'line> = Result<Found<'line>, &'static str>;

impl Server {
    /// Reads a line by this server's grammar. `courier` is Courier's name in
    /// the log.
    pub(super) fn read<'line>(
        self,
        courier: &[u8],
        sessions: &mut Sessions,
        header: &Header<'line>,
    ) -> Reading<'line> {
        match self {
            Self::Courier => courier::read(courier, header),
            Self::Postfix => postfix::read(header),
            Self::Exim => exim::read(header),
            Self::Sendmail => sendmail::read(header),
            Self::Opensmtpd => opensmtpd::read(sessions, header),
            Self::Rblsmtpd => rblsmtpd::read(header),
            Self::Haraka => haraka::read(header),
            Self::Rspamd => rspamd::read(header),
        }
    }

    /// Strings of which a line has one, or this server's grammar makes nothing
    /// of it.
    pub(super) fn needles(self) -> &'static [&'static str] {
        match self {
            Self::Courier => &courier::NEEDLES,
            Self::Postfix => &postfix::NEEDLES,
            Self::Exim => &exim::NEEDLES,
            Self::Sendmail => &sendmail::NEEDLES,
            Self::Opensmtpd => &opensmtpd::NEEDLES,
            Self::Rblsmtpd => &rblsmtpd::NEEDLES,
            Self::Haraka => &haraka::NEEDLES,
            Self::Rspamd => &rspamd::NEEDLES,
        }
    }

    /// Whether its lines tell for certain whose mail was accepted. Sendmail
    /// logs a message's sender before a milter may still refuse it.
    #[must_use]
    pub fn tells_acceptances(self) -> bool {
        match self {
            Self::Courier | Self::Postfix | Self::Exim | Self::Rspamd => true,
            Self::Sendmail | Self::Opensmtpd | Self::Rblsmtpd | Self::Haraka => false,
        }
    }

    /// Whether a line that was not taken looks like a rejection by this
    /// server's blocklists.
    pub(super) fn looks_rejected(self, line: &[u8]) -> bool {
        match self {
            Self::Courier => courier::looks_rejected(line),
            Self::Postfix => postfix::looks_rejected(line),
            Self::Exim => exim::looks_rejected(line),
            Self::Sendmail => sendmail::looks_rejected(line),
            Self::Opensmtpd => opensmtpd::looks_rejected(line),
            Self::Rblsmtpd => rblsmtpd::looks_rejected(line),
            Self::Haraka => haraka::looks_rejected(line),
            Self::Rspamd => rspamd::looks_rejected(line),
        }
    }
}

/// Compiles one of our own grammars, which match bytes.
pub(super) fn grammar(pattern: &str) -> Regex {
    let built = RegexBuilder::new(pattern).unicode(false).build();
    built.expect("grammars are constants, and each is used in a test")
}
