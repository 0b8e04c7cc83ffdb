//! The tables of owners: the bit of each owner with a name, and the holds of entries
//! with several owners. A hold is the time until which one owner wants an entry.
//!
//! A row of `holds` counts only while its entry has that owner and another one. The
//! process that adds a second owner to an entry writes the rows of both, so rows that
//! an earlier entry has left do no harm.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use rusqlite::types::Type;
use rusqlite::{Connection, Error, Row, params};
use spamdrop_core::owners::{
    EntryOwner, Hold, OwnerBit, OwnerHold, OwnerMask, OwnerNames, after_boot,
};
use spamdrop_core::saved::Clocks;
use spamdrop_core::target::Target;
use spamdrop_core::time::{MonotonicNs, UnixSeconds};

use super::Store;
use super::columns::{number, seconds};
use super::target_key::{key, target};
use crate::clock;

/// `target` is the key of an entry, as in the file of saved blocks. `ends` and `set_at`
/// are nanoseconds of the monotonic clock of the boot `boot`, so that a step of the wall
/// clock moves no end and reorders no changes; `hard_until` is seconds of that clock.
/// `set_unix` is the wall clock at `set_at`, for the next boot.
pub(super) const TABLES: &str = "
CREATE TABLE owners (
    bit INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE holds (
    target BLOB NOT NULL,
    bit INTEGER NOT NULL,
    boot TEXT NOT NULL,
    ends INTEGER NOT NULL,
    hard_until INTEGER NOT NULL,
    ttl_s INTEGER NOT NULL,
    set_at INTEGER NOT NULL,
    set_unix INTEGER NOT NULL,
    PRIMARY KEY (target, bit)
) STRICT, WITHOUT ROWID;
CREATE INDEX holds_by_end ON holds (boot, ends);";

/// Stores a hold, unless the stored one was decided on later. If `?9` is true and both
/// are of the same boot, the later of both ends is stored.
const WRITE: &str = "
INSERT INTO holds VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (target, bit) DO UPDATE SET
    ends = CASE WHEN ?9 AND boot = excluded.boot
        THEN max(ends, excluded.ends) ELSE excluded.ends END,
    boot = excluded.boot, hard_until = excluded.hard_until, ttl_s = excluded.ttl_s,
    set_at = excluded.set_at, set_unix = excluded.set_unix
WHERE boot <> excluded.boot OR excluded.set_at >= set_at";

/// A moment on the monotonic and on the wall clock, and the boot that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootTime {
    /// The id of the boot.
    pub boot: String,
    /// The clocks.
    pub clocks: Clocks,
}

/// Which stored holds of an entry a [`HoldChange`] replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldChangeKind {
    /// All: the holds of other owners are deleted.
    All,
    /// Only the stored holds of the owners in [`HoldChange::holds`].
    Some,
    /// As `Some`, but a stored end that is later stays.
    Renewal,
}

/// Holds of an entry that are to be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct HoldChange {
    /// The entry.
    pub target: Target,
    /// The holds, by the monotonic clock.
    pub holds: Vec<OwnerHold>,
    /// Which stored holds they replace.
    pub kind: HoldChangeKind,
    /// When the change was decided on.
    pub set: Clocks,
}

impl BootTime {
    /// The time now.
    ///
    /// # Errors
    ///
    /// As [`clock::boot_id`].
    pub fn now() -> Result<Self> {
        Ok(Self {
            boot: clock::boot_id()?,
            clocks: clock::both(),
        })
    }
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

    /// The bit of an owner. A new name gets a bit that is not in `in_use`, the owners
    /// of all entries.
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

