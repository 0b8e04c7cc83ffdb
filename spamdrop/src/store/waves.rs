//! Waves on disk, in an SQLite file.

mod rows;

use std::path::Path;

use anyhow::Result;

use crate::store::database::{Database, Format};
use spamdrop_core::wave::{Point, Snapshot, Wave};

/// The name of the file in the state directory.
pub const FILE: &str = "waves.db";
/// The newest waves that are kept,
const WAVES: u32 = 1_000;
/// and those whose points are.
const COURSES: u32 = 50;

const FORMAT: Format = Format {
    // `SDwv`
    application_id: 0x5344_7776,
    version: 1,
    tables: rows::TABLES,
    upgrades: &[],
    maker: "spamdrop run",
};

/// The waves on disk.
#[derive(Debug)]
pub struct Store(Database);

impl Store {
    /// Opens the file, or makes it, in a directory that exists.
    ///
    /// # Errors
    ///
    /// It cannot be opened, is damaged, or is not one of these; it is left as
    /// it was.
    pub fn open(path: &Path) -> Result<Self> {
        Database::open(path, &FORMAT).map(Self)
    }

    /// As [`Store::open`]; `None` if there is no file.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn open_existing(path: &Path) -> Result<Option<Self>> {
        Ok(Database::open_existing(path, &FORMAT)?.map(Self))
    }

    /// Writes what has changed of waves, and forgets the oldest beyond what is
    /// kept. Their numbers are those of the recorder and `base`.
    ///
    /// # Errors
    ///
    /// The file is damaged or cannot be written; it is as it was.
    pub fn write(&mut self, base: i64, snapshots: &[Snapshot]) -> Result<()> {
        self.0.change(|tx| {
            for snapshot in snapshots {
                rows::write(tx, base, snapshot)?;
            }
            rows::forget(tx, WAVES, COURSES)
        })
    }

    /// Begins to record: whatever wave goes on was cut short by a crash. The
    /// number of the newest one; 0: there is none.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    pub fn begin(&mut self) -> Result<i64> {
        self.0.change(|tx| {
            rows::end(tx)?;
            rows::newest(tx)
        })
    }

    /// The waves that ended at this time or later, in seconds since 1970, and
    /// their numbers, the oldest first. Looks for damage first.
    ///
    /// # Errors
    ///
    /// The file is damaged or cannot be read.
    pub fn since(&self, unix_s: u64) -> Result<Vec<(i64, Wave)>> {
        self.0.check()?;
        self.0.read(|db| rows::since(db, unix_s))
    }

    /// The newest wave, if there is one. Looks for damage first.
    ///
    /// # Errors
    ///
    /// As [`Store::since`].
    pub fn last(&self) -> Result<Option<Wave>> {
        self.0.check()?;
        self.0.read(rows::last)
    }

    /// The points of each of these waves, in their order; none of one that is
    /// older than the fifty newest.
    ///
    /// # Errors
    ///
    /// As [`Store::since`].
    pub fn points(&self, ids: &[i64]) -> Result<Vec<Vec<Point>>> {
        let all = |db: &_| ids.iter().map(|id| rows::points(db, *id)).collect();
        self.0.check()?;
        self.0.read(all)
    }
}

#[cfg(test)]
mod tests;
