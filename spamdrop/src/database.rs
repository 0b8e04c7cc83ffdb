//! SQLite files that the watcher and the verbs share.
//!
//! Each opens one for a short transaction. SQLite makes writers take turns,
//! and rolls back what a crash has left half written.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

/// How long another's transaction is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What tells a file of ours from others.
#[derive(Debug)]
pub struct Format {
    /// Marks it.
    pub application_id: i32,
    /// What its tables look like; counted up when that changes.
    pub version: i32,
    /// Makes them.
    pub tables: &'static str,
    /// What makes a new one, for people.
    pub maker: &'static str,
}

/// A file that is open.
#[derive(Debug)]
pub struct Database {
    db: Connection,
    path: PathBuf,
    format: &'static Format,
}

impl Database {
    /// Opens the file, or makes it, in a directory that exists.
    ///
    /// # Errors
    ///
    /// It cannot be opened, is damaged, or is not of this format; it is left
    /// as it was.
    pub fn open(path: &Path, format: &'static Format) -> Result<Self> {
        // SQLite would make it readable for all.
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options
            .mode(0o600)
            .open(path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let db = connect(path, format).with_context(|| unusable(path, format))?;
        let path = path.to_owned();
        Ok(Self { db, path, format })
    }

    /// As [`Database::open`]; `None` if there is no file.
    ///
    /// # Errors
    ///
    /// As [`Database::open`].
    pub fn open_existing(path: &Path, format: &'static Format) -> Result<Option<Self>> {
        match path.metadata() {
            Ok(_) => Self::open(path, format).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot open {}", path.display())),
        }
    }

    /// Reads, after a look for damage.
    ///
    /// # Errors
    ///
    /// Those of `read`; or the file is damaged or cannot be read.
    pub fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        check(&self.db)
            .and_then(|()| read(&self.db))
            .with_context(|| unusable(&self.path, self.format))
    }

    /// Makes a change whole or not at all.
    ///
    /// # Errors
    ///
    /// Those of `change`; or the file is damaged or cannot be written.
    pub fn change<T>(&mut self, change: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        transact(&mut self.db, change).with_context(|| unusable(&self.path, self.format))
    }
}

fn connect(path: &Path, format: &Format) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(PATIENCE)?;
    // A file from elsewhere brings no code.
    db.pragma_update(None, "trusted_schema", false)?;
    prepare(&mut db, format)?;
    Ok(db)
}

fn check(db: &Connection) -> Result<()> {
    let found: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        bail!("{found}");
    }
    Ok(())
}

fn transact<T>(
    db: &mut Connection,
    change: impl FnOnce(&Transaction<'_>) -> Result<T>,
) -> Result<T> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let result = change(&tx)?;
    tx.commit()?;
    Ok(result)
}

/// Makes the tables in a new file, and makes sure that they are there in an
/// old one.
fn prepare(db: &mut Connection, format: &Format) -> Result<()> {
    transact(db, |tx| {
        let pragma = |name: &str| tx.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        let ours = format.application_id;
        match (pragma("application_id")?, pragma("user_version")?) {
            (id, version) if id == ours && version == format.version => return Ok(()),
            (id, version) if id == ours => {
                bail!("it was written by another spamdrop (version {version})")
            }
            (0, 0) if is_empty(tx)? => {}
            _ => bail!("it holds something else"),
        }
        tx.execute_batch(format.tables)?;
        tx.pragma_update(None, "application_id", ours)?;
        tx.pragma_update(None, "user_version", format.version)?;
        Ok(())
    })
}

/// Whether there is no table at all.
fn is_empty(db: &Connection) -> Result<bool> {
    let query = "SELECT count(*) = 0 FROM sqlite_schema";
    Ok(db.query_row(query, [], |row| row.get(0))?)
}

fn unusable(path: &Path, format: &Format) -> String {
    format!(
        "cannot use {} (if it is damaged, move it away; `{}` fills a new one)",
        path.display(),
        format.maker
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::fs;

    use super::*;

    const FORMAT: Format = Format {
        application_id: 0x5344_7465,
        version: 7,
        tables: "CREATE TABLE ours (id INTEGER)",
        maker: "spamdrop test",
    };

    /// A file that holds a table of this statement.
    fn file(path: &Path, table: &str) -> Vec<u8> {
        let foreign = Connection::open(path).unwrap();
        foreign.execute_batch(table).unwrap();
        drop(foreign);
        fs::read(path).unwrap()
    }

    #[test]
    fn what_is_not_ours_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test.db");
        drop(Database::open(&path, &FORMAT).unwrap());
        let mut newer = fs::read(&path).unwrap();
        // The header's version, and application id.
        newer[60..64].copy_from_slice(&8_i32.to_be_bytes());
        let mut others = newer.clone();
        others[68..72].fill(1);
        fs::remove_file(&path).unwrap();
        for (bytes, reason) in [
            (newer, "it was written by another spamdrop (version 8)"),
            (others, "it holds something else"),
            (
                file(&path, "CREATE TABLE mail (id INTEGER)"),
                "it holds something else",
            ),
            (b"192.0.2.1\n".repeat(500), "file is not a database"),
        ] {
            fs::write(&path, &bytes).unwrap();
            let error = format!("{:#}", Database::open(&path, &FORMAT).unwrap_err());
            let expected = format!(
                "cannot use {} (if it is damaged, move it away; `spamdrop test` fills a new one): {reason}",
                path.display()
            );
            assert!(error.starts_with(&expected), "{error}");
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
    }
}
