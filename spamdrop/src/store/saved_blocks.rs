//! The file of saved blocks: entries, the reasons for them, and the counters, as
//! they were at the last save.
//!
//! It is a file of its own, so that it can be renamed and made anew if it is damaged,
//! without a loss of the known senders, which are in [`super::Store`].

mod changes;
mod rows;
mod table;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Error, Result};
use rusqlite::ErrorCode;
use spamdrop_core::saved::{SavedEntry, SavedOrigin};
use spamdrop_core::target::Target;
use spamdrop_core::time::UnixSeconds;

use super::act_as_daemon;
use super::database::{Database, Schema};

/// The name of the file in the state directory.
pub const FILE: &str = "blocks.db";

const SCHEMA: Schema = Schema {
    // `SDbl` in ASCII.
    application_id: 0x5344_626c,
    version: 1,
    tables: &[rows::TABLES],
    upgrades: &[],
    remedy: "move it away; the blocks are saved again",
};

/// The content of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    /// The entries, in no order.
    pub entries: Vec<SavedEntry>,
    /// The reasons for the entries, in no order.
    pub origins: Vec<(IpAddr, SavedOrigin)>,
    /// The counters, by name.
    pub counters: Vec<(String, u64)>,
    /// The time of the last save.
    pub saved: UnixSeconds,
    /// The kernel's id of the boot in which the blocks were saved or restored last.
    pub boot: String,
}

/// The open file.
#[derive(Debug)]
pub struct SavedBlocks(Database);

impl SavedBlocks {
    /// Opens the file, or creates it in an existing directory. Waits at most
    /// `wait` for another process, here and in each later call.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, is locked, is damaged ([`is_damaged`]), or was
    /// written by a newer version.
    pub fn open(path: &Path, wait: Duration) -> Result<Self> {
        let _acting = act_as_daemon(path)?;
        Ok(Self(Database::open(path, &SCHEMA, wait)?))
    }

    /// As [`SavedBlocks::open`]; `None` if no file exists.
    ///
    /// # Errors
    ///
    /// As [`SavedBlocks::open`].
    pub fn open_existing(path: &Path, wait: Duration) -> Result<Option<Self>> {
        let acting = act_as_daemon(path)?;
        let exists = path.try_exists();
        drop(acting);
        let exists = exists.with_context(|| format!("cannot open {}", path.display()))?;
        exists.then(|| Self::open(path, wait)).transpose()
    }

    /// Reads the whole file, after a check for damage; `None` if nothing was saved yet.
    ///
    /// # Errors
    ///
    /// The file is damaged or cannot be read.
    pub fn load(&self) -> Result<Option<Blocks>> {
        for table in rows::NAMES {
            self.0.check(table)?;
        }
        self.0.read(rows::all)
    }

    /// Makes the file hold exactly these blocks. Only what has changed is
    /// written. Returns the number of entries and reasons that were written or
    /// deleted.
    ///
    /// # Errors
    ///
    /// The file is damaged or cannot be written; nothing has changed.
    pub fn save(&mut self, blocks: Blocks) -> Result<usize> {
        self.0.change(|tx| changes::write(tx, blocks))
    }

    /// Stores the id of the boot in which the blocks were restored, so that they are not
    /// restored again in it.
    ///
    /// # Errors
    ///
    /// As [`SavedBlocks::save`].
    pub fn set_boot(&mut self, boot: &str) -> Result<()> {
        self.0.change(|tx| rows::set_boot(tx, boot))
    }

    /// Deletes entries, and the reasons for them that no other entry needs. Returns how
    /// many entries existed.
    ///
    /// # Errors
    ///
    /// As [`SavedBlocks::save`].
    pub fn remove<'a>(&mut self, targets: impl IntoIterator<Item = &'a Target>) -> Result<usize> {
        self.0.change(|tx| {
            let targets = targets.into_iter();
            targets.map(|target| rows::delete(tx, target)).sum()
        })
    }

    /// Deletes all entries and reasons.
    ///
    /// # Errors
    ///
    /// As [`SavedBlocks::save`].
    pub fn clear(&mut self) -> Result<()> {
        self.0.change(|tx| rows::clear(tx))
    }
}

/// Whether the error means that the file is damaged, so that it is of no use.
#[must_use]
pub fn is_damaged(error: &Error) -> bool {
    let mut causes = error.chain();
    causes.any(|cause| match cause.downcast_ref::<rusqlite::Error>() {
        Some(
            rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..),
        ) => true,
        Some(error) => matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        ),
        None => cause.is::<super::database::Damage>(),
    })
}

/// Renames a damaged file, so that a new one can be made. Returns its new path.
///
/// # Errors
///
/// The file cannot be renamed.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let [aside, _] = beside(path);
    fs::rename(path, &aside)?;
    Ok(aside)
}

/// The files that may lie beside the file: one that was set aside, and SQLite's
/// journal.
#[must_use]
pub fn beside(path: &Path) -> [PathBuf; 2] {
    [".damaged", "-journal"].map(|end| {
        let mut name = OsString::from(path);
        name.push(end);
        name.into()
    })
}

#[cfg(test)]
mod tests;
