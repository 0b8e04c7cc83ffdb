//! Finds the rows that differ from the blocks, and changes only these. Both are
//! read in the order of their keys, so that a million entries need no second
//! copy of the file in memory.

use anyhow::Result;
use rusqlite::{Connection, Row};
use spamdrop_core::saved::SavedEntry;
use spamdrop_core::target::full_key;

use super::Blocks;
use super::rows::{self, ENTRIES, Key, REASONS};

/// Makes the tables hold exactly these blocks. Returns the number of rows of
/// entries and reasons that were written or deleted.
pub(super) fn write(db: &Connection, mut blocks: Blocks) -> Result<usize> {
    let entries = std::mem::take(&mut blocks.entries);
    let origins = std::mem::take(&mut blocks.origins);
    let entries = sorted(entries.into_iter().map(|it| (Key::from(&it.target), it)));
    let origins = sorted(origins.into_iter().map(|(addr, it)| (full_key(addr), it)));
    rows::write_rest(db, &blocks)?;

    let changed = changes(db, ENTRIES, &entries, rows::entry, SavedEntry::is_saved_as)?;
    for (key, entry) in &changed.written {
        rows::write_entry(db, key, entry)?;
    }
    for key in &changed.deleted {
        rows::delete_entry(db, key)?;
    }
    let count = changed.count();

    let changed = changes(db, REASONS, &origins, rows::reason, PartialEq::eq)?;
    for (key, origin) in &changed.written {
        rows::write_reason(db, *key, origin)?;
    }
    for key in &changed.deleted {
        rows::delete_reason(db, *key)?;
    }
    Ok(count + changed.count())
}

/// Sorts rows by their keys. A map that changes while it is read may have
/// returned one twice.
fn sorted<K: Ord, V>(rows: impl Iterator<Item = (K, V)>) -> Vec<(K, V)> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    rows.dedup_by(|(a, _), (b, _)| a == b);
    rows
}

/// The rows to write and those to delete.
struct Changes<'rows, K, V> {
    written: Vec<&'rows (K, V)>,
    deleted: Vec<K>,
}

impl<K, V> Changes<'_, K, V> {
    fn count(&self) -> usize {
        self.written.len() + self.deleted.len()
    }
}

/// Compares the rows of a query, sorted by key, with the wanted ones.
fn changes<'rows, K: Ord, V>(
    db: &Connection,
    query: &str,
    wanted: &'rows [(K, V)],
    row: impl Fn(&Row<'_>) -> rusqlite::Result<(K, V)>,
    is_same: impl Fn(&V, &V) -> bool,
) -> Result<Changes<'rows, K, V>> {
    let (mut written, mut deleted) = (Vec::new(), Vec::new());
    let mut wanted = wanted.iter().peekable();
    let mut query = db.prepare(query)?;
    for saved in query.query_map([], |it| row(it))? {
        let (key, saved) = saved?;
        while let Some(new) = wanted.next_if(|(wanted, _)| *wanted < key) {
            written.push(new);
        }
        match wanted.next_if(|(wanted, _)| *wanted == key) {
            Some(new) if !is_same(&new.1, &saved) => written.push(new),
            Some(_) => {}
            None => deleted.push(key),
        }
    }
    written.extend(wanted);
    Ok(Changes { written, deleted })
}
