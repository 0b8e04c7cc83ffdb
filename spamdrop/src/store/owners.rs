//! The owners of entries: the bits of those with a name, and the holds of entries
//! with several.
//!
//! A row of `holds` counts only while its entry has that owner and another one.
//! Whoever makes an entry shared writes the rows of all its owners, so rows of an
//! earlier entry do no harm.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use rusqlite::types::Type;
use rusqlite::{Connection, Error, Row, params};
use spamdrop_core::owners::{EntryOwner, OwnerBit, OwnerMask, OwnerNames, StoredHold};
use spamdrop_core::target::Target;
use spamdrop_core::time::UnixSeconds;

use super::Store;
use super::columns::{number, seconds};
use super::target_key::{key, target};

/// `target` is the key of an entry, as in the file of saved blocks. `set_at` is in
/// milliseconds since 1970, other times in seconds; 0: none.
pub(super) const TABLES: &str = "
CREATE TABLE owners (
    bit INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE holds (
    target BLOB NOT NULL,
    bit INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    hard_end INTEGER NOT NULL,
    ttl_s INTEGER NOT NULL,
    set_at INTEGER NOT NULL,
    PRIMARY KEY (target, bit)
) STRICT, WITHOUT ROWID;";

/// Holds of an entry that are to be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct HoldChange {
    /// The entry.
    pub target: Target,
    /// The holds of these owners.
    pub holds: Vec<(OwnerBit, StoredHold)>,
    /// Whether these are all, so that older ones of other owners are deleted.
    pub is_all: bool,
}

impl Store {
    /// The owners with a name.
    ///
    /// # Errors
    ///
    /// The table is damaged or cannot be read.
    pub fn owner_names(&self) -> Result<OwnerNames> {
        self.0.read(names)
    }

    /// The bit of an owner. A new name gets one that no entry has.
    ///
    /// # Errors
    ///
    /// As [`Store::owner_names`], the table cannot be written, or every bit is in
    /// use.
    pub fn register_owner(&mut self, owner: &EntryOwner, in_use: OwnerMask) -> Result<OwnerBit> {
        self.0.change(|tx| {
            let names = names(tx)?;
            if let Some(bit) = names.bit(owner) {
                return Ok(bit);
            }
            let bit = names.free(in_use).context(
                "all 59 names of owners have entries; `spamdrop flush --owner NAME` frees one",
            )?;
            tx.execute("DELETE FROM holds WHERE bit = ?1", [bit.get()])?;
            tx.execute(
                "REPLACE INTO owners VALUES (?1, ?2)",
                params![bit.get(), owner.to_string()],
            )?;
            Ok(bit)
        })
    }

    /// The stored holds of these entries.
    ///
    /// # Errors
    ///
    /// As [`Store::owner_names`].
    pub fn holds<'a>(
        &self,
        targets: impl IntoIterator<Item = &'a Target>,
    ) -> Result<HashMap<Target, Vec<(OwnerBit, StoredHold)>>> {
        self.0.read(|db| {
            let mut query = db
                .prepare_cached("SELECT bit, ends, hard_end, ttl_s FROM holds WHERE target = ?1")?;
            let mut all = HashMap::new();
            for target in targets {
                let rows = query.query_map([key(target)], hold)?;
                all.insert(*target, rows.collect::<Result<_, _>>()?);
            }
            Ok(all)
        })
    }

    /// Stores holds that were decided on at `set_at`, in one transaction. A row that
    /// was decided on later stays.
    ///
    /// # Errors
    ///
    /// The table is damaged or cannot be written; nothing has changed.
    pub fn change_holds(&mut self, changes: &[HoldChange], set_at: SystemTime) -> Result<()> {
        let set_at = set_at.duration_since(SystemTime::UNIX_EPOCH);
        let set_at = set_at.unwrap_or(Duration::ZERO).as_millis();
        let set_at = i64::try_from(set_at).unwrap_or(i64::MAX);
        self.0.change(|tx| {
            let mut delete = tx.prepare_cached("DELETE FROM holds WHERE target = ?1")?;
            let mut insert = tx.prepare_cached(
                "INSERT INTO holds VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (target, bit) DO UPDATE SET ends = excluded.ends,
                     hard_end = excluded.hard_end, ttl_s = excluded.ttl_s,
                     set_at = excluded.set_at
                 WHERE excluded.set_at >= set_at",
            )?;
            for change in changes {
                let key = key(&change.target);
                if change.is_all {
                    delete.execute([&key])?;
                }
                for (bit, hold) in &change.holds {
                    let (ends, hard_end) = (seconds(hold.ends), seconds(hold.hard_end));
                    insert.execute(params![key, bit.get(), ends, hard_end, hold.ttl_s, set_at])?;
                }
            }
            Ok(())
        })
    }

    /// The entries with a stored hold that is over, unless a hit has extended it.
    ///
    /// # Errors
    ///
    /// As [`Store::owner_names`].
    pub fn ended_holds(&self, now: UnixSeconds) -> Result<Vec<Target>> {
        self.0.read(|db| {
            let mut query = db.prepare("SELECT DISTINCT target FROM holds WHERE ends < ?1")?;
            let rows = query.query_map([seconds(now)], |row| target(row, 0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Deletes the holds of these entries. Returns the number of entries that had
    /// some.
    ///
    /// # Errors
    ///
    /// As [`Store::change_holds`].
    pub fn forget_holds<'a>(
        &mut self,
        targets: impl IntoIterator<Item = &'a Target>,
    ) -> Result<usize> {
        self.0.change(|tx| {
            let mut delete = tx.prepare_cached("DELETE FROM holds WHERE target = ?1")?;
            let mut had = 0;
            for target in targets {
                had += usize::from(delete.execute([key(target)])? > 0);
            }
            Ok(had)
        })
    }

    /// Deletes all holds.
    ///
    /// # Errors
    ///
    /// As [`Store::change_holds`].
    pub fn clear_holds(&mut self) -> Result<()> {
        self.0
            .change(|tx| Ok(tx.execute_batch("DELETE FROM holds")?))
    }
}

fn names(db: &Connection) -> Result<OwnerNames> {
    let mut query = db.prepare("SELECT bit, name FROM owners ORDER BY bit")?;
    let rows = query.query_map([], |row| {
        let name: String = row.get(1)?;
        let owner = name.parse();
        let owner = owner.map_err(|error: spamdrop_core::invalid::Invalid| {
            Error::FromSqlConversionFailure(1, Type::Text, error.into())
        })?;
        Ok((bit(row, 0)?, owner))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn bit(row: &Row<'_>, column: usize) -> rusqlite::Result<OwnerBit> {
    let number: u8 = row.get(column)?;
    OwnerBit::new(number).ok_or(Error::IntegralValueOutOfRange(column, number.into()))
}

fn hold(row: &Row<'_>) -> rusqlite::Result<(OwnerBit, StoredHold)> {
    let hold = StoredHold {
        ends: UnixSeconds::new(number(row, 1)?),
        hard_end: UnixSeconds::new(number(row, 2)?),
        ttl_s: row.get(3)?,
    };
    Ok((bit(row, 0)?, hold))
}

#[cfg(test)]
mod tests;
