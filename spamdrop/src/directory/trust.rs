//! Checks that only root and the daemon's account can change a directory and those above it.

use std::fmt;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::{Gid, Uid};

use super::Owned;
use crate::account::{self, Account};
use crate::exit::{Exit, Failure};

/// Why a directory is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It belongs neither to root nor to the account.
    Foreign,
    /// It does not belong to the account, although it must.
    NotDaemons,
    /// Its mode lets everybody write to it.
    WritableByAll,
    /// Its mode lets its group write to it.
    WritableByGroup,
}

impl Fault {
    /// Whether another mode mends it.
    const fn is_of_mode(self) -> bool {
        matches!(self, Self::WritableByAll | Self::WritableByGroup)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Foreign => "belongs to somebody else",
            Self::NotDaemons => "does not belong to the daemon's account",
            Self::WritableByAll => "can be written to by everybody",
            Self::WritableByGroup => "can be written to by its group",
        })
    }
}

/// Ensures that the daemon's account owns the directory, if it exists, and that
/// nobody else can change it.
///
/// # Errors
///
/// Another account owns the directory or can change it. The message names the next step.
pub fn ensure_owned(path: &Path, owned: Owned, account: &Account) -> Result<()> {
    ensure_trusted(path, owned.key(), account)?;
    match fs::metadata(path) {
        Ok(found) if found.uid() == account.uid.as_raw() => Ok(()),
        Ok(found) => Err(refusal(
            path,
            &found,
            owned.key(),
            account,
            Fault::NotDaemons,
        )),
        // It does not exist. `ensure_trusted` has checked the nearest one above it.
        Err(_) => Ok(()),
    }
}

/// Ensures that only root and the account can change the directory, and those
/// above it. If the directory does not exist, the nearest one above it is checked.
///
/// # Errors
///
/// Somebody else can change one of them; the message names owner, mode and the next step.
pub fn ensure_trusted(path: &Path, key: &str, account: &Account) -> Result<()> {
    let nearest = path.ancestors().find(|path| path.exists());
    let nearest = nearest.filter(|path| !path.as_os_str().is_empty());
    let real = fs::canonicalize(nearest.unwrap_or(Path::new(".")))
        .with_context(|| format!("`{key}`: cannot look at {}", path.display()))?;
    for directory in real.ancestors() {
        let found = fs::metadata(directory)
            .with_context(|| format!("`{key}`: cannot look at {}", directory.display()))?;
        let is_above = directory != real || nearest != Some(path);
        if let Some(fault) = fault(&found, is_above, account) {
            return Err(refusal(directory, &found, key, account, fault));
        }
    }
    Ok(())
}

/// Why others than root and the account can change a directory; `None`: they cannot.
fn fault(found: &Metadata, is_above: bool, account: &Account) -> Option<Fault> {
    let is_sticky = found.mode() & 0o1000 != 0;
    let is_own_group = [0, account.gid.as_raw()].contains(&found.gid());
    if ![0, account.uid.as_raw()].contains(&found.uid()) {
        return Some(Fault::Foreign);
    }
    if is_above && is_sticky {
        return None;
    }
    if found.mode() & 0o002 != 0 {
        return Some(Fault::WritableByAll);
    }
    (found.mode() & 0o020 != 0 && !is_own_group).then_some(Fault::WritableByGroup)
}

fn refusal(
    path: &Path,
    found: &Metadata,
    key: &str,
    account: &Account,
    fault: Fault,
) -> anyhow::Error {
    let shown = path.display();
    let mode = found.mode() & 0o7777;
    let owner = account::user_name(Uid::from_raw(found.uid()));
    let group = account::group_name(Gid::from_raw(found.gid()));
    let is_own = [0, account.uid.as_raw()].contains(&found.uid());
    let who = match account.uid.is_root() {
        true => "root".to_owned(),
        false => format!("root and {account}"),
    };
    let step = match is_own && fault.is_of_mode() {
        true => format!("`chmod go-w {shown}`"),
        false => format!(
            "`chown {account}: {shown}`, or set `user = {owner:?}` if the daemon runs as that user"
        ),
    };
    let message = format!(
        "`{key}`: {shown} (owner {owner}, group {group}, mode {mode:04o}) {fault}; only {who} may \
         change it: {step}, or name another path"
    );
    Failure::new(Exit::Config, message)
}
