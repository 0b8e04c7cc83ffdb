//! Which entries of the journal are trusted.

use anyhow::{Context as _, Result, bail};
use uzers::get_user_by_name;

use super::Config;
use crate::exit::{Exit, Failure};
use crate::tail::Matches;
use spamdrop_core::log::MailServer;

/// Selects the entries of Courier as Debian runs it. Courier rejects in one
/// unit and accepts in another. With `ESMTP_LOG_DIALOG`, the former also logs
/// client input, but not at error priority. Programs of local users may run in
/// both units (mail filters, deliveries), so the user is matched too: Courier's
/// own is `courier` or `daemon`. A unit's standard error is excluded, because
/// Courier logs by syslog(3).
pub(super) const COURIER: [&str; 2] = [
    "_TRANSPORT=syslog _SYSTEMD_UNIT=courier-mta.service PRIORITY=3 _UID=0 _UID=courier _UID=daemon",
    "_TRANSPORT=syslog _SYSTEMD_UNIT=courier.service _UID=0 _UID=courier _UID=daemon",
];

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

    /// Whether the journal is read with the default match.
    pub(crate) fn matches_courier_alone(&self) -> bool {
        self.journal && self.journal_match == COURIER
    }

    pub(super) fn check_journal(&self) -> Result<()> {
        if self.matches_courier_alone() && !self.servers.contains(&MailServer::Courier) {
            bail!(
                "`journal_match` is that of Courier, which `servers` does not name; name your \
                 server's user, and its unit if it has one, as in \"_UID=postfix\""
            );
        }
        self.matches().map(drop)
    }

    fn matches(&self) -> Result<Matches> {
        Matches::parse(&self.journal_match).context("`journal_match`")
    }
}
