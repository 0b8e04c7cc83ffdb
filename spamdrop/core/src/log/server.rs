//! The supported mail servers.

use serde::Deserialize;

use super::grammar::Grammar;
use super::{courier, exim, haraka, opensmtpd, postfix, rblsmtpd, rspamd, sendmail};

/// A mail server, or a program that checks the server's peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it; each has a module")]
pub enum MailServer {
    Courier,
    Postfix,
    Exim,
    Sendmail,
    Opensmtpd,
    Rblsmtpd,
    Haraka,
    Rspamd,
}

impl MailServer {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Courier,
        Self::Postfix,
        Self::Exim,
        Self::Sendmail,
        Self::Opensmtpd,
        Self::Rblsmtpd,
        Self::Haraka,
        Self::Rspamd,
    ];

    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Courier => "courier",
            Self::Postfix => "postfix",
            Self::Exim => "exim",
            Self::Sendmail => "sendmail",
            Self::Opensmtpd => "opensmtpd",
            Self::Rblsmtpd => "rblsmtpd",
            Self::Haraka => "haraka",
            Self::Rspamd => "rspamd",
        }
    }

    /// The server with this name in the configuration.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|server| server.name() == name)
    }

    /// The grammar of its lines.
    pub(super) fn grammar(self) -> &'static Grammar {
        match self {
            Self::Courier => &courier::GRAMMAR,
            Self::Postfix => &postfix::GRAMMAR,
            Self::Exim => &exim::GRAMMAR,
            Self::Sendmail => &sendmail::GRAMMAR,
            Self::Opensmtpd => &opensmtpd::GRAMMAR,
            Self::Rblsmtpd => &rblsmtpd::GRAMMAR,
            Self::Haraka => &haraka::GRAMMAR,
            Self::Rspamd => &rspamd::GRAMMAR,
        }
    }

    /// Whether its program, or another one that its grammar reads, has this name
    /// by default.
    pub(super) fn is_usual(self, program: &[u8]) -> bool {
        match self {
            Self::Courier if matches!(program, b"courierd" | b"courieresmtp") => true,
            Self::Postfix => postfix::is_process(program),
            _ => self.grammar().is_usual(program),
        }
    }

    /// Whether its lines show reliably which peer's mail was accepted.
    #[must_use]
    pub fn tells_acceptances(self) -> bool {
        self.grammar().tells_acceptances
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_is_found_by_its_name_and_four_tell_acceptances() {
        let mut tells = Vec::new();
        for server in MailServer::ALL {
            assert_eq!(MailServer::named(server.name()), Some(server));
            tells.extend(server.tells_acceptances().then_some(server.name()));
        }
        assert_eq!(tells, ["courier", "postfix", "exim", "rspamd"]);
        assert_eq!(MailServer::named("qmail"), None);
    }
}
