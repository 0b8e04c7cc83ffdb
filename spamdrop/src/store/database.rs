//! An SQLite file that the daemon and the commands share.
//!
//! Each process opens it for a short transaction. SQLite admits one writer at a
//! time, and rolls back what a crash has left half written.

use std::error::Error as StdError;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Error, Result};
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use crate::account;
use crate::holder;

/// The expected content of a file.
#[derive(Debug)]
pub struct Schema {
    /// SQLite's `application_id`, which distinguishes our files from others.
    pub application_id: i32,
    /// SQLite's `user_version`; it increases with every change of the tables.
    pub version: i32,
    /// Statements that create the tables of this version.
    pub tables: &'static [&'static str],
    /// Upgrade steps from older versions.
    pub upgrades: &'static [SchemaStep],
    /// The remedy for a damaged file, for error messages.
    pub remedy: &'static str,
}

/// An upgrade from one version of the tables to the next.
#[derive(Debug)]
pub struct SchemaStep {
    /// The version before the step.
    pub from: i32,
    /// Statements that change the tables of that version into those of the next.
    pub changes: &'static [&'static str],
}

/// An open file.
#[derive(Debug)]
pub struct Database {
    db: Connection,
    path: PathBuf,
    remedy: &'static str,
}

impl Database {
    /// Opens the file, or creates it in an existing directory. A file of an
    /// older version is upgraded. Waits at most `wait` for another process,
    /// here and in each later call.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, is locked ([`is_locked`]), is damaged, or
    /// does not have this schema. It is left unchanged.
    pub fn open(path: &Path, schema: &Schema, wait: Duration) -> Result<Self> {
        make(path).with_context(|| format!("cannot open {}", path.display()))?;
        let open = || {
            let mut db = connect(path, wait)?;
            prepare(&mut db, schema)?;
            Ok(db)
        };
        let db = open().map_err(|error| explain(error, path, schema.remedy))?;
        Ok(Self {
            db,
            path: path.to_owned(),
            remedy: schema.remedy,
        })
    }

    /// Opens an existing file for reads only. It is neither created nor upgraded.
    ///
    /// # Errors
    ///
    /// As [`Database::open`], or the file has an older version.
    pub fn open_read_only(path: &Path, schema: &Schema, wait: Duration) -> Result<Self> {
        let open = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let db = Connection::open_with_flags(path, flags)?;
            db.busy_timeout(wait)?;
            db.pragma_update(None, "trusted_schema", false)?;
            match identity(&db)? {
                (id, version) if id == schema.application_id && version == schema.version => Ok(db),
                (id, version) if id == schema.application_id => {
                    Err(NotOurs::version(version, schema.version))
                }
                _ => Err(NotOurs::foreign()),
            }
        };
        let db = open().map_err(|error| explain(error, path, schema.remedy))?;
        Ok(Self {
            db,
            path: path.to_owned(),
            remedy: schema.remedy,
        })
    }

    /// Ensures that [`Database::open`] could use an existing file. Upgrades nothing; SQLite
    /// may undo what a crash has left half written.
    ///
    /// # Errors
    ///
    /// As [`Database::open`].
    pub fn ensure_usable(path: &Path, schema: &Schema, wait: Duration) -> Result<()> {
        let find = || {
            // A read-only connection could not undo what a crash has left half written.
            let mut db = connect(path, wait)?;
            version(&db.transaction()?, schema)
        };
        let found = match find().map_err(|error| explain(error, path, schema.remedy))? {
            Some(found) if found > schema.version => NotOurs::version(found, schema.version),
            _ => return Ok(()),
        };
        Err(explain(found, path, schema.remedy))
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a whole table, and fails if it is damaged.
    pub fn check(&self, table: &str) -> Result<()> {
        self.read(|db| check(db, Some(table)))
    }

    /// Runs a read, as the daemon's account.
    pub fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let _acting = account::act_as_daemon()?;
        read(&self.db).map_err(|error| explain(error, &self.path, self.remedy))
    }

    /// Runs a change in one transaction, as the daemon's account.
    pub fn change<T>(&mut self, change: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let _acting = account::act_as_daemon()?;
        transact(&mut self.db, change).map_err(|error| explain(error, &self.path, self.remedy))
    }
}

/// Creates the file, accessible to its owner only; SQLite itself would make it
/// readable for all. An existing file is not even opened, because closing it
/// would release the locks of every other connection of this process
/// (fcntl(2)).
fn make(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    match options.write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

/// Opens an existing SQLite file.
pub fn connect(path: &Path, wait: Duration) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(wait)?;
    // The schema of a foreign file must not run functions.
    db.pragma_update(None, "trusted_schema", false)?;
    // EXTRA syncs the directory after the deletion of the journal. Otherwise, a power cut
    // may bring the journal back, and SQLite would undo the last transaction.
    db.pragma_update(None, "synchronous", "EXTRA")?;
    // Without this, deleted addresses stay in the file until their place is used again.
    db.pragma_update(None, "secure_delete", true)?;
    // SQLite's temporary files stay in memory, because the daemon can make files in its
    // own directories only.
    db.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(db)
}

