//! Selects the entries of the journal that only the mail server can have written.

use anyhow::{Context as _, Result, bail};
use uzers::get_user_by_name;

use super::Config;
use crate::exit::{Exit, Failure};
use crate::tail::Matches;
use spamdrop_core::log::MailServer;

/// Selects the entries of Courier as Debian runs it. Courier logs rejections in
/// `courier-mta.service` and accepted messages in `courier.service`. With
/// `ESMTP_LOG_DIALOG`, `courier-mta.service` also logs client input, but not at
/// error priority. Programs of local users may run in both units (mail filters,
/// deliveries), so the user is matched too: Courier runs as root, `courier` or
/// `daemon`. A unit's standard error is excluded, because Courier logs by syslog(3).
const COURIER: [&str; 2] = [
    "_TRANSPORT=syslog _SYSTEMD_UNIT=courier-mta.service PRIORITY=3 _UID=0 _UID=courier _UID=daemon",
    "_TRANSPORT=syslog _SYSTEMD_UNIT=courier.service _UID=0 _UID=courier _UID=daemon",
];

/// Selects the entries of smtpd, postscreen and the other processes that run as
/// `postfix`: in the unit `postfix@-.service` of Debian 12, `postfix.service` of
/// Debian 13. No program of a local user runs as `postfix`: commands of
/// `.forward` run as the recipient, and postdrop(1) as its caller.
const POSTFIX: [&str; 1] = [
    "_TRANSPORT=syslog _SYSTEMD_UNIT=postfix.service _SYSTEMD_UNIT=postfix@-.service _UID=postfix",
];

/// Selects the entries of Exim's daemon, which runs as `Debian-exim` or `exim`.
/// Every local user can start an Exim that runs as this user, but not in the daemon's
/// unit. Commands of `.forward` files do run in the unit, but if they start an Exim,
/// the log lines of that Exim have no client address.
const EXIM: [&str; 1] = [
    "_TRANSPORT=syslog _SYSTEMD_UNIT=exim4.service _SYSTEMD_UNIT=exim.service _UID=Debian-exim _UID=exim",
];

/// The matches for a server as distributions run it; `None`: there is no default.
fn default_of(server: MailServer) -> Option<&'static [&'static str]> {
    match server {
        MailServer::Courier => Some(&COURIER),
        MailServer::Postfix => Some(&POSTFIX),
        MailServer::Exim => Some(&EXIM),
        _ => None,
    }
}

impl Config {
    /// `journal_match` as arguments for journalctl, with user names resolved.
    ///
    /// # Errors
    ///
    /// [`Exit::Config`]: the value is not a match of journalctl; or an
    /// alternative has neither `_UID` nor `_SELINUX_CONTEXT`, or names only
    /// users that do not exist.
    pub fn journal_args(&self) -> Result<Vec<String>> {
        let uid = |name: &str| get_user_by_name(name).map(|user| user.uid());
        let args = self.matches().and_then(|matches| matches.args(uid));
        args.map_err(|error| Failure::new(Exit::Config, format!("{error:#}")))
    }

    /// The first of `servers` whose entries are not read: `journal_match` is empty,
    /// and there is no default match for this server.
    pub(crate) fn server_without_match(&self) -> Option<MailServer> {
        let is_default = self.journal && self.journal_match.is_empty();
        let mut servers = self.servers.iter().copied();
        servers.find(|server| is_default && default_of(*server).is_none())
    }

    pub(super) fn check_journal(&self) -> Result<()> {
        let has_default = self
            .servers
            .iter()
            .any(|server| default_of(*server).is_some());
        if !self.journal_match.is_empty() || has_default {
            return self.matches().map(drop);
        }
        if self.journal {
            bail!(
                "`journal_match` is empty, and there is no default for any of `servers`; name your \
                 server's user, and its unit if it has one, as in \"_UID=opensmtpd\""
            );
        }
        Ok(())
    }

    fn matches(&self) -> Result<Matches> {
        let matches = match self.journal_match.is_empty() {
            false => Matches::parse(&self.journal_match),
            true => {
                let servers = self.servers.iter();
                let defaults = servers.filter_map(|server| default_of(*server));
                Matches::parse(&defaults.flatten().collect::<Vec<_>>())
            }
        };
        matches.context("`journal_match`")
    }
}
