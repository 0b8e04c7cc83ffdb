//! The file of the administrator's allowlist.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use spamdrop_core::allowlist::Allowlist;

use crate::account;
use crate::clock;
use crate::directory;
use crate::durable;
use crate::exit::{Exit, Failure};

/// Reads the file. If it does not exist, the list is empty. Entries that have ended by
/// now are left out of its prefixes.
///
/// # Errors
///
/// The file cannot be read, or a line is not an address ([`Exit::Config`]).
pub fn read(path: &Path) -> Result<Allowlist> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let name = path.display().to_string();
    let parsed = Allowlist::parse(&name, &text, clock::unix_seconds());
    parsed.map_err(|error| Failure::new(Exit::Config, error.to_string()))
}

/// Replaces the file atomically: a crash leaves the old or the new one. The
/// daemon's account can read it, whatever the umask.
///
/// # Errors
///
/// Others could change the directory ([`directory::ensure_trusted`]), or the
/// file cannot be written.
pub fn write(path: &Path, list: &Allowlist) -> Result<()> {
    let dir = directory::of_file(path);
    let account = account::daemon();
    directory::ensure_trusted(&dir, "allow_file", &account)?;
    // In a directory of the daemon, a link could lead root elsewhere.
    let acting = match directory::is_owned_by(&dir, &account) {
        true => Some(account::act_as_daemon()?),
        false => None,
    };
    directory::make(&dir, 0o755)?;
    durable::replace(path, list.to_string().as_bytes())
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o644)))
        .and_then(|()| durable::sync_directory_of(path))
        .with_context(|| format!("cannot write {}", path.display()))?;
    drop(acting);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use spamdrop_core::allowlist::AllowTerm;

    #[test]
    fn a_list_is_written_and_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etc/allow");
        let mut list = read(&path).unwrap();
        assert!(list.nets().is_empty());
        let net = "192.0.2.0/24".parse().unwrap();
        assert_eq!(list.add(&[net], AllowTerm::default()).added.len(), 1);
        write(&path, &list).unwrap();
        assert_eq!(read(&path).unwrap().nets(), [net]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "192.0.2.0/24\n");
        assert!(!path.with_added_extension("new").exists());
    }

    #[test]
    fn a_bad_line_is_an_error_of_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("allow");
        fs::write(&path, "192.0.2.1\nfriend.example\n").unwrap();
        let error = read(&path).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "{}:2: `friend.example` is not an address or prefix",
                path.display()
            )
        );
        assert!(error.is::<Failure>());
    }
}
