//! Numbers in the columns of the database, whose integers are signed.

use rusqlite::{Error, Result, Row};
use spamdrop_core::time::UnixSeconds;

/// A number that is not negative.
pub(super) fn number(row: &Row<'_>, column: usize) -> Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| Error::IntegralValueOutOfRange(column, number))
}

/// A time as it is stored.
pub(super) fn seconds(time: UnixSeconds) -> i64 {
    i64::try_from(time.get()).unwrap_or(i64::MAX)
}
