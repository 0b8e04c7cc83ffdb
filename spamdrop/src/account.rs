//! The account as which the daemon runs, and to which its directories belong.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use rustix::fs::{Gid, Uid};
use rustix::io;
use rustix::process::{getegid, geteuid, getgroups};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::exit::{self, Exit, Failure};

/// The default of `user`.
pub const DEFAULT: &str = "spamdrop";

/// The next step where the account is missing.
pub const HOW_TO_MAKE: &str =
    "`useradd --system --no-create-home --shell /usr/sbin/nologin spamdrop` makes it";

/// A user with its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name, or its number if it has no name.
    pub name: String,
    /// The user id.
    pub uid: Uid,
    /// The id of its own group.
    pub gid: Gid,
    /// All of its groups, as initgroups(3) finds them.
    pub groups: Vec<Gid>,
}

/// The account that [`configure`] has chosen for the daemon.
static DAEMON: OnceLock<Account> = OnceLock::new();

impl Account {
    /// The account for the value of `user`. If this process is not root, it is the
    /// account of this process, whatever `user` is. `None`: the account of the
    /// default name does not exist, so root stays root.
    ///
    /// # Errors
    ///
    /// An account that was named does not exist ([`Exit::Config`]).
    pub fn for_setting(user: &str) -> Result<Option<Self>> {
        if !geteuid().is_root() {
            return Ok(Some(Self::of_process()));
        }
        match Self::find(user) {
            None if user != DEFAULT => {
                let message =
                    format!("`user`: there is no account `{user}`; `getent passwd` lists them");
                Err(Failure::new(Exit::Config, message))
            }
            found => Ok(found),
        }
    }

    fn find(name: &str) -> Option<Self> {
        let user = uzers::get_user_by_name(name)?;
        let gid = user.primary_group_id();
        let groups = uzers::get_user_groups(name, gid).unwrap_or_default();
        Some(Self {
            name: name.to_owned(),
            uid: Uid::from_raw(user.uid()),
            gid: Gid::from_raw(gid),
            groups: groups
                .iter()
                .map(|group| Gid::from_raw(group.gid()))
                .collect(),
        })
    }

    /// The account as which this process runs.
    #[must_use]
    pub fn of_process() -> Self {
        let uid = geteuid();
        Self {
            name: user_name(uid),
            uid,
            gid: getegid(),
            groups: getgroups().unwrap_or_default(),
        }
    }
}

impl Account {
    /// Whether the mode of a file gives the account `rights`, a sum of 4 (read), 2 (write)
    /// and 1 (enter), leaving aside access control lists.
    #[must_use]
    pub fn has(&self, found: &Metadata, rights: u32) -> bool {
        let mut groups = self.groups.iter().chain([&self.gid]);
        let shift = if found.uid() == self.uid.as_raw() {
            6
        } else if groups.any(|group| group.as_raw() == found.gid()) {
            3
        } else {
            0
        };
        found.mode() >> shift & rights == rights
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The name of a user, or else its number.
#[must_use]
pub fn user_name(uid: Uid) -> String {
    uzers::get_user_by_uid(uid.as_raw())
        .and_then(|user| user.name().to_str().map(str::to_owned))
        .unwrap_or_else(|| uid.as_raw().to_string())
}

/// The name of a group, or else its number.
#[must_use]
pub fn group_name(gid: Gid) -> String {
    uzers::get_group_by_gid(gid.as_raw())
        .and_then(|group| group.name().to_str().map(str::to_owned))
        .unwrap_or_else(|| gid.as_raw().to_string())
}

/// Sets the account of [`daemon`] from the value of `user`. Only the first call
/// counts.
///
/// # Errors
///
/// As [`Account::for_setting`].
pub fn configure(user: &str) -> Result<()> {
    let account = Account::for_setting(user)?;
    exit::note_user();
    // A second call changes nothing.
    let _ = DAEMON.set(account.unwrap_or_else(Account::of_process));
    Ok(())
}

/// The account as which the daemon runs: the one that [`configure`] has chosen, or, before
/// its first call, that of this process.
#[must_use]
pub fn daemon() -> Account {
    DAEMON.get().cloned().unwrap_or_else(Account::of_process)
}

/// The capabilities by which root may do to files what their modes forbid.
const OF_FILES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::LINUX_IMMUTABLE);

/// While it exists, this thread opens and makes files as the daemon's account,
/// without root's rights to files. Root's commands use it in the daemon's
/// directories, so that their files stay usable for the daemon, and that a
/// symbolic link there leads to nothing that the daemon could not reach itself.
/// All other capabilities remain in force.
#[derive(Debug)]
#[must_use = "dropping it ends the change of the account"]
pub struct ActingAsDaemon(Option<Root>);

impl ActingAsDaemon {
    /// Changes nothing: for a path at which the daemon's account owns nothing, so
    /// that it cannot have placed a symbolic link there.
    pub fn unchanged() -> Self {
        Self(None)
    }
}

/// The rights of root before the change.
#[derive(Debug)]
struct Root {
    effective: CapabilitySet,
    gid: Gid,
    groups: Vec<Gid>,
}

/// Begins to act as the daemon's account, if this thread acts as root and the
/// daemon's account is another one. Otherwise, it changes nothing.
///
/// # Errors
///
/// The kernel refuses the change, as it does in a container without CAP_SETUID.
pub fn act_as_daemon() -> Result<ActingAsDaemon> {
    let account = daemon();
    if !geteuid().is_root() || account.uid.is_root() {
        return Ok(ActingAsDaemon(None));
    }
    let root = Root::read()?;
    let become_account = || {
        let became = root.become_account(&account);
        if became.is_err()
            && let Err(error) = root.restore()
        {
            log::error!("cannot act as root again: {error}");
        }
        became
    };
    // If a step fails, the closure undoes the earlier ones.
    become_account().with_context(|| {
        format!("cannot switch to the account {account}; set `user = \"root\"` to run as root")
    })?;
    Ok(ActingAsDaemon(Some(root)))
}

impl Root {
    fn read() -> io::Result<Self> {
        Ok(Self {
            effective: capabilities(None)?.effective,
            gid: getegid(),
            groups: getgroups()?,
        })
    }

    fn become_account(&self, account: &Account) -> io::Result<()> {
        set_thread_groups(&account.groups)?;
        set_thread_res_gid(None, account.gid, None)?;
        // This clears the effective capabilities (capabilities(7)).
        set_thread_res_uid(None, account.uid, None)?;
        set_effective(self.effective.difference(OF_FILES))
    }

    fn restore(&self) -> io::Result<()> {
        set_thread_res_uid(None, Uid::ROOT, None)?;
        set_effective(self.effective)?;
        set_thread_res_gid(None, self.gid, None)?;
        set_thread_groups(&self.groups)
    }
}

fn set_effective(effective: CapabilitySet) -> io::Result<()> {
    let mut sets = capabilities(None)?;
    sets.effective = effective;
    set_capabilities(None, sets)
}

impl Drop for ActingAsDaemon {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.take().map(|root| root.restore()) {
            log::error!("cannot act as root again: {error}");
        }
    }
}
