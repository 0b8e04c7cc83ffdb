//! Reads Courier's files `esmtpd` and `smtpaccess`.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context as _, Result};
use shlex::bytes::Shlex;
use spamdrop_core::courier::esmtpd::EsmtpdSettings;
use spamdrop_core::courier::smtpaccess::Access;
use spamdrop_core::zones::Zones;

/// The settings that Courier's start script reads; `None` if the file does not
/// exist.
///
/// # Errors
///
/// The file cannot be read.
pub fn settings(courier_dir: &Path) -> Result<Option<EsmtpdSettings>> {
    let path = courier_dir.join("esmtpd");
    let split = |text: &[u8]| Shlex::new(text).collect();
    match fs::read(&path) {
        Ok(script) => Ok(Some(EsmtpdSettings::parse(&script, split))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The zones that Courier queries, with its access table; empty without an
/// `esmtpd` file.
///
/// # Errors
///
/// A file cannot be read.
pub fn zones(courier_dir: &Path) -> Result<Zones> {
    match settings(courier_dir)? {
        None => Ok(Zones::default()),
        Some(settings) => Ok(Zones::with_access(
            settings.rules(),
            access(&courier_dir.join("smtpaccess"))?,
        )),
    }
}

/// Reads the access table, a file or the files of a directory, from which
/// `makesmtpaccess` builds Courier's database. If it does not exist, the table
/// is empty.
fn access(path: &Path) -> Result<Access> {
    let cannot = || format!("cannot read {}", path.display());
    let mut access = Access::default();
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Ok(metadata) if metadata.is_dir() => {
            for file in fs::read_dir(path).with_context(cannot)? {
                let file = file.with_context(cannot)?.path();
                if file.is_file() {
                    access.add(&fs::read(&file).with_context(cannot)?);
                }
            }
        }
        metadata => {
            metadata.with_context(cannot)?;
            access.add(&fs::read(path).with_context(cannot)?);
        }
    }
    Ok(access)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use spamdrop_core::courier::smtpaccess::AccessEntry;

    use super::*;

    #[test]
    fn the_table_is_a_file_or_a_directory_or_absent() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("default"), "192.0.2\tallow,BLOCK\n").unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        for path in [dir.path(), &dir.path().join("default")] {
            let table = access(path).unwrap();
            assert_eq!(table.entry_for([192, 0, 2, 1].into()), AccessEntry::Spares);
        }
        assert_eq!(access(&dir.path().join("none")).unwrap(), Access::default());
    }
}
