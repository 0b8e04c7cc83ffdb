//! Finds the rows of a table that differ from the wanted ones. Both are read in
//! the order of their keys, so that a million entries need no second copy of the
//! file in memory.

use anyhow::Result;
use rusqlite::{Connection, Row};

/// How the rows of a table are read for a comparison.
pub(super) struct Table<K, V> {
    /// Selects its rows, sorted by key.
    pub query: &'static str,
    /// Reads a row.
    pub row: fn(&Row<'_>) -> rusqlite::Result<V>,
    /// The key of a row.
    pub key: fn(&V) -> K,
}

impl<K: Ord, V> Table<K, V> {
    /// Returns how the rows differ from `wanted`, which it sorts. `is_same`: whether a
    /// wanted row and the saved one with its key need no write.
    pub fn changes<'rows>(
        &self,
        db: &Connection,
        wanted: &'rows mut Vec<V>,
        is_same: impl Fn(&V, &V) -> bool,
    ) -> Result<RowChanges<'rows, K, V>> {
        wanted.sort_unstable_by_key(self.key);
        // A trie that changes while it is read may return a prefix twice.
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
        Ok(RowChanges { written, deleted })
    }
}

/// The rows to write, and the keys of those to delete.
pub(super) struct RowChanges<'rows, K, V> {
    written: Vec<&'rows V>,
    deleted: Vec<K>,
}

impl<K, V> RowChanges<'_, K, V> {
    /// Writes and deletes these rows. Returns their number.
    pub fn apply(
        &self,
        write: impl Fn(&V) -> Result<()>,
        delete: impl Fn(&K) -> Result<()>,
    ) -> Result<usize> {
        self.written.iter().try_for_each(|new| write(new))?;
        self.deleted.iter().try_for_each(delete)?;
        Ok(self.written.len() + self.deleted.len())
    }
}
