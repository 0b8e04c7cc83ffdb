//! Numbers in the columns of the database, whose integers are signed.

use rusqlite::{Error, Result, Row};
use spamdrop_core::time::UnixSeconds;

/// Reads a column. A negative number is an error.
pub(super) fn number(row: &Row<'_>, column: usize) -> Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| Error::IntegralValueOutOfRange(column, number))
}

/// The value of a column for a time: seconds since 1970.
pub(super) fn seconds(time: UnixSeconds) -> i64 {
    i64::try_from(time.get()).unwrap_or(i64::MAX)
}