/// Checks one table, or all, for damage.
pub fn check(db: &Connection, table: Option<&str>) -> Result<()> {
    let query = "SELECT quick_check FROM pragma_quick_check(?1) LIMIT 1";
    let found: String = match table {
        Some(table) => db.query_row(query, [table], |row| row.get(0))?,
        None => db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?,
    };
    match found.as_str() {
        "ok" => Ok(()),
        _ => Err(Damage(found).into()),
    }
}

/// The damage that SQLite's `quick_check` has found, in its words.
#[derive(Debug)]
pub struct Damage(String);

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Damage {}

/// Returns `application_id` and `user_version`.
pub fn identity(db: &Connection) -> Result<(i32, i32)> {
    let pragma = |name: &str| db.pragma_query_value(None, name, |row| row.get(0));
    Ok((pragma("application_id")?, pragma("user_version")?))
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

/// Ensures that the tables exist in their current version. A file that needs no
/// change is not locked for writing, so that a reader does not wait for a
/// writer.
fn prepare(db: &mut Connection, schema: &Schema) -> Result<()> {
    let tx = db.transaction()?;
    if version(&tx, schema)? == Some(schema.version) {
        return Ok(());
    }
    drop(tx);
    transact(db, |tx| {
        let found = version(tx, schema)?;
        if let Some(found) = found {
            upgrade(tx, found, schema)?;
        } else {
            for table in schema.tables {
                tx.execute_batch(table)?;
            }
            tx.pragma_update(None, "application_id", schema.application_id)?;
        }
        tx.pragma_update(None, "user_version", schema.version)?;
        Ok(())
    })
}

/// The version of a file with this schema; `None` for a file without tables.
fn version(tx: &Transaction<'_>, schema: &Schema) -> Result<Option<i32>> {
    match identity(tx)? {
        (id, version) if id == schema.application_id => Ok(Some(version)),
        (0, 0) if is_empty(tx)? => Ok(None),
        _ => Err(NotOurs::foreign()),
    }
}

fn upgrade(tx: &Transaction<'_>, found: i32, schema: &Schema) -> Result<()> {
    let mut version = found;
    while version != schema.version {
        let Some(next) = schema.upgrades.iter().find(|next| next.from == version) else {
            return Err(NotOurs::version(found, schema.version));
        };
        for change in next.changes {
            tx.execute_batch(change)?;
        }
        version += 1;
    }
    Ok(())
}

fn is_empty(db: &Connection) -> Result<bool> {
    let query = "SELECT count(*) = 0 FROM sqlite_schema";
    Ok(db.query_row(query, [], |row| row.get(0))?)
}

/// The error for an intact file that this program must not change.
#[derive(Debug)]
pub struct NotOurs(String);

impl NotOurs {
    /// The error for a file that another program made.
    pub fn foreign() -> Error {
        Error::new(Self("it is not a file of spamdrop".into()))
    }

    /// The error for a file of a version that this program cannot read.
    pub fn version(found: i32, readable: i32) -> Error {
        Error::new(Self(format!(
            "it has version {found}, and this spamdrop reads version {readable} and older; \
             install the newer spamdrop again, or move the file away"
        )))
    }
}

impl fmt::Display for NotOurs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for NotOurs {}

/// Whether another process held the lock of the file for too long. A later
/// attempt may succeed.
#[must_use]
pub fn is_locked(error: &Error) -> bool {
    let code = |cause: &rusqlite::Error| cause.sqlite_error_code();
    let mut codes = error
        .chain()
        .filter_map(|cause| cause.downcast_ref().and_then(code));
    codes.any(|code| matches!(code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Adds to an error the path, and the next step: the remedy, or to wait for the process
/// that has locked the file.
pub fn explain(error: Error, path: &Path, remedy: &str) -> Error {
    let file = path.display();
    if is_locked(&error) {
        let holder = holder::describe(path).unwrap_or_else(|| "another process".into());
        return error.context(format!(
            "{file} is locked by {holder}; try again when that has finished"
        ));
    }
    if error.chain().any(|cause| cause.is::<NotOurs>()) {
        return error.context(format!("cannot use {file}"));
    }
    error.context(format!("cannot use {file} (if it is damaged, {remedy})"))
}

#[cfg(test)]
mod tests;
