//! Finds the rows that differ from the blocks, and changes only these. Both are
//! read in the order of their keys, so that a million entries need no second
//! copy of the file in memory.

use anyhow::Result;
use rusqlite::{Connection, Row};
use spamdrop_core::saved::SavedEntry;
use spamdrop_core::target::full_key;

use super::Blocks;
use super::rows::{self, ENTRIES, REASONS, Reason};

/// Makes the tables hold exactly these blocks. Returns the number of rows of
/// entries and reasons that were written or deleted.
pub(super) fn write(db: &Connection, mut blocks: Blocks) -> Result<usize> {
    let mut entries = std::mem::take(&mut blocks.entries);
    let origins = std::mem::take(&mut blocks.origins).into_iter();
    let mut reasons: Vec<Reason> = origins.map(|(addr, it)| (full_key(addr), it)).collect();
    rows::write_rest(db, &blocks)?;
    let changed = ENTRIES.changes(db, &mut entries, SavedEntry::is_saved_as)?;
    let count = changed.apply(
        |entry| rows::write_entry(db, entry),
        |target| rows::delete_entry(db, target),
    )?;
    let changed = REASONS.changes(db, &mut reasons, PartialEq::eq)?;
    let more = changed.apply(
        |reason| rows::write_reason(db, reason),
        |key| rows::delete_reason(db, *key),
    )?;
    Ok(count + more)
}

/// How a table is compared.
pub(super) struct Table<K, V> {
    /// Selects its rows, sorted by key.
    pub query: &'static str,
    /// Reads a row.
    pub row: fn(&Row<'_>) -> rusqlite::Result<V>,
    /// The key of a row.
    pub key: fn(&V) -> K,
}

impl<K: Ord, V> Table<K, V> {
    /// Compares the rows with the wanted ones, which it sorts.
    fn changes<'rows>(
        &self,
        db: &Connection,
        wanted: &'rows mut Vec<V>,
        is_same: impl Fn(&V, &V) -> bool,
    ) -> Result<Changes<'rows, K, V>> {
        wanted.sort_unstable_by_key(self.key);
        // A map that changes while it is read may return a key twice.
        wanted.dedup_by_key(|value| (self.key)(value));
        let (mut written, mut deleted) = (Vec::new(), Vec::new());
        let mut wanted = wanted.iter().peekable();
        let mut query = db.prepare(self.query)?;
        for saved in query.query_map([], |row| (self.row)(row))? {
            let saved = saved?;
            let key = (self.key)(&saved);
            while let Some(new) = wanted.next_if(|new| (self.key)(new) < key) {
                written.push(new);
            }
            match wanted.next_if(|new| (self.key)(new) == key) {
                Some(new) if !is_same(new, &saved) => written.push(new),
                Some(_) => {}
                None => deleted.push(key),
            }
        }
        written.extend(wanted);
        Ok(Changes { written, deleted })
    }
}

/// The rows to write, and the keys of those to delete.
struct Changes<'rows, K, V> {
    written: Vec<&'rows V>,
    deleted: Vec<K>,
}

impl<K, V> Changes<'_, K, V> {
    /// Returns the number of changed rows.
    fn apply(
        &self,
        write: impl Fn(&V) -> Result<()>,
        delete: impl Fn(&K) -> Result<()>,
    ) -> Result<usize> {
        self.written.iter().try_for_each(|new| write(new))?;
        self.deleted.iter().try_for_each(delete)?;
        Ok(self.written.len() + self.deleted.len())
    }
}
