//! The file of the administrator's allowlist.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result};
use spamdrop_core::allowlist::Allowlist;

use crate::durable;
use crate::exit::{Exit, Failure};

/// Reads the file. If it does not exist, the list is empty.
///
/// # Errors
///
/// The file cannot be read, or a line is not an address ([`Exit::Config`]).
pub fn read(path: &Path) -> Result<Allowlist> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let parsed = Allowlist::parse(&path.display().to_string(), &text);
    parsed.map_err(|error| Failure::new(Exit::Config, error.to_string()))
}

/// Replaces the file atomically: a crash leaves the old or the new one.
///
/// # Errors
///
/// The file cannot be written.
pub fn write(path: &Path, list: &Allowlist) -> Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)
            .with_context(|| format!("cannot make the directory {}", dir.display()))?;
    }
    durable::replace(path, list.to_string().as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_list_is_written_and_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etc/allow");
        let mut list = read(&path).unwrap();
        assert!(list.nets().is_empty());
        assert_eq!(list.add(&["192.0.2.0/24".parse().unwrap()]).len(), 1);
        write(&path, &list).unwrap();
        assert_eq!(read(&path).unwrap(), list);
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
