//! Records on disk: an SQLite file that the watcher and the verbs share.
//!
//! Each opens it for one short transaction. SQLite makes writers take turns,
//! and rolls back what a crash has left half written.

mod rows;

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::pupil::Records;
use super::record::{Record, Standing};
use crate::target::Target;

/// Marks the file as ours: `SDkg`.
const APPLICATION_ID: i32 = 0x5344_6b67;
/// What its table looks like; counted up when that changes.
const VERSION: i32 = 1;
/// How long another's transaction is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The records on disk.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    path: PathBuf,
}

impl Store {
    /// Opens the file, or makes it, in a directory that exists.
    ///
    /// # Errors
    ///
    /// It cannot be opened, is damaged, or is not one of these; it is left as
    /// it was.
    pub fn open(path: &Path) -> Result<Self> {
        // SQLite would make it readable for all.
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options
            .mode(0o600)
            .open(path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        Self::connect(path)
            .and_then(|mut db| {
                prepare(&mut db)?;
                let path = path.to_owned();
                Ok(Self { db, path })
            })
            .with_context(|| unusable(path))
    }

    /// As [`Store::open`]; `None` if there is no file.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn open_existing(path: &Path) -> Result<Option<Self>> {
        match path.metadata() {
            Ok(_) => Self::open(path).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot open {}", path.display())),
        }
    }

    fn connect(path: &Path) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(PATIENCE)?;
        // A file from elsewhere brings no code.
        db.pragma_update(None, "trusted_schema", false)?;
        Ok(db)
    }

    /// Every record, sorted: IPv4 first, by address. Looks for damage first.
    ///
    /// # Errors
    ///
    /// The file is damaged or cannot be read.
    pub fn all(&self) -> Result<Vec<(Target, Record)>> {
        let read = || {
            let found: String = self
                .db
                .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            if found != "ok" {
                bail!("{found}");
            }
            rows::all(&self.db)
        };
        read().with_context(|| unusable(&self.path))
    }

    /// Joins what was learned into it. That a source proved bad is noted only if
    /// it was a good one once. Above `capacity`, the most expendable eighth
    /// is forgotten: first what no longer counts, then the demoted, then the
    /// unproven, then the known, each kind beginning with the one that was
    /// heard of last the longest time ago; never what was added by hand.
    ///
    /// # Errors
    ///
    /// The file is damaged or cannot be written; it is as it was.
    pub fn merge(&mut self, learned: &Records, capacity: usize, now: u32) -> Result<()> {
        self.change(|tx| {
            for (source, record) in learned {
                let old = rows::read(tx, *source)?;
                if old.is_some() || record.is_of_interest() {
                    let old = old.unwrap_or_default();
                    rows::write(tx, *source, old.join(*record))?;
                }
            }
            rows::forget(tx, capacity, now)
        })
    }

    /// Adds sources by hand; those that were not added already.
    ///
    /// # Errors
    ///
    /// As [`Store::merge`]; or more than `capacity` would be added by hand.
    pub fn add(&mut self, sources: &[Target], capacity: usize, now: u32) -> Result<Vec<Target>> {
        let added = self.change(|tx| {
            let mut new = Vec::new();
            for &source in sources {
                let old = rows::read(tx, source)?.unwrap_or_default();
                if old.standing(now) != Standing::ByHand {
                    new.push((source, old.added(now)));
                }
            }
            let total = rows::count_by_hand(tx)? + new.len();
            if total > capacity {
                return Ok(Err(total));
            }
            for (source, record) in &new {
                rows::write(tx, *source, *record)?;
            }
            rows::forget(tx, capacity, now)?;
            Ok(Ok(new.into_iter().map(|(source, _)| source).collect()))
        })?;
        added.map_err(|total| {
            anyhow!(
                "nothing was added: {total} sources would be known by hand, but `known_capacity` is {capacity}; raise it in the configuration"
            )
        })
    }

    /// Removes sources by hand: they have to earn their standing anew. Those
    /// that were known or unproven.
    ///
    /// # Errors
    ///
    /// As [`Store::merge`].
    pub fn remove(&mut self, sources: &[Target], now: u32) -> Result<Vec<Target>> {
        self.change(|tx| {
            let mut removed = Vec::new();
            for &source in sources {
                let Some(old) = rows::read(tx, source)?.filter(Record::is_good) else {
                    continue;
                };
                rows::write(tx, source, old.removed(now))?;
                removed.push(source);
            }
            Ok(removed)
        })
    }

    fn change<T>(&mut self, change: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let path = &self.path;
        let db = &mut self.db;
        let changed = || -> Result<T> {
            let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = change(&tx)?;
            tx.commit()?;
            Ok(result)
        };
        changed().with_context(|| unusable(path))
    }
}

/// Makes the table in a new file, and makes sure that it is there in an old
/// one.
fn prepare(db: &mut Connection) -> Result<()> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let pragma = |name: &str| tx.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    match (pragma("application_id")?, pragma("user_version")?) {
        (APPLICATION_ID, VERSION) => return Ok(()),
        (APPLICATION_ID, version) => {
            bail!("it was written by another spamdrop (version {version})")
        }
        (0, 0) if rows::is_empty(&tx)? => {}
        _ => bail!("it holds something else"),
    }
    rows::make(&tx)?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    tx.commit()?;
    Ok(())
}

fn unusable(path: &Path) -> String {
    format!(
        "cannot use {} (if it is damaged, move it away; `spamdrop learn` fills a new one)",
        path.display()
    )
}

#[cfg(test)]
mod tests;
