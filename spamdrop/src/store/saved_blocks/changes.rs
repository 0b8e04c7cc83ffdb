//! Saves blocks: changes only the rows that differ from them.

use anyhow::Result;
use rusqlite::Connection;
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
        |target| rows::delete_entry(db, target).map(drop),
    )?;
    let changed = REASONS.changes(db, &mut reasons, PartialEq::eq)?;
    let more = changed.apply(
        |reason| rows::write_reason(db, reason),
        |key| rows::delete_reason(db, *key),
    )?;
    Ok(count + more)
}
