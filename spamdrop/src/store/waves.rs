//! The tables of waves and their points.

pub(super) mod rows;

use anyhow::Result;
use spamdrop_common::time::UnixSeconds;

use super::Store;
use super::database::Database;
use spamdrop_core::wave::{Point, Snapshot, Wave};

pub(super) use rows::TABLES;

/// Maximum number of waves; the oldest are deleted.
const WAVES: u32 = 1_000;
/// Number of newest waves whose points are kept.
const COURSES: u32 = 50;

impl Store {
    /// Writes new and changed waves, and deletes the oldest ones beyond the maximum.
    /// `base`: the result of [`Store::begin_waves`], after which this run numbers its
    /// waves.
    ///
    /// # Errors
    ///
    /// A table is damaged or cannot be written; nothing has changed.
    pub fn write_waves(&mut self, base: i64, snapshots: &[Snapshot]) -> Result<()> {
        self.0.change(|tx| {
            for snapshot in snapshots {
                rows::write(tx, base, snapshot)?;
            }
            rows::forget(tx, WAVES, COURSES)
        })
    }

    /// Ends a wave that a crash has left ongoing, before recording begins.
    /// Returns the number of the newest wave; 0 if there is none.
    ///
    /// # Errors
    ///
    /// As [`Store::write_waves`].
    pub fn begin_waves(&mut self) -> Result<i64> {
        self.0.change(|tx| {
            rows::end(tx)?;
            rows::newest(tx)
        })
    }

    /// The waves that ended at `time` or later, with their numbers, oldest
    /// first. The tables are first checked for damage.
    ///
    /// # Errors
    ///
    /// A table is damaged or cannot be read.
    pub fn waves_since(&self, time: UnixSeconds) -> Result<Vec<(i64, Wave)>> {
        check(&self.0)?;
        self.0.read(|db| rows::since(db, time))
    }

    /// The newest wave, if there is one. The tables are first checked for
    /// damage.
    ///
    /// # Errors
    ///
    /// As [`Store::waves_since`].
    pub fn last_wave(&self) -> Result<Option<Wave>> {
        check(&self.0)?;
        self.0.read(rows::last)
    }

    /// The points of each of these waves, in the order of `ids`. Only the fifty
    /// newest waves have points.
    ///
    /// # Errors
    ///
    /// As [`Store::waves_since`].
    pub fn wave_points(&self, ids: &[i64]) -> Result<Vec<Vec<Point>>> {
        let all = |db: &_| ids.iter().map(|id| rows::points(db, *id)).collect();
        check(&self.0)?;
        self.0.read(all)
    }
}

fn check(database: &Database) -> Result<()> {
    database.check("waves")?;
    database.check("points")
}

#[cfg(test)]
mod tests;
