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
    /// Make older ones into them.
    pub upgrades: &'static [Upgrade],
    /// What makes a new one, for people.
    pub maker: &'static str,
}

/// What became of the tables in the next version.
#[derive(Debug)]
pub struct Upgrade {
    /// The version before.
    pub from: i32,
    /// Changes its tables into those of the next one.
    pub change: &'static str,
}

/// A file that is open.
#[derive(Debug)]
pub struct Database {
    db: Connection,
    path: PathBuf,
    format: &'static Format,
}

impl Database {
    /// Opens the file, or makes it, in a directory that exists. One of an older
    /// version is upgraded.
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

    /// Reads all of the file, and looks for damage.
    ///
    /// # Errors
    ///
    /// The file is damaged or cannot be read.
    pub fn check(&self) -> Result<()> {
        check(&self.db).with_context(|| unusable(&self.path, self.format))
    }

    /// Reads.
    ///
    /// # Errors
    ///
    /// Those of `read`; or the file is damaged or cannot be read.
    pub fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        read(&self.db).with_context(|| unusable(&self.path, self.format))
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

/// Makes sure that the tables are there, as they are now. Who only reads need
/// not wait for a writer.
fn prepare(db: &mut Connection, format: &Format) -> Result<()> {
    let tx = db.transaction()?;
    if version(&tx, format)? == Some(format.version) {
        return Ok(());
    }
    drop(tx);
    transact(db, |tx| {
        let found = version(tx, format)?;
        if let Some(found) = found {
            upgrade(tx, found, format)?;
        } else {
            tx.execute_batch(format.tables)?;
            tx.pragma_update(None, "application_id", format.application_id)?;
        }
        tx.pragma_update(None, "user_version", format.version)?;
        Ok(())
    })
}

/// The version of a file of this format; `None` for one without any table.
fn version(tx: &Transaction<'_>, format: &Format) -> Result<Option<i32>> {
    let pragma = |name: &str| tx.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    match (pragma("application_id")?, pragma("user_version")?) {
        (id, version) if id == format.application_id => Ok(Some(version)),
        (0, 0) if is_empty(tx)? => Ok(None),
        _ => bail!("it holds something else"),
    }
}

fn upgrade(tx: &Transaction<'_>, found: i32, format: &Format) -> Result<()> {
    let mut version = found;
    while version != format.version {
        let Some(next) = format.upgrades.iter().find(|next| next.from == version) else {
            bail!("it was written by another spamdrop (version {found})");
        };
        tx.execute_batch(next.change)?;
        version += 1;
    }
    Ok(())
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
        tables: "CREATE TABLE ours (id INTEGER, more INTEGER)",
        upgrades: &[
            Upgrade {
                from: 6,
                change: "ALTER TABLE ours ADD COLUMN more INTEGER",
            },
            Upgrade {
                from: 5,
                change: "ALTER TABLE theirs RENAME TO ours",
            },
        ],
        maker: "spamdrop test",
    };

    /// A file that holds a table of this statement.
    fn file(path: &Path, table: &str) -> Vec<u8> {
        let foreign = Connection::open(path).unwrap();
        foreign.execute_batch(table).unwrap();
        drop(foreign);
        fs::read(path).unwrap()
    }

    /// A file of an older version, that holds a table of this statement.
    fn old(path: &Path, version: i32, table: &str) {
        let db = Connection::open(path).unwrap();
        let id = FORMAT.application_id;
        db.pragma_update(None, "application_id", id).unwrap();
        db.pragma_update(None, "user_version", version).unwrap();
        db.execute_batch(table).unwrap();
    }

    #[test]
    fn an_older_file_is_upgraded_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test.db");
        old(&path, 5, "CREATE TABLE theirs (id INTEGER)");
        for _ in 0..2 {
            let opened = Database::open_existing(&path, &FORMAT).unwrap().unwrap();
            let more = "SELECT count(more) FROM ours";
            let read = |db: &Connection| Ok(db.query_row(more, [], |row| row.get(0))?);
            assert_eq!(opened.read::<i32>(read).unwrap(), 0);
        }
        fs::remove_file(&path).unwrap();
        // The second step fails.
        old(&path, 5, "CREATE TABLE theirs (more INTEGER)");
        let bytes = fs::read(&path).unwrap();
        let error = Database::open(&path, &FORMAT).unwrap_err();
        assert!(
            format!("{error:#}").contains("duplicate column name"),
            "{error:#}"
        );
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn who_reads_waits_for_no_writer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test.db");
        let mut writer = Database::open(&path, &FORMAT).unwrap();
        let change = |tx: &Transaction<'_>| {
            tx.execute("INSERT INTO ours VALUES (1, 2)", [])?;
            let reader = Database::open_existing(&path, &FORMAT)?.unwrap();
            let count = "SELECT count(*) FROM ours";
            reader.read(|db| Ok(db.query_row(count, [], |row| row.get::<_, i32>(0))?))
        };
        assert_eq!(writer.change(change).unwrap(), 0);
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
