//! The database: known senders, contacts, waves, the history and the owners of
//! entries, kept across restarts. All are tables of one SQLite file.

mod columns;
mod contacts;
mod database;
mod history;
mod known;
mod legacy;
mod owners;
pub mod saved_blocks;
mod target_key;
mod waves;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::account::{self, ActingAsDaemon};
use crate::directory::{self, Owned};
use database::{Database, Schema, SchemaStep};

pub use database::is_locked;
pub use history::HistoryQuery;
pub use known::MergedSenders;
pub use owners::{BootTime, HoldChange, HoldChangeKind};

/// The name of the file in the state directory.
pub const FILE: &str = "spamdrop.db";
/// How long the daemon waits for another process's transaction. It is short
/// because the daemon has logs to read; it tries again later.
pub const DAEMON_WAIT: Duration = Duration::from_millis(100);
/// How long a command that only shows something waits for another process's transaction.
/// It is short, because the rest of the output does not need the database.
pub const STATUS_WAIT: Duration = Duration::from_millis(100);
/// How long any other command waits for another process's transaction.
pub const VERB_WAIT: Duration = Duration::from_secs(5);

/// The remedy for a damaged file.
const REMEDY: &str = "move it away; `spamdrop learn` fills a new one";

const SCHEMA: Schema = Schema {
    // `SDdb` in ASCII.
    application_id: 0x5344_6462,
    version: 4,
    tables: &[
        known::TABLE,
        waves::TABLES,
        contacts::TABLES,
        history::TABLES,
        owners::TABLES,
    ],
    upgrades: &[
        // Version 2 added the recipients of deliveries, removals by hand, and the
        // contacts.
        SchemaStep {
            from: 1,
            changes: &[known::UPGRADE_1, contacts::TABLES],
        },
        // Version 3 added the history.
        SchemaStep {
            from: 2,
            changes: &[history::TABLES],
        },
        // Version 4 added the owners of entries and their ends.
        SchemaStep {
            from: 3,
            changes: &[owners::TABLES],
        },
    ],
    remedy: REMEDY,
};

/// The open database file, [`FILE`].
#[derive(Debug)]
pub struct Store(Database);

impl Store {
    /// Opens the file, or creates it in an existing directory. The content of
    /// `known.db` and `waves.db`, the files of spamdrop 0.1 beside it, is
    /// imported. Waits at most `wait` for another process, here and in each
    /// later call.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, is locked ([`is_locked`]), is damaged, or was
    /// written by a newer version. It is left unchanged.
    pub fn open(path: &Path, wait: Duration) -> Result<Self> {
        let _acting = act_as_daemon(path)?;
        let mut database = Database::open(path, &SCHEMA, wait)?;
        legacy::take_over(&mut database, wait)?;
        Ok(Self(database))
    }

    /// As [`Store::open`]; `None` if no file exists.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn open_existing(path: &Path, wait: Duration) -> Result<Option<Self>> {
        let acting = act_as_daemon(path)?;
        let exists = exists(path).with_context(|| format!("cannot open {}", path.display()))?;
        drop(acting);
        exists.then(|| Self::open(path, wait)).transpose()
    }

    /// Opens an existing file for reads only, without any change of it or of its
    /// directory; `None` if no file exists.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, or another version of spamdrop wrote it.
    pub fn read_existing(path: &Path, wait: Duration) -> Result<Option<Self>> {
        let _acting = account::act_as_daemon()?;
        let exists = path.try_exists();
        match exists.with_context(|| format!("cannot open {}", path.display()))? {
            true => Database::open_read_only(path, &SCHEMA, wait).map(|db| Some(Self(db))),
            false => Ok(None),
        }
    }
}

/// Ensures that [`Store::open`] could use the file, if it exists. Neither upgrades the file
/// nor changes the owner of its directory. The files of spamdrop 0.1 are not read.
///
/// # Errors
///
/// As [`Store::open`].
pub fn ensure_usable(path: &Path, wait: Duration) -> Result<()> {
    // The next start gives root's directory to the account. Until then, only root reads it.
    let _acting = match directory::is_owned_by(&directory::of_file(path), &account::daemon()) {
        true => account::act_as_daemon()?,
        false => ActingAsDaemon::unchanged(),
    };
    let exists = path.try_exists();
    match exists.with_context(|| format!("cannot open {}", path.display()))? {
        true => Database::ensure_usable(path, &SCHEMA, wait),
        false => Ok(()),
    }
}

/// Acts as the daemon's account until the result is dropped. Before, if root owns the
/// file's directory, gives the directory to that account.
fn act_as_daemon(path: &Path) -> Result<ActingAsDaemon> {
    directory::adopt(&directory::of_file(path), Owned::State)?;
    account::act_as_daemon()
}

/// Whether a database exists, of this version or of spamdrop 0.1.
///
/// # Errors
///
/// The directory cannot be searched.
pub fn exists(path: &Path) -> std::io::Result<bool> {
    for file in std::iter::once(path.to_owned()).chain(legacy::files(path)) {
        if file.try_exists()? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
