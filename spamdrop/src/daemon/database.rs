//! The daemon's reads and writes of the database, as jobs for the disk thread.

use std::path::Path;

use anyhow::{Error, Result};
use spamdrop_core::reputation::{Record, Records};
use spamdrop_core::target::Target;
use spamdrop_core::wave::Snapshot;

use crate::clock;
use crate::store::{DAEMON_WAIT, Store};

/// Senders and their records.
pub(super) type SenderRecords = Vec<(Target, Record)>;

/// Reads every sender, after a check for damage; empty without a database.
pub(super) fn senders(path: &Path) -> Result<SenderRecords> {
    let Some(store) = Store::open_existing(path, DAEMON_WAIT)? else {
        return Ok(Vec::new());
    };
    store.check_known()?;
    store.known_senders()
}

/// Reads the senders that are known now; empty without a database.
pub(super) fn known_senders(path: &Path) -> Result<Vec<Target>> {
    let Some(store) = Store::open_existing(path, DAEMON_WAIT)? else {
        return Ok(Vec::new());
    };
    store.known_at(clock::unix_seconds())
}

/// Merges new evidence into the records. On an error, returns the evidence,
/// too.
pub(super) fn merge(
    path: &Path,
    records: Records,
    capacity: usize,
) -> Result<(), (Records, Error)> {
    let now = clock::unix_seconds();
    let store = Store::open(path, DAEMON_WAIT);
    match store.and_then(|mut store| store.merge_known(&records, capacity, now)) {
        Ok(_unstored) => Ok(()),
        Err(error) => Err((records, error)),
    }
}

/// Ends the wave that a crash left open. Returns the number of the newest wave,
/// if there is a database.
pub(super) fn begin_waves(path: &Path) -> Result<Option<i64>> {
    let store = Store::open_existing(path, DAEMON_WAIT)?;
    store.map(|mut store| store.begin_waves()).transpose()
}

/// Writes waves, whose numbers follow `base`. Without a base, reads it from the
/// database. Returns the base that was used.
pub(super) fn write_waves(path: &Path, base: Option<i64>, snapshots: &[Snapshot]) -> Result<i64> {
    let mut store = Store::open(path, DAEMON_WAIT)?;
    let base = base.map_or_else(|| store.begin_waves(), Ok)?;
    store.write_waves(base, snapshots)?;
    Ok(base)
}
