//! Which entries of the journal are believed.

use anyhow::{Context as _, Result, bail};
use uzers::get_user_by_name;

use super::Config;
use crate::exit::{Exit, Failure};
use crate::tail::Matches;
use spamdrop_core::log::MailServer;

/// Entries of the journal that are Courier's, as Debian runs it. It rejects in
/// one unit, and accepts in another. With `ESMTP_LOG_DIALOG` the former also
/// logs whatever a client says, but not as errors. In both units programs of
/// local users may run (mail filters, deliveries), so the user counts too:
/// Courier's own is `courier`, or `daemon`. Standard error of a unit, which is
/// not logged by syslog(3), is no log of Courier's.
pub(super) const COURIER: [&str; 2] = [
    "_TRANSPORT=syslog _SYSTEMD_UNIT=courier-mta.service PRIORITY=3 _UID=0 _UID=courier _UID=daemon",
    "_TRANSPORT=syslog _SYSTEMD_UNIT=courier.service _UID=0 _UID=courier _UID=daemon",
];

impl Config {
    /// `journal_match` as arguments for journalctl, users' names looked up.
    ///
    /// # Errors
    ///
    /// [`Exit::Config`]: it is not a match, or proves too little, or names no
    /// user that exists.
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
