//! Records on disk: an SQLite file that the watcher and the verbs share.

mod rows;

use std::path::Path;

use anyhow::{Result, anyhow};

use crate::store::database::{Database, Format};
use spamdrop_core::reputation::{Record, Records, Standing};
use spamdrop_core::target::Target;
use spamdrop_core::time::UnixSeconds;

const FORMAT: Format = Format {
    // `SDkg`
    application_id: 0x5344_6b67,
    version: 2,
    tables: rows::TABLE,
    upgrades: &rows::UPGRADES,
    maker: "spamdrop learn",
};

/// The records on disk.
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

    /// Reads all of the file, and looks for damage. That takes as long as
    /// [`Store::all`].
    ///
    /// # Errors
    ///
    /// The file is damaged or cannot be read.
    pub fn check(&self) -> Result<()> {
        self.0.check()
    }

    /// Every record, sorted: IPv4 first, by address.
    ///
    /// # Errors
    ///
    /// The file is damaged or cannot be read.
    pub fn all(&self) -> Result<Vec<(Target, Record)>> {
        self.0.read(rows::all)
    }

    /// Joins what was learned into it. That a source proved bad is noted only if
    /// it was a good one once. Above `capacity`, the most expendable eighth
    /// is forgotten: first what no longer counts, then the demoted, then the
    /// unproven, then the known, each kind beginning with the one that was
    /// heard of last the longest time ago; never what was added by hand.
    ///
    /// Returns what was not noted.
    ///
    /// # Errors
    ///
    /// The file is damaged or cannot be written; it is as it was.
    pub fn merge(
        &mut self,
        learned: &Records,
        capacity: usize,
        now: UnixSeconds,
    ) -> Result<Records> {
        self.0.change(|tx| {
            let mut unwanted = Records::default();
            for (source, record) in learned {
                let old = rows::read(tx, *source)?;
                if old.is_some() || record.is_of_interest() {
                    let old = old.unwrap_or_default();
                    rows::write(tx, *source, old.join(*record))?;
                } else {
                    unwanted.insert(*source, *record);
                }
            }
            rows::forget(tx, capacity, now)?;
            Ok(unwanted)
        })
    }

    /// Adds sources by hand; those that were not added already.
    ///
    /// # Errors
    ///
    /// As [`Store::merge`]; or more than `capacity` would be added by hand.
    pub fn add(
        &mut self,
        sources: &[Target],
        capacity: usize,
        now: UnixSeconds,
    ) -> Result<Vec<Target>> {
        let added = self.0.change(|tx| {
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
    pub fn remove(&mut self, sources: &[Target], now: UnixSeconds) -> Result<Vec<Target>> {
        self.0.change(|tx| {
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
}

#[cfg(test)]
mod tests;