    /// The stored holds of these entries, by the monotonic clock of this boot.
    ///
    /// # Errors
    ///
    /// As [`Store::owner_names`].
    pub fn holds<'a>(
        &self,
        targets: impl IntoIterator<Item = &'a Target>,
        now: &BootTime,
    ) -> Result<HashMap<Target, Vec<OwnerHold>>> {
        self.0.read(|db| {
            let mut query = db.prepare_cached(
                "SELECT bit, boot, ends, hard_until, ttl_s, set_at, set_unix
                 FROM holds WHERE target = ?1",
            )?;
            let mut all = HashMap::new();
            for target in targets {
                let rows = query.query_map([key(target)], |row| read_hold(row, 0, now))?;
                all.insert(*target, rows.collect::<Result<_, _>>()?);
            }
            Ok(all)
        })
    }

    /// Stores holds that were decided on during this boot, in one transaction. A row
    /// that was decided on later stays.
    ///
    /// # Errors
    ///
    /// The table is damaged or cannot be written; nothing has changed.
    pub fn change_holds<'a>(
        &mut self,
        changes: impl IntoIterator<Item = &'a HoldChange>,
        boot: &str,
    ) -> Result<()> {
        self.0.change(|tx| {
            let mut delete = tx.prepare_cached("DELETE FROM holds WHERE target = ?1")?;
            for change in changes {
                let key = key(&change.target);
                if change.kind == HoldChangeKind::All {
                    delete.execute([&key])?;
                }
                for held in &change.holds {
                    write_hold(tx, &key, held, boot, change)?;
                }
            }
            Ok(())
        })
    }

    /// The entries with a stored hold whose end has passed. A hit may have extended such
    /// a hold; extensions are not stored. Holds of an earlier boot are first converted
    /// to the clock of this boot.
    ///
    /// # Errors
    ///
    /// As [`Store::owner_names`], or the table cannot be written.
    pub fn ended_holds(&mut self, now: &BootTime) -> Result<Vec<Target>> {
        self.adopt_holds(now)?;
        self.0.read(|db| {
            let mut query =
                db.prepare("SELECT DISTINCT target FROM holds WHERE boot = ?1 AND ends < ?2")?;
            let ends = nanoseconds(now.clocks.mono);
            let rows = query.query_map(params![now.boot, ends], |row| target(row, 0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn adopt_holds(&mut self, now: &BootTime) -> Result<()> {
        let old = self.0.read(|db| {
            let mut query = db.prepare(
                "SELECT target, bit, boot, ends, hard_until, ttl_s, set_at, set_unix
                 FROM holds WHERE boot <> ?1",
            )?;
            let rows = query.query_map([&now.boot], |row| {
                Ok((target(row, 0)?, read_hold(row, 1, now)?))
            })?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })?;
        if old.is_empty() {
            return Ok(());
        }
        // The converted holds count as set at the start of this boot, so that every
        // change during this boot is newer.
        let since_boot = now.clocks.mono.elapsed_since(MonotonicNs::default());
        let set = Clocks {
            unix: now.clocks.unix.minus(since_boot),
            mono: MonotonicNs::default(),
        };
        let change = |(target, held)| HoldChange {
            target,
            holds: vec![held],
            kind: HoldChangeKind::Some,
            set,
        };
        let changes: Vec<HoldChange> = old.into_iter().map(change).collect();
        self.0.change(|tx| {
            for change in &changes {
                let key = key(&change.target);
                for held in &change.holds {
                    // Another process may have replaced the row since it was read.
                    let is_old = tx
                        .prepare_cached(
                            "DELETE FROM holds WHERE target = ?1 AND bit = ?2 AND boot <> ?3",
                        )?
                        .execute(params![key, held.0.get(), now.boot])?;
                    if is_old > 0 {
                        write_hold(tx, &key, held, &now.boot, change)?;
                    }
                }
            }
            Ok(())
        })
    }

    /// Deletes these entries' holds that were set at `before` or earlier; those of
    /// another boot count as earlier. Returns the number of entries that lost a hold.
    ///
    /// # Errors
    ///
    /// As [`Store::change_holds`].
    pub fn forget_holds<'a>(
        &mut self,
        targets: impl IntoIterator<Item = &'a Target>,
        before: &BootTime,
    ) -> Result<usize> {
        self.0.change(|tx| {
            let mut delete = tx.prepare_cached(
                "DELETE FROM holds WHERE target = ?1 AND (boot <> ?2 OR set_at <= ?3)",
            )?;
            let mut had = 0;
            for target in targets {
                let at = nanoseconds(before.clocks.mono);
                had += usize::from(delete.execute(params![key(target), before.boot, at])? > 0);
            }
            Ok(had)
        })
    }

    /// Deletes all holds that were set at `before` or earlier, and all of another boot.
    ///
    /// # Errors
    ///
    /// As [`Store::change_holds`].
    pub fn clear_holds(&mut self, before: &BootTime) -> Result<()> {
        self.0.change(|tx| {
            tx.execute(
                "DELETE FROM holds WHERE boot <> ?1 OR set_at <= ?2",
                params![before.boot, nanoseconds(before.clocks.mono)],
            )?;
            Ok(())
        })
    }
}

fn write_hold(
    tx: &Connection,
    key: &[u8],
    (bit, hold): &OwnerHold,
    boot: &str,
    change: &HoldChange,
) -> Result<()> {
    tx.prepare_cached(WRITE)?.execute(params![
        key,
        bit.get(),
        boot,
        nanoseconds(hold.ends),
        hold.hard_until_s,
        hold.ttl_s,
        nanoseconds(change.set.mono),
        seconds(change.set.unix),
        change.kind == HoldChangeKind::Renewal,
    ])?;
    Ok(())
}

/// Reads the hold from a row, whose column `first` has the bit. A hold of an earlier boot
/// is converted to the clock of this one.
fn read_hold(row: &Row<'_>, first: usize, now: &BootTime) -> rusqlite::Result<OwnerHold> {
    let hold = Hold {
        ends: MonotonicNs::from_ns(number(row, first + 2)?),
        hard_until_s: row.get(first + 3)?,
        ttl_s: row.get(first + 4)?,
    };
    let set = Clocks {
        unix: UnixSeconds::new(number(row, first + 6)?),
        mono: MonotonicNs::from_ns(number(row, first + 5)?),
    };
    let boot: String = row.get(first + 1)?;
    let hold = match boot == now.boot {
        true => hold,
        false => after_boot(hold, set, now.clocks),
    };
    Ok((bit(row, first)?, hold))
}

fn nanoseconds(at: MonotonicNs) -> i64 {
    i64::try_from(at.ns()).unwrap_or(i64::MAX)
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

#[cfg(test)]
mod tests;
